"""Drafts change how long a text takes, and nothing of the text: real hosts, both drivers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.cloud import CloudActor
from actors.edge import EdgeActor
from actors.models.numerics import Numerics
from actors.plan import ArmPlan
from actors.port import LocalHandle
from actors.values.model_cloud import ModelCloudHost
from actors.values.model_edge import ModelEdgeHost
from actors.values.shadow import DenseShadow
from actors.values.steering_host import Selector, Steerer, unsteered
from costeer.certificate import Choice, decide
from costeer.codec import SparseLogits, build_codec
from costeer.errors import CodecError
from costeer.machine import CloudSelect, EdgeDecode, EdgeSteer, EncodeItem
from costeer.methods import METHODS
from costeer.refinement import Ladder, RefineConfig
from costeer.sampling import Sampling
from costeer.speculation import SpeculationConfig
from experiments.results import digest, output_digest
from tests.actors.books import check_books
from tests.actors.fleets import (
    MS,
    Hosts,
    arm_plan,
    device,
    generated_hosts,
    link,
    null_hosts,
    plans,
    run_virtual,
)
from tests.actors.live_runs import live
from tests.actors.tiny_pair import VOCAB as TINY_VOCAB
from tests.actors.tiny_pair import tiny_folder
from tests.actors.value_sessions import arm

STEERED = [method.name for method in METHODS if method.steered]
WAYS = [
    SpeculationConfig(drafts=3),
    SpeculationConfig(drafts=1, ahead=5),
    SpeculationConfig(drafts=2, draft="generic"),
]
SAMPLINGS = [Sampling(), Sampling(temperature=0.8), Sampling(temperature=1.0, top_p=0.9)]
speculations = st.builds(
    SpeculationConfig, drafts=st.integers(1, 4), ahead=st.sampled_from((0, 1, 4, 9))
)


def tiny_hosts(shadow: DenseShadow | None = None) -> Hosts:
    common: dict[str, Any] = {"vocab_size": TINY_VOCAB, "shadow": shadow}
    numerics = Numerics.BATCH_INVARIANT
    cloud = partial(ModelCloudHost, str(tiny_folder("qwen2", 0)), numerics, **common)
    edge = partial(ModelEdgeHost, str(tiny_folder("qwen2", 1)), numerics, **common)
    return LocalHandle(CloudActor(cloud)), [LocalHandle(EdgeActor(edge))]


def tiny_plan(sampling: Sampling) -> ArmPlan:
    plan = arm_plan(devices=[device(number, where=link(8 * MS)) for number in range(3)])
    within = [
        replace(
            one,
            requests=tuple(
                replace(
                    request,
                    public=tuple(token % TINY_VOCAB for token in request.public),
                    personal=tuple(token % TINY_VOCAB for token in request.personal),
                )
                for request in one.requests
            ),
        )
        for one in plan.devices
    ]
    return arm_plan(devices=within, max_new_tokens=8, codec="top2-bf16-packed", sampling=sampling)


@settings(max_examples=20)
@given(plans(STEERED), speculations)
def test_any_fleet_writes_the_texts_of_step_by_step_decoding(
    plan: ArmPlan, speculation: SpeculationConfig
) -> None:
    # Sessions with drafts are not evicted.
    limits = replace(plan.limits, preempts=False)
    drafting = replace(plan, max_new_tokens=plan.max_new_tokens + 4, limits=limits)
    plain, found = run_virtual(drafting), run_virtual(replace(drafting, speculation=speculation))
    assert output_digest(found.tokens) == output_digest(plain.tokens)
    check_books(drafting, found)
    again = run_virtual(replace(drafting, speculation=speculation), generated_hosts(3))
    assert digest(again) == digest(found)


@pytest.mark.parametrize("speculation", WAYS, ids=lambda way: way.label)
@pytest.mark.parametrize(
    "sampling",
    [Sampling(), Sampling(temperature=0.8), Sampling(temperature=1.0, top_p=0.9)],
    ids=str,
)
def test_models_write_them_too_greedily_and_by_shared_noise(
    speculation: SpeculationConfig, sampling: Sampling
) -> None:
    plan = tiny_plan(sampling)
    plain = run_virtual(plan, tiny_hosts())
    found = run_virtual(replace(plan, speculation=speculation), tiny_hosts())
    assert output_digest(found.tokens) == output_digest(plain.tokens)
    assert found.engine.drafts > found.engine.refuted_drafts > 0
    assert found.engine.wasted_tokens <= found.engine.refuted_drafts
    for request in found.requests:
        records = [row.record for row in found.tokens if row.record.session == request.session]
        assert request.refuted == tuple(token for each in records for token in each.refuted)


@pytest.mark.parametrize("speculation", WAYS, ids=lambda way: way.label)
def test_live_writes_them_too(speculation: SpeculationConfig) -> None:
    plan = arm_plan(devices=[device(number, where=link(MS)) for number in range(3)])
    run = live(replace(plan, speculation=speculation), generated_hosts(1))
    assert run.complete
    assert output_digest(run.tokens) == output_digest(run_virtual(plan).tokens)
    assert all(sum(row.record.stages_ns) == row.record.latency_ns for row in run.tokens)


def test_drafts_that_are_all_right_share_round_trips() -> None:
    plan = arm_plan(devices=[device(0, where=link(100 * MS), hardware="free")], max_new_tokens=21)
    took_ns = {}
    for speculation in (None, SpeculationConfig(drafts=4), SpeculationConfig(drafts=1, ahead=30)):
        run = run_virtual(replace(plan, speculation=speculation), null_hosts(acceptance=1.0))
        took_ns[speculation.label if speculation else "plain"] = run.end_ns
        if speculation is not None:
            assert run.engine.refuted_drafts == 0
    # One exchange opens; 20 tokens are left, in exchanges of one, of five, or in one row of them.
    rtt_ns = 200 * MS
    assert 21 * rtt_ns < took_ns["plain"] < 22.5 * rtt_ns
    assert 5 * rtt_ns < took_ns["4 drafts"] < 5.5 * rtt_ns
    assert 2 * rtt_ns < took_ns["1+30 drafts"] < 3.2 * rtt_ns


def test_a_shadow_sees_every_token_that_was_chosen() -> None:
    shadow = DenseShadow()
    plan = replace(tiny_plan(Sampling()), speculation=SpeculationConfig(drafts=3))
    run = run_virtual(plan, tiny_hosts(shadow))
    dense = {(step.session, step.position): step.dense_token for step in shadow.take()}
    for row in run.tokens:
        assert dense[row.record.session, row.record.position] == row.record.token


@settings(max_examples=60)
@given(st.integers(0, 2**31), st.sampled_from([0.5, 1.8]), st.integers(0, 299))
def test_a_draft_s_logit_proves_nothing_false(seed: int, c: float, draft: int) -> None:
    rng = np.random.default_rng(seed)
    row_V = rng.normal(5.0, 3.0, 300).astype(np.float32)
    delta_V = rng.normal(0.0, 1.0, 300)
    spec = arm(codec="top4-bf16-packed", strength=c)
    cloud, edge = Selector(spec, 300), Steerer(spec, 300)
    codec = build_codec(spec.codec, 300)
    ladder = Ladder(codec.first_k, 300, RefineConfig(growth=2, max_rounds=4))
    rounded_V = codec.rounded(row_V)
    whole = SparseLogits(np.arange(300, dtype=np.int32), rounded_V, -np.inf, 0.0, 300)
    dense = decide(whole, delta_V, c, Sampling())
    proved_by = {}
    for told in (None, draft):
        for round_ in range(5):
            item = EncodeItem(1, 0, *ladder.ranks(round_), None if round_ else told)
            answer = cloud.select(CloudSelect((item,), ()), lambda _, __: row_V)
            logit = answer.draft_logits[0] if answer.draft_logits else None
            sent = None if logit is None else (draft, logit)
            edge.decode(EdgeDecode(1, 0, round_, answer.payloads[0], 0, sent))
            choice = edge.steer(EdgeSteer(1, 0, round_), delta_V)
            assert isinstance(choice, Choice)
            if choice.certified:
                assert choice.token == dense.token
                proved_by[told] = round_
                break
    assert proved_by[draft] <= proved_by[None]


def test_a_logit_out_of_rank_that_would_have_one_is_refused() -> None:
    spec = arm(codec="top4-bf16-packed")
    row_V = np.arange(300, dtype=np.float32)
    steerer = Steerer(spec, 300)
    payload = build_codec(spec.codec, 300).encode(row_V)
    for draft in ((3, 298.5), (300, 1.0)):
        steerer.decode(EdgeDecode(1, 0, 0, payload, 0, draft))
        assert isinstance(steerer.steer(EdgeSteer(1, 0, 0), np.zeros(300)), CodecError)


def test_the_lossy_rule_takes_what_the_large_model_finds_likely_enough() -> None:
    ids_K = np.array([2, 5], np.int32)
    known = SparseLogits(ids_K, np.array([1.0, 3.0], np.float32), 1.0, 3.5, 300)
    base_V = np.zeros(300, np.float32)
    taken = unsteered(known, base_V, 5, 0.1)
    assert taken is not None
    assert (taken.token, taken.certified, taken.final) == (5, False, True)
    assert taken.margin == pytest.approx(-0.5 + np.log(300) - np.log(0.1))
    assert unsteered(known, base_V, 2, np.exp(-2.5) * 300 * 1.01) is None
    assert unsteered(known, base_V, 2, np.exp(-2.5) * 300 * 0.99) is not None
    assert unsteered(known, base_V, 7, 0.1) is None, "a logit that was not sent"


def test_a_rule_that_takes_nothing_is_exact_and_one_that_takes_all_writes_the_drafts() -> None:
    plan = tiny_plan(Sampling())
    exact = output_digest(run_virtual(plan, tiny_hosts()).tokens)
    strict = SpeculationConfig(drafts=3, theta=1e9)
    found = run_virtual(replace(plan, speculation=strict), tiny_hosts())
    assert output_digest(found.tokens) == exact
    easy = SpeculationConfig(drafts=3, theta=1e-9)
    found = run_virtual(replace(plan, speculation=easy), tiny_hosts())
    assert output_digest(found.tokens) != exact
    assert found.engine.refuted_drafts == 0
    assert not all(row.record.certified for row in found.tokens)
