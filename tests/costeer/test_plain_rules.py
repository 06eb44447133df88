"""Sizes and paths as integers: what compiled drivers use instead of frames and records."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from costeer.critical_path import critical_path, walk_back
from costeer.messages import (
    Frame,
    FrameKind,
    Open,
    Role,
    encode_open,
    filled,
    frame_bytes,
    open_bytes,
)
from costeer.token_record import STAGES
from costeer.varint import number_bytes

numbers = st.integers(0, 2**32 - 1)


@given(numbers, numbers, numbers, st.integers(0, 3000), st.integers(1, 2048))
def test_a_frame_has_the_size_that_was_told(
    session: int, position: int, round_: int, body: int, bucket: int
) -> None:
    frame = Frame(FrameKind.LOGITS, session, 0, position, round_, bytes(body))
    assert frame_bytes(session, position, round_, body, bucket) == len(filled(frame, bucket))


@given(
    st.integers(0, 10**9),
    st.lists(st.integers(-(10**6), 10**9), max_size=len(STAGES) - 1),
)
def test_a_walk_back_is_the_critical_path(latency_ns: int, stages: list[int]) -> None:
    path = stages + [0] * (len(STAGES) - len(stages))
    walk_back(latency_ns, path)
    assert tuple(path) == critical_path(latency_ns, tuple(stages))
    assert sum(path) == latency_ns


@given(st.integers(1, 4096), numbers, numbers, st.lists(numbers, min_size=1, max_size=50))
def test_the_body_of_an_open_has_the_size_that_was_told(
    limit: int, fingerprint: int, round_trip: int, prompt: list[int]
) -> None:
    body = Open(Role.LOGITS, limit, fingerprint, tuple(prompt), round_trip_bytes=round_trip)
    told = open_bytes(limit, fingerprint, round_trip, sum(map(number_bytes, prompt)))
    assert told == len(encode_open(body))
