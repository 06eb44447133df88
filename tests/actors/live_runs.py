"""Live runs on hosts in this process, and what must be left of none of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from actors.cloud import CloudActor
from actors.edge import EdgeActor
from actors.live.driver import run_live
from actors.models.numerics import Numerics
from actors.plan import ArmPlan, Request
from actors.port import LocalHandle
from actors.records import ArmRun, Recorder
from actors.values.model_cloud import ModelCloudHost
from actors.values.model_edge import ModelEdgeHost
from costeer.methods import CloudRole
from tests.actors.fleets import (
    MS,
    VOCAB,
    Hosts,
    begin,
    device,
    generated_hosts,
    link,
    recorder_of,
)
from tests.actors.tiny_pair import VOCAB as TINY_VOCAB
from tests.actors.tiny_pair import tiny_folder


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert [thread for thread in threading.enumerate() if thread.name.startswith("live")] == []


def wait_s(_: float) -> None:
    threading.Event().wait(0.01)


def live(
    plan: ArmPlan,
    hosts: Hosts | None = None,
    *,
    recorder: Recorder | None = None,
    wait: Callable[[float], None] = wait_s,
    stopped: Callable[[], bool] = lambda: False,
) -> ArmRun:
    cloud, shards = hosts or generated_hosts()
    terms = begin(plan, (cloud, shards))
    clouds = [cloud, *(generated_hosts()[0] for _ in range(1, plan.replicas))]
    for another in clouds[1:]:
        another.call("begin_arm", plan.arm)
    needed = clouds if plan.arm.method.cloud is not CloudRole.ABSENT else ()
    return run_live(plan, terms, needed, shards, recorder or recorder_of(plan), wait, stopped)


def fleet(*, devices: int = 3, requests: int = 1, vocab_size: int = VOCAB) -> list[Any]:
    """Devices on links of a few milliseconds; ids within the vocabulary."""
    return [
        replace(
            plan,
            requests=tuple(
                Request(one.prompt_id, _within(one.public, vocab_size),
                        _within(one.personal, vocab_size))
                for one in plan.requests
            ),
        )
        for plan in (
            device(number, requests, where=link(2 * MS, 0, jitter_ns=MS))
            for number in range(devices)
        )
    ]  # fmt: skip


def _within(ids: tuple[int, ...], vocab_size: int) -> tuple[int, ...]:
    return tuple(token % vocab_size for token in ids)


def tiny_hosts(shards: int) -> Hosts:
    numerics = Numerics.BATCH_INVARIANT
    make = {"vocab_size": TINY_VOCAB}
    cloud = partial(ModelCloudHost, str(tiny_folder("qwen2", 0)), numerics, **make)  # type: ignore[arg-type]  # one of them
    edge = partial(ModelEdgeHost, str(tiny_folder("qwen2", 1)), numerics, **make)  # type: ignore[arg-type]  # one of them
    return LocalHandle(CloudActor(cloud)), [LocalHandle(EdgeActor(edge)) for _ in range(shards)]
