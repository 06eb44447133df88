"""The benchmark of a GPU, as far as a CPU can tell: every row, on a tiny model."""

from __future__ import annotations

import pytest
import torch

from experiments.bench import gpu
from experiments.commands.bench import _table
from netsim.hardware import ModelShape

TINY = gpu.Sizes(
    ModelShape.of_decoder(
        "tiny",
        layers=2,
        hidden=32,
        intermediate=48,
        heads=4,
        kv_heads=2,
        head_dim=8,
        vocab=512,
        tied=False,
        qkv_bias=True,
    ),
    intermediate=48,
    rows=(1, 3),
    context=20,
    prompt=16,
    copy_bytes=2**16,
)


def test_every_figure_is_there_and_fits_the_others() -> None:
    rows = list(gpu.rows_on(torch.device("cpu"), TINY, lambda step: step, "h100", 1))
    kinds = [row["bench"] for row in rows]
    steps = [
        f"gpu {what} {how}" for how in ("eager", "graphs") for what in ("step", "select+encode")
    ]
    assert kinds == [
        "gpu memory", *steps[:2] * 2, "gpu prefill", *steps[2:] * 2
    ]  # fmt: skip
    for row in rows:
        assert row["median_s"] > 0
        if "floor_s" in row:
            assert row["floor_share"] == pytest.approx(row["floor_s"] / row["median_s"])
            assert row["roofline_error"] == pytest.approx(row["roofline_s"] / row["median_s"] - 1)
    one, three = (row["floor_s"] for row in rows if row["bench"] == "gpu step eager")
    read, held = TINY.shape.read_bytes, 20 * TINY.shape.kv_bytes_per_token
    assert three / one == pytest.approx((read + 3 * held) / (read + held))
    table = _table(rows)
    for expected in ("of the floor", "≥ 60 %", "≤ 5 %", "roofline's error"):
        assert expected in table


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (row,) = gpu.run(1)
    assert "no CUDA device" in row["case"]
    assert "skipped" in _table([row])


def test_the_model_has_the_shape_that_it_is_named_after() -> None:
    hosted = gpu._hosted(torch.device("cpu"), TINY, None)
    parameters = sum(each.numel() for each in hosted._decoder.parameters())
    head = TINY.shape.vocab * TINY.shape.hidden
    assert parameters + head == TINY.shape.parameters
