"""The paper's tables as they come out here: measured with intervals, published beside, bytes too.

What the paper does not print stands in the last columns: what crossed the network for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.paper.published import FIRST_PAIR, Key, published
from experiments.paper.running import Done
from experiments.results.grid import ABSENT, Column, number, text_table
from experiments.results.intervals import interval_cell
from experiments.results.labels import whole_arms
from experiments.scoring.metrics import ALONE, FACTS, RATINGS, REFERENCED, REWARD

SETTINGS = {
    "slm_without": "SLM w/o",
    "slm_with": "SLM w/",
    "llm_without": "LLM w/o",
    "light_costeer": "LightCoSteer",
    "costeer": "CoSteer",
    "llm_with": "LLM w/ (leaks)",
}
"""The paper's names of the methods, in its order."""

TABLES = {
    "table1": ("slm_without", "slm_with", "llm_without", "costeer", "llm_with"),
    "table2": ("light_costeer", "costeer"),
    "table3": ("llm_without", "light_costeer", "costeer"),
    "table5": ("slm_without", "slm_with", "llm_without", "costeer", "llm_with"),
}
"""The methods of each."""

_METRICS = {each.key: each for each in (*REFERENCED, *FACTS, *ALONE, REWARD, *RATINGS)}


def table_text(table: str, pair: str, done: Sequence[Done], width: int | None = None) -> str:
    """Return a table, one part per task, with the notes that it needs."""
    theirs = published(table, pair) or published(table, FIRST_PAIR)
    parts = []
    for each in done:
        rows = len(set(each.scores.frame["prompt_id"]))
        parts.append(f"{each.task.title}; {rows} rows")
        parts += [text_table(_columns(each, theirs), width), ""]
    return "\n".join([*parts, *_notes(table, pair, done)])


def table_json(table: str, pair: str, done: Sequence[Done]) -> dict[str, Any]:
    """Return the same figures for programs."""
    theirs = published(table, pair) or published(table, FIRST_PAIR)
    return {
        "table": table,
        "pair": pair,
        "tasks": [
            {
                "task": each.task.name,
                "preference": each.task.preference,
                "rows": _rows(each, theirs),
            }
            for each in done
        ],
        "notes": _notes(table, pair, done),
    }


def _rows(each: Done, theirs: Mapping[Key, float]) -> list[dict[str, Any]]:
    found = []
    for arm in whole_arms(each.run.arms):
        metrics = {}
        for key, place in _places(each):
            interval = each.scores.interval(int(arm["arm"]), _METRICS[key])
            metrics[key] = {
                "mean": interval and interval.mean,
                "low": interval and interval.low,
                "high": interval and interval.high,
                "published": theirs.get((arm["method"], *place)) if place else None,
            }
        found.append(
            {
                "method": arm["method"],
                "metrics": metrics,
                "tokens_per_second": arm["tokens_per_second"],
                "frame_bytes_down_per_token": arm["frame_bytes_down_per_token"],
                "frame_bytes_up_per_token": arm["frame_bytes_up_per_token"],
            }
        )
    return found


def _places(each: Done) -> list[tuple[str, tuple[str, str] | None]]:
    """Metrics that have values, and where the paper has theirs."""
    beside = each.task.published_as
    places: list[tuple[str, tuple[str, str] | None]] = [
        (key, beside[place] if place < len(beside) else None)
        for place, key in enumerate(each.task.metrics)
    ]
    known = set(each.scores.frame.columns)
    return [(key, place) for key, place in places if key in known]


def _columns(each: Done, theirs: Mapping[Key, float]) -> list[Column]:
    arms = sorted(
        whole_arms(each.run.arms), key=lambda arm: list(SETTINGS).index(str(arm["method"]))
    )
    columns = [Column("setting", tuple(SETTINGS[str(arm["method"])] for arm in arms), left=True)]
    for key, place in _places(each):
        metric = _METRICS[key]
        name = f"{metric.title} {metric.unit}".strip()
        ours = (each.scores.interval(int(arm["arm"]), metric) for arm in arms)
        cells = tuple(ABSENT if one is None else interval_cell(one) for one in ours)
        columns.append(Column("measured", cells, group=name))
        if place is not None:
            beside = tuple(theirs.get((str(arm["method"]), *place)) for arm in arms)
            columns.append(Column("published", tuple(number(one, 3) for one in beside), group=name))
    columns += [
        Column(title, tuple(number(arm.get(key), 1) for arm in arms), unit, "what crosses")
        for title, key, unit in (
            ("down", "frame_bytes_down_per_token", "B/token"),
            ("up", "frame_bytes_up_per_token", "B/token"),
        )
    ]
    speed = tuple(number(arm.get("tokens_per_second"), 2) for arm in arms)
    columns.append(Column("measured", speed, "tokens/s", "speed"))
    beside = tuple(theirs.get((str(arm["method"]), "speed", "tokens_per_second")) for arm in arms)
    if any(one is not None for one in beside):
        told = tuple(number(one, 2) for one in beside)
        columns.append(Column("published", told, "tokens/s", "speed"))
    return columns


def _notes(table: str, pair: str, done: Sequence[Done]) -> list[str]:
    notes = [
        "measured: mean [95 % interval], bootstrap over prompts; published: arXiv 2507.04756v1"
    ]
    if not published(table, pair):
        notes.append(
            f"The paper does not have the pair {pair}: published is its Qwen2.5 7B/1.5B, on its own"
            " texts. Levels are not comparable, the order of the settings is."
        )
    scored = {key for each in done for key, _ in _places(each)}
    wanted = {key for each in done for key in each.task.metrics}
    if "reward" in wanted - scored:
        notes.append("Preference alignment is scored by a reward model: add --reward MODEL.")
    if table == "table1":
        notes.append("Its preference columns, dataset by dataset: `costeer evaluate table5`.")
    if "judge_overall" in wanted - scored:
        notes.append("CoGenesis is scored by a judge: add --judge URL.")
    notes.append(
        "speed: per stream, simulated; forwards charged as the scenario's `timing` says, by a"
        " roofline, over the scenario's links"
    )
    return notes
