"""Everything that an ablation's directory shows: tidy tables, figures, and one HTML page.

``results.parquet`` and ``results.csv`` (a row per cell × repeat × arm × link class), ``means.csv``
(over repeats, with 95 % half widths), ``plots/*.svg``, ``tables/*.md`` and ``*.tex``,
``ablation.html``. Made from the finished cells alone, so that it can be made again at any time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from actors.sink import write_atomically
from costeer.tail import TAILS
from costeer.token_record import STAGES
from experiments.ablation import figures, speed
from experiments.ablation.collection import (
    by_configuration,
    collect,
    over_links,
    over_repeats,
)
from experiments.ablation.drawing import Picture, short_labels, varied
from experiments.ablation.findings import findings
from experiments.ablation.store import CONFIG, INDEX
from experiments.ablation.tables import (
    link_columns,
    link_name,
    links_of,
    result_columns,
    round_columns,
    tail_columns,
)
from experiments.report.pages import environment
from experiments.report.plots import stages_figure
from experiments.results.formats import latex_table
from experiments.results.grid import Column, markdown_table
from experiments.results.summary import ALL


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure or a table of the page."""

    name: str
    caption: str
    svg: str = ""
    columns: Sequence[Column] = ()


def write_ablation_report(path: Path) -> Path:
    """Write tables, figures and ``ablation.html`` of an ablation's finished cells.

    Raises:
        ConfigError: there is no ablation, or none of its cells is finished.
    """
    tidy = collect(path)
    means = over_repeats(tidy)
    configurations = by_configuration(means)
    shown = [*_figures(configurations), *_tables(configurations)]
    for folder in ("plots", "tables"):
        (path / folder).mkdir(exist_ok=True)
    tidy.to_parquet(path / "results.parquet", index=False)
    write_atomically(path / "results.csv", tidy.to_csv(index=False))
    write_atomically(path / "means.csv", means.to_csv(index=False))
    for block in shown:
        if block.svg:
            write_atomically(path / "plots" / f"{block.name}.svg", block.svg)
        else:
            tables = path / "tables"
            write_atomically(tables / f"{block.name}.md", markdown_table(block.columns) + "\n")
            latex = latex_table(block.columns, block.caption, block.name)
            write_atomically(tables / f"{block.name}.tex", latex)
    index = json.loads((path / INDEX).read_text(encoding="utf-8"))
    return write_atomically(path / "ablation.html", _render(path, index, configurations, shown))


def _figures(means: pd.DataFrame) -> list[Shown]:
    shown = []
    n = int(over_links(means)["shadow_tokens"].max())
    if n and varied(means["codec"]):
        shown.append(
            Shown(
                "bytes-agreement",
                "Left: how often the chosen token is not the one that dense fp32 logits give on "
                "the same row. Right: how often it was not proved to be. What is exactly 0 "
                f"stands below, a lane each (of {n:,} tokens a point). Bytes include every MORE "
                "round and dense fallback; numbers beside points are k.",
                _svg(figures.agreement_picture(means)),
            )
        )
    if figures.has_strengths(means):
        shown.append(
            Shown(
                "strength",
                "Left: the fewest ranks of the row whose certificate holds, found from the whole "
                "row. Right: mean bytes of the refinement ladder, MORE rounds and dense fallbacks "
                "included; bars are 95 % intervals over repeats.",
                _svg(figures.strength_picture(means)),
            )
        )
    links = links_of(means)
    if varied(means["codec"]) and len(links) > 1:
        shown.append(_speed(means))
    if (varied(means["codec"]) or varied(means["overlap"])) and len(links):
        for place, link in (("slowest", links.iloc[0]), ("fastest", links.iloc[-1])):
            if place == "fastest" and len(links) == 1:
                break
            shown.append(
                Shown(
                    f"stages-{place}",
                    f"Where a token's time goes on the link with the {place} downlink "
                    f"({link_name(link)}, round trip {link['rtt_s'] * 1e3:.0f} ms without jitter): "
                    "the critical path of tokens after the first.",
                    stages_figure(_stage_rows(means, str(link["link_class"]))),
                )
            )
    return shown


def _speed(means: pd.DataFrame) -> Shown:
    about = (
        "Of each family the fastest over all links and those that beat it on one, exact ones where "
        "there are any. Encoding and decoding are charged by the number of logits, whatever the "
        "layout and zstd."
    )
    if not speed.one_round_trip(means):
        return Shown(
            "speed-links",
            f"Speed of one stream on each link, the slowest downlink first. {about}",
            _svg(speed.links_picture(means)),
        )
    return Shown(
        "speed-bandwidth",
        "Speed of one stream against the downlink's bandwidth. Dotted: where another codec becomes "
        "the fastest by more than 2 %, and where dense ones come within 5 % of the best, both "
        f"interpolated between the links measured. {about}",
        _svg(speed.speed_picture(means)),
    )


def _svg(picture: Picture) -> str:
    return picture.render().decode()


def _stage_rows(means: pd.DataFrame, link_class: str) -> list[dict[str, Any]]:
    """Rows as the stage figure takes them: one per configuration that speed figures show."""
    labels = short_labels(means)
    here = means[means["link_class"] == link_class].set_index("cell_key")
    rows = []
    told = speed.representatives(means) if varied(means["codec"]) else labels
    for number, key in enumerate(told):
        if key not in here.index:
            continue
        row = here.loc[key]
        stages = {stage: float(row[f"stage_{stage}_s"]) for stage in STAGES}
        rows.append(
            {
                "arm": number,
                "link_class": ALL,
                "tokens": int(row["tokens"]),
                "method": row["method"],
                "codec": labels[key],
                "itl_breakdown_s": stages,
            }
        )
    return rows


def _tables(means: pd.DataFrame) -> list[Shown]:
    shown = [
        Shown(
            "results",
            "Exactness, bytes and speed over all links. Agree: the chosen token is the one that "
            "dense fp32 logits give on the same row. Certified: proved to be, by what was sent.",
            columns=result_columns(means),
        )
    ]
    if (means["shadow_tokens"] > 0).any():
        shown.append(
            Shown(
                "rounds",
                "Payload bytes by round; KL and total variation of the device's steered "
                "distribution from the dense one, unsent tokens counting as impossible; how many "
                "texts leave the dense one's, and where.",
                columns=round_columns(means),
            )
        )
    if means[f"tail_kl_nats_{TAILS[0]}"].notna().any():
        shown.append(
            Shown(
                "tails",
                "How far the device's steered distribution is from the dense one (KL(device ‖ "
                "dense) and total variation), by what it assumes of the tokens that it was not "
                "sent: all at the floor, impossible, or the unsent mass spread evenly.",
                columns=tail_columns(means),
            )
        )
    if len(links_of(means)) > 1:
        shown.append(Shown("links", "Speed on each link.", columns=link_columns(means)))
    return shown


def _render(path: Path, index: dict[str, Any], means: pd.DataFrame, shown: Sequence[Shown]) -> str:
    pages = environment("experiments.ablation")
    origins = {
        name.removeprefix("origin_"): sorted(set(means[name].dropna()))
        for name in means.columns
        if name.startswith("origin_")
    }
    return pages.get_template("ablation.html.j2").render(
        index=index,
        finished=sum(cell["finished"] for cell in index["cells"]),
        repeats=int(means["repeats"].max()),
        findings=findings(means),
        origins=[f"{name} {', '.join(found)}" for name, found in origins.items() if found],
        shown=shown,
        config=(path / CONFIG).read_text(encoding="utf-8") if (path / CONFIG).exists() else "",
    )
