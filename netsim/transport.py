"""How the two ends of a link talk: the transport's choices, for people and for the arithmetic.

`tcp` is one long connection per device (HTTP/2 over TLS), `datagram` a QUIC-like one in which no
frame waits for another, `ideal` a warm connection without a window. What a congestion window does
is in netsim/tcp.py.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from netsim.errors import NetsimError
from netsim.tcp import MILLI, State, Terms
from netsim.wire import HTTP2_OVER_TLS, QUIC, WireFormat

MIN_RTO_NS = 200_000_000
"""Linux's smallest retransmission time-out beyond the round trip."""

_MS = 1_000_000
_HYSTART_MIN_NS, _HYSTART_MAX_NS = 4 * _MS, 16 * _MS
_HYSTART_LOW_WINDOW = 16
"""Packets; HyStart ends no slow start below (Linux)."""
_CUBIC_KEPT = 700
"""β of CUBIC in thousandths (RFC 9438, 4.6)."""
_GROWTH = 529
"""3(1 − β)/(1 + β) in thousandths (RFC 9438, 4.3)."""


class Congestion(StrEnum):
    """What rules the window."""

    NONE = "none"
    """There is no window."""
    CUBIC = "cubic"
    """Slow start, halving while idle, 0.7 of the window after a loss."""
    PACED = "paced"
    """Sends at the rate that the path has delivered, as BBR does; pauses change nothing."""


def time_out_ns(rtt_ns: int, jitter_ns: int) -> int:
    """Retransmission time-out (RFC 6298, Linux's minimum): the round trip and four deviations.

    `jitter_ns` is the sum of both directions' means; an exponential's mean deviation is 2/e of it.
    """
    return rtt_ns + jitter_ns + max(MIN_RTO_NS, jitter_ns * 2943 // 1000)


@dataclass(frozen=True, slots=True)
class Transport:
    """A transport's choices."""

    congestion: Congestion = Congestion.CUBIC
    """What rules the window."""
    initial_window: int = 10
    """Packets that a new connection may have under way (RFC 6928)."""
    slow_start_after_idle: bool = True
    """Whether the window halves per time-out of a pause (Linux's switch of the same name)."""
    ordered: bool = True
    """Whether a frame waits for those sent before it."""
    setup_round_trips: int = 0
    """Round trips before the first byte of the first frame: 1 of TCP, 1 of TLS 1.3."""
    wire: WireFormat = HTTP2_OVER_TLS
    """The headers."""

    def __post_init__(self) -> None:
        if self.initial_window < 1:
            raise NetsimError(
                f"transport: initial_window = {self.initial_window}; nothing could be sent, "
                "give at least 1 packet"
            )
        if self.setup_round_trips < 0:
            raise NetsimError(
                f"transport: setup_round_trips = {self.setup_round_trips}; it cannot be negative"
            )

    def terms(self, ack_ns: int, rto_ns: int, buffer: int, packet_ns: int) -> Terms:
        """`netsim.tcp.TERMS` of one direction.

        Args:
            ack_ns: mean round trip of the empty link.
            rto_ns: retransmission time-out.
            buffer: what the bottleneck can hold, as work; 0 for no limit.
            packet_ns: time of a full packet on the line, at its mean rate.
        """
        cubic = self.congestion is Congestion.CUBIC
        windowed = self.congestion is not Congestion.NONE
        base = (
            ack_ns,
            rto_ns,
            self.initial_window if windowed else 0,
            _CUBIC_KEPT,
            _GROWTH if windowed else 0,
            int(cubic and self.slow_start_after_idle),
            int(self.congestion is Congestion.PACED),
            int(self.ordered),
            buffer,
        )
        return with_figures(base, ack_ns, rto_ns, buffer, packet_ns)

    def fresh(self, ack_ns: int, packet_ns: int) -> State:
        """`netsim.tcp.STATE` of one direction of a new connection.

        Args:
            ack_ns: mean round trip of the empty link.
            packet_ns: time of a full packet on the line, at its mean rate.
        """
        if self.congestion is Congestion.NONE:
            return (0, 0, 0, 0, 0, 0, 0, 0)
        paced = self.congestion is Congestion.PACED
        threshold = first_threshold(ack_ns, packet_ns, paced)
        return (0, 0, self.initial_window * MILLI, threshold, 0, 0, 0, 0)


def with_figures(terms: Terms, ack_ns: int, rto_ns: int, buffer: int, packet_ns: int) -> Terms:
    """The same choices on another path. Numbers only, for compiled code.

    Args:
        terms: `TERMS` of some path.
        ack_ns: mean round trip of this one, empty.
        rto_ns: its retransmission time-out.
        buffer: what its bottleneck can hold, as work; 0 for no limit.
        packet_ns: time of a full packet on it, at its mean rate.
    """
    paced = ack_ns * MILLI // max(packet_ns, 1) if terms[6] else 0
    return (ack_ns, rto_ns, terms[2], terms[3], terms[4], terms[5], paced, terms[7], buffer)


def first_threshold(ack_ns: int, packet_ns: int, paced: bool) -> int:
    """Where the first slow start ends, thousandths of a packet. Numbers only, for compiled code.

    Args:
        ack_ns: mean round trip of the empty link.
        packet_ns: time of a full packet on it, at its mean rate.
        paced: whether what has been delivered rules it, not HyStart.
    """
    fills_ns = ack_ns + min(max(ack_ns // 8, _HYSTART_MIN_NS), _HYSTART_MAX_NS)
    if paced:
        fills_ns = 2 * ack_ns
    return max(fills_ns * MILLI // max(packet_ns, 1), _HYSTART_LOW_WINDOW * MILLI)


IDEAL = Transport(Congestion.NONE)
"""A warm connection whose window never matters."""
TCP = Transport()
"""One long HTTP/2 connection over TLS with CUBIC, as Linux sets it up."""


class TransportConfig(BaseModel):
    """A transport in a scenario: its kind alone, or with changes.

    `tcp`, `datagram` and `{kind: tcp, congestion: paced}` are valid.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    kind: Literal["tcp", "datagram", "ideal"] = "tcp"
    """`tcp`, `datagram` (QUIC-like: no frame waits for another), or `ideal` (no window)."""
    congestion: Congestion | None = None
    """`cubic`, `paced` or `none`; `cubic` by default, and `none` for `ideal`."""
    initial_window: int = Field(default=10, ge=1, le=1000)
    """Packets that a new connection may have under way."""
    slow_start_after_idle: bool = True
    """Whether the window halves per retransmission time-out of a pause."""
    setup_round_trips: int = Field(default=0, ge=0, le=10)
    """Round trips before a device's first frame; 2 for TCP and TLS 1.3."""

    @model_validator(mode="before")
    @classmethod
    def _kind_alone(cls, data: Any) -> Any:  # noqa: ANN401 - pydantic hands over what was written
        return {"kind": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _consistent(self) -> "TransportConfig":
        if self.kind == "ideal" and self.congestion not in (None, Congestion.NONE):
            raise ValueError("an ideal transport has no congestion control: leave it out")
        return self

    def __str__(self) -> str:
        changes = self.model_dump(mode="json", exclude={"kind"}, exclude_defaults=True)
        return ", ".join([self.kind, *(f"{key}={value}" for key, value in changes.items())])

    def resolve(self) -> Transport:
        """The transport that this describes."""
        default = Congestion.NONE if self.kind == "ideal" else Congestion.CUBIC
        datagram = self.kind == "datagram"
        return Transport(
            congestion=default if self.congestion is None else self.congestion,
            initial_window=self.initial_window,
            slow_start_after_idle=self.slow_start_after_idle,
            ordered=not datagram,
            setup_round_trips=self.setup_round_trips,
            wire=QUIC if datagram else HTTP2_OVER_TLS,
        )
