"""From finished cells to one tidy table, and from its repeats to means with intervals.

A row is one cell × repeat × arm × link class (``all``: over every class). Columns: the axes by
their own names; what identifies the arm; what it moved, how fast, how exactly. Units stand in the
names: ``_s``, ``_bytes``, ``_mbps``, ``_nats``; ``_share`` is 0 to 1; ``_per_token`` is over all
tokens of the row.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from actors.plan import session_id
from costeer.errors import ConfigError
from costeer.tail import TAILS
from experiments.ablation.execution import SHADOW_FILE
from experiments.ablation.store import INDEX, MARKER
from experiments.results.frames import ID
from experiments.results.run import Run, load
from experiments.results.summary import ALL
from experiments.scenario import Scenario

FLEET = "fleet."
"""Axes below this key say where a configuration runs, not what it is."""

ROUNDS = 5
"""Rounds whose bytes have a column of their own; the last holds all that follow."""

_COUNTS = {"tokens", "shadow_tokens", "disagreements", "requests"}

_T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Student's t at 0.975 for 1 to 30 degrees of freedom."""
_NORMAL_975 = 1.960


def collect(path: Path) -> pd.DataFrame:
    """Return the tidy table of an ablation's finished cells.

    Raises:
        ConfigError: there is no ablation, or none of its cells is finished.
    """
    if not (path / INDEX).exists():
        raise ConfigError(f"{path}: no {INDEX} there; give a directory of `costeer ablate`")
    index = json.loads((path / INDEX).read_text(encoding="utf-8"))
    axes = dict.fromkeys(name for cell in index["cells"] for name in cell["labels"])
    rows: list[dict[str, Any]] = []
    for cell in index["cells"]:
        folder = path / "cells" / cell["id"]
        if (folder / MARKER).exists():
            rows += _cell_rows(folder, cell, {name: cell["labels"].get(name, "") for name in axes})
    if not rows:
        raise ConfigError(f"{path}: no cell is finished; run it again with --resume")
    return pd.DataFrame(rows).astype({"k": "Int64"}).copy()


def _cell_rows(
    folder: Path, cell: Mapping[str, Any], labels: Mapping[str, str]
) -> list[dict[str, Any]]:
    run = load(folder)
    scenario = Scenario.model_validate(yaml.safe_load(run.scenario_text))
    links = {link.name: link for link in (each.link.resolve() for each in scenario.fleet.classes)}
    steps = _steps(run, pd.read_parquet(folder / SHADOW_FILE))
    rows = []
    for row in run.arms:
        arm = scenario.arms[row["arm"]]
        link = links.get(row["link_class"])
        mine = steps[steps["arm"] == row["arm"]]
        if row["link_class"] != ALL:
            mine = mine[mine["link_class"] == row["link_class"]]
        refined = arm.refine is not None and arm.refine.max_rounds > 0
        rows.append(
            {
                "cell": cell["id"],
                "repeat": cell["repeat"],
                "seed": scenario.seed,
                "cell_key": cell_key(labels, row["arm"]),
                **labels,
                "arm": row["arm"],
                "method": row["method"],
                **codec_columns(row["codec"], refined=refined),
                "strength": arm.strength.c if arm.strength is not None else math.nan,
                "refine": row["refine"],
                "refined": refined,
                "overlap": row.get("overlap", ""),
                "link_class": row["link_class"],
                "down_mbps": link.down.rate_bps / 1e6 if link else math.nan,
                "up_mbps": link.up.rate_bps / 1e6 if link else math.nan,
                "rtt_s": link.rtt_ns / 1e9 if link else math.nan,
                "round_trip_mean_s": link.mean_round_trip_ns / 1e9 if link else math.nan,
                **_measured(row),
                **_shadowed(mine, row["tokens"]),
                **{f"origin_{name}": origin for name, origin in row["origins"].items()},
                "way": row["way"],
                "values": row["values"],
            }
        )
    return rows


def cell_key(labels: Mapping[str, str], arm: int) -> str:
    """Return what a configuration is called: the same on all links and in all repeats."""
    told = [value for name, value in labels.items() if value and not name.startswith(FLEET)]
    return " | ".join([*told, f"#{arm}"])


def codec_columns(codec: str, *, refined: bool) -> dict[str, Any]:
    """Return a codec's name taken apart: what kind it is, and its k where it has one."""
    sparse = re.match(r"top(\d+)-", codec)
    family = codec.replace(sparse[0], "top-k ", 1) if sparse else codec.replace("-naive", "")
    dense = codec.startswith("dense")
    return {
        "codec": codec,
        "family": family.replace("-", " ").replace("top k", "top-k"),
        "k": int(sparse[1]) if sparse else None,
        "exactness": "" if dense else "exact" if refined else "first frame",
    }


def _measured(row: Mapping[str, Any]) -> dict[str, Any]:
    same = (
        "tokens",
        "requests",
        "requests_failed",
        "requests_censored",
        "tokens_per_second",
        "certified_share",
        "rounds_mean",
        "refined_share",
    )
    found = {name: row[name] for name in same}
    found |= {name: value for name, value in row.items() if name.endswith("_per_token")}
    for name in ("itl_s", "ttft_s", "latency_s"):
        stem = name.removesuffix("_s")
        found |= {f"{stem}_{at}_s": row[name][at] for at in ("mean", "p50", "p95", "p99")}
    found |= {f"stage_{name}_s": value for name, value in row["itl_breakdown_s"].items()}
    found |= {f"quality_{name}": item["mean"] for name, item in row["quality"].items()}
    return found


def _steps(run: Run, shadow: pd.DataFrame) -> pd.DataFrame:
    """The shadow's steps beside the tokens that were really chosen."""
    tokens = run.tokens[[*ID, "position", "token"]].merge(
        run.requests[[*ID, "link_class"]], on=ID, how="left"
    )
    tokens["session"] = [
        session_id(device, request)
        for device, request in zip(tokens["device"], tokens["request"], strict=True)
    ]
    both = tokens.merge(shadow, on=["arm", "session", "position"], how="inner")
    both["agrees"] = both["token"] == both["dense_token"]
    return both


def _shadowed(steps: pd.DataFrame, tokens: int) -> dict[str, Any]:
    """What the shadow has to say of one row; null where there was none."""
    known = len(steps) > 0
    found: dict[str, Any] = {
        "shadow_tokens": len(steps),
        "disagreements": int((~steps["agrees"].astype(bool)).sum()) if known else None,
        "agreement_share": float(steps["agrees"].mean()) if known else None,
    }
    by_round = np.zeros(ROUNDS)
    for sizes in steps["payload_bytes"]:
        for round_, size in enumerate(sizes):
            by_round[min(round_, ROUNDS - 1)] += size
    for round_, total in enumerate(by_round):
        found[f"payload_bytes_round{round_}_per_token"] = total / tokens if known else None
    for name in ("kl_nats", "total_variation", "delta_sd"):
        found[name] = float(steps[name].mean()) if known else None
    for index, tail in enumerate(TAILS):
        for name in ("tail_kl_nats", "tail_total_variation"):
            told = [each[index] for each in steps[name] if len(each)] if known else []
            found[f"{name}_{tail}"] = float(np.mean(told)) if told else None
    ranks = steps["ranks_needed"].dropna().to_numpy(dtype=np.float64)
    for at in (50, 90, 99):
        found[f"ranks_needed_p{at}"] = float(np.percentile(ranks, at)) if len(ranks) else None
    found["ranks_needed_max"] = float(ranks.max()) if len(ranks) else None
    return found | _divergence(steps)


def _divergence(steps: pd.DataFrame) -> dict[str, Any]:
    """Where texts leave the dense one: at their first step that disagrees."""
    if not len(steps):
        return {"diverged_share": None, "first_divergence_mean": None}
    sessions = steps["session"].nunique()
    first = steps[~steps["agrees"].astype(bool)].groupby("session")["position"].min()
    return {
        "diverged_share": len(first) / sessions,
        "first_divergence_mean": float(first.mean()) if len(first) else None,
    }


def keys_of(tidy: pd.DataFrame) -> list[str]:
    """Return the columns that tell configurations apart: not what was measured, nor repeats."""
    columns = list(tidy.columns)
    start, end = columns.index("cell_key"), columns.index("rtt_s") + 1
    return columns[start:end]


def axes_of(table: pd.DataFrame) -> list[str]:
    """Return the axes that tell configurations apart; those of the fleet are not among them."""
    columns = list(table.columns)
    axes = columns[columns.index("cell_key") + 1 : columns.index("arm")]
    return [name for name in axes if not name.startswith(FLEET)]


def by_configuration(means: pd.DataFrame) -> pd.DataFrame:
    """Return one row per configuration and link class, whichever cells it was measured in.

    Where links are an axis, ``all`` is over their cells. Means are over cells. Of counts and of
    half widths the largest stands: cells share their random numbers, so that the rows of logits are
    the same on every link, and adding them up would count them twice.
    """
    measured = _measured_columns(means)
    rows = []
    for _, same in means.groupby(["cell_key", "link_class"], sort=False):
        row: dict[str, Any] = same.iloc[0].to_dict()
        for name in measured if len(same) > 1 else ():
            if name in _COUNTS or str(name).endswith("_ci95"):
                row[name] = same[name].max()
            else:
                row[name] = same[name].mean()
        rows.append(row)
    table = pd.DataFrame(rows, columns=means.columns).astype({"k": "Int64"})
    # A copy lies in one piece: pandas warns of tables that were put together column by column.
    return table.astype({name: float for name in measured if name not in _COUNTS}).copy()


def over_links(configurations: pd.DataFrame) -> pd.DataFrame:
    """Return the rows over every link: one per configuration."""
    return configurations[configurations["link_class"] == ALL].reset_index(drop=True)


def _measured_columns(table: pd.DataFrame) -> list[str]:
    keys = {*keys_of(table), "repeat", "repeats", "seed", "cell"}
    return [
        name
        for name in table.columns
        if name not in keys and pd.api.types.is_numeric_dtype(table[name])
    ]


def over_repeats(tidy: pd.DataFrame) -> pd.DataFrame:
    """Return one row per configuration: means over repeats, and ``<column>_ci95`` half widths.

    The interval is Student's over the repeats' means; null where there is one repeat.
    """
    keys = keys_of(tidy)
    numeric = _measured_columns(tidy)
    rows = []
    for _, same in tidy.groupby(keys, sort=False, dropna=False):
        row: dict[str, Any] = {name: same[name].iloc[0] for name in keys}
        row["repeats"] = len(same)
        for name in numeric:
            values = same[name].dropna().to_numpy(dtype=np.float64)
            if name in _COUNTS:
                row[name] = int(values.sum()) if len(values) else None
                continue
            row[name] = float(values.mean()) if len(values) else None
            row[f"{name}_ci95"] = half_width(values)
        rest = [name for name in tidy.columns if name not in {*keys, *numeric}]
        row |= {name: same[name].iloc[0] for name in rest if name not in {"cell", "repeat"}}
        rows.append(row)
    return pd.DataFrame(rows)


def half_width(values: Sequence[float] | np.ndarray[Any, Any]) -> float | None:
    """Half the width of the 95 % interval of a mean (Student's t); None below two values."""
    n = len(values)
    if n <= 1:
        return None
    t = _T_975[n - 2] if n - 2 < len(_T_975) else _NORMAL_975
    return t * float(np.std(values, ddof=1)) / math.sqrt(n)
