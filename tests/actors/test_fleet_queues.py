"""The compiled way against textbook queues: one cloud, one token a request, links of no length.

What is compared with is a queue written down in a few lines here, to the nanosecond, and what
Pollaczek and Khinchine say of it on average.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

import numpy as np
import pytest

from actors.costs import Costs
from actors.fleet.driver import FleetDriver
from actors.fleet.machine_code import kept_compiler
from actors.fleet.outcomes import Outcomes
from actors.plan import DevicePlan, Request, codec_terms
from actors.values.null import NullConfig
from netsim.hardware import Fixed
from netsim.random import Stream, exponential
from tests.actors.fleets import LIMITS, MS, VOCAB, arm_plan, device, recorder_of

REQUESTS = 20_000
CONFIG = NullConfig(vocab_size=VOCAB, first_token=10, period=100)


def arrivals(load: float, batch: int) -> list[int]:
    """A Poisson process that asks for this share of what a server of batches can do."""
    mean_ns = MS / (load * batch)
    gaps = (int(exponential(3, Stream.ARRIVAL, 0, one) * mean_ns) for one in range(REQUESTS))
    return list(accumulate(gaps))


def user(number: int, at_ns: int) -> DevicePlan:
    plan = device(number, arrivals_ns=(at_ns,), hardware="free")
    return replace(plan, requests=(Request("one", (1,), (2, 1)),))


def served(arrivals_ns: list[int], batch: int) -> list[int]:
    """When each request of a batch-service queue has been served, a millisecond a batch."""
    ends: list[int] = []
    now_ns = 0
    while len(ends) < len(arrivals_ns):
        first = len(ends)
        now_ns = max(now_ns, arrivals_ns[first])
        here = [at_ns for at_ns in arrivals_ns[first : first + batch] if at_ns <= now_ns]
        now_ns += MS
        ends += [now_ns] * len(here)
    return ends


@pytest.mark.parametrize(("load", "batch"), [(0.7, 1), (0.95, 8), (1.2, 4)])
def test_requests_leave_when_the_queue_says(load: float, batch: int) -> None:
    arrivals_ns = arrivals(load, batch)
    plan = arm_plan(
        "llm_without",
        [user(number, at_ns) for number, at_ns in enumerate(arrivals_ns)],
        max_new_tokens=1,
        limits=replace(
            LIMITS, max_batch=batch, kv_tokens=10**9, max_sessions=10**6, max_waiting=10**6
        ),
    )
    terms = codec_terms(plan, VOCAB)
    costs = Costs(Fixed(forward=MS), {"free": Fixed()}, terms.ladder)
    outcomes = Outcomes.constant(CONFIG, np.ones(REQUESTS, np.int64), plan.eos)
    run = FleetDriver(
        plan, terms, costs, outcomes, recorder_of(plan), compiler=kept_compiler()
    ).run()
    assert [request.finished_ns for request in run.requests] == served(arrivals_ns, batch)
    if batch == 1:
        waits_ns = [row.finished_ns - MS - row.arrival_ns for row in run.requests]
        expected_ns = load / (2 * (1 - load)) * MS
        assert sum(waits_ns) / REQUESTS == pytest.approx(expected_ns, rel=0.1)
