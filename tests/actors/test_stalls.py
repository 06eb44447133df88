"""A cloud that does not answer: devices ask again, go on alone or give up; none waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.cloud import CloudActor
from actors.live.driver import run_live
from actors.plan import ArmPlan
from actors.port import LocalHandle
from actors.recall import Recall, RecallingCloud, RecallingEdge
from actors.records import ArmRun, Earlier, Recorder, RequestRow, TokenRow
from actors.retry import RetryPolicy
from actors.stalls import Stall, Stalls
from actors.values.generated import GeneratedConfig, RowSource
from actors.values.model_edge import ModelEdgeHost
from actors.values.rows import RowCloudHost
from costeer.certificate import Choice
from costeer.errors import StalledHostError
from costeer.gate import GateConfig
from costeer.machine import CloudOp, EdgeChoose, EdgeForward, Release
from costeer.methods import method_named
from costeer.overlap import OverlapConfig
from costeer.patience import STALLED
from costeer.speculation import SpeculationConfig
from experiments.results import digest, output_digest
from tests.actors.fleets import (
    MS,
    VOCAB,
    Hosts,
    arm_plan,
    begin,
    device,
    driver_of,
    generated_hosts,
    link,
    null_hosts,
    plans,
    run_virtual,
)
from tests.actors.live_runs import fleet, tiny_hosts

DRAFTS = SpeculationConfig(drafts=3)
KINDS = [("costeer", None), ("costeer", DRAFTS), ("llm_without", None), ("slm_with", None)]
LONG_NS = 10**13


def patient(tries: int = 3, *, falls_back: bool = True, timeout_ns: int = 60 * MS) -> RetryPolicy:
    return RetryPolicy(timeout_ns, tries, backoff=2.0, jitter=0.1, falls_back=falls_back)


def plan_of(
    method: str, speculation: SpeculationConfig | None = None, *, tokens: int = 10
) -> ArmPlan:
    devices = [device(number, 2, where=link(2 * MS, jitter_ns=MS)) for number in range(3)]
    return arm_plan(method, devices, max_new_tokens=tokens, speculation=speculation)


def alone(run: ArmRun) -> list[TokenRow]:
    return [row for row in run.tokens if row.record.fallback]


def chosen(run: ArmRun) -> dict[tuple[int, int, int], int]:
    return {(row.device, row.request, row.record.position): row.record.token for row in run.tokens}


# --------------------------------------------------------------------------- simulated time


@given(plans(), st.sampled_from((None, DRAFTS)))
@settings(max_examples=15)
def test_patience_that_is_never_tried_changes_nothing(
    plan: ArmPlan, speculation: SpeculationConfig | None
) -> None:
    if speculation is not None and not plan.arm.method.steered:
        speculation = None
    plan = replace(plan, speculation=speculation)
    calm = run_virtual(plan)
    watched = run_virtual(replace(plan, retry=patient(timeout_ns=LONG_NS)))
    assert digest(watched) == digest(calm)


_stalls = st.lists(
    st.builds(
        lambda at, length, loses: Stall(at * MS, (at + length) * MS, loses),
        st.integers(0, 700),
        st.integers(1, 600),
        st.booleans(),
    ),
    min_size=1,
    max_size=3,
).map(tuple)


@given(
    st.sampled_from([*KINDS, ("adacosteer", None)]),
    st.sampled_from((None, OverlapConfig(forward=False), OverlapConfig(delta=True))),
    _stalls,
    st.integers(1, 3),
    st.booleans(),
)
@settings(max_examples=20)
def test_whatever_stalls_every_request_ends_and_every_nanosecond_is_explained(
    kind: tuple[str, SpeculationConfig | None],
    overlap: OverlapConfig | None,
    stalls: tuple[Stall, ...],
    tries: int,
    falls_back: bool,
) -> None:
    plan = plan_of(*kind)
    if plan.arm.method.gated:
        plan = replace(plan, gate=GateConfig(sure=0.5, after=2, unsure=0.6))
    if kind == KINDS[0]:
        plan = replace(plan, arm=replace(plan.arm, overlap=overlap))
    calm = chosen(run_virtual(plan))
    plan = replace(plan, retry=patient(tries, falls_back=falls_back), stalls=stalls)
    run = run_virtual(plan)
    assert digest(run_virtual(plan, generated_hosts(3))) == digest(run)
    for row in run.tokens:
        assert sum(row.record.stages_ns) == row.record.latency_ns
        assert row.record.stages_ns[-1] == 0
        if not row.record.fallback:
            assert calm[row.device, row.request, row.record.position] == row.record.token
    for _, rows in groupby(run.tokens, lambda row: (row.device, row.request)):
        marks = [row.record.fallback for row in rows]
        assert marks == sorted(marks)  # once alone, alone to the end
    steered = plan.arm.method.steered
    assert bool(alone(run)) <= (steered and falls_back)
    for request in run.requests:
        assert request.failed == request.reason.startswith(STALLED)
        assert not (request.failed and steered and falls_back)
        assert request.failed or len(request.tokens) == plan.max_new_tokens


@pytest.mark.parametrize(("method", "speculation"), KINDS[:2])
@pytest.mark.parametrize("loses", [False, True])
def test_a_stall_that_ends_in_time_changes_no_token(
    method: str, speculation: SpeculationConfig | None, loses: bool
) -> None:
    plan = plan_of(method, speculation)
    stalled = replace(plan, retry=patient(6), stalls=(Stall(90 * MS, 400 * MS, loses),))
    run = run_virtual(stalled)
    assert output_digest(run.tokens) == output_digest(run_virtual(plan).tokens)
    assert sum(row.record.repeats for row in run.tokens) > 0
    assert (run.engine.dropped_frames > 0) == (not loses)  # the repeats of what was held


def test_a_stream_is_waited_for_as_well() -> None:
    plan = replace(plan_of("llm_without"), retry=patient(), stalls=(Stall(0, LONG_NS),))
    run = run_virtual(plan)
    assert [request.failed for request in run.requests] == [True] * 6
    assert all(request.reason.startswith(f"{STALLED}: no answer") for request in run.requests)


def test_without_patience_a_held_frame_is_waited_for() -> None:
    plan = plan_of("costeer")
    run = run_virtual(replace(plan, stalls=(Stall(90 * MS, 10_000 * MS),)))
    assert output_digest(run.tokens) == output_digest(run_virtual(plan).tokens)
    assert run.end_ns > 10_000 * MS


def test_what_a_device_says_alone_is_what_its_small_model_says() -> None:
    hosts = tiny_hosts(1)
    plan = arm_plan("costeer", fleet(vocab_size=96), max_new_tokens=8)
    for speculation in (None, DRAFTS):
        stalled = replace(
            plan, retry=patient(2), stalls=(Stall(150 * MS, LONG_NS),), speculation=speculation
        )
        run = run_virtual(stalled, hosts)
        assert 0 < len(alone(run)) < len(run.tokens)
        small = hosts[1][0].host  # type: ignore[attr-defined]  # in this process
        small.begin_arm(replace(plan.arm, method=method_named("slm_with")))
        for each, request in zip(plan.devices, run.requests, strict=True):
            kept = [
                row.record.token
                for row in run.tokens
                if row.device == each.device and not row.record.fallback
            ]
            prompt = (*each.requests[0].personal, *kept)
            said = _continued(small, request.session, prompt, 8 - len(kept))
            assert [*kept, *said] == list(request.tokens)


def _continued(
    host: ModelEdgeHost, session: int, prompt: tuple[int, ...], tokens: int
) -> list[int]:
    run, start, said = prompt, 0, list[int]()
    for _ in range(tokens):
        forward = EdgeForward(session, (run,), (start,))
        _, choice = host.execute([forward, EdgeChoose(session, len(said))])
        assert isinstance(choice, Choice)
        start += len(run)
        run = (choice.token,)
        said.append(choice.token)
    return said


@pytest.mark.parametrize(("method", "speculation"), KINDS[:2])
def test_a_run_that_is_resumed_goes_through_the_same_stall(
    method: str, speculation: SpeculationConfig | None
) -> None:
    plan = replace(
        plan_of(method, speculation), retry=patient(2), stalls=(Stall(150 * MS, LONG_NS),)
    )
    whole = run_virtual(plan)
    assert alone(whole)
    pieces: tuple[list[TokenRow], list[RequestRow]] = ([], [])

    def commit(tokens: list[TokenRow], requests: list[RequestRow]) -> None:
        pieces[0].extend(tokens)
        pieces[1].extend(requests)

    half = len(whole.tokens) * 2 // 3
    recorder = Recorder(6, commit, piece_tokens=1)
    driver_of(plan, None, recorder).run(lambda: len(recorder.run.tokens) >= half)
    earlier = Earlier(pieces[0], [row for row in pieces[1] if row.reason == "length"])
    again = Recorder(6, lambda *_: None, earlier=earlier)
    cloud, shards = generated_hosts()
    recall = Recall(earlier.tokens)
    hosts: Hosts = (
        RecallingCloud(cloud, recall),
        [RecallingEdge(each, recall) for each in shards],
    )
    resumed = driver_of(plan, hosts if speculation is None else None, again).run()
    assert digest(resumed) == digest(whole)


@given(_stalls, st.integers(0, 2000))
def test_the_stall_that_lasts_longest_is_the_one_that_counts(
    stalls: Sequence[Stall], at_ms: int
) -> None:
    under_way = [each for each in stalls if each.from_ns <= at_ms * MS < each.until_ns]
    found = Stalls(stalls).at(at_ms * MS)
    assert (found is None) == (not under_way)
    if found is not None:
        assert found.until_ns == max(each.until_ns for each in under_way)


@given(st.integers(0, 3), st.integers(0, 1000))
def test_waits_grow_and_each_session_has_its_own(seed: int, session: int) -> None:
    policy = RetryPolicy(1000, 4, backoff=3.0, jitter=0.25)
    waits = policy.patience(seed, session).waits_ns
    for wait, middle in zip(waits, (1000, 3000, 9000, 27000), strict=True):
        assert 0.75 * middle - 1 <= wait <= 1.25 * middle + 1
    assert waits == policy.patience(seed, session).waits_ns
    assert waits != policy.patience(seed, session + 1).waits_ns


# --------------------------------------------------------------------------- the wall's clock


class Deaf(RowCloudHost):
    """A large model that does not come back from an operation until it is let go."""

    def __init__(self, let_go: threading.Event) -> None:
        super().__init__(partial(RowSource, GeneratedConfig(vocab_size=VOCAB)))
        self._let_go = let_go

    def execute(self, ops: Sequence[CloudOp | Release]) -> list[object]:
        self._let_go.wait()
        return super().execute(ops)


@pytest.mark.parametrize(("method", "speculation"), KINDS[:3])
def test_a_live_cloud_that_never_answers_stops_nobody(
    method: str, speculation: SpeculationConfig | None
) -> None:
    let_go = threading.Event()
    plan = plan_of(method, speculation, tokens=4)
    plan = replace(plan, retry=patient(2, timeout_ns=5 * MS))
    ended: list[RequestRow] = []

    def commit(_: list[TokenRow], requests: list[RequestRow]) -> None:
        ended.extend(requests)
        if len(ended) == 6:
            let_go.set()

    cloud = LocalHandle(CloudActor(partial(Deaf, let_go)))
    shards = generated_hosts()[1]
    recorder = Recorder(6, commit, piece_tokens=1, piece_requests=1)
    terms = begin(plan, (cloud, shards))
    run = run_live(plan, terms, [cloud], shards, recorder, lambda _: None)
    assert run.complete
    if method == "costeer":
        assert [row.reason for row in run.requests] == ["length"] * 6
        assert len(alone(run)) == len(run.tokens) == 24
    else:
        assert all(row.reason.startswith(STALLED) and row.failed for row in run.requests)
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("live")]
    assert left == []


def test_a_host_that_does_not_come_back_takes_no_further_arm() -> None:
    let_go = threading.Event()
    actor = CloudActor(partial(Deaf, let_go))
    plan = replace(plan_of("costeer", tokens=3), retry=patient(1, timeout_ns=MS))
    actor.begin_arm(plan.arm)
    shards = generated_hosts()[1]
    terms = begin(plan, (LocalHandle(actor), shards))
    run_live(
        plan,
        terms,
        [Impatient(actor)],
        shards,
        Recorder(6, lambda *_: None),
        lambda _: None,
    )
    with pytest.raises(StalledHostError, match="has not come back"):
        actor.begin_arm(plan.arm)
    let_go.set()


class Impatient(LocalHandle):
    """A handle to a cloud that is not waited for at its end."""

    def call(self, method: str, *args: object) -> object:
        if method == "live_end":
            assert isinstance(self.host, CloudActor)
            return self.host.live_end(0, 0, limit_s=0.0)
        return super().call(method, *args)


def test_a_live_run_stalls_as_its_scenario_says() -> None:
    plan = plan_of("costeer", tokens=4)
    plan = replace(
        plan, retry=patient(2, timeout_ns=5 * MS), stalls=(Stall(0, LONG_NS, loses=True),)
    )
    cloud, shards = null_hosts()
    run = run_live(
        plan,
        begin(plan, (cloud, shards)),
        [cloud],
        shards,
        Recorder(6, lambda *_: None),
        lambda _: None,
    )
    assert len(alone(run)) == len(run.tokens) == 24
    assert run.engine.batches == []
