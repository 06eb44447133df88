"""A compiled cell from its plan to its result."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from actors.costs import Costs
from actors.failures import Incident
from actors.fleet import columns as col
from actors.fleet.array_types import Array
from actors.fleet.arrays import PIECE_EVENTS, books_of, bytes_per_device, roomier
from actors.fleet.cell import CellPlan
from actors.fleet.ladder_tables import ladders_to_learn, spans_of
from actors.fleet.layout import (
    ADMITTED,
    BATCHES,
    BATCHES_OUT,
    CLOUD,
    COUNTS,
    EVICTED,
    FAULT,
    FINISHED,
    FREE_TOKENS,
    LAST_END,
    MANY_FRAMES,
    NEVER,
    NOW,
    PEAKS,
    REPLICA,
    REPLICA_BITS,
    REQUESTS_OUT,
    SILENT,
    STAGE,
    TOKENS_OUT,
    TOKENS_TOLD,
    WAITING,
    Books,
    Fleet,
)
from actors.fleet.loops import advance_of, rules_of
from actors.fleet.names import CLOUD_FIGURES, CLOUD_PEAKS
from actors.fleet.outcomes import Outcomes
from actors.fleet.replicas.plan import incidents_of
from actors.fleet.result import CellResult, Sample
from actors.fleet.settling import sending_ns
from actors.fleet.sharing import hubs_of
from actors.fleet.silence import is_silent
from actors.fleet.summed import result_of
from actors.fleet.tables import fleet_of, select_costs
from actors.fleet.unfinished import unfinished
from actors.fleet.watching import Watch
from actors.plan import ArmPlan, CodecTerms
from actors.port import never
from costeer.errors import ConfigError
from netsim.compiled import compiled

Compiler = Callable[[Any], Any]


class CellRun:
    """One cell while it runs."""

    def __init__(
        self,
        cell: CellPlan,
        plan: ArmPlan,
        terms: CodecTerms,
        costs: Costs,
        outcomes: Outcomes,
        *,
        watch: Watch | None = None,
        compiler: Compiler = compiled,
    ) -> None:
        """Lay out the cell.

        Args:
            cell: the devices and their users.
            plan: the arm; its own devices are not looked at.
            terms: its codec.
            costs: what operations are charged.
            outcomes: what the sessions say.
            watch: what is wanted beside sums.
            compiler: makes machine code of a rule, or leaves it as it is.

        Raises:
            ConfigError: something that this way cannot express.
        """
        watch = watch or Watch()
        self._cell = cell
        self._of_plan = partial(fleet_of, cell, plan, terms, costs, outcomes, watch)
        self._hubs = partial(hubs_of, cell, plan)
        self._watch = watch
        rounds = outcomes.most_rounds if plan.arm.method.steered else 0
        choosing = plan.arm.method.gated
        spans, _ = spans_of(ladders_to_learn(plan, terms))
        self._costs = partial(select_costs, costs, rounds, choosing=choosing, spans=spans)
        self._rules = partial(rules_of, plan)
        self._compiler = compiler
        self._told: set[tuple[int, int]] = set()
        self._again: frozenset[tuple[int, int]] = frozenset()
        self._batches_told = self._batches_again = 0
        self._begin(self._of_plan())
        self.over = False
        """Whether there is nothing left to simulate."""

    def _begin(self, fleet: Fleet) -> None:
        self._fleet: Fleet = fleet
        self._books: Books = books_of(self._cell, fleet, self._hubs(), self._watch)
        rules = self._rules(
            sharing=fleet.shared > 0,
            troubled=fleet.trouble.on > 0,
            several=fleet.trouble.replicas > 0,
        )
        loop = advance_of(rules)
        self._advance = self._compiler(loop)

    def simulate(self) -> None:
        """Advance by a piece, from the beginning on.

        Raises:
            ConfigError: a session that the cloud would drop, and this way cannot.
            LocalProtocolError: nothing happens any more, and not every request has ended.
        """
        # Hashes wrap, in compiled code as in Python.
        with np.errstate(over="ignore"):
            self.over = not self._advance(self._fleet, self._books, PIECE_EVENTS)
        self._check()
        self._fleet, self._books = roomier(self._fleet, self._books, self._costs)
        self.over = self.over or self._figure(FINISHED) == self._fleet.sessions
        fails = self._fleet.trouble.on
        if self.over and not fails and is_silent(self._fleet, self._books, self.end_ns):
            self._begin_again()

    def _begin_again(self) -> None:
        """Begin from the beginning, step by step, since the cloud drops a device meanwhile.

        What was told until now is told again, and comes out the same.
        """
        self._again = frozenset(self._told)
        self._batches_again = self._batches_told
        self._begin(self._of_plan(silent=True))
        self.over = False

    def _check(self) -> None:
        fault = self._figure(FAULT)
        if fault == SILENT:
            self._begin_again()
        if fault == MANY_FRAMES:
            raise ConfigError("fleet: a device sends over 8 million frames; shorten the run")

    def _figure(self, which: int) -> int:
        return int(self._books.engine[which])

    @property
    def _engines(self) -> Array:
        """The figures of each replica's engine; they are its own where ``replicas`` says so."""
        engine = np.asarray(self._books.engine)[None, :STAGE]
        if self._fleet.trouble.replicas == 0:
            return engine
        engines = np.array(self._books.engines)[:, :STAGE]
        engines[self._figure(REPLICA)] = engine[0]
        return engines

    # ------------------------------------------------------------------ how it stands

    @property
    def now_ns(self) -> int:
        """The instant that the cell has come to."""
        return self._figure(NOW)

    @property
    def tokens(self) -> int:
        """Tokens so far, those of the warm-up included; none that is chosen after the end."""
        return self._figure(TOKENS_TOLD)

    @property
    def finished(self) -> int:
        """Requests that have ended so far."""
        return self._figure(FINISHED)

    @property
    def running_sessions(self) -> int:
        """Sessions that hold memory."""
        return int(self._engines[:, ADMITTED].sum())

    @property
    def waiting_sessions(self) -> int:
        """Sessions that wait for memory."""
        return int(self._engines[:, [COUNTS + WAITING, COUNTS + EVICTED]].sum())

    @property
    def kv_tokens(self) -> int:
        """KV tokens that are reserved."""
        held = self._fleet.kv_tokens - np.maximum(0, self._engines[:, FREE_TOKENS])
        return int(held.sum())

    @property
    def replicas(self) -> int:
        """How many replicas the cell has."""
        return len(self._engines)

    def cloud(self, name: str, replica: int | None = None) -> int:
        """Return a figure of the cloud so far, or of one replica; see ``CLOUD_FIGURES``."""
        of_replicas = self._engines[:, CLOUD + CLOUD_FIGURES.index(name)]
        settled = of_replicas.sum() if replica is None else of_replicas[replica]
        return int(settled) + (sending_ns(self._books) if name == "egress_busy_ns" else 0)

    def peak(self, name: str, replica: int | None = None) -> int:
        """Return the most of something so far, all together or at one replica."""
        of_replicas = self._engines[:, PEAKS + CLOUD_PEAKS.index(name)]
        return int(of_replicas.sum() if replica is None else of_replicas[replica])

    @property
    def bytes_per_device(self) -> float:
        """What the arrays take that grow with the devices or their sessions."""
        return bytes_per_device(self._fleet, self._books)

    # ------------------------------------------------------------------ what is written down

    def take_rows(self) -> tuple[Array, Array]:
        """Return the rows of tokens and of requests that ended since the last time."""
        books, slots = self._books, self._fleet.slots
        blocks = slots * self._fleet.longest
        tokens = np.asarray(books.rows)[blocks : blocks + self._figure(TOKENS_OUT)].copy()
        requests = np.asarray(books.requests)[slots : slots + self._figure(REQUESTS_OUT)].copy()
        books.engine[TOKENS_OUT] = books.engine[REQUESTS_OUT] = 0
        self._told |= _whose(requests)
        if self._again:
            tokens, requests = (
                each[[_whose([row]).isdisjoint(self._again) for row in each]]
                for each in (tokens, requests)
            )
        return tokens, requests

    def take_batches(self) -> list[tuple[int, int]]:
        """Return the replica and the rows of each forward since the last time.

        Only where devices are sampled.
        """
        count = self._figure(BATCHES_OUT)
        told = np.asarray(self._books.engine)[BATCHES : BATCHES + count]
        which = (1 << REPLICA_BITS) - 1
        batches = list(zip((told & which).tolist(), (told >> REPLICA_BITS).tolist(), strict=True))
        self._books.engine[BATCHES_OUT] = 0
        first = min(self._batches_again, count)
        self._batches_again -= first
        self._batches_told += count - first
        return batches[first:]

    @property
    def incidents(self) -> list[Incident]:
        """What has failed so far, in order."""
        if self._fleet.trouble.on == 0:
            return []
        return incidents_of(self._cell, self._fleet, self._books.trouble)

    def take_unfinished(self) -> tuple[Array, Array]:
        """Return the rows of sampled devices' requests that had come by the end and not ended."""
        return unfinished(self._fleet, self._books, self.end_ns)

    # ------------------------------------------------------------------ the result

    @property
    def end_ns(self) -> int:
        """The last instant: of the last request's end, or of the cell's time."""
        if self.finished == self._fleet.sessions and self._fleet.ends[1] == NEVER:
            return self._figure(LAST_END)
        if self.over:
            return min(self._fleet.ends[1], self._last_instant())
        return self.now_ns

    def _last_instant(self) -> int:
        done = self.finished == self._fleet.sessions
        return self._figure(LAST_END) if done else self._fleet.ends[1]

    def result(self, sample: Sample | None = None, *, overloaded: bool = False) -> CellResult:
        """Return what the cell has come to.

        Args:
            sample: the rows of the sampled devices.
            overloaded: whether it was stopped because its backlog would have grown for ever.
        """
        return result_of(
            self._cell,
            self._fleet,
            self._books,
            self._engines,
            self.end_ns,
            sample or Sample.none(),
            overloaded=overloaded,
        )


def run_cell(
    cell: CellPlan,
    plan: ArmPlan,
    terms: CodecTerms,
    costs: Costs,
    outcomes: Outcomes,
    *,
    watch: Watch | None = None,
    compiler: Compiler = compiled,
    told: Callable[[int], None] | None = None,
    stopped: Callable[[], bool] = never,
) -> CellResult:
    """Run one cell to its end and return what it came to.

    Args:
        cell: the devices and their users.
        plan: the arm; its own devices are not looked at.
        terms: its codec.
        costs: what operations are charged.
        outcomes: what the sessions say.
        watch: what is wanted beside sums.
        compiler: makes machine code of a rule, or leaves it as it is.
        told: told how many tokens more there are, now and then.
        stopped: whether to stop; asked now and then.

    Raises:
        ConfigError: something that this way cannot express.
        LocalProtocolError: a session did not end.
    """
    run = CellRun(cell, plan, terms, costs, outcomes, watch=watch, compiler=compiler)
    sample, known = Sample.none(), 0
    while not run.over and not stopped():
        run.simulate()
        sample = sample.merged(Sample(*run.take_rows()))
        run.take_batches()
        if told is not None:
            told(max(0, run.tokens - known))
        known = max(known, run.tokens)
    return run.result(sample.merged(Sample(*run.take_unfinished())))


def _whose(rows: Iterable[Array]) -> set[tuple[int, int]]:
    """Return whose rows of tokens or requests these are: by device and request."""
    return {(int(each[col.ROW_DEVICE]), int(each[col.ROW_REQUEST])) for each in rows}
