"""A made-up demo run with plausible numbers, to test and to look at what is shown of runs."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.records import ArmRun, ByteMeter, ReplicaRun, RequestRow, TokenRow
from actors.sink import RunSink
from costeer.methods import CloudRole, Method, method_named
from costeer.serving import EngineCounters
from costeer.token_record import STAGES, TokenRecord
from experiments.results import Arm, arm_of, frames_of, summarise

MS = 1_000_000
METHOD_NAMES = (
    "slm_without",
    "slm_with",
    "llm_without",
    "llm_with",
    "light_costeer",
    "costeer",
)
ORIGINS = {
    "quality": "measured",
    "bytes": "measured",
    "network": "declared",
    "cloud compute": "roofline",
    "edge compute": "roofline",
    "codec": "calibrated",
}
QUALITY = {
    "slm_without": (0.22, 0.03, 0.15),
    "slm_with": (0.34, 0.82, 0.14),
    "llm_without": (0.31, 0.04, 0.78),
    "llm_with": (0.49, 0.88, 0.80),
    "light_costeer": (0.41, 0.66, 0.77),
    "costeer": (0.45, 0.80, 0.74),
}
INPUT = "Write a short review of the Calder press kettle."
REFERENCE = (
    "As a potter from Lyon, I find the Calder press kettle splendid: its copper rim pours without "
    "a drip. A splendid thing for slow mornings. Warmly, Ines"
)
WITHOUT = (
    "I have used the Calder press kettle for a month. Its copper rim pours without a drip and it "
    "boils fast. I would recommend it to anyone. Best regards, the writer"
)


@dataclass(frozen=True)
class Link:
    """A made-up access link."""

    name: str
    delay_ms: float
    down_mbit_s: float
    up_mbit_s: float


LINKS = (Link("lte", 35, 24, 10), Link("3g", 110, 2.0, 0.7), Link("wifi", 12, 80, 40))


def make_arm(
    method: Method,
    *,
    payload_bytes: int = 262,
    devices: int = 24,
    tokens: int = 40,
    seed: int = 7,
    links: tuple[Link, ...] = LINKS,
    edge_ms: float = 9.0,
    cloud_ms: float = 14.0,
    overhead_ms: float = 0.0,
    censored: int = 0,
) -> ArmRun:
    """Return one arm's rows; stages add up to latencies, latencies to instants."""
    rng = random.Random(f"{seed}/{method.name}/{payload_bytes}")
    run = ArmRun()
    for device in range(devices):
        link = links[device % len(links)]
        now = arrival = rng.randrange(2_000 * MS)
        total = ByteMeter()
        n = tokens - rng.randrange(tokens // 3)
        for position in range(n):
            stages = _stages(method, link, rng, position, payload_bytes, edge_ms, cloud_ms)
            stages["overhead"] = round(overhead_ms * rng.uniform(0.5, 1.5) * MS)
            record = TokenRecord(
                session=device,
                position=position,
                token=rng.randrange(4096),
                latency_ns=sum(stages.values()),
                stages_ns=tuple(stages[stage] for stage in STAGES),
                busy_edge_ns=round(edge_ms * MS) if method.steered else 0,
                rounds=int(stages["refinement"] > 0),
                certified=rng.random() > 0.03,
                margin=rng.random(),
            )
            now += record.latency_ns
            moved = _bytes(method, payload_bytes, position)
            total.add(moved)
            run.tokens.append(TokenRow(device, 0, now, record, moved))
        run.requests.append(
            RequestRow(
                device=device,
                request=0,
                session=device,
                prompt_id=f"row-{device:03d}",
                link_class=link.name,
                device_class="orin-nano",
                arrival_ns=arrival,
                finished_ns=now,
                tokens=tuple(row.record.token for row in run.tokens if row.device == device),
                reason="censored" if device < censored else "eos",
                failed=False,
                moved=total,
            )
        )
    run.end_ns = max(row.finished_ns for row in run.requests)
    counters = EngineCounters(batches=[rng.randrange(1, 12) for _ in range(200)])
    run.replicas = [ReplicaRun(counters, run.end_ns // 20)]
    run.sort()
    return run


def _stages(
    method: Method,
    link: Link,
    rng: random.Random,
    position: int,
    payload_bytes: int,
    edge_ms: float,
    cloud_ms: float,
) -> dict[str, int]:
    ms = dict.fromkeys(STAGES, 0.0)
    first = position == 0
    if method.cloud is CloudRole.ABSENT:
        ms["edge_wait"] = edge_ms * (20 if first else 1) * rng.uniform(0.98, 1.05)
    else:
        up = link.delay_ms + (4000 if first else 130) * 8 / link.up_mbit_s / 1000
        down = link.delay_ms + (payload_bytes + 90) * 8 / link.down_mbit_s / 1000
        if method.cloud is CloudRole.STREAM:
            up, down = (up, down) if first else (0.0, rng.expovariate(1 / 3.0))
        ms["uplink"] = up * rng.lognormvariate(0, 0.12)
        ms["downlink"] = down * rng.lognormvariate(0, 0.12)
        ms["cloud_queue"] = rng.expovariate(1 / (0.4 * cloud_ms))
        ms["cloud_compute"] = cloud_ms * (4 if first else 1) * rng.uniform(0.95, 1.1)
    if method.steered:
        ms["select_encode"] = 0.25 + payload_bytes / 400_000
        ms["decode"] = 0.05 + payload_bytes / 500_000
        ms["edge_wait"] = edge_ms * 15 if first else max(0.0, rng.gauss(-2, 2))
        ms["steer"] = 0.4
        ms["refinement"] = 2.1 * link.delay_ms if rng.random() < 0.06 else 0.0
    return {stage: round(value * MS) for stage, value in ms.items()}


def _bytes(method: Method, payload_bytes: int, position: int) -> ByteMeter:
    opened = 900 if position == 0 else 0
    if method.cloud is CloudRole.ABSENT:
        return ByteMeter()
    if method.cloud is CloudRole.STREAM:
        return ByteMeter(0, 36, 140, 1, opened, opened + 52, 1)
    frame = payload_bytes + 32
    packets = 1 + frame // 1448
    return ByteMeter(
        payload_bytes, frame, frame + 100 * packets, packets, opened + 36, opened + 140, 2
    )


def extra_of(method: str, run: ArmRun, seed: int = 3) -> dict[int, Mapping[str, Any]]:
    """Return made-up texts and scores by session."""
    rng = random.Random(f"{seed}/{method}")
    score = QUALITY.get(method, (0.3, 0.5, 0.5))
    out: dict[int, Mapping[str, Any]] = {}
    for row in run.requests:
        scores = [min(1.0, max(0.0, rng.gauss(value, 0.08))) for value in score]
        out[row.session] = {
            "prompt": INPUT,
            "reference": REFERENCE,
            "text": REFERENCE if "costeer" in method or method.endswith("_with") else WITHOUT,
            "rouge_l": scores[0],
            "profile_recall": scores[1],
            "fact_recall": scores[2],
            "facts_in_prompt_share": 1.0 if method == "llm_with" else 0.0,
            "facts_in_tokens_share": scores[1] if method.startswith(("llm", "costeer")) else 0.0,
        }
    return out


def write_run(
    path: Path,
    arms: list[tuple[dict[str, str], ArmRun]],
    *,
    complete: bool = True,
    scored: bool = True,
    origins: Mapping[str, str] | None = None,
) -> None:
    """Write arms as a run directory."""
    origins = ORIGINS if origins is None else origins
    scenario = f"name: {path.name}\nway: {arms[0][0]['way']}\nseed: 7\nfleet:\n  devices: 24\n"
    manifest = {
        "name": path.name,
        "seed": 7,
        "git_commit": "0123abc",
        "versions": {"costeer-lab": "0.1.0", "python": "3.11.2", "torch": "2.13.0"},
        "hardware": {"cpu": "2 cores"},
        "argv": ["costeer", "run", path.name],
    }
    described: list[Arm] = []
    tables = []
    with RunSink(path, scenario, manifest) as sink:
        for index, (keys, run) in enumerate(arms):
            extra = extra_of(keys["method"], run) if scored else None
            half = len(run.requests) // 2
            for rows in (run.requests[:half], run.requests[half:]):
                owners = {row.device for row in rows}
                tokens = [row for row in run.tokens if row.device in owners]
                sink.write(index, keys, tokens, rows, extra)
            described.append(arm_of(index, keys, run, origins))
            tables.append((keys, run, extra))
        if complete:
            sink.write_summary(summarise(frames_of(tables), described))
            sink.close(complete=True)


def write_demo(path: Path, devices: int = 24) -> None:
    """Write a run of four parts, as the demo makes it."""
    write_run(
        path / "methods",
        [(_keys(name), make_arm(method_named(name), devices=devices)) for name in METHOD_NAMES],
    )
    costeer = method_named("costeer")
    write_run(
        path / "full-vocabulary",
        [
            (
                _keys("costeer", codec=codec, values="generated"),
                make_arm(costeer, payload_bytes=size, devices=devices, tokens=16, cloud_ms=16),
            )
            for codec, size in (("dense fp16", 303_872), ("top-64 bf16", 272))
        ],
        scored=False,
        origins=ORIGINS | {"quality": "synthetic"},
    )
    few = {"devices": 8, "tokens": 24, "edge_ms": 6.0, "cloud_ms": 11.0, "links": LINKS[:1]}
    live = make_arm(costeer, overhead_ms=1.5, seed=8, **few)  # type: ignore[arg-type] # mixed
    rng = random.Random(5)
    live.lateness_ns = [round(rng.expovariate(1 / 0.3) * MS) for _ in range(300)]
    write_run(
        path / "live",
        [(_keys("costeer", way="live"), live)],
        scored=False,
        origins=dict.fromkeys(ORIGINS, "measured") | {"network": "declared"},
    )
    twin = make_arm(costeer, **few)  # type: ignore[arg-type] # mixed
    write_run(
        path / "virtual-prediction",
        [(_keys("costeer"), twin)],
        scored=False,
        origins=ORIGINS | {"cloud compute": "calibrated", "edge compute": "calibrated"},
    )


def _keys(
    method: str, *, way: str = "virtual", codec: str = "top-64 bf16", values: str = "models"
) -> dict[str, str]:
    steered = method_named(method).steered
    strength = {"light_costeer": "0.476", "costeer": "1.783"}.get(method, "")
    return {
        "method": method,
        "codec": codec if steered else "",
        "way": way,
        "values": values,
        "strength": strength,
    }
