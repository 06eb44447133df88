"""What the cloud asks of an OPEN before it lets the session in, and the session it then makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from costeer.errors import RemoteProtocolError
from costeer.gate import Gate
from costeer.messages import STREAMS, Frame, Open, Role
from costeer.serving import Session
from costeer.speculation import Ledger

if TYPE_CHECKING:
    from costeer.machine import FrameArrived
    from costeer.memory import Memory
    from costeer.serving import EngineSpec


_WITHOUT_LOGITS = STREAMS | {Role.CHOICES}
_WITH_DRAFTS = frozenset((Role.DRAFTS, Role.CHOICES))


def check_open(body: Open, spec: EngineSpec, memory: Memory) -> None:
    """Check that a session can be served to its end.

    Raises:
        RemoteProtocolError: it cannot.
    """
    limits = spec.limits
    context = min(limits.max_context, limits.kv_tokens)
    longest = max(len(body.prompt), len(body.guide))
    both = len(body.prompt) + _guide_tokens(body) + body.max_new_tokens
    if longest + body.max_new_tokens > context or both > limits.kv_tokens:
        raise RemoteProtocolError(
            f"prompt of {longest} + {body.max_new_tokens} new tokens exceeds the"
            f" context of {context}; shorten either"
        )
    if len(body.chosen) >= body.max_new_tokens:
        raise RemoteProtocolError("OPEN: all tokens of this session are already chosen")
    if max(body.prompt + body.guide + body.chosen) >= spec.vocab_size:
        raise RemoteProtocolError(f"OPEN: an id is not below {spec.vocab_size}")
    if body.role not in _WITHOUT_LOGITS and body.codec_fingerprint != spec.codec_fingerprint:
        raise RemoteProtocolError(
            f"codec {body.codec_fingerprint:#010x} asked, {spec.codec_fingerprint:#010x}"
            " spoken here; give both sides the same codec configuration"
        )
    if body.role is Role.GATED and spec.gate is None:
        raise RemoteProtocolError("OPEN: steering that pauses is not served here")
    kept = _WITH_DRAFTS | {Role.GUIDED}
    if limits.preempts and (body.role in kept or spec.drafts):
        raise RemoteProtocolError(
            f"{body.role.name} asks for memory that is kept, and this cloud preempts"
        )
    if not memory.has_room(_needs(body, memory)):
        raise RemoteProtocolError(no_room(limits.max_waiting))


def _needs(body: Open, memory: Memory) -> int:
    """KV tokens that a session holds: of a guided one, for both of its sequences."""
    prompt = len(body.prompt)
    # A gate has to see the doubt of every token, so those chosen before are run one by one.
    chosen = 0 if body.role is Role.GATED else len(body.chosen)
    return _guide_tokens(body) + memory.needs(prompt + chosen, prompt, body.max_new_tokens)


def _guide_tokens(body: Open) -> int:
    """KV tokens of a guided session's second sequence."""
    return len(body.guide) + body.max_new_tokens if body.guide else 0


def no_room(max_waiting: int) -> str:
    """Return what a device is told that comes when so many sessions wait for memory."""
    return f"{max_waiting} sessions wait already; try later"


def new_session(
    frame: Frame, body: Open, spec: EngineSpec, memory: Memory, event: FrameArrived, now_ns: int
) -> Session:
    """Return the session that a checked OPEN asks for, waiting for memory."""
    gate = Gate(spec.gate) if body.role is Role.GATED and spec.gate is not None else None
    chosen = body.chosen if gate is None else ()
    return Session(
        session=frame.session,
        epoch=frame.epoch,
        role=body.role,
        max_new_tokens=body.max_new_tokens,
        needs_tokens=_needs(body, memory),
        prompt_tokens=len(body.prompt),
        tokens=[*body.prompt, *chosen],
        position=len(chosen),
        uplink_ns=event.transit_ns,
        ready_ns=now_ns - event.held_ns,
        seen_ns=now_ns,
        idle_at_ns=now_ns + spec.limits.idle_timeout_ns,
        ladder=spec.ladder,
        round_trip_bytes=body.round_trip_bytes,
        ledger=Ledger.begun(len(body.chosen), body.max_new_tokens)
        if body.role in _WITH_DRAFTS
        else None,
        gate=gate,
        guessing=body.role is Role.STREAM and spec.drafts > 0,
        again=body.chosen if gate is not None else (),
        guide=body.guide,
    )
