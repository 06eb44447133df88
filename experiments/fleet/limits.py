"""What a fleet may need, and what is asked of it: refused or told before any of it is planned."""

from __future__ import annotations

from dataclasses import dataclass

from actors.costs import Costs
from actors.plan import ArmPlan
from costeer.errors import ConfigError
from costeer.methods import CloudRole, Prompt
from experiments.machine import free_memory_bytes
from experiments.planning.members import most_devices
from experiments.planning.size import Size, in_words, size_of
from experiments.planning.sizes import lengths_of, mean_tokens
from experiments.planning.timing import mean_requests_per_device
from experiments.scenario import ClosedArrivals, PoissonArrivals, Scenario
from netsim.hardware.roofline import batch_ns

_MOST_ROWS = 5_000_000
"""Rows of ``tokens.parquet``: gigabytes of objects while they are written."""
_GB = 1e9


def check_size(scenario: Scenario, at_once: int, free_bytes: int | None = None) -> Size:
    """Refuse a fleet that does not fit; return how large it is.

    Args:
        scenario: the fleet.
        at_once: cells at the same time.
        free_bytes: memory that may be used; what this machine has free if None.

    Raises:
        ConfigError: it needs more memory, or writes down more rows, than there may be.
    """
    size = size_of(scenario)
    free = free_memory_bytes() if free_bytes is None else free_bytes
    needed = size.memory_bytes(at_once)
    if free is not None and needed > free:
        raise ConfigError(
            f"fleet: needs about {needed / _GB:.1f} GB ({size.told(len(scenario.arms), at_once)}),"
            f" {free / _GB:.1f} GB are free; spread the devices over more cloud.replicas, so that"
            " each holds fewer at a time, or ask for fewer requests"
        )
    sample = scenario.fleet.sample or 0
    rows = min(sample, size.requests) * scenario.workload.max_new_tokens * len(scenario.arms)
    if rows > _MOST_ROWS:
        raise ConfigError(
            f"fleet.sample: {sample:,} requests are up to {rows:,.0f} rows of tokens, at most"
            f" {_MOST_ROWS:,} are written; lower it: figures count every request in any case"
        )
    return size


# --------------------------------------------------------------------------- load


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the busiest replica, and the most that it could ever serve.

    Args:
        offered_per_s: requests per second that come, on average.
        served_per_s: requests per second that its GPU could serve at best.
        for_s: how long they come.
    """

    offered_per_s: float
    served_per_s: float
    for_s: float

    @property
    def backlog(self) -> float:
        """Requests that would be waiting when the last ones come; 0 if the replica keeps up."""
        return max(0.0, (self.offered_per_s - self.served_per_s) * self.for_s)

    def told(self) -> str:
        """Return what there is to fear, in words."""
        return (
            f"requests come faster than a replica can serve them: {self.offered_per_s:.3g} per"
            f" second, its GPU serves {self.served_per_s:.3g} at most; about {self.backlog:,.0f}"
            f" would wait after {in_words(self.for_s)}"
        )


def load_of(scenario: Scenario, plan: ArmPlan, costs: Costs) -> Load | None:
    """Return what is asked of the busiest replica; None where users wait for their answers.

    Where tokens are drafted, nobody knows before how many a forward yields: None as well.

    The bound is the GPU's alone, with full batches and prompts computed beside them: links, memory
    and egress can only lower it.

    Args:
        scenario: the fleet.
        plan: one arm, as every cell has it.
        costs: what its operations are charged.
    """
    arrivals = scenario.fleet.arrivals
    if isinstance(arrivals, ClosedArrivals) or plan.arm.method.cloud is CloudRole.ABSENT:
        return None
    if plan.speculation is not None or plan.cloud_drafts is not None:
        return None
    devices = most_devices(scenario)
    requests = devices * mean_requests_per_device(scenario)
    if isinstance(arrivals, PoissonArrivals):
        for_s = arrivals.requests / arrivals.rate_per_s
    else:
        for_s = scenario.workload.duration_s or 0.0
    asked = lengths_of(scenario)
    prompt = mean_tokens(asked.public)
    if plan.arm.method.cloud_prompt is Prompt.PERSONAL:
        prompt += mean_tokens(asked.context)
    answer = min(mean_tokens(asked.answer), asked.max_new_tokens)
    return Load(requests / for_s, 1e9 / _request_ns(plan, costs, prompt, answer), for_s)


def _request_ns(plan: ArmPlan, costs: Costs, prompt: float, answer: float) -> float:
    """Return the least that a request costs the GPU in a full batch."""
    terms, _ = costs.forward_terms()
    limits = plan.limits
    context = round(prompt + answer / 2)
    rows = max(1, min(limits.max_batch, limits.kv_tokens // max(1, round(prompt + answer))))
    held = rows * context
    step_ns = batch_ns(rows, rows, held, held + rows, terms)
    chunk = limits.chunk_tokens
    pairs = chunk * (chunk + 1) // 2
    beside_ns = batch_ns(rows + 1, rows + chunk, held, held + rows + pairs, terms) - step_ns
    if plan.arm.method.steered:
        step_ns += costs.cloud_round_ns(0, rows)
    else:
        step_ns += costs.cloud_choose_ns(rows)
    return answer * step_ns / rows + prompt * max(0, beside_ns) / chunk
