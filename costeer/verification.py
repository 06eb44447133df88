"""The cloud's half of speculation: a drafting session's frames in, its logits out.

``costeer.speculation`` has the rules. The engine calls this for sessions with a ledger; when a step
is begun, and which sessions are in it, is the engine's affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from costeer import served_text
from costeer.draft_messages import Row, Rows, decode_draft, decode_rows, decode_version, encode_rows
from costeer.errors import RemoteProtocolError
from costeer.machine import EncodeItem
from costeer.messages import Frame, FrameKind
from costeer.speculation import MOST_DRAFTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from costeer.refinement import Ladder
    from costeer.serving import EngineCounters, Session
    from costeer.speculation import Ledger


def take_refine(ledger: Ledger, frame: Frame) -> bool:
    """Take a REFINE; return whether there is something to send.

    Raises:
        RemoteProtocolError: it breaks a rule.
    """
    version = decode_version(frame.body)
    if not served_text.wants(ledger.state, frame.position, frame.round, version):
        return False
    if not ledger.ladders[frame.position].has(frame.round):
        raise RemoteProtocolError(f"REFINE: round {frame.round} is beyond the ladder")
    served_text.ask(ledger.state, frame.position)
    return True


def take_draft(
    session: Session, ledger: Ledger, frame: Frame, vocab_size: int, counters: EngineCounters
) -> list[tuple[Ladder, int]] | None:
    """Take a DRAFT into the session's text.

    Returns:
        Ladder and newest round of the rows that were decided with it; None if it is older than the
        text.

    Raises:
        RemoteProtocolError: it breaks a rule.
    """
    if frame.kind is not FrameKind.DRAFT:
        raise RemoteProtocolError(f"{frame.kind.name} frame came up")
    state = ledger.state
    if frame.round <= state[served_text.VERSION]:
        return None
    tokens = decode_draft(frame.body)
    first, last = session.position - 1, state[served_text.NEXT_ROW] - 1
    if not max(first, 0) <= frame.position <= last:
        raise RemoteProtocolError(
            f"DRAFT: chooses the token of position {frame.position}, logits that are open were"
            f" sent for {max(first, 0)} to {last}"
        )
    if len(tokens) > MOST_DRAFTS + 1:
        raise RemoteProtocolError(f"DRAFT: more than {MOST_DRAFTS} drafts")
    if frame.position + len(tokens) >= session.max_new_tokens:
        raise RemoteProtocolError(f"DRAFT: more than {session.max_new_tokens} tokens")
    if max(tokens) >= vocab_size:
        raise RemoteProtocolError(f"DRAFT: id {max(tokens)} is not below {vocab_size}")
    held = len(session.tokens) - session.prompt_tokens
    run = max(session.cached, session.running_to) - session.prompt_tokens
    agreed = session.rewrite(frame.position, tokens)
    length = len(session.tokens) - session.prompt_tokens
    counters.drafts += served_text.news(length, agreed, frame.position)
    counters.refuted_drafts += held - agreed
    counters.wasted_tokens += max(0, run - agreed)
    session.position = frame.position + 1
    decided = [
        (ladder, state[served_text.slot_of(state, at) + served_text.ROUND])
        for at, ladder in ledger.ladders.items()
        if at <= frame.position
    ]
    ledger.used_rows += len(decided)
    served_text.rewrite(state, frame.round, frame.position, agreed)
    open_rows = len(ledger.ladders) - len(decided)
    ledger.ladders = {
        at: ladder for at, ladder in ledger.ladders.items() if served_text.is_sent(state, at)
    }
    ledger.vain_rows += open_rows - len(ledger.ladders)
    return decided


def items_of(session: Session, ledger: Ledger, ladder: Ladder) -> list[EncodeItem]:
    """Return what a drafting session has to be sent, and book it as under way.

    Args:
        session: its newest logits are there.
        ledger: the session's.
        ladder: ranks per round of the rows that are sent for the first time.
    """
    state = ledger.state
    served_text.begin_sending(state, session.newest_row)
    asked = [served_text.asked_at(state, each) for each in range(state[served_text.SENDING])]
    fresh = range(state[served_text.FRESH_FROM], state[served_text.FRESH_TO])
    ledger.ladders.update((at, ladder) for at in fresh)
    ledger.sending = [
        (at, state[served_text.slot_of(state, at) + served_text.ROUND]) for at in asked
    ] + [(at, 0) for at in fresh]
    return [
        EncodeItem(
            session.session,
            at,
            *ledger.ladders[at].ranks(round_),
            _draft(session, at, ledger.ladders[at], round_),
        )
        for at, round_ in ledger.sending
    ]


def _draft(session: Session, position: int, ladder: Ladder, round_: int) -> int | None:
    """Return the draft whose logit goes down with a row.

    It may prove a choice that its ranks alone do not. Where the ladder ends before all is sent,
    step-by-step decoding might accept another token unproved, so the proof must not come earlier.
    """
    at = session.prompt_tokens + position
    known = round_ == 0 and ladder.ends_dense and at < len(session.tokens)
    return session.tokens[at] if known else None


def frames_of(
    session: Session, ledger: Ledger, payloads: Iterator[bytes], logits: Iterator[float | None]
) -> list[Frame]:
    """Return the frames that answer ``items_of``, without rows whose text was rewritten meanwhile.

    Args:
        session: the session.
        ledger: its ledger.
        payloads: one per item.
        logits: its draft's, one per item.
    """
    state = ledger.state

    def frame(position: int, round_: int, *rows: Row) -> Frame:
        version = state[served_text.slot_of(state, position) + served_text.OF_VERSION]
        body = encode_rows(Rows(version, rows))
        return Frame(FrameKind.ROWS, session.session, session.epoch, position, round_, body)

    first, end = served_text.first_fresh(state), served_text.end_fresh(state)
    fresh: list[Row] = []
    frames: list[Frame] = []
    for position, round_ in ledger.sending:
        sent = Row(next(payloads), next(logits))
        if round_ and served_text.is_sent(state, position):
            frames.append(frame(position, round_, sent))
        elif not round_ and first <= position < end:
            fresh.append(sent)
    served_text.end_sending(state)
    ledger.sending = []
    if fresh:
        frames.append(frame(first, 0, *fresh))
    return frames


def payload_bytes(frame: Frame) -> int:
    """Return how many bytes of a frame with logits the codec made."""
    if frame.kind is FrameKind.ROWS:
        return sum(len(row.payload) for row in decode_rows(frame.body).rows)
    return len(frame.body)
