"""A host that dies and is made again gives the values that it would have given: no Ray needed."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.cloud import CloudActor
from actors.edge import EdgeActor
from actors.models.numerics import Numerics
from actors.plan import ArmPlan, Request, session_id
from actors.port import HostDiedError, LocalHandle, Pending, Recovery, gather
from actors.values.model_cloud import ModelCloudHost
from actors.values.model_edge import ModelEdgeHost
from actors.values.rows import RowCloudHost, RowEdgeHost
from actors.values.witness import Witnessed
from cluster.supervised import SupervisedHandle
from costeer.speculation import SpeculationConfig
from experiments.results import digest
from tests.actors.fleets import Hosts, arm_plan, device, generated_hosts, plans, run_virtual
from tests.actors.tiny_pair import VOCAB as TINY_VOCAB
from tests.actors.tiny_pair import tiny_folder


class Mortal(LocalHandle):
    """A host in this process that dies before or after certain calls: those that kill names."""

    def __init__(
        self, make: Callable[[], object], numbers: Any, kill: Callable[[int], str], epoch: int
    ) -> None:
        super().__init__(make())
        self.epoch = epoch
        self.dead = False
        self._numbers = numbers
        self._kill = kill

    def submit(self, method: str, *args: object) -> Pending:
        fate = self._kill(next(self._numbers))
        self.dead = self.dead or fate == "before"
        if not self.dead:
            pending = super().submit(method, *args)
            self.dead = fate == "after"
            if not self.dead:
                return pending
        return _Dead(method)

    def call(self, method: str, *args: object) -> object:
        if self.dead:
            raise HostDiedError(f"died during {method}")
        return super().call(method, *args)

    def place(self) -> tuple[str, int]:
        return "here", 0

    def end(self) -> None:
        self.dead = True


class _Dead:
    def __init__(self, method: str) -> None:
        self._method = method

    def done(self) -> bool:
        return True

    def result(self) -> object:
        raise HostDiedError(f"died during {self._method}")


def mortal(make: Callable[[], object], kill: Callable[[int], str]) -> SupervisedHandle:
    told: list[Recovery] = []
    return SupervisedHandle("host", partial(Mortal, make, count(), kill), told.append)


def mortal_hosts(hosts: Hosts, kill: Callable[[int, int], str]) -> Hosts:
    """The same hosts, each of which dies when ``kill(host, call)`` says so; made from scratch."""
    cloud, edges = hosts

    def again(make: Callable[..., object], handle: Any) -> Callable[[], object]:
        return lambda: make(host_maker(handle.host))

    return (
        mortal(again(CloudActor, cloud), partial(kill, 0)),
        [
            mortal(again(EdgeActor, edge), partial(kill, number + 1))
            for number, edge in enumerate(edges)
        ],
    )


def host_maker(actor: CloudActor | EdgeActor) -> Callable[[], Any]:
    """What makes the generated host of an actor anew."""
    host = actor._host
    assert isinstance(host, RowCloudHost | RowEdgeHost)
    return partial(type(host), host._open_rows)


@given(plan=plans(), every=st.integers(1, 5), when=st.sampled_from(["before", "after"]))
@settings(max_examples=25)
def test_deaths_change_neither_tokens_nor_times(plan: ArmPlan, every: int, when: str) -> None:
    hosts = generated_hosts(2)
    dying = mortal_hosts(hosts, lambda host, call: when if (host + call) % every == 0 else "")
    assert digest(run_virtual(plan, dying)) == digest(run_virtual(plan, hosts))


@given(
    plan=plans(["costeer", "light_costeer"]),
    speculation=st.builds(SpeculationConfig, drafts=st.integers(1, 4)),
    every=st.integers(1, 5),
)
@settings(max_examples=15)
def test_deaths_change_nothing_of_what_is_drafted(
    plan: ArmPlan, speculation: SpeculationConfig, every: int
) -> None:
    plan = replace(plan, speculation=speculation)
    hosts = generated_hosts(2)
    dying = mortal_hosts(hosts, lambda host, call: "after" if (host + call) % every == 0 else "")
    assert digest(run_virtual(plan, dying)) == digest(run_virtual(plan, hosts))


@given(
    plan=plans(["costeer"]),
    speculation=st.none() | st.just(SpeculationConfig(drafts=2)),
    every=st.integers(2, 5),
    when=st.sampled_from(["before", "after"]),
)
@settings(max_examples=15)
def test_what_people_look_at_outlives_the_hosts_that_kept_it(
    plan: ArmPlan, speculation: SpeculationConfig | None, every: int, when: str
) -> None:
    watched = frozenset(session_id(each.device, 0) for each in plan.devices[:2])
    plan = replace(plan, arm=replace(plan.arm, witnessed=watched), speculation=speculation)

    def kept(hosts: Hosts) -> list[Witnessed]:
        run_virtual(plan, hosts)
        found: Any = gather([shard.submit("take_witnessed") for shard in hosts[1]])
        return sorted((step for steps in found for step in steps), key=lambda step: (
            step.session, step.position
        ))  # fmt: skip

    hosts = generated_hosts(2)
    dying = mortal_hosts(hosts, lambda host, call: when if (host + call) % every == 0 else "")
    assert kept(dying) == kept(hosts)


@pytest.mark.parametrize(("method", "drafts"), [("costeer", 0), ("costeer", 3), ("llm_with", 0)])
def test_caches_of_models_are_rebuilt_bit_for_bit(method: str, drafts: int) -> None:
    numerics = Numerics.BATCH_INVARIANT
    make_cloud = partial(
        ModelCloudHost, str(tiny_folder("qwen2", 0)), numerics, vocab_size=TINY_VOCAB
    )
    make_edge = partial(
        ModelEdgeHost, str(tiny_folder("qwen2", 1)), numerics, vocab_size=TINY_VOCAB
    )
    devices = [device(number) for number in range(3)]
    plan = arm_plan(method, [_small(one) for one in devices], max_new_tokens=6)
    if drafts:
        plan = replace(plan, speculation=SpeculationConfig(drafts=drafts))

    def hosts(kill: Callable[[int], str]) -> Hosts:
        return (
            mortal(lambda: CloudActor(make_cloud), kill),
            [mortal(lambda: EdgeActor(make_edge), kill) for _ in range(2)],
        )

    calm = run_virtual(plan, hosts(lambda _: ""))
    dying = run_virtual(plan, hosts(lambda call: "before" if call % 3 == 2 else ""))
    assert digest(dying) == digest(calm)


def _small(plan: Any) -> Any:
    def within(ids: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(token % TINY_VOCAB for token in ids)

    requests = tuple(
        Request(one.prompt_id, within(one.public), within(one.personal)) for one in plan.requests
    )
    return replace(plan, requests=requests)


def test_recoveries_are_told_and_a_call_that_kills_is_given_up() -> None:
    told: list[Recovery] = []
    make = partial(Mortal, list, count(), lambda call: "before" if call == 1 else "")
    handle = SupervisedHandle("host", make, told.append)
    assert handle.submit("append", 1).result() is None  # not for us to mend
    with pytest.raises(HostDiedError, match="died during append"):
        handle.submit("append", 1).result()

    class Cursed(Mortal):
        def call(self, method: str, *_: object) -> object:
            raise HostDiedError(f"died during {method}")

    lives: list[int] = []

    def curse(epoch: int) -> Cursed:
        lives.append(epoch)
        return Cursed(list, count(), lambda _: "before", epoch)

    killed = SupervisedHandle("host", curse, told.append)
    with pytest.raises(HostDiedError, match="died during execute"):
        killed.call("execute", [])
    assert told == []
    assert lives == [0, 1, 2, 3, 4, 5]


def test_a_copy_is_the_actor_of_the_moment() -> None:
    class Seat(LocalHandle):
        epoch = 0

    handle: Any = SupervisedHandle.__new__(SupervisedHandle)
    handle.seat = LocalHandle([1])
    copy = pickle.loads(pickle.dumps(handle))  # noqa: S301 - our own
    assert isinstance(copy, LocalHandle)
    assert copy.host == [1]
