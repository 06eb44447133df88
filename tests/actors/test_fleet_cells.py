"""What a cell comes to is what its rows add up to, whoever is counted and however it is cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import actors.fleet.cells
from actors.fleet.cells import CellRun, run_cell
from actors.fleet.histogram import Histogram
from actors.fleet.names import CLASS_FIGURES, HISTOGRAMS
from actors.fleet.outcomes import Outcomes
from actors.fleet.planned import cell_of
from actors.fleet.result import CellResult
from actors.fleet.watching import Watch
from actors.plan import ArmPlan
from actors.records import ArmRun, RequestRow, TokenRow
from actors.run_tables import METER_COLUMNS
from costeer.token_record import STAGES
from netsim.spread import SPREADS
from tests.actors.compiled_fleets import (
    as_python,
    fleets,
    neighbours,
    run_and_outcomes,
    run_fleet,
)
from tests.actors.fleets import MS, arm_plan, begin, costs_of, device, generated_hosts, link

READING_NS = 40 * MS
WATCH = Watch(bin_ns=MS, bins=8, reading_speed_tokens_per_s=1e9 / READING_NS)


def run(
    plan: ArmPlan, outcomes: Outcomes, *, watch: Watch = WATCH, warmup_ns: int = 0
) -> CellResult:
    terms = begin(plan, generated_hosts())
    cell = replace(cell_of(plan), warmup_ns=warmup_ns)
    bare = replace(plan, devices=())
    return run_cell(cell, bare, terms, costs_of(terms), outcomes, watch=watch, compiler=as_python)


def class_of(plan: ArmPlan) -> dict[int, int]:
    return dict(
        zip((each.device for each in plan.devices), cell_of(plan).class_D.tolist(), strict=True)
    )


Check = Callable[[str, Sequence[int]], None]


def check_sums(
    check: Callable[[str, int], None], tokens: list[TokenRow], requests: list[RequestRow]
) -> None:
    records = [token.record for token in tokens]
    check("tokens", len(tokens))
    check("certified", sum(record.certified for record in records))
    check("refined", sum(record.rounds > 0 for record in records))
    check("rounds", sum(record.rounds for record in records))
    check("busy_edge_ns", sum(record.busy_edge_ns for record in records))
    check("drafted", sum(record.drafted for record in records))
    check("corrected", sum(bool(record.refuted) for record in records))
    check("refuted_drafts", sum(len(record.refuted) for record in records))
    check("unsent_drafts", sum(record.unsent for record in records))
    for name in METER_COLUMNS:
        check(name, sum(getattr(request.moved, name) for request in requests))
    for index, stage in enumerate(STAGES):
        first = (record.stages_ns[index] for record in records if record.position == 0)
        check(f"first_{stage}_ns", sum(first))
    ended = [request for request in requests if request.reason != "censored"]
    check("arrived", len(requests))
    check("finished", len(ended))
    check("failed", sum(request.failed for request in ended))
    check("censored", len(requests) - len(ended))


def check_histograms(check: Check, tokens: list[TokenRow], requests: list[RequestRow]) -> None:
    records = [token.record for token in tokens]
    check("latency", [record.latency_ns for record in records])
    check("itl", [record.latency_ns for record in records if record.position])
    check("ttft", [record.latency_ns for record in records if record.position == 0])
    for index, stage in enumerate(STAGES):
        check(stage, [record.stages_ns[index] for record in records])
    chosen: dict[tuple[int, int], list[int]] = {}
    for token in tokens:
        chosen.setdefault((token.device, token.request), []).append(token.chosen_at_ns)
    whole = [each for each in requests if each.reason != "censored" and not each.failed]
    times = [(request, chosen[request.device, request.request]) for request in whole]
    check("e2e", [at_ns[-1] - request.arrival_ns for request, at_ns in times])
    several = [at_ns for _, at_ns in times if len(at_ns) > 1]
    check("tpot", [(at_ns[-1] - at_ns[0]) // (len(at_ns) - 1) for at_ns in several])
    check("stall", [_stall_ns(at_ns) for _, at_ns in times])


def _stall_ns(chosen_ns: list[int]) -> int:
    """How long somebody stands waiting who reads token after token, as soon as it is there."""
    waited_ns, read_ns = 0, chosen_ns[0]
    for at_ns in chosen_ns[1:]:
        read_ns += READING_NS
        if at_ns > read_ns:
            waited_ns += at_ns - read_ns
            read_ns = at_ns
    return waited_ns


@settings(max_examples=40, deadline=None)
@given(
    st.one_of(fleets(), neighbours()),
    st.integers(1, 110),
    st.integers(0, 60),
    st.sampled_from((0, 10**6)),
)
def test_a_result_is_what_the_rows_add_up_to(
    plan: ArmPlan, percent: int, warmup_percent: int, max_waiting: int
) -> None:
    whole, outcomes = run_and_outcomes(plan)
    plan = replace(
        plan,
        until_ns=max(1, whole.end_ns * percent // 100),
        limits=replace(plan.limits, max_waiting=max_waiting),
    )
    check_result(plan, outcomes, whole.end_ns * warmup_percent // 100)


def check_result(plan: ArmPlan, outcomes: Outcomes, warmup_ns: int) -> None:
    """Run a fleet with its rows and without; what the rows add up to is the result."""
    rows = run_fleet(plan, outcomes)
    result = run(plan, outcomes, warmup_ns=warmup_ns)
    kinds = class_of(plan)
    for kind in range(max(kinds.values()) + 1):
        requests = [
            each
            for each in rows.requests
            if kinds[each.device] == kind and each.arrival_ns >= warmup_ns
        ]
        mine = {(each.device, each.request) for each in requests}
        tokens = [each for each in rows.tokens if (each.device, each.request) in mine]

        def same_sum(name: str, value: int, kind: int = kind) -> None:
            assert result.figure(name, kind) == value, name

        def same_values(name: str, values: Sequence[int], kind: int = kind) -> None:
            told, found = Histogram.of(values), result.histogram(name, kind)
            assert np.array_equal(found.counts_B, told.counts_B), name
            assert (found.total, found.least, found.most) == (told.total, told.least, told.most)

        delivered_ns = [
            each.chosen_at_ns
            for each in rows.tokens
            if kinds[each.device] == kind and each.chosen_at_ns >= warmup_ns
        ]
        same_sum("delivered", len(delivered_ns))
        check_sums(same_sum, tokens, requests)
        check_histograms(same_values, tokens, requests)
        assert result.last_token_ns_C[kind] == max(delivered_ns, default=0)
    last = {each.device: len(each.requests) - 1 for each in plan.devices}
    done = sum(each.request == last[each.device] for each in rows.requests)
    assert result.devices_done == done + list(last.values()).count(-1)
    check_cloud(result, rows)


def check_cloud(result: CellResult, rows: ArmRun) -> None:
    counted = rows.engine
    assert result.end_ns == rows.end_ns
    assert result.tokens == len(rows.tokens)
    assert result.cloud("forwards") == result.batches.count == len(counted.batches)
    assert result.cloud("rows") == result.batches.total == sum(counted.batches)
    assert result.cloud("forward_ns") == counted.forward_ns
    assert result.cloud("select_ns") == counted.select_ns
    assert result.cloud("waited_sessions") == counted.waited_sessions
    assert result.cloud("refused_sessions") == counted.refused_sessions
    assert result.cloud("egress_busy_ns") == rows.egress_busy_ns
    assert result.peak("kv_tokens") == counted.peak_kv_tokens
    series = result.series
    for name in ("forwards", "rows", "egress_busy_ns", "egress_bytes"):
        assert series.figure(name).sum() == result.cloud(name)
    for name, figure in (("tokens", "delivered"), ("arrived", "arrived"), ("finished", "finished")):
        assert series.figure(name).sum() <= result.figure(figure)
    assert len(series.sums_NK) <= WATCH.bins


@settings(max_examples=25, deadline=None)
@given(fleets(), st.integers(1, 7), st.integers(1, 4))
def test_neither_pieces_nor_sampling_change_a_result(
    plan: ArmPlan, events: int, every: int
) -> None:
    whole, outcomes = run_and_outcomes(plan)
    plan = replace(plan, until_ns=max(1, whole.end_ns * 9 // 10))
    at_once = run(plan, outcomes)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(actors.fleet.cells, "PIECE_EVENTS", events)
        in_pieces = run(plan, outcomes, watch=replace(WATCH, sample_every=every))
    assert in_pieces.digest == at_once.digest
    assert in_pieces.output_digest == at_once.output_digest
    assert np.array_equal(in_pieces.counts_CHB, at_once.counts_CHB)
    assert np.array_equal(in_pieces.series.sums_NK, at_once.series.sums_NK)
    rows = run_fleet(plan, outcomes)
    sampled = {each.device for each in plan.devices[::every]}
    assert len(in_pieces.sample.tokens) == sum(each.device in sampled for each in rows.tokens)
    assert len(in_pieces.sample.requests) == sum(each.device in sampled for each in rows.requests)
    assert len(at_once.sample.tokens) == 0


def test_a_digest_tells_what_was_said_and_when() -> None:
    plan = arm_plan()
    _, outcomes = run_and_outcomes(plan)
    result = run(plan, outcomes)
    other = run(plan, replace(outcomes, token_R=outcomes.token_R + 1))
    slower = [replace(each, link=link()) for each in plan.devices]
    later = run(replace(plan, devices=tuple(slower)), outcomes)
    assert run(plan, outcomes).digest == result.digest
    assert other.output_digest != result.output_digest
    assert later.output_digest == result.output_digest
    assert later.digest_word != result.digest_word


def test_requests_that_wait_at_the_end_are_the_backlog() -> None:
    times_ns = tuple(range(0, 200 * MS, 10 * MS))
    plan = arm_plan(devices=[device(0, arrivals_ns=times_ns), device(1, arrivals_ns=(0,))])
    _, outcomes = run_and_outcomes(plan)
    result = run(replace(plan, until_ns=100 * MS), outcomes)
    rows = run_fleet(replace(plan, until_ns=100 * MS), outcomes)
    waiting = [each for each in rows.requests if each.moved.frame_bytes_up == 0]
    assert result.cloud("backlog") == len(waiting) > 0
    assert result.figure("arrived") == 12
    assert not result.complete


def large_plan(devices: int, **kinds: Any) -> CellRun:
    """A cell of alike users over links that differ, in arrays."""
    plan = arm_plan(devices=[device(0)], codec="top8-bf16-packed")
    terms = begin(plan, generated_hosts())
    cell = cell_of(plan)
    spread = replace(cell.classes[0].link, spread=SPREADS["lte"])
    many: Any = {
        name: np.full(devices, getattr(cell, name)[0])
        for name in ("class_D", "radio_D", "due_ns_S", *_SIZES)
    }
    many["due_ns_S"] = np.arange(devices)
    names = type(cell.figures).__slots__
    figures = {name: np.full(devices, getattr(cell.figures, name)[0]) for name in names}
    cell = replace(
        cell,
        classes=(replace(cell.classes[0], link=spread),),
        device_D=np.arange(devices),
        figures=type(cell.figures)(**figures),
        first_session_D1=np.arange(devices + 1),
        **many,
        **kinds,
    )
    outcomes = Outcomes.of_sessions([[]])
    outcomes = replace(outcomes, first_rows=np.zeros(1, np.int64), lengths=np.full(1, 5, np.int64))
    return CellRun(cell, replace(plan, devices=()), terms, costs_of(terms), outcomes)


_SIZES = ("public_S", "personal_S", "public_bytes_S", "personal_bytes_S", "new_tokens_S")


def test_a_device_takes_250_bytes() -> None:
    assert large_plan(200_000).bytes_per_device < 250


def test_histograms_and_figures_have_names_of_their_own() -> None:
    assert len(set(HISTOGRAMS)) == len(HISTOGRAMS)
    assert len(set(CLASS_FIGURES)) == len(CLASS_FIGURES)
