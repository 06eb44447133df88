"""Links and the cloud's egress: when a message that is sent now has arrived.

Rules.
- A direction is a FIFO server: a message waits for the ones before it, is serialised at the
  bottleneck's rate with all its headers (netsim/wire.py), then travels for the propagation
  delay. This is the model of a warm connection; it agrees with measured warm transfers to
  1.5 % (30 KB to 1 MB at 20 Mbit/s, 40 ms). A cold window is not modelled here.
- Jitter is an extra, exponentially distributed delay per message with the given mean. The sum
  of two such directions reproduces the published p10/p50/p90 of round-trip times on cellular
  links within a few per cent (netsim/profiles.py).
- Loss: each packet is lost with the given probability; a message that loses any arrives later
  by the loss delay (a retransmission time-out or fast retransmit), and one packet more is
  counted. The server is not held up by the retransmission.
- The stream is ordered: nothing arrives before what was sent before it (head-of-line blocking
  included), so jitter and loss of one message can delay the next.
- The n-th message of a direction sees the n-th draw of its streams, whatever its size and time:
  every method that is compared meets the same weather.

Integer nanoseconds in and out. The functions take plain numbers, so that compiled code can call
them; the classes hold state for Python. Time is an argument: the same link serves a live run.
"""

from dataclasses import dataclass
from typing import NamedTuple

from netsim.errors import NetsimError
from netsim.random import Stream, exponential_at, stream_key, uniform_at
from netsim.wire import HTTP2_OVER_TLS, WireFormat, wire_cost

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


def arrival(
    now_ns: int,
    serialise_ns: int,
    delay_ns: int,
    busy_until_ns: int,
    last_arrival_ns: int,
) -> tuple[int, int]:
    """One message through a FIFO server and an ordered pipe: (arrival_ns, busy_until_ns).

    `delay_ns` is everything after the last bit has left: propagation, jitter, loss.
    """
    departure_ns = max(now_ns, busy_until_ns) + serialise_ns
    return max(departure_ns + delay_ns, last_arrival_ns), departure_ns


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


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction of a link."""

    rate_bps: int = UNLIMITED
    """Bottleneck rate, bit/s; UNLIMITED for none."""
    propagation_ns: int = 0
    """One-way delay of an empty, idle link."""
    jitter_ns: int = 0
    """Mean of the exponential extra delay per message."""
    loss: float = 0.0
    """Probability that a packet is lost, in [0, 1)."""
    loss_delay_ns: int = 0
    """How much later a message arrives that lost a packet."""

    def __post_init__(self) -> None:
        for name in ("rate_bps", "propagation_ns", "jitter_ns", "loss_delay_ns"):
            value = getattr(self, name)
            if value < 0:
                raise NetsimError(f"link direction: {name} = {value}; it cannot be negative")
        if not 0.0 <= self.loss < 1.0:
            raise NetsimError(
                f"link direction: loss = {self.loss}; it is a probability in [0, 1), 0.01 for 1 %"
            )


@dataclass(slots=True)
class LinkState:
    """What one direction remembers, and what it has carried."""

    busy_until_ns: int = 0
    """When the last bit of all that was sent leaves the bottleneck."""
    last_arrival_ns: int = 0
    """When the message sent last arrives."""
    counter: int = 0
    """Messages sent: the number of the next draw."""
    busy_ns: int = 0
    """Time spent serialising."""
    wire_bytes: int = 0
    """Bytes carried, headers and retransmissions included, acknowledgements not."""
    packets: int = 0
    """Packets carried."""
    lost: int = 0
    """Messages that were delayed by a loss."""

    def utilisation(self, elapsed_ns: int) -> float:
        """Share of `elapsed_ns` in which the bottleneck was busy; 0 for no time."""
        return self.busy_ns / elapsed_ns if elapsed_ns > 0 else 0.0


class Delivery(NamedTuple):
    """What became of one message. A named tuple: one is made for every message."""

    arrival_ns: int
    """When its last byte is there."""
    wire_bytes: int
    """Bytes in its direction, headers and retransmission included."""
    packets: int
    """TCP segments in its direction."""
    ack_bytes: int
    """Acknowledgement bytes in the other direction."""


class Link:
    """One device's access link: a direction down to it and one up from it."""

    __slots__ = (
        "_down_keys",
        "_up_keys",
        "device",
        "down",
        "down_state",
        "seed",
        "up",
        "up_state",
        "wire",
    )

    def __init__(
        self,
        down: Direction,
        up: Direction,
        *,
        seed: int,
        device: int,
        wire: WireFormat = HTTP2_OVER_TLS,
    ) -> None:
        self.down, self.up = down, up
        self.down_state, self.up_state = LinkState(), LinkState()
        self.seed, self.device, self.wire = seed, device, wire
        self._down_keys = (
            stream_key(seed, Stream.DOWNLINK_JITTER, device),
            stream_key(seed, Stream.DOWNLINK_LOSS, device),
        )
        self._up_keys = (
            stream_key(seed, Stream.UPLINK_JITTER, device),
            stream_key(seed, Stream.UPLINK_LOSS, device),
        )

    def send_down(self, now_ns: int, frame_bytes: int) -> Delivery:
        """Send a frame of `frame_bytes` to the device at `now_ns`."""
        return _send(self.down, self.down_state, self._down_keys, self.wire, now_ns, frame_bytes)

    def send_up(self, now_ns: int, frame_bytes: int) -> Delivery:
        """Send a frame of `frame_bytes` from the device at `now_ns`."""
        return _send(self.up, self.up_state, self._up_keys, self.wire, now_ns, frame_bytes)


def _send(
    direction: Direction,
    state: LinkState,
    keys: tuple[int, int],
    wire: WireFormat,
    now_ns: int,
    frame_bytes: int,
) -> Delivery:
    wire_bytes, packets, ack_bytes = wire_cost(frame_bytes, wire)
    counter = state.counter
    took_ns = serialise_ns(wire_bytes, direction.rate_bps)
    delay_ns = direction.propagation_ns
    if direction.jitter_ns:
        delay_ns += int(exponential_at(keys[0], counter) * direction.jitter_ns)
    if direction.loss and uniform_at(keys[1], counter) < loss_probability(direction.loss, packets):
        delay_ns += direction.loss_delay_ns
        wire_bytes += min(wire_bytes, wire.segment_payload_bytes + wire.segment_header_bytes)
        packets += 1
        state.lost += 1
    arrival_ns, state.busy_until_ns = arrival(
        now_ns, took_ns, delay_ns, state.busy_until_ns, state.last_arrival_ns
    )
    state.last_arrival_ns = arrival_ns
    state.counter = counter + 1
    state.busy_ns += took_ns
    state.wire_bytes += wire_bytes
    state.packets += packets
    return Delivery(arrival_ns, wire_bytes, packets, ack_bytes)


class Egress:
    """The cloud's way out, shared by all its devices: one FIFO server in front of their links.

    Messages are stored and forwarded whole: a device's link begins when the last byte has left.
    Packets would overlap the two; the difference is one frame's time at the egress rate, 0.25 ms
    for a dense frame at 10 Gbit/s.
    """

    __slots__ = ("rate_bps", "state")

    def __init__(self, rate_bps: int = UNLIMITED) -> None:
        if rate_bps < 0:
            raise NetsimError(f"egress: rate_bps = {rate_bps}; it cannot be negative")
        self.rate_bps = rate_bps
        self.state = LinkState()

    def depart(self, now_ns: int, wire_bytes: int) -> int:
        """When the last of `wire_bytes`, handed over at `now_ns`, has left the cloud."""
        if wire_bytes < 0:
            raise NetsimError(f"egress: {wire_bytes} bytes; a size cannot be negative")
        state = self.state
        took_ns = serialise_ns(wire_bytes, self.rate_bps)
        departure_ns, state.busy_until_ns = arrival(
            now_ns, took_ns, 0, state.busy_until_ns, state.last_arrival_ns
        )
        state.last_arrival_ns = departure_ns
        state.counter += 1
        state.busy_ns += took_ns
        state.wire_bytes += wire_bytes
        return departure_ns

    @property
    def busy_ns(self) -> int:
        """Time spent serialising."""
        return self.state.busy_ns

    def utilisation(self, elapsed_ns: int) -> float:
        """Share of `elapsed_ns` in which the egress was busy."""
        return self.state.utilisation(elapsed_ns)
