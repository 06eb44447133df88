"""An arm that begins again on its first try's values says the same, and computes only the rest."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.cloud import CloudActor
from actors.edge import EdgeActor
from actors.models.numerics import Numerics
from actors.plan import ArmPlan, Request
from actors.port import Handle, LocalHandle, Pending
from actors.recall import Recall, RecallingCloud, RecallingEdge
from actors.records import ArmRun, Earlier, Recorder
from actors.values.model_cloud import ModelCloudHost
from actors.values.model_edge import ModelEdgeHost
from costeer.errors import ConfigError
from costeer.machine import CloudForward, CloudSelect, EdgeDecode, EdgeForward, EdgeSteer
from experiments.results import digest
from tests.actors.fleets import (
    Hosts,
    Kept,
    arm_plan,
    device,
    driver_of,
    generated_hosts,
    plans,
    run_virtual,
)
from tests.actors.tiny_pair import VOCAB as TINY_VOCAB
from tests.actors.tiny_pair import tiny_folder


class Counting(LocalHandle):
    """A host that counts what it is asked."""

    def __init__(self, host: object) -> None:
        super().__init__(host)
        self.asked: list[Any] = []

    def submit(self, method: str, *args: object) -> Pending:
        if method == "execute":
            self.asked += args[0]  # type: ignore[arg-type]  # operations
        return super().submit(method, *args)


def counting(hosts: Hosts) -> tuple[Counting, list[Counting]]:
    cloud, shards = hosts
    return Counting(cloud.host), [Counting(one.host) for one in shards]  # type: ignore[attr-defined]  # in this process


def first_try(plan: ArmPlan, hosts: Hosts, events: int) -> tuple[Kept, Recorder]:
    """Run so many events; return what was committed by then."""
    kept = Kept()
    count = sum(len(one.requests) for one in plan.devices)
    recorder = Recorder(count, kept, piece_tokens=1, piece_requests=1)
    left = iter(range(events))
    driver_of(plan, hosts, recorder).run(lambda: next(left, None) is None)
    kept.requests = [replace(row) for row in kept.requests if row.reason != "censored"]
    return kept, recorder


def second_try(plan: ArmPlan, hosts: Hosts, kept: Kept) -> tuple[ArmRun, Kept]:
    earlier = Earlier(kept.tokens, [without_closing(row) for row in kept.requests])
    recall = Recall(earlier.tokens)
    again: Hosts = (
        RecallingCloud(hosts[0], recall),
        [RecallingEdge(shard, recall) for shard in hosts[1]],
    )
    new = Kept()
    count = sum(len(one.requests) for one in plan.devices)
    recorder = Recorder(count, new, piece_tokens=1, piece_requests=1, earlier=earlier)
    return driver_of(plan, again, recorder).run(), new


def without_closing(row: Any) -> Any:
    from actors.records import ByteMeter

    return replace(row, closing=ByteMeter())


@given(plan=plans(), events=st.integers(0, 400))
@settings(max_examples=40)
def test_no_row_is_lost_or_doubled_wherever_an_arm_was_cut(plan: ArmPlan, events: int) -> None:
    hosts = generated_hosts(2)
    whole = run_virtual(plan, hosts)
    kept, _ = first_try(plan, hosts, events)
    run, new = second_try(plan, hosts, kept)
    assert digest(run) == digest(whole)
    tokens = sorted((*kept.tokens, *new.tokens), key=place)
    assert tokens == whole.tokens
    requests = [*kept.requests, *new.requests]
    assert len(requests) == len(whole.requests)
    assert {row.session for row in requests} == {row.session for row in whole.requests}


def place(row: Any) -> tuple[int, int, int]:
    return row.device, row.request, row.record.position


@pytest.mark.parametrize("method", ["costeer", "llm_with"])
def test_models_compute_only_what_is_not_known(method: str) -> None:
    numerics = Numerics.BATCH_INVARIANT
    cloud = partial(ModelCloudHost, str(tiny_folder("qwen2", 0)), numerics, vocab_size=TINY_VOCAB)
    edge = partial(ModelEdgeHost, str(tiny_folder("qwen2", 1)), numerics, vocab_size=TINY_VOCAB)

    def hosts() -> tuple[Counting, list[Counting]]:
        return Counting(CloudActor(cloud)), [Counting(EdgeActor(edge)) for _ in range(2)]

    plan = arm_plan(method, [_small(device(number)) for number in range(3)], max_new_tokens=8)
    calm_hosts = hosts()
    calm = run_virtual(plan, _as_hosts(calm_hosts))
    kept, _ = first_try(plan, _as_hosts(hosts()), 10**6)
    kept.tokens = [row for row in kept.tokens if row.record.position < 6]
    kept.requests = []
    ours = hosts()
    run, _ = second_try(plan, _as_hosts(ours), _in_order(kept, calm))
    assert digest(run) == digest(calm)
    for kind in (CloudForward, CloudSelect, EdgeForward, EdgeDecode, EdgeSteer):
        assert _count(ours, kind) <= _count(calm_hosts, kind) / 2


def _in_order(kept: Kept, calm: ArmRun) -> Kept:
    """The rows up to the first one that is missing, as a run that was cut off has them."""
    by_time = sorted(calm.tokens, key=lambda row: row.chosen_at_ns)
    have = {place(row) for row in kept.tokens}
    cut = next((i for i, row in enumerate(by_time) if place(row) not in have), len(by_time))
    return Kept(kept.tokens[:cut], [])


def _as_hosts(hosts: tuple[Counting, list[Counting]]) -> Hosts:
    shards: list[Handle] = list(hosts[1])
    return hosts[0], shards


def _count(hosts: tuple[Counting, list[Counting]], kind: type) -> int:
    return sum(isinstance(op, kind) for host in (hosts[0], *hosts[1]) for op in host.asked)


def _small(plan: Any) -> Any:
    def within(ids: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(token % TINY_VOCAB for token in ids)

    requests = tuple(
        Request(one.prompt_id, within(one.public), within(one.personal)) for one in plan.requests
    )
    return replace(plan, requests=requests)


def test_a_run_that_says_something_else_is_refused() -> None:
    plan = arm_plan("costeer")
    kept, _ = first_try(plan, generated_hosts(), 300)
    first = kept.tokens[0]
    kept.tokens[0] = replace(first, chosen_at_ns=first.chosen_at_ns + 1)
    with pytest.raises(ConfigError, match=r"says something else.*without --resume"):
        second_try(plan, generated_hosts(), kept)
