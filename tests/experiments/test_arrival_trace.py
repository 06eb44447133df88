"""Arrival traces in both public formats: what is read, how it is dealt out, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from costeer.errors import ConfigError
from experiments.planning import plan_cell, plan_workload
from experiments.planning.arrival_trace import read_trace
from experiments.scenario import Scenario, TraceArrivals, load_scenario
from tests.actors.profiles import written
from tests.experiments.small_runs import digests, run, scenario

AZURE = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:51.2224670,879,55
2023-11-16 18:15:51,91,16
"""
MOONCAKE = """\
{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, 2353]}
{"timestamp": 30535, "input_length": 6472, "output_length": 26, "hash_ids": [46, 47, 2366]}

{"timestamp": 30535.5, "input_length": 17, "output_length": 1}
"""


def trace(folder: Path, text: str, form: str, **changes: Any) -> TraceArrivals:
    path = folder / f"trace.{form}"
    path.write_text(text, encoding="utf-8")
    return TraceArrivals.model_validate({"path": str(path), "format": form, **changes})


def test_an_azure_trace(tmp_path: Path) -> None:
    read = read_trace(trace(tmp_path, AZURE, "azure"))
    # In order of time; the last row has no fraction and came before the one above it.
    assert read.at_ns_N.tolist() == [0, 4_314_579_000, 4_319_410_000, 4_541_877_000]
    assert read.prompt_N.tolist() == [374, 396, 91, 879]
    assert read.answer_N.tolist() == [44, 109, 16, 55]


def test_ticks_of_a_hundred_ns_time_zones_and_further_columns(tmp_path: Path) -> None:
    text = (
        "Model, TIMESTAMP ,GeneratedTokens,ContextTokens\r\n"
        "m,2024-05-10 00:00:00.0000001+00:00,2,3\r\n"
        "m,2024-05-10T01:00:00.0000003+01:00,4,5\r\n"
    )
    read = read_trace(trace(tmp_path, text, "azure"))
    assert read.at_ns_N.tolist() == [0, 200]
    assert (read.prompt_N.tolist(), read.answer_N.tolist()) == ([3, 5], [2, 4])


def test_a_mooncake_trace(tmp_path: Path) -> None:
    read = read_trace(trace(tmp_path, MOONCAKE, "mooncake"))
    assert read.at_ns_N.tolist() == [0, 3_053_000_000, 3_053_500_000]
    assert read.prompt_N.tolist() == [6955, 6472, 17]
    assert read.answer_N.tolist() == [52, 26, 1]


def test_speed_and_limit(tmp_path: Path) -> None:
    fast = read_trace(trace(tmp_path, MOONCAKE, "mooncake", speed=2, limit=2))
    assert fast.at_ns_N.tolist() == [0, 1_526_500_000]


@pytest.mark.parametrize(
    ("form", "text", "said"),
    [
        ("azure", "", ":1: no column TIMESTAMP"),
        ("azure", "TIMESTAMP,ContextTokens\n", ":1: no column GeneratedTokens"),
        ("azure", AZURE.splitlines()[0], "holds no requests"),
        ("azure", AZURE + "2023-11-16 18:15:52,12\n", ":6: 2 values for 3 columns"),
        ("azure", AZURE + "yesterday,12,1\n", ":6: TIMESTAMP: 'yesterday' is no date"),
        ("azure", AZURE + "2023-11-16 18:15:52,12.5,1\n", ":6: ContextTokens: '12.5' is no number"),
        ("azure", AZURE + "2023-11-16 18:15:52,12,0\n", ":6: GeneratedTokens: 0 tokens; from 1"),
        ("mooncake", MOONCAKE + "{\n", ":5: not JSON"),
        ("mooncake", "[1]\n", ":1: is no JSON object"),
        ("mooncake", '{"timestamp": 1, "input_length": 5}\n', ":1: has no output_length"),
        (
            "mooncake",
            '{"timestamp": -1, "input_length": 5, "output_length": 1}\n',
            ":1: timestamp: -1 is no time",
        ),
        (
            "mooncake",
            '{"timestamp": NaN, "input_length": 5, "output_length": 1}\n',
            ":1: timestamp: nan is no time",
        ),
        (
            "mooncake",
            '{"timestamp": 1, "input_length": true, "output_length": 1}\n',
            ":1: input_length: True is no number of tokens",
        ),
    ],
)
def test_a_bad_row_is_named_with_file_and_line(
    tmp_path: Path, form: str, text: str, said: str
) -> None:
    arrivals = trace(tmp_path, text, form)
    with pytest.raises(ConfigError) as caught:
        read_trace(arrivals)
    assert said in str(caught.value)
    assert str(caught.value).startswith(arrivals.path)


def traced(tmp_path: Path, way: str = "virtual", **changes: Any) -> Scenario:
    arrivals = trace(tmp_path, AZURE, "azure", speed=4).model_dump()
    fleet = scenario().fleet.model_dump(mode="json") | {"devices": 3, "arrivals": arrivals}
    given = {"values": "null", "workload": {"max_new_tokens": 50}, "way": way, "fleet": fleet}
    return scenario(**(given | changes))


def test_requests_are_dealt_out_in_turn(tmp_path: Path) -> None:
    plan = plan_workload(traced(tmp_path))
    asked = [
        [(len(one.public), len(one.personal), one.limit) for one in device.requests]
        for device in plan.devices
    ]
    # The private context in front has 11 tokens; an answer of 109 is cut at 50.
    assert asked == [
        [(374, 385, 44), (879, 890, None)],
        [(396, 407, None)],
        [(91, 102, 16)],
    ]
    assert plan.devices[0].arrivals_ns == (0, 1_135_469_250)
    assert plan.max_context == 879 + 11 + 50


def test_a_cell_plans_what_the_other_ways_plan(tmp_path: Path) -> None:
    given = traced(tmp_path, "fleet")
    cell, plan = plan_cell(given, 0), plan_workload(given)
    requests = [one for device in plan.devices for one in device.requests]
    assert cell.opened
    assert cell.public_S.tolist() == [len(one.public) for one in requests]
    assert cell.new_tokens_S.tolist() == [one.limit or 50 for one in requests]
    assert cell.due_ns_S.tolist() == [
        at for device in plan.devices for at in device.arrivals_ns or ()
    ]


def test_answers_are_as_long_as_the_trace_says_in_both_ways(tmp_path: Path) -> None:
    outcomes = [run(traced(tmp_path, way), tmp_path / way) for way in ("virtual", "fleet")]
    assert digests(outcomes[0]) == digests(outcomes[1])
    tokens = {arm["tokens"] for arm in outcomes[0].summary["arms"] if arm["link_class"] == "all"}
    assert tokens == {44 + 50 + 50 + 16}


def test_a_profile_at_a_trace_s_lengths_reads_on(tmp_path: Path) -> None:
    arm = {"method": "costeer", "codec": "top8-bf16-packed"}
    profile = written(tmp_path / "p.parquet", arms=(arm,), vocab_size=200)
    outcomes = [
        run(
            traced(
                tmp_path,
                way,
                values="profile",
                profile={"path": str(profile)},
                arms=[arm],
            ),
            tmp_path / way,
        )
        for way in ("virtual", "fleet")
    ]
    assert digests(outcomes[0]) == digests(outcomes[1])
    assert outcomes[0].summary["arms"][0]["tokens"] == 44 + 50 + 50 + 16


def test_more_devices_than_requests_stay_silent(tmp_path: Path) -> None:
    fleet = traced(tmp_path).fleet.model_dump(mode="json") | {"devices": 9}
    plan = plan_workload(traced(tmp_path, fleet=fleet))
    assert [len(device.requests) for device in plan.devices] == [1] * 4 + [0] * 5
    times = np.array([device.arrivals_ns[0] for device in plan.devices[:4] if device.arrivals_ns])
    assert (np.diff(times) >= 0).all()


def test_what_a_scenario_cannot_ask_of_a_trace(tmp_path: Path) -> None:
    path = trace(tmp_path, AZURE, "azure").path
    arrivals = f"fleet.arrivals={{kind: trace, format: azure, path: {path}}}"
    with pytest.raises(ConfigError, match="lengths: false"):
        load_scenario("tiny", [arrivals])
    load_scenario("tiny", [arrivals, "fleet.arrivals.lengths=false"])
    with pytest.raises(ConfigError, match="there is no nowhere"):
        load_scenario("tiny", [arrivals, "values=null", "fleet.arrivals.path=nowhere"])
    with pytest.raises(ConfigError, match="the trace says how long"):
        load_scenario(
            "tiny", [arrivals, "values=null", "workload.lengths.answer={kind: fixed, tokens: 3}"]
        )
