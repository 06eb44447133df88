"""Flow-level TCP: what a congestion window does to the time of one message.

State is the window, not "warm" or "cold": a transfer is a few flights of packets, one flight per
round trip, until the window holds the message or fills the path. No packet is simulated; the work
per message grows with the logarithm of its size.

Rules (the terms are RFC 5681's; a window counts packets, as Linux does, in thousandths).
- Slow start: a new connection may have `initial_window` packets under way (RFC 6928). When the
  acknowledgement of a flight's first packet is back, the window has grown by what was sent, and
  never beyond twice of it: small frames do not widen it (RFC 7661, Linux).
- Slow start ends at the threshold. At first that is where HyStart ends it (Ha and Rhee 2011): when
  the window fills the path and delays it by an eighth of its round trip, within 4 to 16 ms.
  Beyond, until something is lost, a window that was used up grows by a twentieth a round trip
  (Linux: the path's rate is not known yet); then by 0.53 packets, CUBIC's Reno-friendly region (RFC
  9438, 4.3), which rules below a few hundred packets. CUBIC's own curve is not modelled.
- Idle: after a pause of more than the retransmission time-out the window halves once per time-out
  that has elapsed, down to the initial window (RFC 2861, Linux); `restarts` 0 switches it off. The
  time-out is longer by the queue that the last packet met: it was part of its round trip.
- Loss of a packet that three others of its message follow is seen one round trip after it was sent
  (fast retransmit, RFC 5681). At the tail a probe after two round trips finds it (RFC 8985); a lone
  packet waits for the time-out. A retransmission that is lost as well costs time-outs, doubling.
  Threshold and window become `kept` thousandths of the window; one packet after a time-out.
- A full buffer drops what exceeds it; the message then recovers like from any loss.
- `paced` is what BBR's model amounts to here: a window of twice of what the path has delivered,
  sent over a round trip until it fills the path. Pauses leave it alone; the first loss ends its
  start-up: the window is then what the flight had, and grows slowly.

Every function takes and returns numbers and flat tuples of integers, so that `netsim.compiled`
makes machine code of it as it stands. Times are integer nanoseconds. *Work* is what is asked of the
bottleneck: time at its rate, or bits where the rate follows a trace (netsim/line.py).
"""

from typing import TypeAlias

from netsim.line import Line, passed_ns, work_between

Terms: TypeAlias = tuple[int, int, int, int, int, int, int, int, int]
"""What one direction of a connection is made of, see `TERMS`."""
State: TypeAlias = tuple[int, int, int, int, int, int, int, int]
"""What one direction remembers, see `STATE`."""

TERMS = (
    "ack_ns",  # from a packet's departure to its acknowledgement: both propagations
    "rto_ns",  # retransmission time-out
    "initial_window",  # packets; 0 for no window at all
    "kept",  # thousandths of the window that a loss leaves
    "growth",  # thousandths of a packet per round trip beyond the threshold
    "restarts",  # 1 if the window halves while idle
    "paced",  # below this window, thousandths of a packet, a flight is spread over its round trip
    "ordered",  # 1 if nothing arrives before what was sent before it
    "buffer",  # what the bottleneck can hold, as work; 0 for no limit
)
STATE = (
    "busy_until_ns",  # when the last bit of all that was sent leaves the bottleneck
    "last_arrival_ns",  # when the message sent last arrives
    "window",  # thousandths of a packet
    "threshold",  # where slow start ends, thousandths of a packet
    "round_end_ns",  # when the acknowledgement of this flight's first packet is back
    "round_packets",  # packets sent in this flight
    "sent_ns",  # when the packet sent last left the sender
    "has_lost",  # 1 once a packet was lost
)

MILLI = 1000
DUPLICATES = 3
"""Later packets that must arrive before a loss is believed (RFC 5681)."""

_MOST_REPEATS = 6
_SEARCH = 20
"""Acknowledged packets per packet that the window grows by, before anything was lost (Linux)."""


def transfer(  # noqa: C901, PLR0915 - the parts of a flight share its numbers
    now_ns: int,
    packets: int,
    work: int,
    delay_ns: int,
    lost_at: int,
    repeats: int,
    terms: Terms,
    state: State,
    line: Line = None,
) -> tuple[int, int, State]:
    """One message through one direction: (arrival_ns, packets sent again, the state after it).

    Args:
        now_ns: when it is handed over; not before the message handed over last.
        packets: how many it is cut into; 0 for an empty message.
        work: to put all of it on the line at the bottleneck, headers included.
        delay_ns: everything after the last bit has left: propagation and jitter.
        lost_at: index of the first packet that is lost; -1 for none (`first_lost`).
        repeats: how many times its retransmission is lost as well.
        terms: `TERMS`.
        state: `STATE`.
        line: what the bottleneck carries by when; None for a constant rate.

    Exact in 64-bit integers while packets · work < 9·10¹⁸.
    """
    ack_ns, rto_ns, initial, kept, growth, restarts, paced, ordered, buffer = terms
    busy_ns, last_ns, window, threshold, round_end_ns, round_packets, sent_ns, has_lost = state
    packet_work = work if packets == 1 else work // max(packets, 1)
    left, left_work = packets, work
    before = dropped = 0
    lost_ns = now_ns
    sending_ns = max(now_ns, sent_ns)
    searching = growth > 0 and not (has_lost or paced)
    smoothed_ns = rto_ns + max(busy_ns - sent_ns, 0)
    if restarts and now_ns - sent_ns > smoothed_ns and window > initial * MILLI:
        more = round_packets * MILLI // _SEARCH if searching else growth
        window = widened(window, threshold, round_packets, more)
        window, threshold = rested(window, threshold, (now_ns - sent_ns) // smoothed_ns, initial)
        round_packets = 0
    while True:
        if sending_ns >= round_end_ns:
            if 2 * round_packets * MILLI > window:
                more = round_packets * MILLI // _SEARCH if searching else growth
                window = widened(window, threshold, round_packets, more)
            round_packets = 0
            round_end_ns = passed_ns(max(sending_ns, busy_ns), packet_work, line) + ack_ns
        before = round_packets
        flight = min(left, max(window // MILLI - round_packets, 0)) if initial else left
        if flight > 0 or left == 0:
            flight_work = left_work if flight == left else left_work * flight // left
            start_ns = max(sending_ns, busy_ns)
            done = packets - left
            room = buffer - work_between(sending_ns, start_ns, line) if buffer else flight_work
            if flight_work > room:
                lost_at, dropped = overflown(lost_at, done, flight, room, packet_work)
            if done <= lost_at < done + flight:
                lost_ns = passed_ns(start_ns, (lost_at - done + 1) * packet_work, line)
            busy_ns = passed_ns(start_ns, flight_work, line)
            round_packets += flight
            left -= flight
            left_work -= flight_work
            if left == 0:
                break
        sending_ns = round_end_ns
    if window < paced:
        last_sent_ns = sending_ns + (flight - 1) * MILLI * ack_ns // window
        busy_ns = max(busy_ns, passed_ns(last_sent_ns, packet_work, line))
    # What waited for a window was sent as acknowledgements came; the rest at once.
    at_once = flight == packets
    sent_ns = sending_ns if at_once else passed_ns(sending_ns, flight * packet_work, line)
    arrived_ns = busy_ns
    sent_again = 0
    if lost_at >= 0:
        has_lost = 1
        sent_again = 1 + dropped + repeats
        busy_ns = passed_ns(busy_ns, (1 + dropped) * packet_work, line)
        seen_ns, timed_out = noticed(lost_at, packets, before, lost_ns, arrived_ns, terms)
        # A time-out after a time-out takes twice as long.
        seen_ns += (((1 << repeats) - 1) << timed_out) * rto_ns
        arrived_ns = max(busy_ns, passed_ns(seen_ns, packet_work, line))
        if paced:
            window = threshold = min(window, max(round_packets, initial) * MILLI)
        elif initial:
            window, threshold = narrowed(window, kept, timed_out or repeats > 0)
    arrived_ns = max(arrived_ns + delay_ns, last_ns * ordered)
    return (
        arrived_ns,
        sent_again,
        (busy_ns, arrived_ns, window, threshold, round_end_ns, round_packets, sent_ns, has_lost),
    )


def overflown(lost_at: int, done: int, flight: int, room: int, packet_work: int) -> tuple[int, int]:
    """First lost packet of a message, and how many more, when a flight meets a full buffer.

    Args:
        lost_at: what is lost without that; -1 for nothing.
        done: packets of the message before this flight.
        flight: packets of the flight.
        room: what fits into the buffer, as work.
        packet_work: of one packet.
    """
    fits = max(room, 0) // max(packet_work, 1)
    if fits >= flight or 0 <= lost_at < done + fits:
        return lost_at, 0
    return done + fits, flight - fits - 1


def widened(window: int, threshold: int, round_packets: int, growth: int) -> int:
    """The window after the acknowledgements of a flight, thousandths of a packet.

    Args:
        window: before them.
        threshold: where slow start ends.
        round_packets: how many packets the flight had.
        growth: thousandths of a packet that a full flight adds beyond the threshold.
    """
    flight = round_packets * MILLI
    if window < threshold:
        return max(window, min(window + flight, 2 * flight, threshold))
    return window + growth if flight + MILLI > window else window


def rested(window: int, threshold: int, time_outs: int, initial: int) -> tuple[int, int]:
    """Window and threshold after a pause, thousandths of a packet.

    Args:
        window: before it.
        threshold: before it.
        time_outs: how many retransmission time-outs it lasted.
        initial: window of a new connection, packets.
    """
    return max(window >> min(time_outs, 62), initial * MILLI), max(threshold, window * 3 // 4)


def narrowed(window: int, kept: int, timed_out: bool) -> tuple[int, int]:
    """Window and threshold after a loss, thousandths of a packet.

    Args:
        window: before it.
        kept: thousandths of the window that are left.
        timed_out: whether nothing but a time-out told the loss.
    """
    # Whole packets, as Linux counts them: what had grown of the next one is forgotten.
    threshold = max(window // MILLI * kept // MILLI, 2) * MILLI
    return (MILLI if timed_out else threshold), threshold


def noticed(
    lost_at: int, packets: int, before: int, lost_ns: int, sent_ns: int, terms: Terms
) -> tuple[int, bool]:
    """When the sender knows that a packet is lost, and whether a time-out told it.

    Args:
        lost_at: index of the packet.
        packets: how many the message has.
        before: packets of messages before that were sent within the same round trip; where they
            are enough to tell a loss, as many are taken to follow.
        lost_ns: when the packet left the bottleneck, or would have.
        sent_ns: when the message's last bit left.
        terms: `TERMS`.
    """
    ack_ns, rto_ns = terms[0], terms[1]
    later = packets - 1 - lost_at
    if later >= DUPLICATES:
        return lost_ns + ack_ns, False
    if before >= DUPLICATES:
        return lost_ns + ack_ns + DUPLICATES * ack_ns // before, False
    if packets > 1:
        # The probe sends the last packet again; if another is missing, its answer tells which.
        return sent_ns + (2 if later == 0 else 3) * ack_ns, False
    return lost_ns + rto_ns, True


def loss_probability(packet_loss: float, packets: int) -> float:
    """Probability that at least one of `packets` is lost.

    The power is taken by squaring: multiplication rounds alike everywhere, `pow` does not.
    """
    kept = 1.0
    factor = 1.0 - packet_loss
    while packets > 0:
        if packets & 1:
            kept *= factor
        factor *= factor
        packets >>= 1
    return 1.0 - kept


def first_lost(uniform: float, packet_loss: float, packets: int) -> tuple[int, int]:
    """Index of the first lost packet or -1, and how often its retransmission is lost as well.

    One draw decides all: the smaller `uniform` in [0, 1), the earlier the loss.
    """
    if uniform >= loss_probability(packet_loss, packets):
        return -1, 0
    low, high = 0, packets - 1
    while low < high:
        middle = (low + high) // 2
        if uniform < loss_probability(packet_loss, middle + 1):
            high = middle
        else:
            low = middle + 1
    before = loss_probability(packet_loss, low)
    rest = (uniform - before) / (loss_probability(packet_loss, low + 1) - before)
    repeats = 0
    while rest < packet_loss and repeats < _MOST_REPEATS:
        rest /= packet_loss
        repeats += 1
    return low, repeats
