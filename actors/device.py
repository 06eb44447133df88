"""One device in a run, whichever driver runs it: its link, its session, its books."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from actors.plan import ArmPlan, CodecTerms, DevicePlan, session_id, session_spec
from actors.progress import Progress
from actors.records import CENSORED, LEFT, NO_REPLICA, ByteMeter, RequestRow, TokenRow
from costeer.endpoint import Endpoint
from costeer.machines import device_machine
from costeer.methods import CloudRole
from costeer.token_record import TokenRecord
from netsim.egress import Egress
from netsim.link import Delivery, Link
from netsim.profiles import link_for
from netsim.wire import HTTP2_OVER_TLS, wire_numbers


class Carrier(Protocol):
    """What carries a device's frames: a modelled link, or a socket that is only metered."""

    def send_up(self, now_ns: int, frame_bytes: int) -> Delivery:
        """Send a frame up; return what becomes of it."""
        ...

    def send_down(self, now_ns: int, frame_bytes: int) -> Delivery:
        """Send a frame down; return what becomes of it."""
        ...


def link_of(plan: DevicePlan, seed: int) -> Link:
    """Return the modelled link of a device."""
    return link_for(plan.link, seed, plan.device)


class AccessLink:
    """A device's link, metered: bytes by kind and direction until they are taken."""

    __slots__ = ("_carrier", "device", "frames_down", "frames_up", "meter")

    def __init__(self, device: int, carrier: Carrier) -> None:
        """Meter what carries a device's frames."""
        self.device = device
        self._carrier = carrier
        self.meter = ByteMeter()
        self.frames_up = 0
        self.frames_down = 0

    def up(self, now_ns: int, frame_bytes: int) -> Delivery:
        """Send a frame up; return what becomes of it."""
        sent = self._carrier.send_up(now_ns, frame_bytes)
        self.frames_up += 1
        meter = self.meter
        meter.frame_bytes_up += frame_bytes
        meter.wire_bytes_up += sent.wire_bytes
        meter.packets_up += sent.packets
        meter.wire_bytes_down += sent.ack_bytes
        return sent

    def down(self, now_ns: int, frame_bytes: int, payload_bytes: int) -> Delivery:
        """Send a frame down; return what becomes of it."""
        sent = self._carrier.send_down(now_ns, frame_bytes)
        self.frames_down += 1
        meter = self.meter
        meter.payload_bytes_down += payload_bytes
        meter.frame_bytes_down += frame_bytes
        meter.wire_bytes_down += sent.wire_bytes
        meter.packets_down += sent.packets
        meter.wire_bytes_up += sent.ack_bytes
        return sent

    def take(self) -> ByteMeter:
        """Return what was moved since the last time."""
        taken, self.meter = self.meter, ByteMeter()
        return taken


class CloudEgress:
    """The cloud's way out, shared by all devices."""

    __slots__ = ("_egress",)

    def __init__(self, rate_bps: int) -> None:
        """Make an idle one."""
        self._egress = Egress(rate_bps)

    @property
    def busy_ns(self) -> int:
        """How long it was sending."""
        return self._egress.busy_ns

    def depart(self, now_ns: int, frame_bytes: int) -> int:
        """Hand a frame over; return when its last byte has left."""
        return self._egress.depart(now_ns, wire_numbers(frame_bytes, HTTP2_OVER_TLS.terms)[0])


class DeviceRun:
    """A device and the session that it is in."""

    __slots__ = (
        "_alone",
        "_arrival_ns",
        "_holds",
        "_index",
        "_refuted",
        "_tokens",
        "_total",
        "access",
        "epoch",
        "last_ns",
        "left",
        "machine",
        "plan",
        "replica",
    )

    def __init__(self, plan: DevicePlan, carrier: Carrier, epoch: int = 0) -> None:
        """Make a device whose user has not asked yet.

        Args:
            plan: what it is to do.
            carrier: what its frames cross.
            epoch: of its sessions.
        """
        self.plan = plan
        self.access = AccessLink(plan.device, carrier)
        self.epoch = epoch
        """Of the sessions that it opens."""
        self.last_ns = 0
        """When the session's last token was chosen; its arrival where it has none."""
        self.machine: Endpoint | None = None
        self.left = False
        """Whether it has gone, and asks nothing any more."""
        self.replica = plan.replica
        """That serves it."""
        self._holds = False
        self._index = -1
        self._arrival_ns = 0
        self._alone = False
        self._tokens: list[int] = []
        self._refuted: list[int] = []
        self._total = ByteMeter()

    def begin(self, arm: ArmPlan, terms: CodecTerms, intended_ns: int) -> None:
        """Open the session of the next request."""
        self.note_cloud(arm)
        self._turn_to_next(intended_ns)
        spec = session_spec(arm, self.plan, self._index, terms, self.epoch)
        self.machine = device_machine(spec)

    def restore(self, progress: Progress, epoch: int) -> None:
        """Take over a device that has come so far elsewhere.

        Args:
            progress: how far.
            epoch: of the sessions that it opens from now on.
        """
        self.epoch = epoch
        self._index = progress.request if progress.tokens else progress.request - 1
        self._tokens = list(progress.tokens)
        self._alone = progress.alone
        self._arrival_ns = progress.arrival_ns
        self.last_ns = progress.last_ns
        self._total = replace(progress.moved)

    def keeps(self, arm: ArmPlan) -> bool:
        """Whether the small model can go on with what it holds of the session under way.

        It holds the text from the first token on; drafts, another tokenizer's ids, and tokens that
        were not run because steering paused, make it another text.
        """
        method, own = arm.arm.method, self.plan.requests[self._index].own
        plain = arm.speculation is None and own is None and method.cloud is CloudRole.LOGITS
        return self._holds and plain and not self._alone

    def resume(self, arm: ArmPlan, terms: CodecTerms, *, kept: bool = False) -> str:
        """Open the session under way again, from its tokens so far.

        Args:
            arm: the arm.
            terms: its codec.
            kept: whether the small model still has its memory of it, see ``keeps``.

        Returns:
            Why it has ended, where these are all: its machine has nothing left to do.
        """
        self.note_cloud(arm)
        spec = session_spec(arm, self.plan, self._index, terms, self.epoch)
        if not spec.eos.isdisjoint(self._tokens):
            return "eos"
        if len(self._tokens) >= spec.max_new_tokens:
            return "length"
        self._holds = kept
        spec = replace(spec, chosen=tuple(self._tokens), alone=self._alone, kept=kept)
        self.machine = device_machine(spec)
        return ""

    def note_cloud(self, arm: ArmPlan) -> None:
        """Know whether anything serves it at all, be it before its first request."""
        if arm.arm.method.cloud is CloudRole.ABSENT:
            self.replica = NO_REPLICA

    @property
    def session(self) -> int:
        """Id of the session under way."""
        return session_id(self.plan.device, self._index)

    def _turn_to_next(self, arrival_ns: int) -> None:
        self._index += 1
        self._arrival_ns = self.last_ns = arrival_ns
        self._holds = False
        self._alone = False
        self._tokens = []
        self._refuted = []
        self._total = ByteMeter()
        # What still came for a session that had failed is nobody's.
        self.access.take()

    def record(self, record: TokenRecord, now_ns: int) -> TokenRow:
        """Book a token, with the bytes since the last one."""
        moved = self.access.take()
        self._total.add(moved)
        self._tokens.append(record.token)
        self._refuted += record.refuted
        self._alone = record.fallback
        self.last_ns = now_ns
        self._holds = True
        return TokenRow(self.plan.device, self._index, now_ns, record, moved, self.replica)

    def close(self, reason: str, now_ns: int, *, failed: bool = False) -> RequestRow:
        """Book the end of the session."""
        closing = self.access.take()
        self._total.add(closing)
        self.machine = None
        plan = self.plan
        return RequestRow(
            device=plan.device,
            request=self._index,
            session=session_id(plan.device, self._index),
            prompt_id=plan.requests[self._index].prompt_id,
            link_class=plan.link_class,
            device_class=plan.device_class,
            arrival_ns=self._arrival_ns,
            finished_ns=now_ns,
            tokens=tuple(self._tokens),
            reason=reason,
            failed=failed,
            moved=self._total,
            closing=closing,
            refuted=tuple(self._refuted),
            replica=self.replica,
        )

    def censor(self, now_ns: int) -> list[RequestRow]:
        """Book what had come by the end of a run that was stopped, and had not ended.

        In an open loop these may be several: the one under way and those that waited behind it.
        """
        return [] if self.left else self._cut_off(CENSORED, now_ns)

    def leave(self, now_ns: int) -> list[RequestRow]:
        """Go without a word; return the requests that had come and will not be answered."""
        rows = self._cut_off(LEFT, now_ns)
        self.left = True
        return rows

    def _cut_off(self, reason: str, now_ns: int) -> list[RequestRow]:
        rows = [self.close(reason, now_ns)] if self.machine is not None else []
        arrivals_ns = self.plan.arrivals_ns or ()
        while self.next_request < len(arrivals_ns) and arrivals_ns[self.next_request] <= now_ns:
            self._turn_to_next(arrivals_ns[self.next_request])
            rows.append(self.close(reason, now_ns))
        return rows

    def next_intended_ns(self, now_ns: int) -> int | None:
        """When the next request comes, now that nothing is under way; None after the last.

        In an open loop that may lie in the past: the request has been waiting at the device.
        """
        if self.next_request == len(self.plan.requests):
            return None
        if self.plan.arrivals_ns is not None:
            return self.plan.arrivals_ns[self.next_request]
        return now_ns + self.plan.think_ns[self.next_request]

    @property
    def next_request(self) -> int:
        """Index of the request that comes next."""
        return self._index + 1


def by_session(devices: Iterable[DeviceRun]) -> dict[int, DeviceRun]:
    """Return the device of every session that the plans contain."""
    return {
        session_id(device.plan.device, index): device
        for device in devices
        for index in range(len(device.plan.requests))
    }
