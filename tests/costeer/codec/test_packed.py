"""The packed layout: sizes against the bound, edges of the grid, bodies that no writer writes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from costeer.codec import CodecConfig, build_codec
from costeer.codec.kernels import pack as pack_bits
from costeer.codec.packed import Packed
from costeer.codec.values import Bf16, Fp16, Fp32
from costeer.errors import CodecError

VOCAB_SIZE = 151_936


def pack(logits: list[float], ids: list[int] | None = None, vocab_size: int = 1000) -> bytes:
    """A bf16 body of these logits at these ids."""
    values = Bf16()
    ids_K = np.array(ids or range(len(logits)), dtype=np.int32)
    return Packed(values, vocab_size).write_sparse(
        ids_K, values.words(np.array(logits, dtype=np.float32))
    )


def unpack(body: bytes, vocab_size: int = 1000) -> tuple[list[int], list[float]]:
    ids_K, words_K = Packed(Bf16(), vocab_size).read_sparse(memoryview(body))
    return ids_K.tolist(), Bf16().restore(words_K).tolist()


@pytest.mark.parametrize("k", [64, 256, 1024])
def test_ids_stay_within_4_percent_of_the_bound(k: int) -> None:
    rng = np.random.default_rng(k)
    bound_bits = (
        math.lgamma(VOCAB_SIZE + 1) - math.lgamma(k + 1) - math.lgamma(VOCAB_SIZE - k + 1)
    ) / math.log(2)
    sizes_bits = []
    for _ in range(40):
        ids_K = np.sort(rng.choice(VOCAB_SIZE, k, replace=False))
        # Equal values take one bit a token; count, floor and both parameters some four bytes.
        equal_K = np.ones(k, dtype=np.uint32)
        sizes_bits.append(8 * pack_bits(ids_K.astype(np.int32), equal_K, 2).size - k - 32)
    assert np.mean(sizes_bits) < 1.04 * bound_bits


@pytest.mark.parametrize("kind", [Fp32, Fp16, Bf16])
@pytest.mark.parametrize(
    "logits",
    [
        [0.0],
        [-3.0],
        [7.5, 7.5, 7.5],
        [-1.0, -2.0, -1.0],
        [-1.0, 0.0, 1.0],
        [0.0, 1e-7, 30.0],
        [-0.125, 0.0, 0.0],
        [-30.0, -1e-7, 1e-7, 30.0],
        [6e4, -6e4, 0.0, 1.0],
    ],
)
def test_every_sign_and_the_way_through_zero(kind: type, logits: list[float]) -> None:
    values = kind()
    rounded_K = values.round(np.array(logits, dtype=np.float32))
    layout, ids_K = Packed(values, 1000), np.arange(len(logits), dtype=np.int32) * 7
    body = layout.write_sparse(ids_K, values.words(rounded_K))
    read_ids_K, words_K = layout.read_sparse(memoryview(body))
    assert np.array_equal(read_ids_K, ids_K)
    assert np.array_equal(values.restore(words_K), rounded_K)


def test_a_row_that_crosses_zero_does_not_pay_for_the_codes_around_it() -> None:
    above = [2.0 + i / 8 for i in range(32)]
    across = [x - 4.0 for x in above]
    assert len(pack(across)) <= len(pack(above)) + 2 + 2 * 32 // 8 * 3


@pytest.mark.parametrize("count", [1, 127, 128, 300])
def test_counts_are_read_back(count: int) -> None:
    assert unpack(pack([1.0] * count))[0] == list(range(count))


@pytest.mark.parametrize("start", [b"", b"\x80", b"\x83\x00", b"\xff\xff\xff\xff\xff\x01"])
def test_counts_in_other_forms_are_refused(start: bytes) -> None:
    with pytest.raises(CodecError, match="shortest"):
        unpack(start + BODY[1:] if start else b"")


def changed(body: bytes, at: int, value: int) -> bytes:
    return body[:at] + bytes([value]) + body[at + 1 :]


BODY = pack([17.0, 16.0, 18.5], [3, 40, 900])
NEGATIVE = pack([-2.0, 1.0, -0.5], [3, 40, 900])


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (b"\x00" + BODY[1:], "count 0"),
        (b"\xe9\x07" + BODY[1:], "count 1001"),
        (BODY[:2], "head"),
        (BODY[:4], "before its bits"),
        (BODY[:-1], "remainders|numbers|bits"),
        (BODY + b"\x00", "zero bits"),
        (changed(BODY, len(BODY) - 1, BODY[-1] | 1), "zero bits|remainders"),
        (BODY + bytes(300), "too long"),
        (changed(BODY, 3, 31 << 3), "too long"),
        (BODY[:3] + b"\x00\x00" + BODY[5:], "numbers|remainders|outside|zero bits"),
        (NEGATIVE[:3] + b"\x00\x00" + NEGATIVE[5:], "magnitude"),
        (NEGATIVE[:3] + b"\x00\x41" + NEGATIVE[5:], "magnitude"),
    ],
)
def test_bodies_that_no_writer_writes_are_refused(body: bytes, match: str) -> None:
    with pytest.raises(CodecError, match=match):
        unpack(body)


def test_the_bodies_above_are_whole_before_they_are_changed() -> None:
    assert unpack(BODY) == ([3, 40, 900], [17.0, 16.0, 18.5])
    assert unpack(NEGATIVE) == ([3, 40, 900], [-2.0, 1.0, -0.5])


def test_sizes_on_synthetic_rows() -> None:
    rng = np.random.default_rng(7)
    sizes: dict[int, Any] = {64: 165, 256: 585}
    for k, most_bytes in sizes.items():
        codec = build_codec(CodecConfig.model_validate(f"top{k}-bf16-packed"), VOCAB_SIZE)
        lengths = []
        for _ in range(6):
            ranked_V = rng.uniform(18.0, 30.0) - 2.1 * np.log(np.arange(1, VOCAB_SIZE + 1))
            lengths.append(len(codec.encode(rng.permutation(ranked_V).astype(np.float32))))
        assert np.mean(lengths) <= most_bytes
