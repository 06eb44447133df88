"""Measuring hosts: what is asked of them, and that figures are medians of the clock given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any

import pytest

from actors.calibrate import Grid, measure_cloud, measure_edge, sample_payload
from actors.cloud import CloudActor
from actors.edge import EdgeActor
from actors.models.numerics import Numerics
from actors.values.generated import GeneratedConfig, RowSource
from actors.values.model_cloud import ModelCloudHost
from actors.values.model_edge import ModelEdgeHost
from actors.values.null import NullCloudHost, NullEdgeHost
from actors.values.rows import RowCloudHost, RowEdgeHost
from costeer.machine import CloudForward, CloudSelect, EdgeDecode, EdgeForward, Release
from tests.actors.fleets import VOCAB, arm_plan
from tests.actors.tiny_pair import VOCAB as TINY_VOCAB
from tests.actors.tiny_pair import tiny_folder

GRID = Grid(rows=(1, 3), new_tokens=(1, 4), contexts=(0, 8), repeats=3)
ARM = arm_plan().arm


def ticking(step_ns: int = 7) -> Callable[[], int]:
    return partial(next, count(0, step_ns))


class Noted:
    """A host that remembers what it was asked."""

    def __init__(self, host: Any) -> None:
        self.host = host
        self.ops: list[Any] = []

    def begin_arm(self, arm: Any) -> int:
        size: int = self.host.begin_arm(arm)
        return size

    def execute(self, ops: Sequence[Any]) -> list[object]:
        self.ops += ops
        values: list[object] = self.host.execute(ops)
        return values


def hosts(kind: str) -> tuple[Noted, Noted]:
    if kind == "models":
        make = partial(ModelCloudHost, str(tiny_folder("qwen2", 0)), Numerics.FP32)
        make_edge = partial(ModelEdgeHost, str(tiny_folder("qwen2", 1)), Numerics.FP32)
        cloud, edge = make(vocab_size=TINY_VOCAB), make_edge(vocab_size=TINY_VOCAB)
        found = Noted(cloud), Noted(edge)
    else:
        config = GeneratedConfig(vocab_size=VOCAB)
        found = (
            Noted(RowCloudHost(partial(RowSource, config))),
            Noted(RowEdgeHost(partial(RowSource, config))),
        )
    assert found[0].begin_arm(ARM) == found[1].begin_arm(ARM)
    return found


@pytest.mark.parametrize("kind", ["generated", "models"])
def test_the_whole_grid_is_measured_and_nothing_is_left_behind(kind: str) -> None:
    cloud, edge = hosts(kind)
    every = VOCAB if kind == "generated" else TINY_VOCAB
    clouds = measure_cloud(cloud, GRID, (8, every), ticking())
    wanted = {(rows, new, held) for rows in (1, 3) for new in (1, 4) for held in (0, 8)}
    assert {point[:3] for point in clouds.forward} == wanted
    assert {point[3] for point in clouds.forward} == {7}
    assert clouds.select == ((1, 8, 7), (1, every, 7), (3, 8, 7))
    assert clouds.choose_ns == 7
    # Once to warm up and three times measured, each point.
    shapes = [
        (len(op.rows), len(op.rows[0].tokens), op.rows[0].start)
        for op in cloud.ops
        if isinstance(op, CloudForward)
    ]
    assert all(shapes.count(shape) >= 4 for shape in wanted)
    assert {op.session for op in cloud.ops if isinstance(op, Release)} == {
        row.session for op in cloud.ops if isinstance(op, CloudForward) for row in op.rows
    }
    payload = sample_payload(cloud, 8)
    edges = measure_edge(edge, GRID, {8: payload}, ticking())
    # A device has two rows.
    assert {point[:2] for point in edges.forward} == {
        (rows, new) for rows in (2, 4) for new in (1, 4)
    }
    assert (edges.decode, edges.steer_ns) == (((8, 7),), 7)
    assert {op.session for op in edge.ops if isinstance(op, Release)} == {
        op.session for op in edge.ops if isinstance(op, EdgeForward)
    }
    assert {op.payload for op in edge.ops if isinstance(op, EdgeDecode)} == {payload}
    assert not any(isinstance(op, CloudSelect) and not (op.encode or op.choose) for op in cloud.ops)


def test_a_point_is_the_median() -> None:
    took = iter([100, 3, 50])
    now = 0
    asked = count()

    def clock() -> int:
        nonlocal now
        if next(asked) % 2:
            now += next(took, 1)
        return now

    cloud, _ = hosts("generated")
    points = measure_cloud(cloud, Grid((1,), (1,), (0,), 3), (8, VOCAB), clock)
    assert points.forward == ((1, 1, 0, 50),)


def test_actors_measure_by_a_clock_of_their_own() -> None:
    config = GeneratedConfig(vocab_size=VOCAB)
    cloud = CloudActor(partial(RowCloudHost, partial(RowSource, config)))
    edge = EdgeActor(partial(RowEdgeHost, partial(RowSource, config)))
    assert cloud.begin_arm(ARM) == edge.begin_arm(ARM) == VOCAB
    points, payload = cloud.calibrate(GRID, (8, VOCAB)), cloud.sample_payload(8)
    assert min(point[3] for point in points.forward) > 0
    assert len(edge.calibrate(GRID, {8: payload}).forward) == 8


class Mute:
    def execute(self, ops: Sequence[Any]) -> list[object]:
        return [None] * len(ops)


def test_a_host_that_answers_nothing_is_named() -> None:
    mute: Any = Mute()
    with pytest.raises(TypeError, match="select returned"):
        sample_payload(mute, 8)
    with pytest.raises(TypeError, match="steer returned"):
        measure_edge(mute, GRID, {8: b""}, ticking())


def test_constant_hosts_can_be_measured() -> None:
    from actors.values.null import NullConfig

    config = NullConfig(vocab_size=VOCAB, first_token=0, period=10)
    payload = sample_payload(NullCloudHost(config), 8)
    assert measure_edge(NullEdgeHost(config), GRID, {8: payload}, ticking()).steer_ns == 7
