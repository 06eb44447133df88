"""Frames: one encoding for each, hostile bytes only ever raise FrameError."""

from __future__ import annotations

from dataclasses import replace
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costeer import messages
from costeer.draft_messages import Row, Rows, encode_draft, encode_rows, encode_version
from costeer.errors import FrameError, LocalProtocolError
from costeer.messages import (
    MAX_ERROR_BYTES,
    MAX_FRAME_BYTES,
    MAX_OPEN_BYTES,
    Frame,
    FrameKind,
    Open,
    Role,
    decode_error,
    decode_frame,
    decode_open,
    decode_token,
    encode_error,
    encode_frame,
    encode_open,
    encode_token,
    filled,
)

BODILESS = (FrameKind.MORE, FrameKind.CLOSE)
numbers = st.integers(0, 300) | st.integers(0, 2**32 - 1)
frames = st.sampled_from(FrameKind).flatmap(
    lambda kind: st.builds(
        Frame,
        st.just(kind),
        numbers,
        numbers,
        numbers,
        numbers,
        st.just(b"") if kind in BODILESS else st.binary(max_size=300),
        st.integers(0, 40),
    )
)
some_ids = st.lists(numbers, min_size=1, max_size=20).map(tuple)
opens = st.sampled_from(Role).flatmap(
    lambda role: st.builds(
        Open,
        st.just(role),
        numbers,
        numbers,
        some_ids,
        st.lists(numbers, max_size=20).map(tuple),
        numbers,
        some_ids if role is Role.GUIDED else st.just(()),
    )
)


def sealed(head: bytes) -> bytes:
    """Give hostile bytes a right checksum."""
    return head + crc32(head).to_bytes(4, "little")


def check_canonical(data: bytes) -> None:
    """Bytes are refused, or they are the one encoding of what they decode to."""
    try:
        frame = decode_frame(data)
    except FrameError:
        return
    assert encode_frame(frame) == data


@given(frames)
def test_frames_round_trip(frame: Frame) -> None:
    data = encode_frame(frame)
    assert decode_frame(data) == frame
    assert len(data) - len(frame.body) - frame.filling <= 30


@given(opens)
def test_open_round_trips(body: Open) -> None:
    assert decode_open(encode_open(body)) == body


@given(numbers)
def test_tokens_round_trip(token: int) -> None:
    assert decode_token(encode_token(token)) == token


@given(st.binary(max_size=60))
def test_any_bytes_are_a_canonical_frame_or_an_error(data: bytes) -> None:
    check_canonical(data)


@given(st.sampled_from(FrameKind) | st.integers(0, 255), st.binary(max_size=60))
def test_hostile_bytes_with_a_right_checksum_are_canonical_or_an_error(
    kind: int, rest: bytes
) -> None:
    first = kind | messages.VERSION << 4 if isinstance(kind, FrameKind) else kind
    check_canonical(sealed(bytes((first,)) + rest))


@given(frames, st.data())
def test_no_truncation_is_a_frame(frame: Frame, data: st.DataObject) -> None:
    whole = encode_frame(frame)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(FrameError):
        decode_frame(whole[:cut])
    with pytest.raises(FrameError):
        decode_frame(whole + b"\0")


@given(frames, st.data())
def test_no_flipped_bit_is_a_frame(frame: Frame, data: st.DataObject) -> None:
    whole = bytearray(encode_frame(frame))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(FrameError):
        decode_frame(bytes(whole))


@given(frames, st.data())
def test_a_truncation_with_a_right_checksum_is_no_frame(frame: Frame, data: st.DataObject) -> None:
    head = encode_frame(replace(frame, filling=0))[:-4]
    with pytest.raises(FrameError):
        decode_frame(sealed(head[: data.draw(st.integers(0, len(head) - 1))]))


@given(st.binary(max_size=40))
def test_hostile_open_bodies_are_canonical_or_an_error(data: bytes) -> None:
    try:
        body = decode_open(data)
    except FrameError:
        return
    assert encode_open(body) == data


@given(st.binary(max_size=8))
def test_hostile_token_bodies_are_canonical_or_an_error(data: bytes) -> None:
    try:
        token = decode_token(data)
    except FrameError:
        return
    assert encode_token(token) == data


@given(st.text(max_size=700), st.binary(max_size=700))
def test_error_texts_are_cut_and_never_raise(text: str, hostile: bytes) -> None:
    body = encode_error(text)
    assert len(body) <= MAX_ERROR_BYTES
    assert text.startswith(decode_error(body))
    decode_error(hostile)


def test_error_texts_survive_half_a_surrogate_pair() -> None:
    assert decode_error(encode_error("prompt \ud800")) == "prompt ?"


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (b"", "no role"),
        (bytes((max(Role) + 1, 0, 0, 0, 1)), "no role"),
        (b"\x00\x05", "does not end"),
        (b"\x00\x05\x07\x00\x00", "no prompt"),
        (b"\x00\x05\x07\x00\x01\x09", "no prompt"),
        (b"\x00\x05\x07\x00\xff\xff\xff\xff\x0f\x09", "no prompt"),
        (b"\x00\x05\x07\x00\x00\x80", "does not end"),
        (b"\x00\x05\x07\x00\x00\x80\x00", "shortest form"),
        (b"\x00\x05\x07\x00\x00\xff\xff\xff\xff\x1f", "too large"),
        (b"\x00\x05\x07\x00\x00\xff\xff\xff\xff\xff\x0f", "does not end"),
        (b"\x00\x05\x07\x00\x00" + b"\x09" * MAX_OPEN_BYTES, "exceeds"),
    ],
)
def test_hostile_open_bodies_by_name(body: bytes, match: str) -> None:
    with pytest.raises(FrameError, match=match):
        decode_open(body)


@pytest.mark.parametrize("body", [b"", b"\x80", b"\x05\x05", b"\x80\x00", b"\xff" * 6])
def test_hostile_token_bodies_by_name(body: bytes) -> None:
    with pytest.raises(FrameError):
        decode_token(body)


@pytest.mark.parametrize(
    ("head", "match"),
    [
        (b"\x12\x01\x00\x00\x00\x00", "version"),
        (b"\x27\x01\x00\x00\x00\x00", "kind"),
        (b"\x22\x01\x00\x00\x00\x02\x05", "2 bytes declared, 1 there"),
        (b"\x22\x01\x00\x00\x00\x01\x05\x05", "filling are not zero"),
        (b"\x22\x01\x00\x00\x00\xff\xff\xff\xff\x0f\x05", "declared"),
        (b"\x23\x01\x00\x00\x01\x01\x05", "MORE frame with a body"),
        (b"\x24\x01\x00\x00\x00\x01\x05", "CLOSE frame with a body"),
        (b"\x23\x81\x00\x00\x00\x01\x00", "shortest form"),
    ],
)
def test_hostile_frames_by_name(head: bytes, match: str) -> None:
    with pytest.raises(FrameError, match=match):
        decode_frame(sealed(head))


def test_bounds_are_held_on_both_sides() -> None:
    room = MAX_FRAME_BYTES - len(encode_frame(Frame(FrameKind.LOGITS, 1, 0, 0, 0, b"x" * 2**20)))
    most = Frame(FrameKind.LOGITS, 1, 0, 0, 0, bytes(2**20 + room - 1))
    whole = encode_frame(most)
    assert len(whole) in {MAX_FRAME_BYTES - 1, MAX_FRAME_BYTES}
    assert decode_frame(whole) == most
    too_long = bytes(MAX_FRAME_BYTES)
    with pytest.raises(LocalProtocolError, match="exceeds"):
        encode_frame(Frame(FrameKind.LOGITS, 1, 0, 0, 0, too_long))
    with pytest.raises(FrameError, match=f"not {MAX_FRAME_BYTES + 1}"):
        decode_frame(too_long + b"x")
    with pytest.raises(LocalProtocolError, match="exceeds"):
        encode_open(Open(Role.LOGITS, 1, 0, (1,) * (MAX_OPEN_BYTES + 1)))


@settings(max_examples=20)
@given(st.integers(max_value=-1) | st.integers(min_value=2**32))
def test_numbers_that_no_frame_holds_are_our_own_bug(number: int) -> None:
    for at in range(4):
        fields = [0, 0, 0, 0]
        fields[at] = number
        with pytest.raises(LocalProtocolError):
            encode_frame(Frame(FrameKind.TOKEN, fields[0], fields[1], fields[2], fields[3]))
    with pytest.raises(LocalProtocolError):
        encode_token(number)
    with pytest.raises(LocalProtocolError):
        encode_open(Open(Role.LOGITS, number, 0, (1,)))


def test_what_no_peer_may_send_is_never_sent() -> None:
    for kind in BODILESS:
        with pytest.raises(LocalProtocolError, match="body"):
            encode_frame(Frame(kind, 1, 0, 0, 0, b"x"))
    with pytest.raises(LocalProtocolError, match="empty"):
        encode_open(Open(Role.LOGITS, 4, 7, ()))
    for role, guide in ((Role.LOGITS, (1,)), (Role.GUIDED, ())):
        with pytest.raises(LocalProtocolError, match="one too many"):
            encode_open(Open(role, 4, 7, (1,), guide=guide))
    with pytest.raises(FrameError, match="no second prompt"):
        decode_open(bytes((Role.GUIDED, 4, 7, 0, 0, 0, 1)))


# The bytes of the wire, version 2. A change here is a change of the protocol: raise VERSION.
GOLDEN = {
    FrameKind.OPEN: (
        Frame(
            FrameKind.OPEN,
            4097,
            1,
            2,
            0,
            encode_open(Open(Role.LOGITS, 64, 0xDEADBEEF, (1, 300, 70000), (5, 6), 25_000)),
        ),
        "218120010200130040effdb6f50da8c3010201ac02f0a20405067c8d4644",
    ),
    FrameKind.TOKEN: (
        Frame(FrameKind.TOKEN, 4097, 1, 2, 3, encode_token(151935)),
        "22812001020303ffa20962e0a5c5",
    ),
    FrameKind.MORE: (Frame(FrameKind.MORE, 4097, 1, 2, 3), "23812001020300cef401e7"),
    FrameKind.CLOSE: (Frame(FrameKind.CLOSE, 4097, 1, 63, 0), "248120013f000040ef3825"),
    FrameKind.DRAFT: (
        Frame(FrameKind.DRAFT, 4097, 1, 2, 3, encode_draft((151935, 7, 300))),
        "25812001020306ffa20907ac02a1cf688a",
    ),
    FrameKind.REFINE: (
        Frame(FrameKind.REFINE, 4097, 1, 2, 1, encode_version(3)),
        "26812001020101033fbb4f65",
    ),
    FrameKind.ROWS: (
        Frame(
            FrameKind.ROWS,
            4097,
            1,
            2,
            0,
            encode_rows(Rows(3, (Row(b"\x01\x02\x03"), Row(b"\x04", -1.5)))),
        ),
        "2b81200102000b030601020303040000c0bf5676e2d7",
    ),
    FrameKind.LOGITS: (
        Frame(FrameKind.LOGITS, 4097, 1, 2, 0, bytes(range(200))),
        (
            "288120010200c801000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
            "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f4041424344454647"
            "48494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f"
            "707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f9091929394959697"
            "98999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
            "c0c1c2c3c4c5c6c742e7dee7"
        ),
    ),
    FrameKind.STREAM: (
        Frame(FrameKind.STREAM, 4097, 1, 2, 0, encode_token(7)),
        "2981200102000107bd07c0ba",
    ),
    FrameKind.ERROR: (
        Frame(FrameKind.ERROR, 4097, 1, 2, 0, encode_error("too long – shorten")),
        "2a812001020014746f6f206c6f6e6720e280932073686f7274656e0250612a",
    ),
}


@pytest.mark.parametrize("kind", FrameKind)
def test_golden_bytes(kind: FrameKind) -> None:
    frame, golden = GOLDEN[kind]
    assert encode_frame(frame).hex() == golden
    assert decode_frame(bytes.fromhex(golden)) == frame


@given(frames, st.integers(1, 700))
def test_a_filled_frame_says_the_same_in_a_size_of_its_bucket(frame: Frame, bucket: int) -> None:
    plain = replace(frame, filling=0)
    data = filled(plain, bucket)
    assert len(data) % bucket == 0
    assert len(data) - len(encode_frame(plain)) < bucket
    found = decode_frame(data)
    assert replace(found, filling=0) == plain


@given(frames, st.integers(1, 255))
def test_filling_is_zeros(frame: Frame, junk: int) -> None:
    filling = replace(frame, filling=5)
    body = bytearray(encode_frame(filling)[:-4])
    body[-1] = junk
    with pytest.raises(FrameError, match="not zero"):
        decode_frame(sealed(bytes(body)))


@given(frame=frames)
def test_a_peek_says_what_the_frame_says(frame: Frame) -> None:
    assert messages.peek(encode_frame(frame)) == (frame.kind, frame.session)


@given(data=st.binary(max_size=12))
def test_a_peek_into_any_bytes_is_bounded_or_an_error(data: bytes) -> None:
    try:
        kind, session = messages.peek(data)
    except FrameError:
        return
    assert kind in FrameKind
    assert 0 <= session < 2**32
