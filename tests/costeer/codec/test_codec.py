"""What is particular: golden bytes, exact selection, merge, hostile zstd, formats' edges."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from costeer.codec import CodecConfig, SparseLogits, build_codec, merge
from costeer.codec.core import row_logsumexp
from costeer.codec.entropy import train_dictionary
from costeer.codec.quantised import Affine8, Step
from costeer.codec.select import ranked_ids
from costeer.codec.sparse import checked
from costeer.codec.values import Bf16, Fp16, Fp32, Values
from costeer.errors import CodecError, ConfigError, LocalProtocolError

GOLDEN_ROW = np.array([0.5, -2.0, 17.1, 17.1, -0.0, 9.75, -300.25, 3e-6], dtype=np.float32)
MAGICLESS = zstandard.FORMAT_ZSTD1_MAGICLESS


def codec_of(name: str, vocab_size: int) -> Any:
    return build_codec(CodecConfig.model_validate(name), vocab_size)


@pytest.mark.parametrize(
    ("name", "golden"),
    [
        ("top2-bf16", "00358c8e41020000008941030000008941"),
        ("top2-bf16-packed", "00358c8e41028941000f"),
        ("top2-fp32-planar", "0006598e410203000000000000cdcdcccc88884141"),
        ("dense-fp16", "013a4c8e41003800c0464c464c0000e048b1dc3200"),
    ],
)
def test_golden_bytes(name: str, golden: str) -> None:
    codec = codec_of(name, GOLDEN_ROW.size)
    assert codec.encode(GOLDEN_ROW).hex() == golden
    known = codec.decode(bytes.fromhex(golden))
    assert np.array_equal(known.logits_K, codec.rounded(GOLDEN_ROW)[known.ids_K])


def test_importing_the_codec_does_not_import_the_compiler() -> None:
    check = "import sys, costeer.codec; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_names_and_fingerprints_tell_codecs_apart() -> None:
    names = ["dense-fp32", "dense-fp16", "dense-bf16", "top64-fp16", "top65-fp16"]
    names += [f"{name}-naive-zstd3" for name in names] + ["dense-fp16-naive-zstd4"]
    codecs = [codec_of(name, 100) for name in names]
    assert len({codec.fingerprint for codec in codecs}) == len(names)
    assert codec_of("top64-fp16-naive-zstd", 100).name == "top64-fp16-naive-zstd3"
    assert codec_of("dense", 100).name == "dense-fp16-naive"
    for codec in codecs:
        assert codec_of(codec.name, 100).fingerprint == codec.fingerprint


@given(
    st.integers(0, 2**31),
    st.integers(1, 3000),
    st.sampled_from([0, 1, 9]),
    st.sampled_from([0.1, 3.0]),
    st.data(),
)
@settings(deadline=None, max_examples=150)
def test_selection_is_exact_whatever_the_sample_guesses(
    seed: int, size: int, digits: int, scale: float, data: Any
) -> None:
    rng = np.random.default_rng(seed)
    logits_V = np.round(rng.normal(0.0, scale, size), digits).astype(np.float32)
    if data.draw(st.booleans()):  # everything large sits where the sample looks, or does not
        logits_V[:: data.draw(st.sampled_from([3, 16]))] += np.float32(50.0)
    last = data.draw(st.integers(1, size))
    first = data.draw(st.integers(0, last - 1))
    order = np.lexsort((np.arange(size), -logits_V))
    assert np.array_equal(ranked_ids(logits_V, 0, last), np.sort(order[:last]))
    assert np.array_equal(ranked_ids(logits_V, first, last), np.sort(order[first:last]))


def test_a_sparse_body_that_would_not_be_smaller_is_sent_dense() -> None:
    row = np.random.default_rng(0).normal(size=300).astype(np.float32)
    codec = codec_of("top64-fp16", 300)
    assert not codec.decode(codec.encode(row, 0, 99)).dense
    assert codec.decode(codec.encode(row, 0, 100)).dense
    known = checked(ranked_ids(codec.rounded(row), 0, 250), np.ones(250, np.float32), 9.0, 300)
    assert not codec.decode(codec.encode(row, 250, 300), known).dense
    assert len(codec.encode(row, 0, 300)) == 5 + 600


def test_logsumexp_gives_true_probabilities_and_the_unsent_mass() -> None:
    row = np.random.default_rng(2).normal(0.0, 4.0, 5000).astype(np.float32)
    codec = codec_of("top50-bf16", 5000)
    known = codec.decode(codec.encode(row))
    exact_V = codec.rounded(row).astype(np.float64)
    probabilities_V = np.exp(exact_V - np.logaddexp.reduce(exact_V))
    assert known.unsent_mass == pytest.approx(1 - probabilities_V[known.ids_K].sum(), abs=1e-5)


@pytest.mark.parametrize("high", [0.0, 1e38, -3e38, 3.4e38])
def test_logsumexp_of_huge_rows_neither_overflows_nor_warns(high: float) -> None:
    row = np.array([high, -3e38, high], dtype=np.float32)
    assert row_logsumexp(row) == pytest.approx(np.float32(high) + np.log(2), abs=1e-6, rel=1e-6)


@given(
    st.binary(min_size=4, max_size=64),
    st.sampled_from([Fp32(), Fp16(), Bf16(), Step(0.25), Affine8()]),
)
def test_words_are_sign_and_magnitude_of_monotone_codes(data: bytes, values: Values) -> None:
    words_K = np.frombuffer(data[: len(data) // 4 * 4], dtype=values.word)
    grid = values.grid(np.array([-9.5, 20.0], "<f4").tobytes()[: values.param_bytes])
    logits_K = grid.restore(words_K)
    sign = 1 << (8 * values.word.itemsize - 1)
    codes_K = np.array([sign - int(w) if w & sign else int(w) for w in words_K.tolist()])
    finite = np.isfinite(logits_K) & ~((logits_K == 0) & np.signbit(logits_K))
    assert not finite[words_K == sign].any()
    assert np.array_equal(grid.words(logits_K[finite]), words_K[finite])
    assert grid.words(logits_K[finite]).dtype == values.word
    order = np.argsort(codes_K[finite], kind="stable")
    assert (np.diff(logits_K[finite][order].astype(np.float64)) >= 0).all()


def test_bf16_equals_the_cast_that_models_use() -> None:
    import torch

    bits_V = np.random.default_rng(5).integers(0, 2**32, 50_000, dtype=np.uint32)
    row = bits_V.view(np.float32)
    row = row[np.abs(row) < 3e38]
    expected = torch.from_numpy(row.copy()).to(torch.bfloat16).to(torch.float32).numpy()
    assert np.array_equal(Bf16().round(row), expected)
    assert Bf16().round(expected) is expected


@pytest.mark.parametrize(("name", "too_large"), [("top2-fp16", 65520.0), ("top2-bf16", 3.4e38)])
def test_what_a_format_cannot_hold_is_refused_with_the_way_out(name: str, too_large: float) -> None:
    codec = codec_of(name, 30)
    row = np.arange(30, dtype=np.float32)
    row[7] = -too_large  # unsent, and still part of "the" row
    with pytest.raises(LocalProtocolError, match="does not fit"):
        codec.encode(row)


def known(ids: list[int], logits: list[float], lse: float = 20.0) -> SparseLogits:
    return checked(np.array(ids, np.int32), np.array(logits, np.float32), lse, 10)


@pytest.mark.parametrize(
    ("ids", "logits", "lse", "match"),
    [
        ([], [], 9.0, "0 tokens"),
        ([1, 1], [2, 1], 9.0, "ascending"),
        ([2, 1], [2, 1], 9.0, "ascending"),
        ([-1, 1], [2, 1], 9.0, "ascending"),
        ([1, 10], [2, 1], 9.0, "ascending"),
        ([1, 2], [2, np.inf], 9.0, "finite"),
        ([1, 2], [np.nan, 2], 9.0, "finite"),
        ([1, 2], [2, 1], np.nan, "finite"),
        ([1, 2], [2, 1], 1.5, "below"),
        ([1, 2], [2, -0.0], 9.0, "negative zero"),
    ],
)
def test_what_no_encoder_says_is_refused(
    ids: list[int], logits: list[float], lse: float, match: str
) -> None:
    with pytest.raises(CodecError, match=match):
        known(ids, logits, lse)


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (known([4], [3.0]), "above"),
        (known([1], [2.0]), "repeats"),
        (known([4], [1.0], lse=21.0), "another row"),
        (known([2], [2.0]), "tie rule"),
        (known(list(range(10)), [1.0] * 10), "contradicts"),
    ],
)
def test_merge_refuses_what_cannot_come_from_one_row(more: SparseLogits, match: str) -> None:
    with pytest.raises(CodecError, match=match):
        merge(known([1, 3], [5.0, 2.0]), more)


def test_merge_keeps_the_upper_set() -> None:
    both = merge(known([1, 3], [5.0, 2.0]), known([0, 4], [1.0, 2.0]))
    assert both.ids_K.tolist() == [0, 1, 3, 4]
    assert both.logits_K.tolist() == [1.0, 5.0, 2.0, 2.0]
    assert both.floor == 1.0


def test_a_follow_up_counts_ids_among_the_unsent() -> None:
    row = np.array([5.0, 1.0, 9.0, 2.0, 7.0, 3.0] + [-9.0] * 60, dtype=np.float32)
    codec = codec_of("top2-bf16-naive", row.size)
    first, more = codec.encode(row), codec.encode(row, 2, 4)
    known = codec.decode(first)
    assert known.ids_K.tolist() == [2, 4]
    assert np.frombuffer(more, "<u4", 1, 5) == 0  # token 0
    assert np.frombuffer(more, "<u4", 1, 11) == 3  # token 5: two sent ones precede it
    assert codec.decode(more, known).ids_K.tolist() == [0, 5]
    with pytest.raises(CodecError, match="earlier round"):
        codec.decode(more)
    beyond = more[:11] + (row.size - 2).to_bytes(4, "little") + more[15:]
    with pytest.raises(CodecError, match="unsent"):
        codec.decode(beyond, known)


def test_selections_that_look_at_the_row() -> None:
    row = np.log(np.array([0.5, 0.25, 0.125, 0.0625, 0.0625], dtype=np.float32))
    row = np.concatenate((row, np.full(95, -60, np.float32)))
    for name, count in [
        ("topp0.7-fp32", 2),
        ("topp0.76-fp32", 3),
        ("topp0.9999max4-fp32", 4),
        ("floor0.24-fp32", 3),
        ("floor1-fp32", 1),
        ("floor0.01max2-fp32", 2),
    ]:
        codec = codec_of(name, row.size)
        assert codec.first_count(row) == count == codec.decode(codec.encode(row)).ids_K.size


def test_a_trained_dictionary_is_part_of_the_codec(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(0.0, 5.0, (200, 500)).astype(np.float32)
    plain = codec_of("top64-bf16-planar", 500)
    trained = train_dictionary([plain.encode(row) for row in rows], 2048)
    (tmp_path / "trained").write_bytes(trained)
    config = CodecConfig.model_validate(
        {
            "select": "top64",
            "values": "bf16",
            "layout": "planar",
            "entropy": {"kind": "zstd", "dictionary": str(tmp_path / "trained")},
        }
    )
    assert CodecConfig.model_validate_json(config.model_dump_json()) == config
    codec, without = build_codec(config, 500), codec_of("top64-bf16-planar-zstd3", 500)
    row = rng.normal(0.0, 5.0, 500).astype(np.float32)
    assert len(codec.encode(row)) < len(without.encode(row))
    assert np.array_equal(
        codec.decode(codec.encode(row)).ids_K, plain.decode(plain.encode(row)).ids_K
    )
    with pytest.raises(CodecError):
        without.decode(codec.encode(row))
    with pytest.raises(ConfigError, match="give more"):
        train_dictionary([b"x"], 2048)


def zstd_frame(content: bytes, **params: Any) -> bytes:
    made = zstandard.ZstdCompressionParameters.from_level(3, format=MAGICLESS, **params)
    return zstandard.ZstdCompressor(compression_params=made).compress(content)


def test_a_zstd_bomb_is_refused_before_it_is_unpacked() -> None:
    codec = codec_of("dense-fp16-naive-zstd3", 1000)
    bombs = [
        zstd_frame(bytes(200_000_000), write_content_size=True),
        zstd_frame(bytes(200_000_000), write_content_size=False),
    ]
    tracemalloc.start()
    for bomb in bombs:
        with pytest.raises(CodecError):
            codec.decode(bomb)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 200_000


def test_zstd_frames_that_no_encoder_writes_are_refused() -> None:
    codec = codec_of("top2-fp32-naive-zstd3", 1000)
    row = np.arange(1000, dtype=np.float32)
    payload = codec.encode(row)
    body = codec_of("top2-fp32", 1000).encode(row)
    assert np.array_equal(codec.decode(payload).ids_K, [998, 999])
    for strange in (
        payload + payload,
        zstd_frame(body, write_checksum=True),
        zstd_frame(body, write_content_size=False),
        zstandard.ZstdCompressor().compress(body),
        zstd_frame(b""),
    ):
        with pytest.raises(CodecError):
            codec.decode(strange)
