"""Events in, commands out: the vocabulary between the machines and whoever drives them.

Rules
-----
* A machine has one entry, ``handle(event, now_ns) -> list[Command]``. It reads no clock, draws no
  random number and does no I/O; ``now_ns`` is any monotone integer clock in nanoseconds.
* An operation (``Op``) is work for a model host. The machine asks for it with ``Compute(op)`` and
  is told by ``ComputeDone(op, value)``. Whether its duration was measured or charged, and whether
  it was executed alone or in a batch with others, is the driver's business.
* A session has at most one operation of each kind outstanding, so (session, kind) names one. Its
  result goes to the machine that asked, and to no later machine of the same session id.
* A driver that breaks these rules (a result nobody asked for, a second ``Start``, a timer that was
  not set) gets ``LocalProtocolError``; frames, whatever they are, never raise.
* The instants of the two parties are never compared. What an interval cost travels beside the
  frame as durations (``transit_ns``, ``CloudTrace``); it is the laboratory's side channel, is not
  on the wire and is not counted.

Legend: B batch rows, V vocabulary, K sent ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from costeer.proposal import CloudDraft

if TYPE_CHECKING:
    from costeer.token_record import TokenRecord

NEVER_NS = 2**62
"""An instant that no run reaches."""


# --------------------------------------------------------------------------- operations


@dataclass(frozen=True, slots=True)
class Span:
    """The positions whose logits a forward of a drafting session is wanted for.

    Other forwards have none: the logits after a row's last token replace the session's earlier.

    Args:
        first: the first of them.
        count: how many, up to the position behind the row's last token; 0 within a prompt.
        oldest: what the host keeps of earlier positions than this is no longer wanted.
    """

    first: int
    count: int
    oldest: int


@dataclass(frozen=True, slots=True)
class EdgeForward:
    """Extend the small model's branches; value None (the logits stay with the host).

    Args:
        session: session id.
        tokens: one run of new token ids per branch of the method, in the method's order.
        starts: tokens already in the cache, per branch; what the cache holds from there on is
            forgotten.
        span: the position behind the last token, of a drafting session.
        prompts: how many tokens of each run are a prompt in the small model's own ids, where these
            are not the cloud's; all that follows is chosen tokens, in the cloud's.
    """

    session: int
    tokens: tuple[tuple[int, ...], ...]
    starts: tuple[int, ...]
    span: Span | None = None
    prompts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class EdgeDelta:
    """Work out Δ behind the newest forward, before it is wanted; value None.

    Args:
        session: session id.
        position: whose Δ.
        sorted: sort out its greatest entries as well.
    """

    session: int
    position: int
    sorted: bool = False


@dataclass(frozen=True, slots=True)
class EdgeDecode:
    """Decode a payload and merge it with this position's earlier rounds.

    Value None. A payload's error may be the value here or that of the ``EdgeSteer`` that follows.

    Args:
        session: session id.
        position: whose logits these are.
        round: 0 for the first ranks.
        payload: the codec's.
        oldest: earlier positions than this are no longer wanted; None: no other position is.
        draft: the drafted token and its logit, sent out of rank.
    """

    session: int
    position: int
    round: int
    payload: bytes
    oldest: int | None = None
    draft: tuple[int, float] | None = None


@dataclass(frozen=True, slots=True)
class EdgeSteer:
    """Steer the decoded logits with Δ, certify and choose; value ``Choice`` or ``CodecError``.

    Args:
        session: session id.
        position: whose logits.
        round: the newest that was decoded.
        take: a draft, and θ: it is chosen unsteered if the large model gives it more than θ times
            the probability that the small one gives it without the context. Lossy.
        prepared: whether an ``EdgeDelta`` of the position has worked out Δ.
        sparse: whether it has sorted Δ as well, so that no pass over the vocabulary is left.
    """

    session: int
    position: int
    round: int
    take: tuple[int, float] | None = None
    prepared: bool = False
    sparse: bool = False


@dataclass(frozen=True, slots=True)
class EdgeChoose:
    """Choose from the small model's own logits, those of one branch; value ``Choice``."""

    session: int
    position: int
    branch: int = 0


@dataclass(frozen=True, slots=True)
class CloudRow:
    """One row of a cloud forward.

    Args:
        session: session id.
        tokens: the new tokens (a prompt chunk, one token, or one and drafts behind it).
        start: tokens already in this session's cache; what it holds from there on is forgotten.
        span: the positions whose logits are wanted, of a drafting session.
        guide: the new tokens of a guided session's second sequence.
        guide_start: tokens of that already in the cache.
    """

    session: int
    tokens: tuple[int, ...]
    start: int
    span: Span | None = None
    guide: tuple[int, ...] = ()
    guide_start: int = 0


@dataclass(frozen=True, slots=True)
class CloudForward:
    """One batched forward of the large model; value None (the logits stay with the host)."""

    rows: tuple[CloudRow, ...]


@dataclass(frozen=True, slots=True)
class EncodeItem:
    """Ranks [first_rank, last_rank) of a position's logits, to be sent.

    Args:
        session: session id.
        position: whose logits; without a span they are the session's newest.
        first_rank: the first rank.
        last_rank: the one behind the last.
        draft: a token whose logit is sent as well, wherever it ranks.
        unless: a doubt, 1 − the probability of the likeliest token: a row whose doubt is below it
            is not encoded, its token is chosen. None: encoded, and no doubt is asked for.
    """

    session: int
    position: int
    first_rank: int
    last_rank: int
    draft: int | None = None
    unless: float | None = None


@dataclass(frozen=True, slots=True)
class Doubt:
    """What the cloud thinks of a row by itself.

    Args:
        doubt: 1 − the probability of its likeliest token.
        token: its choice, in the place of a payload; None where the row was encoded.
    """

    doubt: float
    token: int | None = None


@dataclass(frozen=True, slots=True)
class CloudSelect:
    """After a forward: encode logits for steered sessions, choose tokens for streamed ones.

    Value ``Selected``.

    Args:
        encode: what is to be encoded.
        choose: (session, position) pairs whose next token the cloud chooses.
    """

    encode: tuple[EncodeItem, ...]
    choose: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Selected:
    """Value of ``CloudSelect``: payloads and tokens in the order asked.

    Args:
        payloads: one per item to encode.
        tokens: one per token to choose.
        draft_logits: one per item, None where no draft was named or the payload holds it; empty
            where no item named one.
        doubts: one per item, None where none was asked for; empty where no item asked.
    """

    payloads: tuple[bytes, ...]
    tokens: tuple[int, ...]
    draft_logits: tuple[float | None, ...] = ()
    doubts: tuple[Doubt | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Release:
    """A session's slots are free. Takes no time; done in order with operations.

    Args:
        session: id.
        over: whether the session is; else it lost its cache alone, and is run from its beginning.
    """

    session: int
    over: bool = True


EdgeOp = EdgeForward | EdgeDelta | EdgeDecode | EdgeSteer | EdgeChoose
CloudOp = CloudDraft | CloudForward | CloudSelect
Op = EdgeOp | CloudOp


# --------------------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class CloudTrace:
    """How long the cloud's part of an exchange took, told beside the frame that answers it.

    Args:
        uplink_ns: transit of the frame that asked.
        queue_ns: from its arrival until the answer was ready, less the two below.
        compute_ns: forwards that contained this session's row.
        select_ns: select and encode (or choose).
    """

    uplink_ns: int
    queue_ns: int
    compute_ns: int
    select_ns: int


@dataclass(frozen=True, slots=True)
class Start:
    """The device's user asked.

    Args:
        intended_ns: when; earlier than now if the request had to wait at the device. None: now.
    """

    intended_ns: int | None = None


@dataclass(frozen=True, slots=True)
class FrameArrived:
    """Bytes from the peer.

    Args:
        frame: one whole frame.
        transit_ns: how long it was under way.
        trace: the cloud's durations, on the way down; None on the way up.
        held_ns: how long it lay there before it was taken.
    """

    frame: bytes
    transit_ns: int
    trace: CloudTrace | None = None
    held_ns: int = 0


@dataclass(frozen=True, slots=True)
class ComputeDone:
    """An operation finished.

    Args:
        op: the operation.
        value: its result; None where the host keeps it.
        duration_ns: how long it ran, its wait for a batch not included.
    """

    op: Op
    value: object
    duration_ns: int


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer that the machine had set is due."""

    timer: Timer
    session: int


Event = Start | FrameArrived | ComputeDone | TimerFired


# --------------------------------------------------------------------------- commands


class Timer(Enum):
    """The timers of the cloud engine, and the one of a session at its device."""

    STEP = "step"
    """Plan the next forward: after all arrivals of the same instant."""
    IDLE = "idle"
    """A session may have been silent for too long."""
    ANSWER = "answer"
    """A device may have waited for its cloud for too long."""


@dataclass(frozen=True, slots=True)
class Send:
    """Put a frame on the session's link.

    Args:
        session: session id (names the link).
        frame: the whole frame.
        payload_bytes: its codec payload; 0 for control frames.
        trace: the cloud's durations, on the way down.
    """

    session: int
    frame: bytes
    payload_bytes: int = 0
    trace: CloudTrace | None = None


@dataclass(frozen=True, slots=True)
class Compute:
    """Have an operation carried out."""

    op: Op


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Fire ``TimerFired(timer, session)`` at an instant (now is allowed)."""

    at_ns: int
    timer: Timer
    session: int = -1


@dataclass(frozen=True, slots=True)
class Emit:
    """A token was chosen or arrived: its record."""

    record: TokenRecord


@dataclass(frozen=True, slots=True)
class Finish:
    """The session is over.

    Args:
        session: session id.
        reason: ``eos``, ``length``, or an error's text.
        failed: whether the session ended by an error.
    """

    session: int
    reason: str
    failed: bool = False


Command = Send | Compute | SetTimer | Emit | Release | Finish
