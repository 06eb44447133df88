"""What holds a fleet back: where each class of device spends a token's time, and what would help.

Nothing is extrapolated: the fleet is run again with one more replica, with payloads of a tenth of
their bytes, and with half the round trip, everything else and every draw the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from costeer.errors import ConfigError
from costeer.token_record import STAGES
from experiments.fleet.run import run_fleet
from experiments.outcome import check_out_dir
from experiments.progress import Progress
from experiments.results.grid import Column, number, numbers
from experiments.results.labels import Row, arm_labels, arms_title, whole_arms
from experiments.results.tables import STAGE_TITLES
from experiments.scenario import Scenario, Sticky, Weighted
from netsim.link_config import LinkConfig

BASE = "as it is"
_MS = 1e3
_LIGHTER = 10


@dataclass(frozen=True, slots=True)
class WhatIf:
    """One change of a fleet.

    Args:
        name: what tables call it.
        folder: where its run lies.
        changed: the scenario that is run.
        lighter: payloads weigh one part in so many.
    """

    name: str
    folder: str
    changed: Callable[[Scenario], Scenario]
    lighter: int = 1


def one_more_gpu(scenario: Scenario) -> Scenario:
    """Return the scenario with one replica more, for the same devices.

    Where devices are placed by weights, it gets the mean of the others' weights; where they stay in
    regions, it stands where a replica has the most devices (of equals, in the first such region).
    """
    placement = scenario.fleet.placement
    if isinstance(placement, Weighted):
        weights = placement.weights
        placement = Weighted(weights=(*weights, math.fsum(weights) / len(weights)))
    elif isinstance(placement, Sticky):
        regions = list(placement.regions)
        at = max(range(len(regions)), key=lambda each: regions[each].share / regions[each].replicas)
        more = regions[at].replicas + 1
        regions[at] = regions[at].model_copy(update={"replicas": more})
        placement = Sticky(regions=tuple(regions))
    cloud = scenario.cloud.model_copy(update={"replicas": scenario.cloud.replicas + 1})
    fleet = scenario.fleet.model_copy(update={"placement": placement})
    return scenario.model_copy(update={"cloud": cloud, "fleet": fleet})


def half_the_rtt(scenario: Scenario) -> Scenario:
    """Return the scenario with half of every link's round trip, its variation included."""
    classes = tuple(
        each.model_copy(update={"link": _nearer(each.link)}) for each in scenario.fleet.classes
    )
    return scenario.model_copy(
        update={"fleet": scenario.fleet.model_copy(update={"classes": classes})}
    )


def _nearer(link: LinkConfig) -> LinkConfig:
    profile = link.resolve()
    changes: dict[str, Any] = {"rtt_s": profile.rtt_ns / 2e9}
    down_ns, up_ns = profile.down.jitter_ns, profile.up.jitter_ns
    if down_ns == up_ns:
        changes["jitter_s"] = down_ns / 2e9
    return link.model_copy(update=changes)


def _same(scenario: Scenario) -> Scenario:
    return scenario


WHAT_IFS = (
    WhatIf(BASE, "base", _same),
    WhatIf("one more GPU", "one-more-gpu", one_more_gpu),
    WhatIf("a tenth of the bytes", "tenth-of-the-bytes", _same, _LIGHTER),
    WhatIf("half the RTT", "half-the-rtt", half_the_rtt),
)


def find_bottleneck(
    scenario: Scenario, out_dir: Path, address: str, progress: Progress, jobs: int | None = None
) -> dict[str, dict[str, Any]]:
    """Run a fleet as it is and with each change; return the summaries by the change's name.

    Args:
        scenario: the fleet; ``way: fleet``.
        out_dir: gets a run directory for each.
        address: see ``run_fleet``.
        progress: told of runs, arms and tokens.
        jobs: see ``run_fleet``.

    Raises:
        ConfigError: no fleet, or one that cannot be run.
        Exception: see ``run_fleet``.
    """
    if scenario.way != "fleet":
        raise ConfigError(
            f"way: {scenario.way}: a bottleneck is found by running a fleet again and again; add"
            " --set way=fleet (values: null or profile)"
        )
    check_out_dir(out_dir)
    changed = [each.changed(scenario) for each in WHAT_IFS]
    found = {}
    for each, of in zip(WHAT_IFS, changed, strict=True):
        progress.note(f"{each.name}:")
        done = run_fleet(of, out_dir / each.folder, address, progress, jobs, lighter=each.lighter)
        found[each.name] = done.summary
    return found


# --------------------------------------------------------------------------- tables


def share_columns(classes: Sequence[Row]) -> list[Column]:
    """Return, for each class of devices and arm, the share of a token's time by stage."""
    shown = [stage for stage in STAGES if any(row["itl_breakdown_s"][stage] for row in classes)]
    columns = _names(classes)
    for stage in shown:
        shares = tuple(
            number(_percent(row["itl_breakdown_s"][stage], row["itl_s"]["mean"]), 0)
            for row in classes
        )
        columns.append(Column(STAGE_TITLES[stage], shares, "%", "share of a token's time"))
    return columns


def gain_columns(found: Mapping[str, Mapping[str, Any]]) -> list[Column]:
    """Return what each change makes of every class's mean inter-token latency."""
    classes = found[BASE]["classes"]
    base_ms = [_ms(row) for row in classes]
    columns = [*_names(classes), Column("ITL mean", numbers(base_ms), "ms", BASE)]
    for name, summary in found.items():
        if name == BASE:
            continue
        ms = [_ms(row) for row in summary["classes"]]
        gains = tuple(
            number(None if after is None or not before else 100 * (after / before - 1), 1)
            for after, before in zip(ms, base_ms, strict=True)
        )
        columns += [Column("ITL mean", numbers(ms), "ms", name), Column("change", gains, "%", name)]
    return columns


def fleet_columns(found: Mapping[str, Mapping[str, Any]]) -> list[Column]:
    """Return what each change makes of the whole fleet: its rate, its waits, its GPU."""
    rows = [(name, row) for name, summary in found.items() for row in whole_arms(summary["arms"])]
    arms = whole_arms(found[BASE]["arms"])
    labels = dict(zip((row["arm"] for row in arms), arm_labels(arms), strict=True))
    return [
        Column(arms_title(arms), tuple(labels[row["arm"]] for _, row in rows), left=True),
        Column("fleet", tuple(name for name, _ in rows), left=True),
        Column("tokens/s", numbers([row["system_tokens_per_second"] for _, row in rows]), "in all"),
        Column("TTFT p95", numbers([_seconds(row, "ttft_s", "p95") for _, row in rows]), "ms"),
        Column("ITL mean", numbers([_ms(row) for _, row in rows]), "ms"),
        Column("ITL p95", numbers([_seconds(row, "itl_s", "p95") for _, row in rows]), "ms"),
        Column("GPU", tuple(_share(row["gpu_busy_share"]) for _, row in rows), "% busy"),
        Column("egress", tuple(_share(row["egress_busy_share"]) for _, row in rows), "% busy"),
    ]


def _names(classes: Sequence[Row]) -> list[Column]:
    first = list({row["arm"]: row for row in reversed(classes)}.values())[::-1]
    labels = dict(zip((row["arm"] for row in first), arm_labels(first), strict=True))
    names = tuple(f"{row['link_class']}, {row['device_class']}" for row in classes)
    arms = tuple(labels[row["arm"]] for row in classes)
    return [Column("class", names, left=True), Column(arms_title(first), arms, left=True)]


def _percent(part: float | None, of: float | None) -> float | None:
    return None if part is None or not of else 100 * part / of


def _ms(row: Row) -> float | None:
    return _seconds(row, "itl_s", "mean")


def _seconds(row: Row, key: str, which: str) -> float | None:
    value = row[key][which]
    return None if value is None else value * _MS


def _share(value: float | None) -> str:
    return number(None if value is None else 100 * value, 1)
