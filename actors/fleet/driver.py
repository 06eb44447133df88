"""The compiled way's driver: arrays in, the rows of every other way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from actors.costs import Costs
from actors.fleet import columns as col
from actors.fleet import engine
from actors.fleet.layout import (
    ADMITTED,
    BATCHES,
    BUSY,
    CHOSEN_AT,
    COUNTS,
    EGRESS_BUSY,
    EVENTS,
    FAULT,
    FINISHED,
    FORWARD_NS,
    FREE_TOKENS,
    LATENCY,
    LEAST_FREE,
    MOVED,
    MOVED_FIGURES,
    NO_FAULT,
    NOW,
    SELECT_NS,
    SILENT,
    STAGES,
    STAGES_END,
    WAITED,
    WAITING,
    Books,
    Fleet,
)
from actors.fleet.outcomes import Outcomes
from actors.fleet.tables import books_of, fleet_of
from actors.plan import ArmPlan, CodecTerms
from actors.port import never
from actors.records import CENSORED, ArmRun, ByteMeter, Recorder, RequestRow, TokenRow
from actors.sight import CloudLook, Sight
from costeer.cloud import EngineCounters
from costeer.errors import ConfigError, LocalProtocolError
from costeer.machine import TokenRecord
from costeer.methods import CloudRole
from netsim.compiled import compiled

_PIECE_EVENTS = 100_000
"""Events between two looks at whether to stop."""


class FleetDriver:
    """Runs one arm in simulated time, without hosts."""

    def __init__(
        self,
        plan: ArmPlan,
        terms: CodecTerms,
        costs: Costs,
        outcomes: Outcomes,
        recorder: Recorder,
        *,
        compiler: Callable[[Any], Any] = compiled,
    ) -> None:
        """Lay out the fleet.

        Args:
            plan: the arm.
            terms: its codec.
            costs: what operations are charged.
            outcomes: what its sessions say.
            recorder: takes the rows.
            compiler: makes machine code of a rule, or leaves it as it is.

        Raises:
            ConfigError: something that this way cannot express.
        """
        self._plan = plan
        self._outcomes = outcomes
        self._recorder = recorder
        self._fleet: Fleet = fleet_of(plan, terms, costs, outcomes)
        self._books: Books = books_of(plan, self._fleet, _PIECE_EVENTS)
        self._begin_all = compiler(engine.begin_all)
        self._advance = compiler(engine.advance)
        self._batches: list[int] = []
        self._told = 0
        self._begun = False
        self._seen_batches = 0
        recorder.attend(self._sight)

    def run(self, stopped: Callable[[], bool] = never) -> ArmRun:
        """Run to the end, or until stopped: then the rows so far are kept and marked.

        Args:
            stopped: whether to stop; asked now and then.

        Raises:
            ConfigError: a session that the cloud would drop or refuse.
            LocalProtocolError: a session did not end.
        """
        more = self.simulate()
        self._tell()
        while more and not stopped():
            if self._books.engine[EVENTS] == 0:
                raise LocalProtocolError("fleet: the heap ran dry before every session's end")
            more = self.simulate()
            self._tell()
        return self._close()

    def simulate(self) -> bool:
        """Advance by a piece, from the beginning on; return whether sessions are left.

        What it comes to stays in the arrays until ``run`` hands it on.

        Raises:
            ConfigError: a session that the cloud would drop or refuse.
        """
        books = self._books
        # Hashes wrap, in compiled code as in Python.
        with np.errstate(over="ignore"):
            if self._begun:
                self._advance(self._fleet, books, _PIECE_EVENTS)
            else:
                self._begin_all(self._fleet, books)
        self._begun = True
        self._batches += np.asarray(books.batches[0 : books.engine[BATCHES]]).tolist()
        books.engine[BATCHES] = 0
        self._check()
        return bool(books.engine[FINISHED] < self._fleet.sessions)

    def _sight(self) -> Sight:
        engine, plan = self._books.engine, self._plan
        now_ns = int(engine[NOW])
        if plan.arm.method.cloud is CloudRole.ABSENT:
            return Sight(now_ns)
        batches = tuple(self._batches[self._seen_batches :])
        self._seen_batches += len(batches)
        capacity = plan.limits.kv_tokens
        look = CloudLook(
            running=int(engine[ADMITTED]),
            waiting=int(engine[COUNTS + WAITING]),
            kv_tokens=capacity - int(engine[FREE_TOKENS]),
            kv_capacity=capacity,
            batches=batches,
            egress_busy_ns=int(engine[EGRESS_BUSY]),
            dropped_frames=0,
            refused_sessions=0,
            timed_out_sessions=0,
        )
        return Sight(now_ns, look)

    def _check(self) -> None:
        fault = self._books.engine[FAULT]
        if fault == SILENT:
            raise ConfigError(
                "cloud.idle_timeout_s: a device was silent for longer and would be dropped, which"
                " way: fleet cannot do yet; raise it, or choose way: virtual"
            )
        if fault != NO_FAULT:
            raise ConfigError("cloud: too many sessions wait for memory; choose fewer devices")

    def _tell(self) -> None:
        """Hand on the sessions that have ended since the last time."""
        books = self._books
        ended = books.engine[FINISHED]
        for at in range(self._told, ended):
            self._tell_session(books.ended[at])
        self._told = ended

    def _tell_session(self, session: int) -> None:
        length = self._fleet.of_session[session, col.LENGTH]
        tokens, closing = self._tell_tokens(session, length)
        reason = "eos" if tokens[-1] in self._plan.eos else "length"
        end_ns = self._books.request[session, col.FINISHED_NS]
        self._recorder.request(self._request(session, end_ns, tokens, reason, closing))

    def _tell_tokens(self, session: int, count: int) -> tuple[tuple[int, ...], list[int]]:
        """Hand on a session's tokens; return their ids and what was moved after the last."""
        fleet, books = self._fleet, self._books
        device = self._plan.devices[fleet.of_session[session, col.OWNER]]
        number = int(
            session - fleet.of_device[fleet.of_session[session, col.OWNER], col.FIRST_SESSION]
        )
        first, outcomes = fleet.of_session[session, col.FIRST_OUT], self._outcomes
        steered, streamed = self._plan.arm.method.steered, self._plan.arm.method.streamed
        left = _figures(books.request, session)[col.TOTAL :]
        tokens = []
        for position in range(count):
            figures = _figures(books.rows, int(first + position))
            outcome = outcomes[fleet.of_session[session, col.FIRST_ROW] + position]
            tokens.append(outcome.token)
            record = TokenRecord(
                session=int(fleet.of_session[session, col.SESSION_ID]),
                position=position,
                token=outcome.token,
                latency_ns=figures[LATENCY],
                stages_ns=tuple(figures[STAGES:STAGES_END]),
                busy_edge_ns=figures[BUSY],
                rounds=len(outcome.payload_bytes) - 1 if steered else 0,
                certified=outcome.certified,
                margin=0.0 if streamed else outcome.margin,
            )
            left = [one - other for one, other in zip(left, figures[MOVED:], strict=True)]
            moved = ByteMeter(*figures[MOVED:])
            payloads = outcome.payload_bytes if moved.payload_bytes_down else ()
            self._recorder.token(
                TokenRow(device.device, number, figures[CHOSEN_AT], record, moved, payloads)
            )
        return tuple(tokens), left

    def _request(
        self, session: int, end_ns: int, tokens: tuple[int, ...], reason: str, closing: list[int]
    ) -> RequestRow:
        fleet = self._fleet
        device = self._plan.devices[fleet.of_session[session, col.OWNER]]
        number = int(
            session - fleet.of_device[fleet.of_session[session, col.OWNER], col.FIRST_SESSION]
        )
        return RequestRow(
            device=device.device,
            request=number,
            session=int(fleet.of_session[session, col.SESSION_ID]),
            prompt_id=device.requests[number].prompt_id,
            link_class=device.link_class,
            device_class=device.device_class,
            arrival_ns=int(self._books.request[session, col.ARRIVAL_NS]),
            finished_ns=int(end_ns),
            tokens=tokens,
            reason=reason,
            failed=False,
            moved=ByteMeter(*_figures(self._books.request, session)[col.TOTAL :]),
            closing=ByteMeter(*closing),
        )

    def _close(self) -> ArmRun:
        books, complete = self._books, self._recorder.all_finished
        end_ns = int(books.engine[NOW])
        if complete:
            end_ns = int(
                max(
                    (books.request[one, col.FINISHED_NS] for one in range(self._fleet.sessions)),
                    default=0,
                )
            )
        else:
            self._censor(end_ns)
        run = self._recorder.close(end_ns, complete=complete)
        run.engine = EngineCounters(
            batches=self._batches,
            forward_ns=int(books.engine[FORWARD_NS]),
            select_ns=int(books.engine[SELECT_NS]),
            peak_kv_tokens=self._plan.limits.kv_tokens - int(books.engine[LEAST_FREE]),
            waited_sessions=int(books.engine[WAITED]),
        )
        run.egress_busy_ns = int(books.engine[EGRESS_BUSY])
        return run

    def _censor(self, end_ns: int) -> None:
        """Book the requests that had come by the end of a run that was stopped."""
        ended = {int(self._books.ended[at]) for at in range(self._books.engine[FINISHED])}
        for session in range(self._fleet.sessions):
            arrived = 0 <= self._books.request[session, col.ARRIVAL_NS] <= end_ns
            if arrived and session not in ended:
                nothing = [0] * MOVED_FIGURES
                self._recorder.request(self._request(session, end_ns, (), CENSORED, nothing))


def _figures(table: Any, row: int) -> list[int]:  # noqa: ANN401 - an array
    """Return a row of a table as plain numbers."""
    figures: list[int] = np.asarray(table[row]).tolist()
    return figures
