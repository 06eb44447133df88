"""Links and the cloud's egress: when a message that is sent now has arrived.

Rules.
- A direction is a FIFO server: a message waits for the ones before it, is serialised at the
  bottleneck's rate with all its headers (netsim/wire.py), then travels for the propagation
  delay. A congestion window may split it into flights, one per round trip (netsim/tcp.py); how
  the two ends talk is the link's `Transport`.
- The rate may follow a trace (netsim/trace.py): then every flight takes the time that the trace
  gives it. Window thresholds and pacing are those of the trace's mean rate.
- Jitter is an extra, exponentially distributed delay per message with the given mean. The sum
  of two such directions reproduces the published p10/p50/p90 of round-trip times on cellular
  links within a few per cent (netsim/presets.py).
- Loss: each packet is lost with the given probability, a higher one within a burst (Gilbert and
  Elliott's two states, changing in continuous time). The message arrives later by its recovery and
  what is sent again is counted. The server is not held up by the wait for it.
- A stream is ordered: nothing arrives before what was sent before it (head-of-line blocking
  included), so jitter and loss of one message can delay the next. Datagrams are not.
- The n-th message of a direction sees the n-th draw of its streams, whatever its size and time;
  bursts come at the same times. So every method that is compared meets the same weather.

Integer nanoseconds in and out. The arithmetic is in plain functions of numbers
(netsim/carriage.py), so that compiled code can call them; the classes hold state for Python. Time
is an argument: the same link serves a live run.
"""

from dataclasses import dataclass
from typing import NamedTuple

from netsim.carriage import UNLIMITED, carry, line_work, serialise_ns, sojourn_ns
from netsim.errors import NetsimError
from netsim.line import passed_ns
from netsim.random import Stream, exponential_at, stream_key, uniform_at
from netsim.tcp import MILLI, State, Terms
from netsim.trace import RateTrace
from netsim.transport import IDEAL, Transport, time_out_ns


@dataclass(frozen=True, slots=True)
class Bursts:
    """Times in which more is lost than else: a two-state channel (Gilbert 1960, Elliott 1963)."""

    gap_ns: int
    """Mean time between two bursts."""
    burst_ns: int
    """Mean length of a burst."""
    loss: float
    """Probability that a packet is lost within a burst, in [0, 1)."""

    def __post_init__(self) -> None:
        for name in ("gap_ns", "burst_ns"):
            if getattr(self, name) <= 0:
                raise NetsimError(f"bursts: {name} = {getattr(self, name)}; it must be positive")
        _check_loss("bursts", self.loss)


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction of a link."""

    rate_bps: int = UNLIMITED
    """Bottleneck rate, bit/s; UNLIMITED for none. With a trace its mean."""
    propagation_ns: int = 0
    """One-way delay of an empty, idle link."""
    jitter_ns: int = 0
    """Mean of the exponential extra delay per message."""
    loss: float = 0.0
    """Probability that a packet is lost, in [0, 1)."""
    loss_delay_ns: int = 0
    """Retransmission time-out: how much later a message arrives that had one packet and lost it;
    0 for what the round trip gives (`transport.time_out_ns`)."""
    buffer_bytes: int = 0
    """What can wait at the bottleneck, bytes on the wire; more is lost. 0 for no limit."""
    bursts: Bursts | None = None
    """Times in which more is lost."""
    trace: RateTrace | None = None
    """The rate over time; None for a constant one."""

    def __post_init__(self) -> None:
        for name in ("rate_bps", "propagation_ns", "jitter_ns", "loss_delay_ns", "buffer_bytes"):
            value = getattr(self, name)
            if value < 0:
                raise NetsimError(f"link direction: {name} = {value}; it cannot be negative")
        _check_loss("link direction", self.loss)


def _check_loss(where: str, loss: float) -> None:
    if not 0.0 <= loss < 1.0:
        raise NetsimError(f"{where}: loss = {loss}; it is a probability in [0, 1), 0.01 for 1 %")


@dataclass(slots=True)
class LinkState:
    """What one direction remembers, and what it has carried."""

    flow: State = (0, 0, 0, 0, 0, 0, 0, 0)
    """The server and the window, see `netsim.tcp.STATE`."""
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
    room_bytes: int = 0
    """What still fits into the packet sent last."""
    stays: int = 0
    """Gaps and bursts that have ended; within a burst it is odd."""
    stay_until_ns: int = 0
    """When the present gap or burst ends."""

    @property
    def busy_until_ns(self) -> int:
        """When the last bit of all that was sent leaves the bottleneck."""
        return self.flow[0]

    @property
    def last_arrival_ns(self) -> int:
        """When the message sent last arrives."""
        return self.flow[1]

    @property
    def window(self) -> float:
        """The congestion window, packets; 0 where there is none."""
        return self.flow[2] / MILLI

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
    departure_ns: int
    """When the bottleneck has carried it."""


class Link:
    """One device's access link: a direction down to it and one up from it."""

    __slots__ = ("_down", "_ready_ns", "_setup_ns", "_up", "device", "seed", "transport")

    def __init__(
        self,
        down: Direction,
        up: Direction,
        *,
        seed: int,
        device: int,
        transport: Transport = IDEAL,
    ) -> None:
        self.seed, self.device, self.transport = seed, device, transport
        rtt_ns = down.propagation_ns + up.propagation_ns
        jitter_ns = down.jitter_ns + up.jitter_ns
        self._down = _Way(
            down,
            transport,
            (rtt_ns, jitter_ns),
            stream_key(seed, Stream.DOWNLINK_JITTER, device),
            stream_key(seed, Stream.DOWNLINK_LOSS, device),
            stream_key(seed, Stream.DOWNLINK_BURST, device),
            f"device {device}, downlink",
        )
        self._up = _Way(
            up,
            transport,
            (rtt_ns, jitter_ns),
            stream_key(seed, Stream.UPLINK_JITTER, device),
            stream_key(seed, Stream.UPLINK_LOSS, device),
            stream_key(seed, Stream.UPLINK_BURST, device),
            f"device {device}, uplink",
        )
        self._setup_ns = transport.setup_round_trips * (rtt_ns + jitter_ns)
        self._ready_ns: int | None = None

    @property
    def down(self) -> Direction:
        """What the direction to the device is like."""
        return self._down.direction

    @property
    def up(self) -> Direction:
        """What the direction from the device is like."""
        return self._up.direction

    @property
    def setup_ns(self) -> int:
        """How long the first message takes to set the connection up."""
        return self._setup_ns

    @property
    def tcp_terms(self) -> tuple[Terms, Terms]:
        """`netsim.tcp.TERMS` of the two directions: down, up."""
        return self._down.terms, self._up.terms

    @property
    def down_state(self) -> LinkState:
        """What the direction to the device has carried."""
        return self._down.state

    @property
    def up_state(self) -> LinkState:
        """What the direction from the device has carried."""
        return self._up.state

    def send_down(self, now_ns: int, frame_bytes: int) -> Delivery:
        """Send a frame of `frame_bytes` to the device at `now_ns`."""
        return self._down.send(self._ready(now_ns) if self._setup_ns else now_ns, frame_bytes)

    def send_up(self, now_ns: int, frame_bytes: int) -> Delivery:
        """Send a frame of `frame_bytes` from the device at `now_ns`."""
        return self._up.send(self._ready(now_ns) if self._setup_ns else now_ns, frame_bytes)

    def exchange_ns(
        self, now_ns: int, request_bytes: int, response_bytes: int, service_ns: int = 0
    ) -> int:
        """How long a request sent at `now_ns` waits for the last byte of its response.

        The link remembers: the next exchange finds the windows that this one has left.
        `service_ns` is what the other side takes between the two.
        """
        asked = self.send_up(now_ns, request_bytes)
        answered = self.send_down(asked.arrival_ns + service_ns, response_bytes)
        return answered.arrival_ns - now_ns

    def _ready(self, now_ns: int) -> int:
        """When the connection is there for what is sent now; the first message sets it up."""
        if self._ready_ns is None:
            self._ready_ns = now_ns + self._setup_ns
        return max(now_ns, self._ready_ns)


class _Way:
    """One direction of a link with its state and its draws."""

    __slots__ = (
        "_burst_key",
        "_jitter_key",
        "_line",
        "_loss_key",
        "_name",
        "_wire",
        "direction",
        "state",
        "terms",
    )

    def __init__(
        self,
        direction: Direction,
        transport: Transport,
        round_trip: tuple[int, int],
        jitter_key: int,
        loss_key: int,
        burst_key: int,
        name: str,
    ) -> None:
        rtt_ns, jitter_ns = round_trip
        wire = transport.wire
        self._wire = wire.terms
        packet_bytes = wire.segment_payload_bytes + wire.segment_header_bytes
        self.direction = direction
        self._name = name
        self._line = None if direction.trace is None else direction.trace.line
        packet_ns = serialise_ns(packet_bytes, direction.rate_bps)
        self.terms = transport.terms(
            rtt_ns + jitter_ns,
            direction.loss_delay_ns or time_out_ns(rtt_ns, jitter_ns),
            line_work(direction.buffer_bytes, direction.rate_bps, self._line),
            packet_ns,
        )
        self.state = LinkState(transport.fresh(rtt_ns + jitter_ns, packet_ns))
        self._jitter_key, self._loss_key, self._burst_key = jitter_key, loss_key, burst_key
        if direction.bursts is not None:
            self.state.stay_until_ns = self._stay_ns(direction.bursts)

    def send(self, now_ns: int, frame_bytes: int) -> Delivery:
        """Send a frame of `frame_bytes` at `now_ns`."""
        direction, state, line = self.direction, self.state, self._line
        counter = state.counter
        delay_ns = direction.propagation_ns
        if direction.jitter_ns:
            delay_ns += int(exponential_at(self._jitter_key, counter) * direction.jitter_ns)
        loss = direction.loss if direction.bursts is None else self._loss_at(now_ns)
        arrival_ns, wire_bytes, packets, ack_bytes, sent_again, took_ns, room_bytes, flow = carry(
            now_ns,
            frame_bytes,
            delay_ns,
            uniform_at(self._loss_key, counter) if loss else 0.0,
            loss,
            direction.rate_bps,
            self._wire,
            self.terms,
            state.flow,
            state.room_bytes,
            line,
        )
        if line is not None:
            took_ns = self._took_ns(now_ns, took_ns)
        if sent_again:
            state.lost += 1
        state.flow = flow
        state.room_bytes = room_bytes
        state.counter = counter + 1
        state.busy_ns += took_ns
        state.wire_bytes += wire_bytes
        state.packets += packets
        return Delivery(arrival_ns, wire_bytes, packets, ack_bytes, state.flow[0])

    def _took_ns(self, now_ns: int, work: int) -> int:
        """How long a traced line takes for `work` if it has all of it at once.

        Raises NetsimError if it carries nothing for longer than a message waits.
        """
        trace, line = self.direction.trace, self._line
        start_ns = max(now_ns, self.state.flow[0])
        end_ns = passed_ns(start_ns, work, line)
        if trace is not None and (began_ns := trace.outage_ns(start_ns, end_ns)) is not None:
            raise NetsimError(
                f"{self._name}: at {began_ns / 1e9:.3f} s of the run {trace.name} carries nothing "
                f"for over {trace.max_wait_ns / 1e9:g} s, and a message waits for it; allow it to "
                "wait longer, or take another trace"
            )
        return end_ns - start_ns

    def _loss_at(self, now_ns: int) -> float:
        """Probability that a packet sent now is lost, where losses come in bursts."""
        direction, state = self.direction, self.state
        bursts = direction.bursts
        if bursts is None:
            return direction.loss
        while state.stay_until_ns <= now_ns:
            state.stays += 1
            state.stay_until_ns += self._stay_ns(bursts)
        return bursts.loss if state.stays & 1 else direction.loss

    def _stay_ns(self, bursts: Bursts) -> int:
        stays = self.state.stays
        draw = exponential_at(self._burst_key, stays)
        return sojourn_ns(stays, draw, bursts.gap_ns, bursts.burst_ns)
