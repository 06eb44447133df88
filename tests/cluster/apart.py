"""Hosts on two nodes, with room reserved for them where nodes die; models, without a shared folder.

A process of its own (``python -m tests.cluster.apart FOLDER``), because it starts raylets and kills
some: one cluster for all of it, for it takes long to start. It prints what it found as one JSON
line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from actors.port import Folder
from cluster.ray_port import RayPort
from experiments.hosting import Laboratory, open_laboratory
from experiments.planning import plan_workload
from experiments.progress import NoProgress
from experiments.results.run import load
from experiments.run import run_in
from experiments.scenario import Scenario
from tests.cluster.chaos import Nodes, host_of
from tests.cluster.two_nodes import on_two_nodes
from tests.experiments.small_runs import scenario

TOKENS = 16


class KillANode(NoProgress):
    """Kills the node that the first replica is on when so many tokens have come."""

    def __init__(self, nodes: Nodes, laboratory: Laboratory, tokens: int) -> None:
        self._nodes = nodes
        self._laboratory = laboratory
        self._left = tokens

    def advance(self, units: int = 1) -> None:
        self._left -= units
        if self._left <= 0 < self._left + units:
            self._nodes.kill_one(host_of(self._laboratory.clouds[0]))


def small(way: str, placement: str) -> Scenario:
    fleet = scenario().fleet.model_copy(update={"devices": 4, "shards": 2}).model_dump()
    return scenario(
        way=way,
        fleet=fleet,
        cloud={"replicas": 2},
        hosts={"placement": placement},
        arms=[{"method": "costeer", "codec": "top8-bf16-naive"}],
        workload={"max_new_tokens": TOKENS},
    )


def whole_digests(run_dir: Path) -> list[str]:
    return [arm["output_digest"] for arm in load(run_dir).arms if arm["link_class"] == "all"]


def harmed(nodes: Nodes, way: str, placement: str, out: Path) -> dict[str, Any]:
    """Run a scenario while a node dies; return its digest and where its hosts lived."""
    given = small(way, placement)
    workload = plan_workload(given)
    with open_laboratory(given, nodes.address) as laboratory:
        hosts = [host_of(each) for each in (*laboratory.clouds, *laboratory.shards)]
        before = [host.place()[0] for host in hosts]
        run_in(laboratory, given, workload, out, KillANode(nodes, laboratory, 2 * TOKENS))
        after = [host.place()[0] for host in hosts]
        recovered = len(laboratory.recoveries)
    with open_laboratory(given, "none") as laboratory:
        calm = run_in(laboratory, given, workload, out.with_name("calm-" + out.name), NoProgress())
    digests = [whole_digests(run) for run in (out, calm.run_dir)]
    return {"digests": digests, "before": before, "after": after, "recovered": recovered}


class Reader:
    """Has a folder, wherever it lives."""

    def __init__(self, folder: Folder) -> None:
        self._folder = Path(folder())

    def read(self) -> tuple[str, dict[str, str]]:
        """Where the folder lies, and what is in it."""
        files = (each for each in self._folder.iterdir() if each.is_file())
        return str(self._folder), {each.name: each.read_text(encoding="utf-8") for each in files}


def delivered(nodes: Nodes, folder: Path) -> dict[str, Any]:
    """Send a folder to hosts on both nodes; return where each has it, and what is in it."""
    model = folder / "model"
    model.mkdir()
    (model / "config.json").write_text("{}", encoding="utf-8")
    (model / "weights").write_text("0" * 200_000, encoding="utf-8")
    port = RayPort(nodes.address, groups=[[0.0, 0.0]], placement="spread")
    try:
        shipped = port.deliver(str(model))
        (model / "weights").unlink()  # from now on it is nowhere but in the object store
        hosts = [port.start(Reader, shipped) for _ in range(2)]
        places = [host.place()[0] for host in hosts]
        read: Any = [host.call("read") for host in hosts]
    finally:
        port.close()
    return {
        "nodes": len(set(places)),
        "paths": [path for path, _ in read],
        "caches": [str(each) for each in nodes.caches],
        "lengths": [[len(files["config.json"]), len(files["weights"])] for _, files in read],
    }


def main() -> None:
    folder = Path(sys.argv[1])
    nodes = Nodes(folder)
    try:
        found: dict[str, Any] = {
            "two_nodes": on_two_nodes(nodes.address),
            "delivered": delivered(nodes, folder),
        }
        for way, placement in (("live", "pack"), ("virtual", "spread")):
            found[placement] = harmed(nodes, way, placement, folder / placement)
    finally:
        nodes.shutdown()
    print(json.dumps(found))  # noqa: T201 - read by the test that starts this


if __name__ == "__main__":
    main()
