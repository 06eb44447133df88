"""Sizes on the generated rows against the targets, with the yardsticks beside them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from actors.values.generated import GeneratedConfig, RowSource
from costeer.codec import CodecConfig, build_codec
from experiments.bench import codec as bench


@cache
def rows() -> tuple[list[Any], Any]:
    source = RowSource(GeneratedConfig(), bench.SEED)
    rows_BV = [source.logits(0, position) for position in range(bench.SIZE_ROWS)]
    return rows_BV, source.delta(0, 0).astype(np.float64)


def measured(name: str) -> dict[str, Any]:
    rows_BV, delta_V = rows()
    codec = build_codec(CodecConfig.model_validate(name), delta_V.size)
    stages = list(bench._codec(codec, rows_BV, delta_V, repeats=1))
    assert [row["bench"] for row in stages] == ["codec encode", "codec decode", "codec certify"]
    return stages[0]


@pytest.mark.parametrize(("k", "most_bytes"), [(64, 180), (256, 590), (1024, 2060)])
def test_packed_frames_keep_to_their_targets(k: int, most_bytes: int) -> None:
    sizes = measured(f"top{k}-bf16-packed")
    assert sizes["frame_bytes"] <= most_bytes
    assert sizes["ids_bound_bytes"] <= sizes["ids_bytes"] <= 1.04 * sizes["ids_bound_bytes"]
    assert sizes["frame_bytes"] <= 1.02 * sizes["entropy_coder_bytes"]
    baseline = measured(f"top{k}-bf16-naive-zstd3")
    assert baseline["frame_bytes"] > 2 * sizes["frame_bytes"]


def test_zstd_repairs_naive_frames_and_lengthens_packed_ones() -> None:
    naive, planar, packed = (f"top256-bf16-{layout}" for layout in ("naive", "planar", "packed"))
    found = {
        name: measured(name)["payload_bytes"]
        for name in (naive, f"{naive}-zstd3", f"{planar}-zstd3", packed, f"{packed}-zstd3")
    }
    assert found[naive] > found[f"{naive}-zstd3"] > found[f"{planar}-zstd3"] > found[packed]
    assert 0 < found[f"{packed}-zstd3"] - found[packed] < 14
