"""The compiled way's driver for fleets that have rows: arrays in, the rows of other ways out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.costs import Costs
from actors.fleet import columns as col
from actors.fleet.cells import CellRun
from actors.fleet.layout import ENDED
from actors.fleet.outcomes import Outcomes
from actors.fleet.planned import cell_of
from actors.fleet.rows import by_request, bytes_of, reason_of, replica_of, token_row
from actors.fleet.unfinished import CUT_OFF
from actors.fleet.watching import Watch
from actors.plan import ArmPlan, CodecTerms, session_id
from actors.port import never
from actors.records import CENSORED, UNANSWERED, ArmRun, Recorder, ReplicaRun, RequestRow, TokenRow
from actors.sight import CloudLook, Sight
from costeer.cloud import EngineCounters
from costeer.methods import CloudRole
from netsim.compiled import compiled

_COUNTERS = (
    "dropped_frames",
    "refused_sessions",
    "timed_out_sessions",
    "forward_ns",
    "select_ns",
    "waited_sessions",
    "preempted_sessions",
    "recomputed_tokens",
    "drafts",
    "refuted_drafts",
    "wasted_tokens",
    "right_drafts",
    "wrong_drafts",
)
"""Of an engine's counters those that a cell has by the same names."""


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
        self._cell = cell_of(plan)
        self._run = CellRun(
            self._cell,
            plan,
            terms,
            costs,
            outcomes,
            watch=Watch(sample_every=1),
            compiler=compiler,
        )
        self._batches: list[tuple[int, int]] = []
        self._seen_batches = 0
        recorder.attend(self._sight)

    def run(self, stopped: Callable[[], bool] = never) -> ArmRun:
        """Run to the end, or until stopped: then the rows so far are kept and marked.

        Args:
            stopped: whether to stop; asked now and then.

        Raises:
            ConfigError: a session that the cloud would drop.
            LocalProtocolError: a session did not end.
        """
        run = self._run
        run.simulate()
        self._tell(*run.take_rows())
        while not run.over and not stopped():
            run.simulate()
            self._batches += run.take_batches()
            self._tell(*run.take_rows())
        return self._close()

    def _close(self) -> ArmRun:
        run = self._run
        if not self._recorder.all_finished:
            self._tell(*run.take_unfinished())
        arm = self._recorder.close(run.end_ns, complete=run.over)
        arm.incidents = run.incidents
        arm.replicas = [self._replica(each) for each in range(run.replicas)]
        return arm

    def _replica(self, replica: int) -> ReplicaRun:
        """Return what a replica did."""
        run = self._run
        counted = {name: run.cloud(name, replica) for name in _COUNTERS}
        batches = [rows for which, rows in self._batches if which == replica]
        peak = run.peak("kv_tokens", replica)
        counters = EngineCounters(batches=batches, peak_kv_tokens=peak, **counted)
        return ReplicaRun(counters, run.cloud("egress_busy_ns", replica))

    def _sight(self) -> Sight:
        run = self._run
        if self._plan.arm.method.cloud is CloudRole.ABSENT:
            return Sight(run.now_ns)
        batches = tuple(rows for _, rows in self._batches[self._seen_batches :])
        self._seen_batches += len(batches)
        look = CloudLook(
            running=run.running_sessions,
            waiting=run.waiting_sessions,
            kv_tokens=run.kv_tokens,
            kv_capacity=self._plan.limits.kv_tokens * run.replicas,
            batches=batches,
            egress_busy_ns=run.cloud("egress_busy_ns"),
            dropped_frames=run.cloud("dropped_frames"),
            refused_sessions=run.cloud("refused_sessions"),
            timed_out_sessions=run.cloud("timed_out_sessions"),
            preempted_sessions=run.cloud("preempted_sessions"),
        )
        return Sight(run.now_ns, look)

    def _tell(self, tokens: Any, requests: Any) -> None:  # noqa: ANN401 - tables
        """Hand on sessions: their tokens, then themselves."""
        method, mine = self._plan.arm.method, by_request(tokens)
        for figures in requests.tolist():
            rows = [
                token_row(each, self._cell, self._outcomes, method)
                for each in mine.get((figures[col.ROW_DEVICE], figures[col.ROW_REQUEST]), ())
            ]
            for row in rows:
                self._recorder.token(row)
            self._recorder.request(self._request(figures, rows))

    def _request(self, figures: list[int], rows: list[TokenRow]) -> RequestRow:
        said = tuple(row.record.token for row in rows)
        device, number = self._plan.devices[figures[col.ROW_DEVICE]], figures[col.ROW_REQUEST]
        ended_ns, until_ns = figures[col.ENDED_AT], self._plan.until_ns
        moved = bytes_of(figures, col.MOVED_IN_ALL)
        closing = bytes_of(figures, col.CLOSING)
        reason = reason_of(figures, said, self._plan)
        if ended_ns == CUT_OFF or 0 < until_ns < ended_ns:
            reason, ended_ns = CENSORED, self._run.end_ns if ended_ns == CUT_OFF else until_ns
            closing = moved.less([row.moved for row in rows])
        return RequestRow(
            device=device.device,
            request=number,
            session=session_id(device.device, number),
            prompt_id=device.requests[number].prompt_id,
            link_class=device.link_class,
            device_class=device.device_class,
            arrival_ns=figures[col.ASKED_AT],
            finished_ns=ended_ns,
            tokens=said,
            reason=reason,
            failed=figures[col.FAILED] != ENDED and reason not in UNANSWERED,
            moved=moved,
            closing=closing,
            refuted=tuple(token for row in rows for token in row.record.refuted),
            replica=replica_of(self._cell, self._plan.arm.method, figures[col.REQUEST_REPLICA]),
        )
