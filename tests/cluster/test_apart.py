"""Hosts on several nodes: room that is reserved, also on nodes that die; folders, sharing none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments.results import digest
from tests.actors.fleets import MS, arm_plan, device, link, run_virtual

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process of its own found, which starts nodes, kills two, and ends the others."""
    environment = {name: value for name, value in os.environ.items() if name[:4] != "RAY_"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster.apart", str(tmp_path_factory.mktemp("apart"))],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_hosts_are_put_near_each_other_or_apart_where_there_is_room(told: dict[str, Any]) -> None:
    found = told["two_nodes"]
    devices = [device(number, where=link(2 * MS, jitter_ns=MS)) for number in range(4)]
    assert found["digest"] == digest(run_virtual(arm_plan("costeer", devices)))
    assert found["nodes"] == 2
    assert found["living_actors"] == 0
    assert "has 8 CPUs, the run's 99 actors" in found["too_many"]
    assert "has 0 GPUs, the models need 1.5" in found["no_gpu"]
    first, second, shard_of_first, shard_of_second = found["packed"]
    assert first == shard_of_first != second == shard_of_second
    assert len(set(found["spread"])) == 2
    assert "no node has room for replica 0 with its shards, which take 5 CPUs" in found["too_near"]
    assert "had no room within 0.1 s" in found["in_use"]
    assert found["reserved"] == 0


def test_hosts_of_a_dead_node_find_room_again(told: dict[str, Any]) -> None:
    for placement in ("pack", "spread"):
        found = told[placement]
        disturbed, calm = found["digests"]
        assert disturbed == calm
        dead = found["before"][0]
        assert len(set(found["before"])) == 2
        assert dead not in found["after"]
        assert found["recovered"] == found["before"].count(dead)
    # Replicas are told first, then the shards: each still lives with its own.
    for places in (told["pack"]["before"], told["pack"]["after"]):
        assert places[:2] == places[2:]


def test_folders_reach_every_node(told: dict[str, Any]) -> None:
    """Each has a copy of its own, below its own cache, and nothing was read where it came from."""
    found = told["delivered"]
    assert found["nodes"] == 2
    assert found["lengths"] == [[2, 200_000]] * 2
    assert sorted(Path(path).parents[2] for path in found["paths"]) == sorted(
        Path(each) for each in found["caches"]
    )
