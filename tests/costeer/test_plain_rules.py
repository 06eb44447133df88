"""Sizes and paths as integers: what compiled drivers use instead of frames and records."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from costeer.critical_path import critical_path, walk_back
from costeer.machine import STAGES
from costeer.messages import Frame, FrameKind, filled, frame_bytes

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
