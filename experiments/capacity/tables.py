"""A study's tables and sentences, from what it came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.capacity.changes import resource_named
from experiments.results.grid import ABSENT, Column, number, numbers

Result = Mapping[str, Any]
_MS = 1e3


def capacity_columns(study: Result) -> list[Column]:
    """Return the capacities: devices per replica with their interval, and what limits them."""
    rows = study["results"]
    at = [row["at_capacity"] for row in rows]
    slos = list(study["slo"])
    return [
        Column("arm", tuple(row["label"] for row in rows), left=True),
        Column("links", tuple(row["mix"] for row in rows), left=True),
        Column("devices", tuple(devices_told(row) for row in rows), "per replica"),
        Column("95 % interval", tuple(_interval(row) for row in rows), ""),
        Column("limited by", tuple(_limit(row) for row in rows)),
        *(
            Column(name.replace("_", " ").upper(), _ms([each["slo"][name] for each in at]), "ms")
            for name in slos
        ),
        Column("tokens/s", numbers([each["system_tokens_per_second"] for each in at]), "all"),
        Column("GPU", _percent([each["gpu_busy_share"] for each in at]), "% busy"),
        Column("egress", _percent([each["egress_busy_share"] for each in at]), "% busy"),
        Column("KV", _percent([each["kv_peak_share"] for each in at]), "% at most"),
        Column("cost", numbers([_dollars(each) for each in at]), "$/million"),
    ]


def relief_columns(study: Result) -> list[Column]:
    """Return what relieving each resource brings: devices, as a multiple of the capacity."""
    rows = [row for row in study["results"] if row["reliefs"]]
    keys = list(dict.fromkeys(each["resource"] for row in rows for each in row["reliefs"]))
    keys.sort(key=lambda key: resource_named(key).title)
    columns = [
        Column("arm", tuple(row["label"] for row in rows), left=True),
        Column("links", tuple(row["mix"] for row in rows), left=True),
        Column("rules say", tuple(_guessed(row) for row in rows)),
        Column("reliefs say", tuple(_limit(row) for row in rows)),
    ]
    for key in keys:
        found = [
            next((each for each in row["reliefs"] if each["resource"] == key), None) for row in rows
        ]
        cells = tuple(_gain(each) for each in found)
        columns.append(Column(resource_named(key).title, cells, "", "half its cost: devices ×"))
    return columns


def sensitivity_columns(study: Result) -> list[Column]:
    """Return how far the capacity moves when one cost is 20 % lower or higher."""
    lines = [(row, each) for row in study["results"] for each in row["sensitivity"]]
    return [
        Column("arm", tuple(row["label"] for row, _ in lines), left=True),
        Column("links", tuple(row["mix"] for row, _ in lines), left=True),
        Column("cost", tuple(each["title"] for _, each in lines), left=True),
        Column(
            "20 % lower",
            tuple(_change(each["change_cheaper"]) for _, each in lines),
            "devices, %",
        ),
        Column(
            "20 % higher",
            tuple(_change(each["change_dearer"]) for _, each in lines),
            "devices, %",
        ),
        Column("same limit", tuple("yes" if each["holds"] else "no" for _, each in lines)),
    ]


def findings(study: Result) -> list[str]:
    """Return a sentence per arm and mix: how many devices, what limits, and how sure that is."""
    return [_finding(study, row) for row in study["results"]]


def _finding(study: Result, row: Result) -> str:
    name = f"{row['label']} on {row['mix']}"
    asked = ", ".join(f"{each} ≤ {limit:g} s" for each, limit in study["slo"].items())
    at = row["at_capacity"]
    if row["unbroken"]:
        return (
            f"{name}: {asked} was never broken, up to the limit of {study['limit']:,} devices; "
            "raise --limit."
        )
    if not row["devices"]:
        told = ", ".join(
            f"{each} = {ABSENT if value is None else f'{value:.3g} s'}"
            for each, value in at["slo"].items()
        )
        broken = "one device alone breaks it" if not any(row["devices_by_seed"]) else "none"
        because = f"; {_reason(row)}" if row["guess"] else ""
        return f"{name}: no fleet keeps {asked}: {broken} ({told}){because}. {_relieved(row)}"
    return (
        f"{name}: {devices_told(row)} devices per replica keep {asked}. "
        f"{_reason(row)}. {_relieved(row)} {_sensitive(row)}".strip()
    )


def _reason(row: Result) -> str:
    guess = row["guess"]
    if guess is None:
        return "Nothing was broken"
    return f"The rules say {resource_named(guess['resource']).title} ({guess['reason']})"


def _relieved(row: Result) -> str:
    if not row["reliefs"]:
        return ""
    if row["limit"] is None:
        return "No single relief brings 10 % more devices."
    best = row["reliefs"][0]
    relief = resource_named(best["resource"]).relief
    times = "some devices" if best["gain"] is None else f"× {best['gain']:.2f} devices"
    others = [
        f"{resource_named(each['resource']).title} × {each['gain']:.2f}"
        for each in row["reliefs"][1:]
        if each["gain"] is not None and each["gain"] >= _NOTABLE
    ]
    beside = f"; also {', '.join(others)}" if others else ""
    agrees = row["guess"] is not None and row["guess"]["resource"] == row["limit"]
    verdict = "Re-run, this holds" if agrees else "Re-run, it is not so"
    return f"{verdict}: {relief} brings {times}{beside}."


_NOTABLE = 1.1


def _sensitive(row: Result) -> str:
    if not row["sensitivity"]:
        return ""
    unstable = [each["title"] for each in row["sensitivity"] if not each["holds"]]
    changes = [
        abs(each[key])
        for each in row["sensitivity"]
        for key in ("change_cheaper", "change_dearer")
        if each[key] is not None
    ]
    most = f"at most {max(changes):.0%}" if changes else "an unknown amount"
    if not unstable:
        return f"With any cost 20 % off, the limit stays the same and the number moves by {most}."
    return (
        f"With 20 % on {', '.join(unstable)} the rules name another limit; the number moves by "
        f"{most}."
    )


def devices_told(row: Result) -> str:
    """Return a capacity as people read it."""
    return f"≥ {row['devices']:,.0f}" if row["unbroken"] else f"{row['devices']:,.0f}"


def _interval(row: Result) -> str:
    if row["devices_low"] is None:
        return ABSENT
    return f"{row['devices_low']:,.0f} – {row['devices_high']:,.0f}"


def _limit(row: Result) -> str:
    if row["unbroken"]:
        return "none found"
    return "no single one" if row["limit"] is None else resource_named(row["limit"]).title


def _guessed(row: Result) -> str:
    return ABSENT if row["guess"] is None else resource_named(row["guess"]["resource"]).title


def _gain(relief: Result | None) -> str:
    if relief is None:
        return ABSENT
    if relief["gain"] is None:
        return "∞"
    return f"{'≥ ' if relief['devices'] is None else ''}{relief['gain']:.2f}"


def _change(change: float | None) -> str:
    return ABSENT if change is None else f"{change * 100:+.0f}"


def _ms(values: Sequence[float | None]) -> tuple[str, ...]:
    return numbers([None if value is None else value * _MS for value in values])


def _percent(values: Sequence[float | None]) -> tuple[str, ...]:
    return tuple(number(None if value is None else value * 100, 0) for value in values)


def _dollars(point: Result) -> float | None:
    cost = point["cost"]
    return None if cost is None else cost["usd_per_million_tokens"]["total"]
