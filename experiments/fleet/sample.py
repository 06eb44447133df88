"""The sessions of a cell that are written down in full, as rows that every table knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actors.fleet import columns as col
from actors.fleet.cell import CellPlan
from actors.fleet.layout import ENDED
from actors.fleet.outcomes import Outcomes
from actors.fleet.result import Sample
from actors.fleet.rows import by_request, bytes_of, reason_of, replica_of, token_row
from actors.fleet.unfinished import CUT_OFF
from actors.plan import ArmPlan
from actors.records import CENSORED, UNANSWERED, RequestRow, TokenRow


@dataclass(frozen=True, slots=True)
class SampledRows:
    """Rows of some sessions."""

    tokens: tuple[TokenRow, ...] = ()
    requests: tuple[RequestRow, ...] = ()


def sampled_rows(
    sample: Sample, cell: CellPlan, plan: ArmPlan, outcomes: Outcomes, end_ns: int
) -> SampledRows:
    """Return a cell's sample as rows; devices have their numbers in the whole fleet.

    Args:
        sample: rows of integers.
        cell: whose they are.
        plan: the arm.
        outcomes: what the sessions say.
        end_ns: when the cell ended.
    """
    said = by_request(sample.tokens)
    tokens: list[TokenRow] = []
    requests: list[RequestRow] = []
    for figures in sample.requests.tolist():
        index = figures[col.ROW_DEVICE]
        mine = [
            token_row(each, cell, outcomes, plan.arm.method)
            for each in said.get((index, figures[col.ROW_REQUEST]), ())
        ]
        tokens += mine
        requests.append(_request(figures, mine, cell, plan, end_ns))
    return SampledRows(tuple(tokens), tuple(requests))


def _request(
    figures: Sequence[int], tokens: Sequence[TokenRow], cell: CellPlan, plan: ArmPlan, end_ns: int
) -> RequestRow:
    index, number = figures[col.ROW_DEVICE], figures[col.ROW_REQUEST]
    of = cell.classes[cell.class_D[index]]
    said = tuple(row.record.token for row in tokens)
    finished_ns = figures[col.ENDED_AT]
    reason = reason_of(figures, said, plan)
    failed = figures[col.FAILED] != ENDED and reason not in UNANSWERED
    if finished_ns == CUT_OFF or 0 < cell.until_ns < finished_ns:
        finished_ns = end_ns if finished_ns == CUT_OFF else cell.until_ns
        reason, failed = CENSORED, False
    return RequestRow(
        device=int(cell.device_D[index]),
        request=number,
        session=cell.session(index, number),
        prompt_id="",
        link_class=of.link.name,
        device_class=of.device_class,
        arrival_ns=figures[col.ASKED_AT],
        finished_ns=finished_ns,
        tokens=said,
        reason=reason,
        failed=failed,
        moved=bytes_of(list(figures), col.MOVED_IN_ALL),
        closing=bytes_of(list(figures), col.CLOSING),
        replica=replica_of(cell, plan.arm.method, figures[col.REQUEST_REPLICA]),
    )
