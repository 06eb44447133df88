"""The compiled way against textbook queues: one cloud, one token a request, links of no length.

What is compared with is a queue written down in a few lines here, to the nanosecond, and what the
textbooks say of its averages. A simulated average is uncertain, and its draws hang together: its
interval is that of the means of long batches of requests, and has to hold the textbook's value.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import accumulate

import numpy as np
import numpy.typing as npt
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
WARM_UP = 500
CONFIG = NullConfig(vocab_size=VOCAB, first_token=10, period=100)
Reals = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

MEANS = 20
STUDENT = 3.58
"""Two-sided 99.8 % of Student's t with 19 degrees of freedom: what ``MEANS`` means leave."""


def arrivals(load: float, batch: int) -> list[int]:
    """A Poisson process that asks for this share of what a server of batches can do."""
    mean_ns = MS / (load * batch)
    gaps = (int(exponential(3, Stream.ARRIVAL, 0, one) * mean_ns) for one in range(REQUESTS))
    return list(accumulate(gaps))


def user(number: int, at_ns: int, tokens: int = 1) -> DevicePlan:
    plan = device(number, arrivals_ns=(at_ns,), hardware="free")
    return replace(plan, requests=(Request("one", (1,) * tokens, (2,) * tokens),))


def finished_ns(users: list[DevicePlan], batch: int, cloud: Fixed) -> list[int]:
    """When each request of a compiled fleet has been served."""
    plenty = 10**9
    plan = arm_plan(
        "llm_without",
        users,
        max_new_tokens=1,
        limits=replace(
            LIMITS,
            max_batch=batch,
            chunk_tokens=plenty,
            kv_tokens=plenty,
            max_context=plenty,
            max_sessions=plenty,
            max_waiting=plenty,
        ),
    )
    terms = codec_terms(plan, VOCAB)
    costs = Costs(cloud, {"free": Fixed()}, terms.ladder)
    outcomes = Outcomes.constant(CONFIG, np.ones(len(users), np.int64), plan.eos)
    run = FleetDriver(
        plan, terms, costs, outcomes, recorder_of(plan), compiler=kept_compiler()
    ).run()
    return [request.finished_ns for request in run.requests]


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


@cache
def compiled(load: float, batch: int) -> tuple[list[int], list[int]]:
    """Arrivals of a queue with constant service, and what the compiled way makes of them."""
    arrivals_ns = arrivals(load, batch)
    users = [user(number, at_ns) for number, at_ns in enumerate(arrivals_ns)]
    return arrivals_ns, finished_ns(users, batch, Fixed(forward=MS))


def interval(values: Reals) -> tuple[float, float]:
    """Mean of what a simulation gave after its warm-up, and half of its 99.8 % interval."""
    means = np.array([part.mean() for part in np.array_split(values[WARM_UP:], MEANS)])
    return float(means.mean()), float(STUDENT * means.std(ddof=1) / MEANS**0.5)


def holds(values: Reals, expected: float, *, precise: float) -> None:
    """The interval holds what is expected, and is narrow enough to say something."""
    mean, half = interval(values)
    assert half < precise * abs(expected)
    assert abs(mean - expected) <= half


@pytest.mark.parametrize(("load", "batch"), [(0.7, 1), (0.8, 4), (0.95, 8), (1.2, 4)])
def test_requests_leave_when_the_queue_says(load: float, batch: int) -> None:
    arrivals_ns, ends_ns = compiled(load, batch)
    assert ends_ns == served(arrivals_ns, batch)


def test_m_d_1_waits_as_pollaczek_and_khinchine_say() -> None:
    load = 0.7
    arrivals_ns, ends_ns = compiled(load, 1)
    waits_ns = np.array(ends_ns, np.float64) - MS - np.array(arrivals_ns)
    holds(waits_ns, load / (2 * (1 - load)) * MS, precise=0.2)
    # Whoever finds the server free does not wait: a share of 1 - load (PASTA).
    holds((waits_ns == 0).astype(np.float64), 1 - load, precise=0.1)


def test_m_m_1_stays_as_long_as_the_textbook_says() -> None:
    """Service as long as the prompt: lengths exponentially distributed, 5 µs a token, mean 1 ms."""
    load, mean_tokens = 0.6, 200.0
    arrivals_ns = arrivals(load, 1)
    tokens = [
        1 + int(exponential(3, Stream.PROMPT, 0, one) * mean_tokens) for one in range(REQUESTS)
    ]
    users = [user(*each) for each in zip(range(REQUESTS), arrivals_ns, tokens, strict=True)]
    ends_ns = finished_ns(users, 1, Fixed(forward_per_token=MS // 200))
    stays_ns = np.array(ends_ns, np.float64) - np.array(arrivals_ns)
    # Whole tokens: the mean is half a token above the one that was drawn.
    service_ns = (mean_tokens + 0.5) * (MS // 200)
    busy = load * service_ns / MS
    stay_ns = service_ns / (1 - busy)
    holds(stays_ns, stay_ns, precise=0.2)
    # A stay is exponentially distributed itself.
    holds((stays_ns > stay_ns).astype(np.float64), float(np.exp(-1)), precise=0.2)


def left_behind(load: float, batch: int) -> tuple[Reals, float]:
    """Requests present when a batch of an M/D(1,b)/1 queue ends: their distribution, mean batch.

    The chain embedded at ends of service (Neuts 1967, a = 1): who is there, up to b, is taken at
    once, or else whoever comes first; meanwhile a Poisson number comes.
    """
    mean, states = load * batch, 400
    steps = np.arange(1, states)
    logs = -mean + np.concatenate(([0.0], np.cumsum(np.log(mean) - np.log(steps))))
    come = np.exp(logs)
    moves = np.zeros((states, states))
    for here in range(states):
        kept = max(0, here - batch)
        moves[here, kept:] = come[: states - kept]
        moves[here, -1] += 1 - moves[here].sum()
    system = np.vstack([(moves.T - np.eye(states))[:-1], np.ones(states)])
    shares = np.linalg.solve(system, np.append(np.zeros(states - 1), 1.0))
    taken = np.clip(np.arange(states), 1, batch)
    return shares, float(shares @ taken)


@pytest.mark.parametrize(("load", "batch"), [(0.8, 4), (0.95, 8)])
def test_batch_service_leaves_behind_what_the_embedded_chain_says(load: float, batch: int) -> None:
    arrivals_ns, ends_ns = compiled(load, batch)
    shares, mean_batch = left_behind(load, batch)
    ends, sizes = np.unique(np.array(ends_ns), return_counts=True)
    here = np.searchsorted(np.array(arrivals_ns), ends, side="right") - np.cumsum(sizes)
    holds(sizes.astype(np.float64), mean_batch, precise=0.1)
    holds(here.astype(np.float64), float(shares @ np.arange(len(shares))), precise=0.5)
    holds((here >= batch).astype(np.float64), float(shares[batch:].sum()), precise=0.5)


def test_beyond_saturation_the_queue_grows_at_the_excess_rate() -> None:
    load, batch = 1.2, 4
    arrivals_ns, ends_ns = compiled(load, batch)
    # The last request is served when all of them fit: work of REQUESTS / batch milliseconds.
    assert max(ends_ns) == pytest.approx(REQUESTS / batch * MS, rel=0.01)
    waits_ns = np.array(ends_ns) - np.array(arrivals_ns)
    slope = np.polyfit(np.array(arrivals_ns, np.float64), waits_ns.astype(np.float64), 1)[0]
    assert slope == pytest.approx(load - 1, rel=0.1)
