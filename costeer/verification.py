"""The cloud's half of speculation: a drafting session's frames in, its logits out.

``costeer.speculation`` has the rules. The engine calls this for sessions with a ledger; when a step
is begun, and which sessions are in it, is the engine's affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from costeer.draft_messages import Row, Rows, decode_draft, decode_rows, decode_version, encode_rows
from costeer.errors import RemoteProtocolError
from costeer.machine import EncodeItem
from costeer.messages import Frame, FrameKind
from costeer.speculation import SentRow

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
    return ledger.refine(frame.position, frame.round, decode_version(frame.body))


def take_draft(
    session: Session, ledger: Ledger, frame: Frame, vocab_size: int, counters: EngineCounters
) -> list[SentRow] | None:
    """Take a DRAFT into the session's text.

    Returns:
        The rows that were decided with it; None if it is older than the text.

    Raises:
        RemoteProtocolError: it breaks a rule.
    """
    if frame.kind is not FrameKind.DRAFT:
        raise RemoteProtocolError(f"{frame.kind.name} frame came up")
    if frame.round <= ledger.version:
        return None
    tokens = decode_draft(frame.body)
    first, last = session.position - 1, ledger.next_row - 1
    if not max(first, 0) <= frame.position <= last:
        raise RemoteProtocolError(
            f"DRAFT: chooses the token of position {frame.position}, logits that are open were"
            f" sent for {max(first, 0)} to {last}"
        )
    if frame.position + len(tokens) >= session.max_new_tokens:
        raise RemoteProtocolError(f"DRAFT: more than {session.max_new_tokens} tokens")
    if max(tokens) >= vocab_size:
        raise RemoteProtocolError(f"DRAFT: id {max(tokens)} is not below {vocab_size}")
    held, run = len(session.tokens), max(session.cached, session.running_to)
    agreed = session.rewrite(frame.position, tokens)
    kept = session.prompt_tokens + agreed
    counters.drafts += len(session.tokens) - max(kept, session.prompt_tokens + frame.position + 1)
    counters.refuted_drafts += held - kept
    counters.wasted_tokens += max(0, run - kept)
    session.position = frame.position + 1
    return ledger.rewrite(frame.round, frame.position, agreed)


def items_of(session: Session, ledger: Ledger, ladder: Ladder) -> list[EncodeItem]:
    """Return what a drafting session has to be sent, and book it as under way.

    Args:
        session: its newest logits are there.
        ledger: the session's.
        ladder: ranks per round of the rows that are sent for the first time.
    """
    ledger.sending = [(at, each, ledger.rows[at]) for at, each in ledger.asked]
    ledger.asked = []
    for position in range(ledger.next_row, session.newest_row + 1):
        row = ledger.rows[position] = SentRow(ledger.served, ladder)
        ledger.sending.append((position, 0, row))
    ledger.next_row = max(ledger.next_row, session.newest_row + 1)
    return [
        EncodeItem(
            session.session, at, *row.ladder.ranks(each), _draft(session, at, row.ladder, each)
        )
        for at, each, row in ledger.sending
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

    def frame(position: int, round_: int, version: int, *rows: Row) -> Frame:
        body = encode_rows(Rows(version, rows))
        return Frame(FrameKind.ROWS, session.session, session.epoch, position, round_, body)

    fresh: list[tuple[int, SentRow, Row]] = []
    frames: list[Frame] = []
    for position, round_, row in ledger.sending:
        sent = Row(next(payloads), next(logits))
        if ledger.rows.get(position) is not row:
            continue
        if round_ == 0:
            fresh.append((position, row, sent))
        else:
            frames.append(frame(position, round_, row.version, sent))
    ledger.sending = []
    if fresh:
        position, row, _ = fresh[0]
        frames.append(frame(position, 0, row.version, *(sent for _, _, sent in fresh)))
    return frames


def payload_bytes(frame: Frame) -> int:
    """Return how many bytes of a frame with logits the codec made."""
    if frame.kind is FrameKind.ROWS:
        return sum(len(row.payload) for row in decode_rows(frame.body).rows)
    return len(frame.body)
