"""From a sample's rows of integers to the rows of every other way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from actors import records
from actors.fleet import columns as col
from actors.fleet.array_types import Array
from actors.fleet.cell import CellPlan
from actors.fleet.layout import LEFT, REFUSED, SILENCED, STALLED
from actors.fleet.outcomes import Outcome, Outcomes
from actors.plan import ArmPlan
from actors.records import NO_REPLICA, ByteMeter, TokenRow
from costeer.errors import LocalProtocolError
from costeer.methods import CloudRole, Method
from costeer.opening import no_room
from costeer.patience import gave_up
from costeer.token_record import TokenRecord


def replica_of(cell: CellPlan, method: Method, index: int) -> int:
    """Return the number of a cell's so manieth replica."""
    return NO_REPLICA if method.cloud is CloudRole.ABSENT else cell.replicas[index]


def token_row(figures: list[int], cell: CellPlan, outcomes: Outcomes, method: Method) -> TokenRow:
    """Return a token as other ways write it down.

    Args:
        figures: its row, see ``columns``.
        cell: whose it is; devices have their numbers in the whole fleet.
        outcomes: what the cell's sessions say.
        method: the arm's.
    """
    index, of_token = figures[col.ROW_DEVICE], figures[col.ROW_OUTCOME]
    alone, row = divmod(of_token, len(outcomes.token_R))
    outcome = said_alone(outcomes, row, alone) if alone else outcomes[row]
    moved = ByteMeter(*figures[col.MOVED : col.MOVED_END])
    session = cell.session(index, figures[col.ROW_REQUEST])
    own = bool(figures[col.UNSTEERED])
    record = TokenRecord(
        session=session,
        position=figures[col.ROW_POSITION],
        token=outcome.token,
        latency_ns=figures[col.LATENCY],
        stages_ns=tuple(figures[col.STAGES : col.STAGES_END]),
        busy_edge_ns=figures[col.BUSY],
        rounds=len(outcome.payload_bytes) - 1 if method.steered and not (own or alone) else 0,
        certified=outcome.certified and not own,
        margin=0.0 if method.streamed or method.verified or own else outcome.margin,
        drafted=bool(figures[col.DRAFTED]),
        refuted=tuple(
            outcomes.drafted(figures[col.ROW_OUTCOME], session, figures[col.ROW_POSITION], ahead)
            for ahead in range(figures[col.REFUTED])
        ),
        unsent=figures[col.UNSENT],
        payload_bytes=outcome.payload_bytes if method.steered and not (own or alone) else (),
        fallback=alone > 0,
        repeats=figures[col.ROW_REPEATS],
    )
    return TokenRow(
        int(cell.device_D[index]),
        figures[col.ROW_REQUEST],
        figures[col.CHOSEN_AT],
        record,
        moved,
        replica_of(cell, method, figures[col.ROW_REPLICA]),
    )


def said_alone(outcomes: Outcomes, row: int, alone: int) -> Outcome:
    """Return what a device said that its cloud did not answer: the token, or its neighbour."""
    known, drafts = outcomes[row], outcomes.drafts
    if drafts is None:
        raise LocalProtocolError("fleet: a device went on alone, and nobody says what it said")
    token = (known.token + alone - 1) % drafts.vocab_size
    return replace(known, token=token, certified=False)


def reason_of(figures: Sequence[int], said: Sequence[int], plan: ArmPlan) -> str:
    """Return why a request ended that has its tokens, or has none."""
    how = figures[col.FAILED]
    if how == REFUSED:
        return f"cloud: {no_room(plan.limits.max_waiting)}"
    if how == SILENCED:
        return f"cloud: {plan.limits.silence}"
    if how == STALLED and plan.retry is not None:
        return gave_up(figures[col.WHY], plan.retry.tries)
    if how == LEFT:
        return records.LEFT
    return "eos" if said and said[-1] in plan.eos else "length"


def bytes_of(figures: list[int], first: int) -> ByteMeter:
    """Return the bytes that a request's row holds from a column on."""
    return ByteMeter(*figures[first : first + col.MOVED_FIGURES])


def by_request(tokens: Array) -> dict[tuple[int, int], list[list[int]]]:
    """Return the rows of tokens by device and request, each in the order of positions."""
    found: dict[tuple[int, int], list[list[int]]] = {}
    for figures in tokens.tolist():
        key = figures[col.ROW_DEVICE], figures[col.ROW_REQUEST]
        found.setdefault(key, []).append(figures)
    return found
