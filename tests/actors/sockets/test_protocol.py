"""Records and the handshake: what is encoded comes back, and no bytes raise anything else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.plan import codec_terms
from actors.sockets.protocol import (
    HEADER_BYTES,
    MAX_BYE_BYTES,
    Hello,
    RecordKind,
    decode_bye,
    decode_down,
    decode_greeting,
    decode_header,
    decode_hello,
    decode_welcome,
    difference,
    encode_bye,
    encode_down,
    encode_hello,
    encode_record,
    welcome,
)
from costeer.errors import FrameError, RemoteProtocolError
from costeer.machine import CloudTrace
from tests.actors.fleets import VOCAB, arm_plan

PLAN = arm_plan()
OURS = welcome(PLAN, codec_terms(PLAN, VOCAB))
_NUMBERS = st.integers(0, 2**63)


@given(st.sampled_from(RecordKind), st.binary(max_size=100))
def test_a_record_says_its_kind_and_its_size(kind: RecordKind, body: bytes) -> None:
    record = encode_record(kind, body)
    assert decode_header(record[:HEADER_BYTES], 100) == (kind, len(body))
    assert record[HEADER_BYTES:] == body
    if body:
        with pytest.raises(FrameError, match="exceeds"):
            decode_header(record[:HEADER_BYTES], len(body) - 1)


def test_another_program_is_recognised() -> None:
    with pytest.raises(FrameError, match="costeer program"):
        decode_header(b"HTTP/", 100)


@given(st.binary(max_size=50), st.integers(0, 2**32 - 1), _NUMBERS, _NUMBERS, _NUMBERS)
def test_what_the_clouds_part_took_comes_beside_a_frame(
    frame: bytes, payload_bytes: int, queue_ns: int, compute_ns: int, select_ns: int
) -> None:
    trace = CloudTrace(9, queue_ns, compute_ns, select_ns)
    record = decode_down(encode_down(frame, payload_bytes, trace))
    # How long the way up took is not the cloud's to say.
    assert record.trace == replace(trace, uplink_ns=0)
    assert (record.frame, record.payload_bytes) == (frame, payload_bytes)


@given(st.integers(0, 2**20 - 1), st.binary(max_size=40), st.binary(min_size=16, max_size=16))
def test_hello_proves_that_the_token_is_known(device: int, token: bytes, nonce: bytes) -> None:
    body = encode_hello(Hello(device=device), token, nonce)
    assert token not in body or len(token) < 4  # a short one may stand there by chance
    assert decode_hello(body, token, nonce) == Hello(device=device)
    other_nonce = bytes(16) if any(nonce) else b"1" * 16
    for given_body, given_token, given_nonce in (
        (body, token + b"x", nonce),
        (body, token, other_nonce),
        (body[:-1] + b" ", token, nonce),
    ):
        with pytest.raises(RemoteProtocolError, match="token"):
            decode_hello(given_body, given_token, given_nonce)


@given(st.binary(max_size=80))
def test_any_bytes_are_refused_in_our_words(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_hello(data, b"token", bytes(16))
    with pytest.raises(RemoteProtocolError):
        decode_welcome(data)
    decode_bye(data)
    if len(data) != 17:
        with pytest.raises(RemoteProtocolError, match="version"):
            decode_greeting(data)
    if len(data) < 28:
        with pytest.raises(FrameError):
            decode_down(data)


def test_a_device_number_beyond_a_run_is_refused() -> None:
    body = encode_hello(Hello.model_construct(device=2**20), b"t", bytes(16))
    with pytest.raises(RemoteProtocolError, match="HELLO: 1 fields"):
        decode_hello(body, b"t", bytes(16))


def test_two_arms_are_told_apart() -> None:
    assert difference(OURS, OURS.model_copy(update={"epoch": 7})) is None
    theirs = OURS.model_copy(update={"seed": 8})
    assert difference(OURS, theirs) == "seed is 8 at the cloud and 7 here"
    assert decode_welcome(OURS.model_dump_json().encode()) == OURS


@given(st.text())
def test_a_reason_is_cut_between_two_characters(reason: str) -> None:
    body = encode_bye(reason)
    assert len(body) <= MAX_BYE_BYTES
    assert (
        "\N{REPLACEMENT CHARACTER}" in reason
        or decode_bye(body).count("\N{REPLACEMENT CHARACTER}") == 0
    )
