"""What a live run costs on a Ray cluster: CPU per token exchange, by process, and its bound.

Constant values, links that take no time, devices that never think: nothing is left but the
exchange itself. A cloud actor and 1, 2 and 4 shard actors on two nodes of a cluster on this
machine. A row's time is the CPU time of one process or one kind of process per token, with its
share of all; those of the exchange are the wall's. What bounds the rate of one cloud is the process
that needs most CPU per token: `bound` is its inverse, the most that any number of cores can give.
The driver takes the rows of all shards: its own inverse is where it is full, told in devices too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from actors.live.driver import run_live
from actors.plan import codec_terms
from actors.records import Recorder
from cluster.supervised import SupervisedHandle
from experiments.hosting import Laboratory, open_port, start_hosts
from experiments.planning import plan_arm, plan_workload
from experiments.scenario import Scenario

_SHARDS = (1, 2, 4)
_DEVICES = 512
_TOKENS = 40
_TARGET_S = 1 / 4000
_NODES = 2
_CPUS = 3
"""Logical ones of each node: five actors at most share them."""
_PACE = 10
"""Tokens a second of a device, where a rate is told in devices."""
_POLL_S = 0.2
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Spent:
    """CPU seconds since the processes began."""

    cloud: float
    shards: tuple[float, ...]
    driver: float
    ray: float


def run(repeats: int = 20) -> list[dict[str, Any]]:  # noqa: ARG001 - one long run each
    """Rows of `bench`, `case`, `repeats`, `median_s`; the exchange's also `tokens_per_s`."""
    from cluster.local_nodes import local_nodes  # noqa: PLC0415 - Ray takes a second to import

    rows = []
    with local_nodes(_NODES, _CPUS) as address:
        for shards in _SHARDS:
            scenario = _scenario(shards)
            with open_port(address, actors=shards + 1) as port:
                rows += _measure(scenario, start_hosts(scenario, port))
    return rows


def _measure(scenario: Scenario, laboratory: Laboratory) -> list[dict[str, Any]]:
    workload = plan_workload(scenario)
    plan = plan_arm(scenario, workload, scenario.arms[0])
    # Once to warm up: actors import, Ray connects them to each other.
    for _ in range(2):
        terms = codec_terms(plan, laboratory.begin_arm(plan.arm))
        recorder = Recorder(_DEVICES, lambda _tokens, _requests: None)
        before, began_s = _spent(laboratory), monotonic()
        run = run_live(
            plan, terms, laboratory.clouds, laboratory.shards, recorder, lambda _: sleep(_POLL_S)
        )
        wall_s, after = monotonic() - began_s, _spent(laboratory)
    tokens = len(run.tokens)
    each = {
        "cloud": (after.cloud - before.cloud) / tokens,
        "driver": (after.driver - before.driver) / tokens,
        "raylet, gcs": (after.ray - before.ray) / tokens,
    }
    shards = [new - old for new, old in zip(after.shards, before.shards, strict=True)]
    each["all shards"] = sum(shards) / tokens
    # Short runs may take less than a tick of any clock.
    total_s = sum(each.values()) or 1.0
    busiest = {
        "cloud": each["cloud"],
        "driver": each["driver"],
        "busiest shard": max(shards) / tokens,
    }
    most = max(busiest, key=lambda part: busiest[part])
    name = f"{len(shards)} shards" if len(shards) > 1 else "1 shard"
    nodes = len({_place(host)[0] for host in (laboratory.cloud, *laboratory.shards)})
    where = f"{nodes} nodes" if nodes > 1 else "1 node"

    def row(said: str, spent_s: float, **more: float) -> dict[str, Any]:
        told = {"bench": "cluster", "case": f"{name}: {said}", "repeats": 1, "median_s": spent_s}
        return told | more

    exchanged = run.messages / tokens
    return [
        row(
            f"exchange, {exchanged:.2f} messages a token, hosts on {where}",
            wall_s / tokens,
            tokens_per_s=tokens / wall_s,
            messages_per_token=exchanged,
            nodes=nodes,
            target=_TARGET_S,
        ),
        *(
            row(f"CPU of {part}", spent_s, cpu_share=spent_s / total_s)
            for part, spent_s in each.items()
        ),
        _full(row, f"bound, CPU of the busiest process ({most})", busiest[most]),
        _full(row, "where the driver is full", each["driver"]),
    ]


def _full(row: Callable[..., dict[str, Any]], said: str, spent_s: float) -> dict[str, Any]:
    """Return where a process is full that spends so long on each token, at one core of its own."""
    # Too short to be seen in ticks: then nothing is known.
    rate = 1 / spent_s if spent_s else 0.0
    said = f"{said}; devices of {_PACE} tokens/s"
    return row(said, spent_s, tokens_per_s=rate, devices=rate / _PACE)


def _scenario(shards: int) -> Scenario:
    return Scenario.model_validate(
        {
            "name": "cluster",
            "way": "live",
            "values": "null",
            "fleet": {
                "devices": _DEVICES,
                "shards": shards,
                "arrivals": {"kind": "closed", "think_s": 0.0},
                "classes": [{"share": 1, "link": "ideal", "hardware": "orin-nano"}],
            },
            "cloud": {"max_batch": 256},
            "arms": [{"method": "costeer", "codec": "top64-bf16-packed"}],
            "workload": {"max_new_tokens": _TOKENS, "ignore_eos": True},
        }
    )


def _spent(laboratory: Laboratory) -> _Spent:
    ray = [
        _cpu_s(int(folder.name))
        for folder in Path("/proc").iterdir()
        if folder.name.isdecimal() and _is_ours(folder)
    ]
    return _Spent(
        _cpu_s(_pid(laboratory.cloud)),
        tuple(_cpu_s(_pid(shard)) for shard in laboratory.shards),
        _cpu_s(os.getpid()),
        sum(ray),
    )


def _is_ours(folder: Path) -> bool:
    """Whether a process is one of Ray's own, started by this one."""
    try:
        name, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
    except OSError:  # it has ended meanwhile
        return False
    return name in {"raylet", "gcs_server"} and int(rest.split()[1]) == os.getpid()


def _pid(handle: object) -> int:
    return _place(handle)[1]


def _place(handle: object) -> tuple[str, int]:
    if not isinstance(handle, SupervisedHandle):
        raise TypeError(f"{handle!r} lives in no process of its own")
    return handle.place()


def _cpu_s(pid: int) -> float:
    rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(rest[11]) + int(rest[12])) / _TICKS_PER_S
