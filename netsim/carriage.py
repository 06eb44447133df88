"""How one frame crosses one direction of a link: plain functions of numbers, for compiled code.

The rules are those of netsim/link.py, whose classes hold the state.
"""

from netsim.line import Line
from netsim.tcp import State, Terms, first_lost, transfer
from netsim.wire import WireTerms, merged, wire_numbers

UNLIMITED = 0
"""A rate of 0 bit/s stands for no limit: the message takes no time to serialise."""

_NS_BITS_PER_BYTE_S = 8_000_000_000


def serialise_ns(wire_bytes: int, rate_bps: int) -> int:
    """Time to put `wire_bytes` on a line of `rate_bps`, rounded up; 0 if unlimited.

    Exact in 64-bit integers up to 1.1 GB.
    """
    if rate_bps == UNLIMITED:
        return 0
    return (wire_bytes * _NS_BITS_PER_BYTE_S + rate_bps - 1) // rate_bps


def sojourn_ns(counter: int, draw: float, gap_ns: int, burst_ns: int) -> int:
    """How long the `counter`-th stay lasts: even ones are gaps between bursts, odd ones bursts.

    `draw` is exponential with mean 1, `gap_ns` and `burst_ns` are the means.
    """
    return int(draw * (burst_ns if counter & 1 else gap_ns)) + 1


def carry(
    now_ns: int,
    frame_bytes: int,
    delay_ns: int,
    uniform: float,
    loss: float,
    rate_bps: int,
    wire: WireTerms,
    terms: Terms,
    flow: State,
    room_bytes: int,
    line: Line = None,
) -> tuple[int, int, int, int, int, int, int, State]:
    """One frame through one direction, of at least 0 B. Numbers only, for compiled code.

    Args:
        now_ns: when it is handed over.
        frame_bytes: its size.
        delay_ns: propagation and this frame's jitter.
        uniform: this frame's draw in [0, 1); of no account where nothing is lost.
        loss: probability that a packet is lost.
        rate_bps: of the bottleneck.
        wire: `WireFormat.terms`.
        terms: `netsim.tcp.TERMS`.
        flow: `netsim.tcp.STATE`.
        room_bytes: what still fits into the packet sent last.
        line: what the bottleneck carries by when; None for a constant rate.

    Returns:
        (arrival_ns, wire_bytes, packets, ack_bytes, packets sent again, work, room_bytes and state
        after it).
    """
    payload, header = wire[0], wire[1]
    wire_bytes, packets, ack_bytes = wire_numbers(frame_bytes, wire)
    waits = now_ns < flow[6]
    wire_bytes, packets, room_bytes = merged(
        wire_bytes, packets, room_bytes, waits, header, payload
    )
    if packets == 0:
        ack_bytes = 0
    work = line_work(wire_bytes, rate_bps, line)
    lost_at, repeats = -1, 0
    if loss > 0.0:
        lost_at, repeats = first_lost(uniform, loss, packets)
    arrival_ns, sent_again, flow = transfer(
        now_ns, packets, work, delay_ns, lost_at, repeats, terms, flow, line
    )
    if sent_again:
        wire_bytes += sent_again * min(wire_bytes, header + payload)
        packets += sent_again
    return arrival_ns, wire_bytes, packets, ack_bytes, sent_again, work, room_bytes, flow


def line_work(wire_bytes: int, rate_bps: int, line: Line) -> int:
    """What bytes ask of a line: bits of a trace, or time at a rate."""
    if line is not None:
        return wire_bytes * 8
    return serialise_ns(wire_bytes, rate_bps)
