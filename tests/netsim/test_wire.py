import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.errors import NetsimError
from netsim.wire import RAW_TCP, WireFormat, wire_cost

sizes = st.integers(0, 4_000_000)


def test_a_packed_frame_is_about_250_bytes_on_the_wire() -> None:
    assert wire_cost(165) == (165 + 9 + 22 + 52, 1, 52)
    assert wire_cost(165).bytes == pytest.approx(250, rel=0.01)


def test_raw_tcp_is_the_formula_that_fits_measurements() -> None:
    for size in (1_000, 30_000, 300_000, 1_000_000):
        assert wire_cost(size, RAW_TCP).bytes == size + 52 * -(-size // 1448)


def test_a_dense_frame_counts_every_layer() -> None:
    size = 303_872
    data_frames = -(-size // 16384)
    stream = size + 9 * data_frames
    stream += 22 * -(-stream // 16384)
    packets = -(-stream // 1448)
    assert wire_cost(size) == (stream + 52 * packets, packets, 52 * -(-packets // 2))


@given(size=sizes, more=sizes)
def test_costs_grow_with_size(size: int, more: int) -> None:
    small, large = wire_cost(size), wire_cost(size + more)
    assert all(a <= b for a, b in zip(small, large, strict=True))
    assert small.bytes >= size


@given(size=sizes)
def test_packets_hold_the_bytes(size: int) -> None:
    cost = wire_cost(size)
    assert cost.bytes <= cost.packets * 1500
    assert (cost.packets == 0) == (size == 0)
    assert all(type(part) is int for part in cost)


def test_bad_sizes_and_formats() -> None:
    with pytest.raises(NetsimError, match="-1 bytes"):
        wire_cost(-1)
    with pytest.raises(NetsimError, match="segment_payload_bytes = 0"):
        WireFormat(segment_payload_bytes=0)
    with pytest.raises(NetsimError, match="ack_bytes = -1"):
        WireFormat(ack_bytes=-1)
