"""Law 2, once for every codec. A codec of one's own passes by subclassing `CodecLaws`:

@pytest.mark.parametrize("config", [CustomCodecConfig(kind="my.module:MyCodec")])
class TestMine(CodecLaws): ...
"""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costeer.codec import Codec, CodecConfig, CustomCodecConfig, SparseLogits, build_codec, merge
from costeer.codec.sparse import checked
from costeer.errors import CodecError, LocalProtocolError

Config = CodecConfig | CustomCodecConfig

QUICK = settings(
    deadline=None,
    max_examples=12,
    # Each subclass runs the same laws on codecs of its own; nothing is shared between examples.
    suppress_health_check=[HealthCheck.differing_executors],
)
# A grid (ties, both zeros), ordinary logits, subnormals and what rounds across a power of two.
NUMBERS = (
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 17.125, 17.1875, 17.2, -3.3, 1e-7, -6e-8, 1.9999])
    | st.floats(-60.0, 60.0, width=32)
    | st.floats(-6e4, 6e4, width=32)
)


@st.composite
def rows(draw: Any, max_size: int = 80) -> Any:
    size = draw(st.integers(1, max_size))
    if draw(st.booleans()):
        return np.array(draw(st.lists(NUMBERS, min_size=size, max_size=size)), dtype=np.float32)
    seed, scale = draw(st.integers(0, 2**31)), draw(st.sampled_from([0.01, 1.0, 9.0]))
    logits_V = np.random.default_rng(seed).normal(0.0, scale, size)
    return np.round(logits_V, draw(st.sampled_from([0, 2, 9]))).astype(np.float32)


@st.composite
def row_and_range(draw: Any) -> tuple[Any, int, int]:
    logits_V = draw(rows())
    first = draw(st.integers(0, logits_V.size - 1))
    return logits_V, first, draw(st.integers(first + 1, logits_V.size))


def ranked(rounded_V: Any) -> Any:
    """All ids by rank, the slow and obvious way."""
    return np.array(sorted(range(rounded_V.size), key=lambda i: (-float(rounded_V[i]), i)))


def assert_valid(known: SparseLogits, vocab_size: int) -> None:
    ids_K, logits_K = known.ids_K, known.logits_K
    assert known.vocab_size == vocab_size
    assert ids_K.dtype == np.int32
    assert logits_K.dtype == np.float32
    assert 0 < ids_K.size == logits_K.size <= vocab_size
    assert ids_K[0] >= 0
    assert ids_K[-1] < vocab_size
    assert (np.diff(ids_K) > 0).all()
    assert np.isfinite(logits_K).all()
    assert math.isfinite(known.logsumexp)
    assert known.floor == logits_K.min()
    assert not ids_K.flags.writeable
    assert not logits_K.flags.writeable


def _one_line(error: CodecError) -> None:
    assert str(error)
    assert "\n" not in str(error)


def earlier(codec: Codec, rounded_V: Any, first: int) -> SparseLogits | None:
    """What a device knows when ranks [0, first) have arrived."""
    if not first:
        return None
    ids_K = np.sort(ranked(rounded_V)[:first]).astype(np.int32)
    lse = codec.decode(codec.encode(rounded_V)).logsumexp
    return checked(ids_K, rounded_V[ids_K] + np.float32(0), lse, rounded_V.size)


def decode_or_refuse(codec: Codec, payload: bytes, before: SparseLogits | None = None) -> None:
    try:
        known = codec.decode(payload, before)
    except CodecError as error:
        _one_line(error)
    else:
        assert_valid(known, codec.vocab_size)


class CodecLaws:
    """Every test takes `config`; a subclass parametrizes it."""

    @given(row_and_range())
    @QUICK
    def test_what_is_decoded_is_what_was_asked_for(
        self, config: Config, case: tuple[Any, int, int]
    ) -> None:
        logits_V, first, last = case
        codec = build_codec(config, logits_V.size)
        payload = codec.encode(logits_V, first, last)
        rounded_V = codec.rounded(logits_V)
        known = codec.decode(payload, earlier(codec, rounded_V, first))
        assert isinstance(payload, bytes)
        assert len(payload) <= codec.max_payload_bytes
        assert_valid(known, logits_V.size)
        if not known.dense:
            assert np.array_equal(known.ids_K, np.sort(ranked(rounded_V)[first:last]))
        assert np.array_equal(known.logits_K, rounded_V[known.ids_K])
        lse = float(np.logaddexp.reduce(rounded_V.astype(np.float64)))
        assert known.logsumexp == pytest.approx(lse, rel=1e-6, abs=1e-5)
        assert known.logsumexp >= rounded_V.max()

    @given(rows())
    @QUICK
    def test_rounding_is_monotone_idempotent_and_within_its_bound(
        self, config: Config, logits_V: Any
    ) -> None:
        codec = build_codec(config, logits_V.size)
        rounded_V = codec.rounded(logits_V)
        assert (
            np.abs(rounded_V.astype(np.float64) - logits_V) <= codec.error_bound(logits_V)
        ).all()
        assert (
            np.abs(rounded_V.astype(np.float64) - logits_V) <= codec.error_bound(rounded_V)
        ).all()
        assert np.array_equal(codec.rounded(rounded_V), rounded_V)
        order = np.argsort(logits_V, kind="stable")
        assert (np.diff(rounded_V[order]) >= 0).all()

    @given(rows(), st.lists(st.integers(1, 40), max_size=4))
    @QUICK
    def test_rounds_merge_into_the_whole_row(
        self, config: Config, logits_V: Any, growth: list[int]
    ) -> None:
        codec = build_codec(config, logits_V.size)
        rounded_V, known = codec.rounded(logits_V), codec.decode(codec.encode(logits_V))
        assert known.dense or known.ids_K.size == codec.first_count(logits_V) <= codec.first_k
        order = ranked(rounded_V)
        for step in [*growth, logits_V.size]:
            sent = known.ids_K.size
            if sent == logits_V.size:
                break
            assert np.array_equal(known.ids_K, np.sort(order[:sent]))
            assert known.floor == rounded_V[order[sent - 1]]
            last = min(sent + step, logits_V.size)
            known = merge(known, codec.decode(codec.encode(logits_V, sent, last), known))
            assert_valid(known, logits_V.size)
        assert known.dense
        assert np.array_equal(known.logits_K, rounded_V)
        assert known.unsent_mass == 0.0

    @given(st.integers(0, 2**31), st.integers(1, 5))
    @QUICK
    def test_a_batch_gives_the_bytes_of_its_rows(
        self, config: Config, seed: int, batch: int
    ) -> None:
        logits_BV = np.random.default_rng(seed).normal(0.0, 5.0, (batch, 64)).astype(np.float32)
        codec = build_codec(config, 64)
        ranges = [(0, None), (0, 64), (3, 9), (63, 64), (0, 1)][:batch]
        assert codec.encode_batch(logits_BV, ranges) == [
            codec.encode(row, *span) for row, span in zip(logits_BV.copy(), ranges, strict=True)
        ]

    @given(row_and_range(), st.data())
    @QUICK
    def test_damaged_payloads_are_decoded_or_refused(
        self, config: Config, case: tuple[Any, int, int], data: Any
    ) -> None:
        logits_V, first, last = case
        codec = build_codec(config, logits_V.size)
        payload = codec.encode(logits_V, first, last)
        known = earlier(codec, codec.rounded(logits_V), first)
        decode_or_refuse(codec, payload)
        decode_or_refuse(codec, payload[: data.draw(st.integers(0, len(payload) - 1))], known)
        decode_or_refuse(codec, payload + data.draw(st.binary(min_size=1, max_size=9)), known)
        for _ in range(8):
            damaged = bytearray(payload)
            damaged[data.draw(st.integers(0, len(payload) - 1))] ^= 1 << data.draw(
                st.integers(0, 7)
            )
            decode_or_refuse(codec, bytes(damaged), known)

    @given(st.integers(1, 300), st.binary(max_size=400))
    @QUICK
    def test_any_bytes_are_decoded_or_refused(
        self, config: Config, vocab_size: int, payload: bytes
    ) -> None:
        codec = build_codec(config, vocab_size)
        decode_or_refuse(codec, payload)
        for kind in (b"\x00", b"\x01", b"\x02"):  # a plausible start reaches the layouts
            decode_or_refuse(codec, kind + np.float32(1e30).tobytes() + payload)

    def test_a_payload_beyond_the_declared_limit_is_refused(self, config: Config) -> None:
        codec = build_codec(config, 50)
        with pytest.raises(CodecError):
            codec.decode(bytes(codec.max_payload_bytes + 1))
        with pytest.raises(CodecError):
            codec.decode(b"")

    def test_what_cannot_be_sent_is_our_bug(self, config: Config) -> None:
        codec = build_codec(config, 8)
        row: Any = np.arange(8, dtype=np.float32)
        for bad in (np.nan, np.inf, -np.inf):
            broken = row.copy()
            broken[3] = bad
            with pytest.raises(LocalProtocolError):
                codec.encode(broken)
        for misfit in (row[:7], row.astype(np.float64), row.reshape(2, 4)):
            with pytest.raises(LocalProtocolError):
                codec.encode(misfit)
        for first, last in ((0, 9), (-1, 3), (4, 4), (5, 4)):
            with pytest.raises(LocalProtocolError):
                codec.encode(row, first, last)
        with pytest.raises(LocalProtocolError):
            codec.encode_batch(np.stack([row, row]), [(0, 4)])

    def test_a_codec_survives_pickling(self, config: Config) -> None:
        codec = build_codec(config, 40)
        copy = pickle.loads(pickle.dumps(codec))  # noqa: S301 - our own bytes
        row = np.random.default_rng(1).normal(size=40).astype(np.float32)
        assert (copy.name, copy.fingerprint) == (codec.name, codec.fingerprint)
        assert copy.encode(row) == codec.encode(row)

    def test_its_identity_is_stable_and_fits_the_frame(self, config: Config) -> None:
        codec, again = build_codec(config, 40), build_codec(config, 40)
        assert codec.fingerprint == again.fingerprint
        assert 0 <= codec.fingerprint < 2**32
        assert codec.fingerprint != build_codec(config, 41).fingerprint
        assert 1 <= codec.first_k <= codec.vocab_size == 40
        assert codec.name
