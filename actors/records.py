"""What a run writes down: one row per token and one per request.

Times are integer nanoseconds on the run's own clock (simulated, or the wall since the start).
Bytes come in three named kinds: payload (what the codec made), frame (``len()`` of what was
encoded, OPEN, MORE and CLOSE included), wire (with TCP/IP, TLS and HTTP/2 overhead and the other
direction's acknowledgements), plus packets.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from costeer.machine import TokenRecord


@dataclass(slots=True)
class ByteMeter:
    """Bytes that one session moved, by kind and direction.

    A refined or streamed token has several frames, so this adds up until it is taken.
    """

    payload_bytes_down: int = 0
    frame_bytes_down: int = 0
    wire_bytes_down: int = 0
    packets_down: int = 0
    frame_bytes_up: int = 0
    wire_bytes_up: int = 0
    packets_up: int = 0

    def add(self, other: ByteMeter) -> None:
        """Add another meter's counts to this one."""
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One generated token, at the device.

    Args:
        device: device id.
        request: index of the request on its device.
        chosen_at_ns: instant at the device.
        record: what the session machine says of it.
        moved: bytes since the previous token of the session.
    """

    device: int
    request: int
    chosen_at_ns: int
    record: TokenRecord
    moved: ByteMeter


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request, when it ended or when the run did.

    Args:
        device: device id.
        request: index of the request on its device.
        session: session id.
        prompt_id: id of the prompt's row.
        link_class: name of the device's link.
        device_class: name of the device's hardware.
        arrival_ns: intended arrival.
        finished_ns: last token at the device, or the run's end where it did not finish.
        tokens: generated ids.
        reason: ``eos``, ``length``, an error's text, or ``censored``.
        failed: ended by an error.
        moved: all bytes of the session.
    """

    device: int
    request: int
    session: int
    prompt_id: str
    link_class: str
    device_class: str
    arrival_ns: int
    finished_ns: int
    tokens: tuple[int, ...]
    reason: str
    failed: bool
    moved: ByteMeter


@dataclass(slots=True)
class ArmRun:
    """Everything that one arm produced, in canonical order once ``sort`` was called.

    Args:
        tokens: one row per token.
        requests: one row per request.
        end_ns: the arm's last instant.
        batches: rows of each cloud forward, in order (its composition).
        egress_busy_ns: how long the cloud's egress was sending.
        lateness_ns: live only: how late each frame was handed over, against its deadline.
        complete: False when the run was stopped before its end.
    """

    tokens: list[TokenRow] = field(default_factory=list)
    requests: list[RequestRow] = field(default_factory=list)
    end_ns: int = 0
    batches: list[int] = field(default_factory=list)
    egress_busy_ns: int = 0
    lateness_ns: list[int] = field(default_factory=list)
    complete: bool = True

    def sort(self) -> None:
        """Put the rows in canonical order: by device, request, position."""
        self.tokens.sort(key=lambda row: (row.device, row.request, row.record.position))
        self.requests.sort(key=lambda row: (row.device, row.request))
