from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.records import ArmRun, ReplicaRun
from actors.run_tables import LATER_COLUMNS
from actors.sink import RunSink
from costeer.errors import ConfigError
from costeer.methods import method_named
from costeer.serving import EngineCounters
from experiments.results import (
    Arm,
    Run,
    arm_of,
    digest,
    frames_of,
    load,
    load_parts,
    output_digest,
    per_request,
    summarise,
)
from tests.experiments.fake_run import METHOD_NAMES, extra_of, make_arm, write_demo, write_run

KEYS = {"method": "costeer", "codec": "top-64", "way": "virtual"}


@pytest.fixture(scope="module")
def arm() -> ArmRun:
    return make_arm(method_named("costeer"), devices=9, tokens=12, censored=1)


def test_digests_ignore_row_order_and_session_numbers(arm: ArmRun) -> None:
    shuffled = ArmRun(list(arm.tokens), list(arm.requests))
    random.Random(1).shuffle(shuffled.tokens)
    random.Random(2).shuffle(shuffled.requests)
    shuffled.requests = [
        dataclasses.replace(row, session=row.session + 100) for row in shuffled.requests
    ]
    assert output_digest(shuffled.tokens) == output_digest(arm.tokens)
    assert digest(shuffled) == digest(arm)


def test_output_digest_sees_tokens_and_digest_sees_times(arm: ArmRun) -> None:
    later = dataclasses.replace(arm.tokens[0], chosen_at_ns=arm.tokens[0].chosen_at_ns + 1)
    moved = ArmRun([later, *arm.tokens[1:]], arm.requests)
    assert output_digest(moved.tokens) == output_digest(arm.tokens)
    assert digest(moved) != digest(arm)
    record = dataclasses.replace(arm.tokens[0].record, token=arm.tokens[0].record.token + 1)
    other = [dataclasses.replace(arm.tokens[0], record=record), *arm.tokens[1:]]
    assert output_digest(other) != output_digest(arm.tokens)


def test_only_simulated_ways_have_a_digest(arm: ArmRun) -> None:
    assert arm_of(0, KEYS, arm).digest == digest(arm)
    assert arm_of(0, KEYS | {"way": "live"}, arm).digest is None


@given(
    waits_ms=st.lists(st.integers(0, 900), min_size=1, max_size=30),
    speed=st.sampled_from([2.0, 5.0, 20.0]),
)
@settings(max_examples=40, deadline=None)
def test_stall_is_what_a_simulated_reader_waits(waits_ms: list[int], speed: float) -> None:
    at = np.cumsum(waits_ms) * 1_000_000
    tokens = pd.DataFrame(
        {"arm": 0, "device": 0, "request": 0, "position": range(len(at)), "chosen_at_ns": at}
    )
    columns = {"arm": 0, "device": 0, "request": 0, "arrival_ns": 0}
    requests = pd.DataFrame([columns | {"failed": False, "censored": False}])
    frames = dataclasses.replace(frames_of([]), tokens=tokens, requests=requests)
    step, free, stall = round(1e9 / speed), 0, 0
    for i, instant in enumerate(at.tolist()):
        stall += max(0, instant - free) if i else 0
        free = max(free, instant) + step
    assert per_request(frames, reading_speed_tokens_per_s=speed)["stall_ns"][0] == stall


def test_summary_agrees_with_the_rows(arm: ArmRun) -> None:
    frames = frames_of([(KEYS, arm, extra_of("costeer", arm))])
    summary = summarise(frames, [arm_of(0, KEYS, arm, {"bytes": "measured"})])
    rows = {row["link_class"]: row for row in summary["arms"]}
    assert set(rows) == {"all", "3g", "lte", "wifi"}
    whole = rows["all"]
    assert (
        whole["tokens"] == len(arm.tokens) == sum(rows[k]["tokens"] for k in ("3g", "lte", "wifi"))
    )
    assert (whole["requests"], whole["requests_censored"], whole["requests_failed"]) == (9, 1, 0)
    assert whole["method"] == "costeer"
    assert whole["origins"] == {"bytes": "measured"}
    assert whole["digest"] == digest(arm)
    assert sum(whole["breakdown_s"].values()) == pytest.approx(
        whole["latency_s"]["mean"], rel=1e-12
    )
    assert sum(whole["itl_breakdown_s"].values()) == pytest.approx(
        whole["itl_s"]["mean"], rel=1e-12
    )
    itl = [row.record.latency_ns / 1e9 for row in arm.tokens if row.record.position]
    assert whole["itl_s"]["p95"] == pytest.approx(np.percentile(itl, 95))
    ttft = [row.record.latency_ns / 1e9 for row in arm.tokens if not row.record.position]
    assert whole["ttft_s"]["mean"] == pytest.approx(np.mean(ttft))
    wire = sum(row.moved.wire_bytes_down for row in arm.requests)
    assert whole["wire_bytes_down_per_token"] == wire / len(arm.tokens)
    served = sum(row.finished_ns - row.arrival_ns for row in arm.requests) / 1e9
    assert whole["tokens_per_second"] == pytest.approx(len(arm.tokens) / served)
    system = [rows[k]["system_tokens_per_second"] for k in ("3g", "lte", "wifi")]
    assert sum(system) == pytest.approx(whole["system_tokens_per_second"])
    rouge = whole["quality"]["rouge_l"]
    assert rouge["n"] == 8
    assert rouge["low"] < rouge["mean"] < rouge["high"]
    json.dumps(summary, allow_nan=False)


def test_censored_requests_have_no_end(arm: ArmRun) -> None:
    felt = per_request(frames_of([(KEYS, arm, None)]))
    cut = felt[felt["censored"]]
    assert cut[["e2e_ns", "tpot_ns", "stall_ns"]].isna().all(axis=None)
    assert cut["ttft_ns"].notna().all()
    assert felt[~felt["censored"]]["e2e_ns"].notna().all()


def test_warmup_cuts_early_requests_with_their_tokens(arm: ArmRun) -> None:
    frames = frames_of([(KEYS, arm, None)])
    arrivals = sorted(row.arrival_ns for row in arm.requests)
    warmup_s = arrivals[4] / 1e9
    summary = summarise(frames, [arm_of(0, KEYS, arm)], warmup_s=warmup_s)
    kept = {row.device for row in arm.requests if row.arrival_ns >= arrivals[4]}
    assert summary["warmup_s"] == warmup_s
    assert summary["arms"][0]["requests"] == len(kept) == 5
    assert summary["arms"][0]["tokens"] == sum(row.device in kept for row in arm.tokens)
    delivered_ns = [row.chosen_at_ns for row in arm.tokens if row.chosen_at_ns >= arrivals[4]]
    assert summary["arms"][0]["delivered_tokens"] == len(delivered_ns)
    makespan_s = (max(delivered_ns) - arrivals[4]) / 1e9
    assert summary["arms"][0]["makespan_s"] == pytest.approx(makespan_s)
    rate = summary["arms"][0]["system_tokens_per_second"]
    assert rate == pytest.approx(len(delivered_ns) / makespan_s)
    by_link = [row["system_tokens_per_second"] for row in summary["arms"][1:]]
    assert sum(by_link) == pytest.approx(rate)


def test_forwards_are_divided_by_the_tokens_that_they_were_for_warm_or_not(arm: ArmRun) -> None:
    frames = frames_of([(KEYS, arm, None)])
    replicas = tuple(ReplicaRun(EngineCounters(forward_ns=each * 10**9)) for each in (3, 5))
    shared = dataclasses.replace(arm_of(0, KEYS, arm), replicas=replicas)
    served = [row.device % 2 for row in arm.tokens]
    frames.tokens["replica"] = frames.tokens["device"] % 2
    frames.requests["replica"] = frames.requests["device"] % 2
    last_s = max(row.arrival_ns for row in arm.requests) / 1e9
    for warmup_s in (0.0, last_s):
        summary = summarise(frames, [shared], warmup_s=warmup_s)
        whole, *_ = summary["arms"]
        assert whole["requests"] == (1 if warmup_s else len(arm.requests))
        assert whole["forward_s_per_token"] == pytest.approx(8 / len(arm.tokens))
        assert [row["forward_s_per_token"] for row in summary["replicas"]] == pytest.approx(
            [3 / served.count(0), 5 / served.count(1)]
        )


def test_an_arm_without_rows_has_no_numbers() -> None:
    summary = summarise(frames_of([]), [Arm(0, KEYS)])
    (row,) = summary["arms"]
    assert row["tokens"] == row["requests"] == 0
    assert (
        row["itl_s"]["p50"] is row["tokens_per_second"] is row["frame_bytes_up_per_token"] is None
    )
    json.dumps(summary, allow_nan=False)


def test_a_run_comes_back_as_it_was_written(tmp_path: Path, arm: ArmRun) -> None:
    write_run(tmp_path / "run", [(KEYS, arm)])
    run = load(tmp_path / "run")
    again = frames_of([(KEYS, arm, extra_of("costeer", arm))])
    assert isinstance(run, Run)
    assert run.complete
    assert run.scenario["way"] == "virtual"
    order = ["arm", "device", "request", "position"]
    ours = run.tokens.sort_values(order, ignore_index=True)
    pd.testing.assert_frame_equal(ours, again.tokens, check_dtype=False)
    recomputed = summarise(run.frames, [arm_of(0, KEYS, arm)])["arms"][0]
    assert recomputed["itl_s"] == run.arms[0]["itl_s"]
    assert recomputed["quality"] == run.arms[0]["quality"]


def test_a_killed_run_is_still_read(tmp_path: Path, arm: ArmRun) -> None:
    sink = RunSink(tmp_path / "run", "seed: 7\n", {})
    sink.write(0, KEYS, arm.tokens[:40], [])
    sink.write(0, KEYS, arm.tokens[40:60], arm.requests[:3])
    run = load(tmp_path / "run")
    assert not run.complete
    assert len(run.tokens) == 60
    assert len(run.requests) == 3
    assert run.arms[0]["method"] == "costeer"
    assert run.arms[0]["tokens"] == 60
    assert run.arms[0]["complete"] is False


@pytest.mark.parametrize("rows", ["none", "tokens", "requests"])
def test_a_run_killed_early_is_still_read(tmp_path: Path, arm: ArmRun, rows: str) -> None:
    sink = RunSink(tmp_path / "run", "", {})
    tokens = arm.tokens[:7] if rows == "tokens" else []
    requests = arm.requests[:2] if rows == "requests" else []
    sink.write(0, KEYS, tokens, requests)
    run = load(tmp_path / "run")
    assert (len(run.tokens), len(run.requests)) == (len(tokens), len(requests))
    assert [row["tokens"] for row in run.arms[:1]] == [7 if rows == "tokens" else 0][
        : len(run.arms)
    ]


def test_a_killed_run_of_an_earlier_version_is_still_read(tmp_path: Path, arm: ArmRun) -> None:
    sink = RunSink(tmp_path / "run", "", {})
    sink.write(0, KEYS, arm.tokens, arm.requests)
    for name in ("tokens", "requests"):
        file = tmp_path / "run" / "pieces" / "000000" / f"{name}.parquet"
        table = pq.ParquetFile(file).read()
        pq.write_table(table.drop([c for c in table.column_names if c in LATER_COLUMNS]), file)
    manifest = tmp_path / "run" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"schema_version": 2}))
    row = load(tmp_path / "run").arms[0]
    assert (row["tokens"], row["fallback_tokens"]) == (len(arm.tokens), 0)


def test_parts_come_in_the_order_of_the_demo(tmp_path: Path) -> None:
    write_demo(tmp_path, devices=6)
    parts = load_parts(tmp_path)
    assert list(parts) == ["methods", "full-vocabulary", "live", "virtual-prediction"]
    assert [row["method"] for row in parts["methods"].arms if row["link_class"] == "all"] == list(
        METHOD_NAMES
    )
    assert parts["live"].summary["digest"] is None
    assert parts["live"].arms[0]["lateness_s"]["p50"] > 0


def test_what_is_no_run_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no manifest\.json there; give a directory") as error:
        load_parts(tmp_path)
    assert "\n" not in str(error.value)
    (tmp_path / "manifest.json").write_text('{"schema_version": 99}')
    with pytest.raises(ConfigError, match="schema version 99, this program reads 1"):
        load(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ConfigError, match="not valid JSON"):
        load(tmp_path)
