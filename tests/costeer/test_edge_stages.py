"""Where a token's time went, as the device's half of a session tells it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costeer.critical_path import critical_path
from costeer.machine import (
    CloudTrace,
    EdgeChoose,
    EdgeDecode,
    EdgeForward,
    EdgeSteer,
    Start,
)
from costeer.messages import (
    FrameKind,
    encode_token,
)
from costeer.session import SessionSpec
from costeer.token_record import STAGES
from tests.costeer.edge_bench import (
    LOCAL,
    STREAMED,
    SURE,
    UNSURE,
    Bench,
    only,
    records,
)


def test_each_nanosecond_of_a_steered_token_is_in_its_stage() -> None:
    bench = Bench()
    bench.now_ns += 100  # uplink 30, queue 20, compute 40, select 6, downlink 4
    decode = only(bench.frame(FrameKind.LOGITS, trace=CloudTrace(30, 20, 40, 6)), EdgeDecode)
    bench.now_ns += 5
    assert bench.done(decode) == []
    bench.now_ns += 7
    steer = only(bench.done(bench.forward(), duration_ns=112), EdgeSteer)
    bench.now_ns += 3
    assert len(bench.done(steer, UNSURE)) == 1
    bench.now_ns += 50
    steer = only(bench.done(only(bench.frame(FrameKind.LOGITS, 0, 1), EdgeDecode)), EdgeSteer)
    bench.now_ns += 2
    (record,) = records(bench.done(steer, SURE))
    assert dict(zip(STAGES, record.stages_ns, strict=True)) == {
        "device_queue": 0,
        "draft": 0,
        "uplink": 30,
        "cloud_queue": 20,
        "cloud_compute": 40,
        "select_encode": 6,
        "downlink": 4,
        "decode": 5,
        "edge_wait": 7,
        "steer": 3,
        "refinement": 52,
        "overhead": 0,
    }
    assert record.latency_ns == sum(record.stages_ns) == 167
    assert record.busy_edge_ns == 105


@pytest.mark.parametrize("spec", [STREAMED, LOCAL], ids=["streamed", "local"])
def test_the_wait_behind_an_earlier_request_counts_from_the_intended_arrival(
    spec: SessionSpec,
) -> None:
    bench = Bench(spec, start=False)
    commands = bench.machine.handle(Start(intended_ns=900), 1000)
    bench.now_ns += 30
    if spec is LOCAL:
        commands = bench.done(only(commands, EdgeForward), duration_ns=30)
        commands = bench.done(only(commands, EdgeChoose), SURE)
    else:
        trace = CloudTrace(10, 1, 10, 5)
        commands = bench.frame(FrameKind.STREAM, 0, 0, encode_token(9), trace=trace)
    (record,) = records(commands)
    assert record.latency_ns == 130
    assert record.stages_ns[STAGES.index("device_queue")] == 100
    assert record.stages_ns[-1] == 0


def test_an_arrival_cannot_lie_in_the_future() -> None:
    bench = Bench(STREAMED, start=False)
    bench.machine.handle(Start(intended_ns=bench.now_ns + 1), bench.now_ns)
    (record,) = records(bench.frame(FrameKind.STREAM, 0, 0, encode_token(9)))
    assert record.latency_ns == 0


def test_what_no_stage_explains_is_overhead() -> None:
    bench = Bench(STREAMED)
    bench.now_ns += 100
    (record,) = records(
        bench.frame(FrameKind.STREAM, 0, 0, encode_token(9), trace=CloudTrace(30, 20, 10, 6))
    )
    assert record.stages_ns[-1] == 100 - 30 - 20 - 10 - 6 - 4


def test_a_stream_is_charged_its_making_and_what_its_way_grew_by() -> None:
    bench = Bench(STREAMED)
    bench.now_ns += 100
    bench.frame(FrameKind.STREAM, 0, 0, encode_token(9), trace=CloudTrace(30, 20, 40, 6))

    def next_token(position: int, after_ns: int, transit_ns: int) -> tuple[int, ...]:
        bench.now_ns += after_ns
        trace = CloudTrace(0, 20, 40, 3)
        body = encode_token(9)
        (record,) = records(
            bench.frame(FrameKind.STREAM, position, 0, body, trace=trace, transit_ns=transit_ns)
        )
        assert record.stages_ns[-1] == 0
        return record.stages_ns[2:7]

    # Under way for five longer than the token before: these five are the downlink's.
    assert next_token(1, 68, 9) == (0, 20, 40, 3, 5)
    # Shorter again: it comes sooner than the cloud's pace, so part of its making lies before.
    assert next_token(2, 58, 4) == (0, 15, 40, 3, 0)


@given(
    st.integers(0, 2**62),
    st.lists(st.integers(-5, 2**40), max_size=len(STAGES) - 1).map(tuple),
)
def test_a_critical_path_sums_to_the_latency(latency_ns: int, stages: tuple[int, ...]) -> None:
    path = critical_path(latency_ns, stages)
    assert len(path) == len(STAGES)
    assert sum(path) == latency_ns
    assert min(path) >= 0
    for index, part_ns in enumerate(path[:-1]):
        whole_ns = max(0, stages[index]) if index < len(stages) else 0
        assert part_ns <= whole_ns
        # Only the earliest stages are cut: what follows a counted one counts in full.
        if part_ns and index + 1 < len(stages):
            assert path[index + 1] == max(0, stages[index + 1])
    if path[-1]:
        assert path[: len(stages)] == tuple(max(0, stage) for stage in stages)
