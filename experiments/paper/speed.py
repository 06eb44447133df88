"""Table 3, tokens per second: the paper's exchange (dense fp16 logits) and the packed one.

The exchange runs at the paper's vocabulary with generated logits; forwards are charged as its pair
on named hardware by a roofline, which is why vanilla is far faster here than the paper's eager
set-up. What can be compared is what steering costs on top: ms per token over vanilla's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.hosting import NO_CLUSTER, open_laboratory
from experiments.paper.published import FIRST_PAIR, published
from experiments.planning import plan_workload
from experiments.progress import Progress
from experiments.results.grid import Column, number, text_table
from experiments.results.labels import whole_arms
from experiments.run import run_in
from experiments.scenario import Scenario, load_scenario

_MS = 1e3
_NOTES = (
    "measured: generated logits at V = 151,936, really encoded; forwards charged as Qwen2.5",
    "7B/1.5B by a roofline, links declared. One scalar replaces the paper's T steps: what CoSteer",
    "takes longer than LightCoSteer is refinement. published: neither hardware nor link are named;",
    "vanilla's step of 41.9 ms is an eager one.",
)
_METHODS = ("llm_without", "light_costeer", "costeer", "light_costeer", "costeer")
_CODECS = ("", "dense-fp16-naive", "dense-fp16-naive", "top64-bf16-packed", "top64-bf16-packed")
_TITLES = {"llm_without": "Vanilla", "light_costeer": "LightCoSteer", "costeer": "CoSteer"}


@dataclass(frozen=True, slots=True)
class Speed:
    """One line of the table.

    Args:
        method: its name.
        codec: how logits go down; empty where none do.
        link: class of links.
        tokens_per_s: of one stream, without its first token: 1 / mean ITL.
        published_tokens_per_s: the paper's; None where it has none.
        frame_bytes_down: per token.
    """

    method: str
    codec: str
    link: str
    tokens_per_s: float
    published_tokens_per_s: float | None
    frame_bytes_down: float


def measure_speed(out: Path, new_tokens: int, progress: Progress) -> list[Speed]:
    """Run the arms and read their speeds off, link by link.

    Args:
        out: a new directory.
        new_tokens: of each session.
        progress: told of arms and tokens.
    """
    base = load_scenario("full-vocabulary").model_dump(mode="json")
    base["name"] = "table3"
    base["workload"]["max_new_tokens"] = new_tokens
    base["arms"] = [
        {"method": method} | ({"codec": codec} if codec else {})
        for method, codec in zip(_METHODS, _CODECS, strict=True)
    ]
    scenario = Scenario.model_validate(base)
    workload = plan_workload(scenario)
    with open_laboratory(scenario, NO_CLUSTER) as laboratory:
        outcome = run_in(laboratory, scenario, workload, out, progress)
    theirs = published("table3", FIRST_PAIR)
    names = {int(arm["arm"]) for arm in whole_arms(outcome.summary["arms"])}
    rows = sorted(outcome.summary["arms"], key=lambda row: (row["link_class"], row["arm"]))
    return [
        Speed(
            row["method"],
            row["codec"],
            row["link_class"],
            1 / row["itl_s"]["mean"],
            theirs.get((row["method"], "speed", "tokens_per_second"))
            if row["codec"] in {"", "dense-fp16-naive"}
            else None,
            row["frame_bytes_down_per_token"],
        )
        for row in rows
        if row["arm"] in names and row["link_class"] != "all"
    ]


def speed_text(rows: Sequence[Speed], width: int | None = None) -> str:
    """Return the table, and what it means."""
    columns = [
        Column("link", tuple(row.link for row in rows), left=True),
        Column("method", tuple(_TITLES[row.method] for row in rows), left=True),
        Column("logits", tuple(row.codec or "–" for row in rows), left=True),
        Column("down", tuple(number(row.frame_bytes_down, 0) for row in rows), "B/token"),
        *_speeds("measured", [row.tokens_per_s for row in rows], rows),
        *_speeds("published", [row.published_tokens_per_s for row in rows], rows),
    ]
    return "\n".join([text_table(columns, width), *_NOTES])


def speed_json(rows: Sequence[Speed]) -> dict[str, Any]:
    """Return the same figures for programs."""
    return {"table": "table3", "rows": [asdict(row) for row in rows]}


def _speeds(name: str, found: Sequence[float | None], rows: Sequence[Speed]) -> list[Column]:
    vanilla = {
        row.link: speed
        for row, speed in zip(rows, found, strict=True)
        if row.method == "llm_without" and speed
    }
    over = tuple(
        _MS / speed - _MS / vanilla[row.link] if speed and row.link in vanilla else None
        for row, speed in zip(rows, found, strict=True)
    )
    return [
        Column("tokens/s", tuple(number(speed, 2) for speed in found), "", name),
        Column("over vanilla", tuple(number(each, 1) for each in over), "ms/token", name),
    ]
