"""Room that is reserved on nodes that die, and folders on nodes that share none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]


def test_hosts_of_a_dead_node_find_room_again_and_folders_reach_every_node(tmp_path: Path) -> None:
    """In a process of its own, which starts nodes, kills two, and ends the others."""
    environment = {name: value for name, value in os.environ.items() if name[:4] != "RAY_"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster.apart", str(tmp_path)],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
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
    # Each node has a copy of its own, below its own cache, and nothing was read where it came from.
    found = told["delivered"]
    assert found["nodes"] == 2
    assert found["lengths"] == [[2, 200_000]] * 2
    assert sorted(Path(path).parents[2] for path in found["paths"]) == sorted(
        Path(each) for each in found["caches"]
    )
