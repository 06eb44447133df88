"""Drafts for a text that nobody steers, made by cloud or device: always the same text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.cloud import CloudActor
from actors.costs import Costs
from actors.models.numerics import Numerics
from actors.models.options import HostOptions
from actors.plan import ArmPlan, codec_terms
from actors.port import LocalHandle, here
from actors.records import ArmRun
from actors.values.beside import Beside, BesideSpec
from actors.values.model_cloud import ModelCloudHost
from costeer.lookup import CloudDraftsConfig, looked_up
from costeer.methods import method_named
from costeer.proposal import CloudDraft, DraftItem
from costeer.sampling import Sampling
from costeer.speculation import SpeculationConfig
from experiments.results import digest, output_digest
from netsim.hardware import Fixed
from tests.actors.books import check_books
from tests.actors.fleets import MS, Hosts, arm_plan, device, generated_hosts, link, null_hosts
from tests.actors.fleets import run_virtual as run
from tests.actors.live_runs import live
from tests.actors.test_speculation import tiny_hosts, tiny_plan
from tests.actors.tiny_pair import VOCAB as TINY_VOCAB
from tests.actors.tiny_pair import tiny_folder

DRAFTS = SpeculationConfig(drafts=3, draft="generic")


def under(plan: ArmPlan, method: str) -> ArmPlan:
    """The same fleet under another method."""
    return replace(plan, arm=replace(plan.arm, method=method_named(method)))


def company(plan: ArmPlan) -> list[ArmPlan]:
    return [
        replace(under(plan, "llm_without"), cloud_drafts=CloudDraftsConfig(drafts=3)),
        replace(under(plan, "token_speculation"), speculation=DRAFTS),
        replace(
            under(plan, "token_speculation"),
            speculation=SpeculationConfig(drafts="adaptive", draft="generic"),
        ),
    ]


def three_devices() -> ArmPlan:
    devices = [device(number, where=link(MS)) for number in range(3)]
    return arm_plan("llm_without", devices=devices, max_new_tokens=12)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.8)], ids=str)
def test_models_stream_the_same_text_whoever_drafts(sampling: Sampling) -> None:
    plan = under(tiny_plan(sampling), "llm_without")
    wanted = output_digest(run(plan, tiny_hosts()).tokens)
    for drafting in company(plan):
        found = run(drafting, tiny_hosts())
        assert output_digest(found.tokens) == wanted
        assert found.engine.drafts > 0


def hosts_beside(small: int) -> Hosts:
    """A tiny pair whose cloud has the small model of this number as well; 0 is the large one."""
    large = str(tiny_folder("qwen2", 0))
    beside = BesideSpec(here(str(tiny_folder("qwen2", small))), HostOptions())
    cloud = partial(
        ModelCloudHost, large, Numerics.BATCH_INVARIANT, vocab_size=TINY_VOCAB, beside=beside
    )
    return LocalHandle(CloudActor(cloud)), tiny_hosts()[1]


def beside_plan(sampling: Sampling) -> ArmPlan:
    plan = under(tiny_plan(sampling), "llm_without")
    drafts = CloudDraftsConfig(kind="model", drafts=3)
    return replace(plan, arm=replace(plan.arm, beside=True), cloud_drafts=drafts)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.8)], ids=str)
def test_a_small_model_beside_the_large_one_changes_no_token(sampling: Sampling) -> None:
    plan = beside_plan(sampling)
    plain = run(replace(plan, cloud_drafts=None), hosts_beside(0))
    found = {small: run(plan, hosts_beside(small)) for small in (0, 1)}
    for each in found.values():
        assert output_digest(each.tokens) == output_digest(plain.tokens)
        assert each.engine.drafts > 0
    # Its own double foresees all that it will choose, by the same noise; another model does not.
    assert found[0].engine.refuted_drafts == 0
    assert found[1].engine.refuted_drafts > 0
    assert len(found[0].engine.batches) < len(plain.engine.batches)


def test_live_streams_with_a_small_model_too() -> None:
    plan = beside_plan(Sampling())
    found = live(plan, hosts_beside(0))
    assert found.complete
    assert found.engine.refuted_drafts == 0
    assert output_digest(found.tokens) == output_digest(run(plan, hosts_beside(0)).tokens)


def test_what_is_proposed_does_not_hang_on_what_was_read_before() -> None:
    def drafter() -> Beside:
        spec = BesideSpec(here(str(tiny_folder("qwen2", 1))), HostOptions())
        made = Beside(spec, Numerics.BATCH_INVARIANT, TINY_VOCAB)
        made.begin_arm(beside_plan(Sampling()).arm)
        return made

    text: tuple[int, ...] = (5, 9, 2, 7)
    kept, read = drafter(), 0
    for following in (3, 8, 1):
        item = DraftItem(1, len(text) - 4, text, 3, read)
        (proposed,) = kept.propose((item,))
        assert len(proposed) == item.count
        # One that was made anew, and has read nothing, proposes the same.
        assert drafter().propose((item,)) == (proposed,)
        # The first draft is right, the second is not.
        text, read = (*text, proposed[0], following), len(text) + 1


@pytest.mark.parametrize("make", [generated_hosts, null_hosts])
def test_drafts_that_are_right_save_forwards(make: Callable[..., Hosts]) -> None:
    plan = three_devices()
    plain = run(plan, make())
    for drafting in company(plan):
        found = run(drafting, make())
        check_books(drafting, found)
        assert output_digest(found.tokens) == output_digest(plain.tokens)
        # Who learns begins pipelined, at the cost of forwards in vain.
        learns = drafting.speculation is not None and drafting.speculation.drafts == "adaptive"
        assert learns or len(found.engine.batches) < len(plain.engine.batches)
        assert digest(run(drafting, make(3))) == digest(found)


def test_the_cloud_counts_what_became_of_its_drafts() -> None:
    found = run(company(three_devices())[0], null_hosts(acceptance=1.0))
    engine = found.engine
    assert engine.refuted_drafts == engine.wrong_drafts == 0
    assert engine.right_drafts == engine.drafts > 0
    wrong = run(company(three_devices())[0], null_hosts(acceptance=0.0)).engine
    assert wrong.right_drafts == 0
    assert wrong.refuted_drafts == wrong.drafts >= wrong.wrong_drafts > 0


def test_no_logits_come_down_and_nothing_private_goes_up() -> None:
    plan = company(three_devices())[1]
    found = run(plan, generated_hosts())

    def moved(of: ArmRun) -> list[tuple[int, int]]:
        return [(row.moved.payload_bytes_down, row.moved.frame_bytes_up) for row in of.tokens]

    assert all(down == 0 for down, _ in moved(found))
    elsewhere = replace(
        plan,
        devices=tuple(
            replace(
                one,
                requests=tuple(
                    replace(request, personal=request.public) for request in one.requests
                ),
            )
            for one in plan.devices
        ),
    )
    assert moved(run(elsewhere, generated_hosts())) == moved(found)


@pytest.mark.parametrize("which", [0, 1])
def test_live_streams_it_too(which: int) -> None:
    plan = three_devices()
    found = live(company(plan)[which], generated_hosts(1))
    assert found.complete
    assert output_digest(found.tokens) == output_digest(run(plan).tokens)


def test_what_the_cloud_drafts_costs_what_it_is_said_to() -> None:
    terms = codec_terms(three_devices(), 400)
    items = (DraftItem(1, 0, (1, 2, 3, 4), 3, read=1), DraftItem(2, 0, (1,), 2))
    assert Costs(Fixed(), {}, terms.ladder).cloud_ns(CloudDraft(items)) == 0
    small = Fixed(forward=100, forward_per_row=10, forward_per_token=1, choose=1000)
    # Three tokens of one text and one of the other; then a draft of each; then one of the first.
    taken = (100 + 20 + 4 + 2000) + (100 + 20 + 2 + 2000) + (100 + 10 + 1 + 1000)
    beside = Costs(Fixed(), {}, terms.ladder, beside=small)
    assert beside.cloud_ns(CloudDraft(items)) == taken


def test_the_longest_end_that_occurred_before_is_followed() -> None:
    text = (1, 2, 3, 4, 9, 2, 3, 7, 1, 2, 3)
    assert looked_up(text, 2) == (4, 9)
    assert looked_up((5, 3, 8, 6, 3), 4) == (8, 6, 3)
    assert looked_up((3, 1, 3, 2, 3), 1) == (2,)
    assert looked_up((1, 2, 3), 4) == ()
    assert looked_up((), 4) == ()


@given(st.lists(st.integers(0, 4), max_size=30), st.integers(1, 6))
def test_what_is_looked_up_stands_in_the_text(tokens: list[int], count: int) -> None:
    found = looked_up(tokens, count)
    assert len(found) <= count
    places = range(len(tokens) - len(found) + 1)
    assert any(tuple(tokens[at : at + len(found)]) == found for at in places)
