"""One fleet, carried out: whether it keeps the objectives, and how busy everything was."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.capacity.slo import Slo
from experiments.hosting import NO_CLUSTER, Laboratory
from experiments.outcome import RunOutcome
from experiments.planning import plan_workload
from experiments.progress import NoProgress
from experiments.results.run import Run, load
from experiments.results.summary import ALL
from experiments.run import run_in
from experiments.scenario import Scenario

_NS = 1e9

Point = dict[str, Any]
"""What is kept of a fleet, ready for JSON."""

_COPIED = (
    "tokens",
    "requests",
    "requests_failed",
    "requests_censored",
    "makespan_s",
    "system_tokens_per_second",
    "tokens_per_second",
    "gpu_busy_share",
    "gpu_select_share",
    "egress_busy_share",
    "kv_peak_share",
    "waited_sessions",
    "rows_per_forward_mean",
    "wire_bytes_down_per_token",
    "itl_s",
    "ttft_s",
    "breakdown_s",
    "itl_breakdown_s",
    "cost",
    "origins",
    "method",
    "codec",
)


def probe(laboratory: Laboratory, scenario: Scenario, slos: Sequence[Slo]) -> Point:
    """Run a fleet of one arm; return what became of it.

    Args:
        laboratory: hosts that are up.
        scenario: the fleet, with one arm.
        slos: what it has to keep.

    Raises:
        ConfigError: it cannot be run.
    """
    with tempfile.TemporaryDirectory(prefix="costeer-fleet-") as folder:
        out_dir = Path(folder) / "run"
        outcome = _run(laboratory, scenario, out_dir)
        row = next(each for each in outcome.summary["arms"] if each["link_class"] == ALL)
        share = _in_time(load(out_dir), round(scenario.workload.warmup_s * _NS), slos)
    return point_of(row, slos, scenario.fleet.devices, scenario.seed, share)


def _run(laboratory: Laboratory, scenario: Scenario, out_dir: Path) -> RunOutcome:
    if scenario.way == "fleet":
        from experiments.fleet.run import run_fleet  # noqa: PLC0415 - brings numpy in

        return run_fleet(scenario, out_dir, NO_CLUSTER, NoProgress())
    return run_in(laboratory, scenario, plan_workload(scenario), out_dir, NoProgress())


def point_of(
    row: Mapping[str, Any], slos: Sequence[Slo], devices: int, seed: int, in_time: float | None
) -> Point:
    """Return what is kept of a summary row.

    A fleet keeps the objectives where every figure was measured and is within its limit, and no
    request failed.
    """
    measured = {slo.name: slo.measured_s(row) for slo in slos}
    broken = [
        slo.name for slo in slos if (value := measured[slo.name]) is None or value > slo.limit_s
    ]
    if row["requests_failed"]:
        broken.append("failed requests")
    rate = row["system_tokens_per_second"]
    return {
        "devices": devices,
        "seed": seed,
        "met": not broken,
        "broken": broken,
        "slo": measured,
        "in_time_share": in_time,
        "goodput_tokens_per_s": None
        if rate and in_time is None
        else (in_time or 0.0) * (rate or 0.0),
        **{name: row.get(name) for name in _COPIED},
    }


def _in_time(run: Run, warmup_ns: int, slos: Sequence[Slo]) -> float | None:
    """Share of tokens whose requests keep the objectives by themselves; None without rows.

    By itself a request keeps ITL and TPOT by its mean time between tokens. Where rows are a sample
    of the requests, so is the share.
    """
    counted = run.requests[run.requests["arrival_ns"] >= warmup_ns]
    tokens = run.tokens.merge(counted[["device", "request"]], on=["device", "request"])
    if not len(tokens):
        return None
    first = tokens["position"] == 0
    by_request = [tokens["device"], tokens["request"]]
    seconds = tokens["latency_ns"] / _NS
    later = seconds.where(~first).groupby(by_request)
    figures = {
        "ttft": seconds.where(first).groupby(by_request).sum(),
        "itl": later.mean(),
        "tpot": later.mean(),
        "e2e": seconds.groupby(by_request).sum(),
    }
    counts = seconds.groupby(by_request).size()
    good = pd.Series(data=True, index=counts.index)
    for slo in slos:
        # A request of one token has no time between tokens, and breaks nothing by it.
        good &= ~(figures[slo.metric] > slo.limit_s)
    return float(counts[good].sum() / counts.sum())
