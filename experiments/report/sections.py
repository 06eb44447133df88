"""What a report shows, part by part: blocks of figures, tables and texts, before any HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from experiments.report import data, fleet, latency, plots
from experiments.report.blocks import Block, FigureBlock, SamplesBlock, Section, TableBlock
from experiments.report.sentences import live_sentence, scale_sentence, stage_sentence
from experiments.report.style import METHOD_COLOURS, looks
from experiments.report.timeline import timeline_figure
from experiments.results.cost_table import cost_columns, cost_note, has_costs
from experiments.results.incident_table import incident_columns
from experiments.results.intervals import INTERVALS_NOTE, interval_columns
from experiments.results.labels import BYTES, TEXT, TIME, Row, origins_line, whole_arms
from experiments.results.measures import request_measures
from experiments.results.replica_table import replica_columns
from experiments.results.run import FULL_VOCABULARY, LIVE, METHODS, PREDICTION, Run
from experiments.results.samples import marked_texts, pick_samples
from experiments.results.summary import ALL
from experiments.results.tables import (
    link_columns,
    live_columns,
    methods_columns,
    methods_note,
    quality_columns,
    stage_columns,
)

_TITLES = {
    "": "Results",
    METHODS: "The methods side by side",
    FULL_VOCABULARY: "The same exchange at full vocabulary",
    LIVE: "A live run",
    PREDICTION: "A virtual run",
}


def sections_of(parts: Mapping[str, Run]) -> list[Section]:
    """Return a section per part; a live run and its prediction share one.

    Args:
        parts: name -> run, in the order shown.
    """
    sections = []
    for name, run in parts.items():
        if name == PREDICTION and LIVE in parts:
            continue
        if name == LIVE and PREDICTION in parts:
            sections.append(_live_section(run, parts[PREDICTION]))
        else:
            title = _TITLES.get(name, name.replace("-", " ").replace("_", " ").capitalize())
            sections.append(_section(name, title, run))
    return sections


def _section(name: str, title: str, run: Run) -> Section:
    rows = run.arms
    if not any(row["tokens"] for row in rows):
        return Section(_slug(name), title, "This part holds no token.", [])
    prefix = f"{name}-" if name else ""
    if run.histograms is not None and run.series is not None:
        return Section(
            _slug(name), title, _lead(rows), _fleet_blocks(prefix, run, run.histograms, run.series)
        )
    scored = any(row["quality"] for row in rows)
    about = (TEXT, BYTES, TIME) if scored else (BYTES, TIME)
    blocks: list[Block] = [
        TableBlock(f"{prefix}arms", methods_columns(rows), methods_note(rows), _from(rows, *about)),
        TableBlock(
            f"{prefix}intervals",
            interval_columns(request_measures(run.frames), rows),
            INTERVALS_NOTE,
            _from(rows, *about),
        ),
    ]
    if scored:
        caption = (
            "Quality of the texts and what the cloud learns of the profile; dots are means over "
            "requests, bars their 95 % intervals (bootstrap)."
        )
        blocks += [
            FigureBlock(
                f"{prefix}quality",
                plots.quality_figure(rows),
                caption,
                _from(rows, TEXT),
                data.quality_csv(rows),
            ),
            TableBlock(
                f"{prefix}scores",
                quality_columns(rows),
                "The same in numbers: mean [95 % interval].",
                _from(rows, TEXT),
            ),
        ]
    blocks += [
        *_stage_blocks(prefix, rows, _from(rows, BYTES, TIME)),
        _drawn(
            f"{prefix}itl",
            latency.itl_figure(run.tokens, run.requests, rows),
            "Inter-token latency: share of tokens after the first that took at most so long.",
            _from(rows, TIME),
        ),
        _drawn(
            f"{prefix}requests",
            latency.request_figure(run.frames, rows),
            "Time to first token and to the last one: share of requests that took at most so long. "
            "Failed and censored requests have no last token.",
            _from(rows, TIME),
        ),
        FigureBlock(
            f"{prefix}bytes",
            plots.bytes_figure(rows),
            "Bytes per token: frame | wire. Whole sessions, OPEN, MORE and CLOSE included.",
            _from(rows, BYTES),
            data.bytes_csv(rows),
        ),
    ]
    replicas = run.summary.get("replicas", [])
    if replicas:
        caption = "What each replica served; busy: share of the time until the last token."
        columns = replica_columns(whole_arms(rows), replicas)
        blocks.append(TableBlock(f"{prefix}replicas", columns, caption, _from(rows, TIME)))
    blocks += _event_blocks(prefix, run)
    if has_costs(rows):
        caption = f"What it costs. {cost_note(rows)}"
        blocks.append(TableBlock(f"{prefix}costs", cost_columns(rows), caption, ""))
    if len({row["link_class"] for row in rows} - {ALL}) > 1:
        blocks += _link_blocks(prefix, rows, _from(rows, *about))
    return Section(_slug(name), title, _lead(rows), [*blocks, *_sample_blocks(run)])


def _event_blocks(prefix: str, run: Run) -> list[Block]:
    """Return what failed in the model while the run went on."""
    rows, events = run.arms, run.summary.get("events", [])
    if not events:
        return []
    blocks: list[Block] = [
        TableBlock(
            f"{prefix}events",
            incident_columns(whole_arms(rows), events),
            "What the scenario let happen, and to how many sessions. Those opened again went on"
            " from their tokens at another replica, or at the one that was back.",
            _from(rows, TIME),
        )
    ]
    # Of a fleet in cells the rows are a sample.
    if run.series is None and any(row["replica"] is not None for row in events):
        caption = (
            "Tokens a second at the devices, by the replica that they came from. Grey: a replica is"
            " away."
        )
        drawn = timeline_figure(run.tokens, rows, events)
        blocks.append(_drawn(f"{prefix}timeline", drawn, caption, _from(rows, TIME)))
    return blocks


def _lead(rows: Sequence[Row]) -> str:
    return f"{scale_sentence(rows)} {stage_sentence(rows)}".strip()


def _fleet_blocks(
    prefix: str, run: Run, histograms: pd.DataFrame, series: pd.DataFrame
) -> list[Block]:
    """Return what a fleet that keeps no rows is shown by."""
    rows, classes = run.arms, run.summary.get("classes", [])
    times, sizes = _from(rows, TIME), _from(rows, BYTES)
    both = _from(rows, BYTES, TIME)
    sample = run.manifest.get("sample", {})
    written = (
        f" tokens.parquet and requests.parquet hold a sample: {sample['requests']:,} of"
        f" {sample['of']:,} requests."
        if sample
        else ""
    )
    exact = f"Percentiles: {run.summary['percentiles']}.{written}"
    blocks: list[Block] = [
        TableBlock(f"{prefix}arms", methods_columns(rows), f"{methods_note(rows)} {exact}", both),
        TableBlock(
            f"{prefix}cloud",
            fleet.cloud_columns(rows),
            "The replicas, all together; busy: share of their time until the last token.",
            times,
        ),
        *_event_blocks(prefix, run),
        _drawn(
            f"{prefix}series",
            fleet.series_figure(series, rows),
            "The fleet over simulated time, all replicas together. Rows, sessions and memory are "
            "means over the forwards of each interval, of a replica.",
            times,
        ),
        *_stage_blocks(prefix, rows, both),
        _drawn(
            f"{prefix}classes",
            fleet.classes_figure(classes),
            "Where the mean token's time goes for each class of devices, tokens after the first.",
            both,
        ),
        TableBlock(
            f"{prefix}class-stages",
            fleet.class_columns(classes),
            "The classes of devices in numbers.",
            both,
        ),
        _drawn(
            f"{prefix}itl",
            fleet.itl_figure(histograms, rows),
            "Inter-token latency: share of tokens after the first that took at most so long.",
            times,
        ),
        _drawn(
            f"{prefix}requests",
            fleet.request_figure(histograms, rows),
            "Time to first token and to the last one: share of requests that took at most so long. "
            "Failed and censored requests have no last token.",
            times,
        ),
        FigureBlock(
            f"{prefix}bytes",
            plots.bytes_figure(rows),
            "Bytes per token: frame | wire. Whole sessions, OPEN, MORE and CLOSE included.",
            sizes,
            data.bytes_csv(rows),
        ),
    ]
    if len({row["link_class"] for row in rows} - {ALL}) > 1:
        blocks += _link_blocks(prefix, rows, both)
    return blocks


def _link_blocks(prefix: str, rows: Sequence[Row], origins: str) -> list[Block]:
    return [
        _drawn(
            f"{prefix}links",
            latency.links_figure(rows),
            "The arms on each link class.",
            _from(rows, TIME),
        ),
        TableBlock(
            f"{prefix}link-classes",
            link_columns(rows),
            "The arms on each link class, in numbers.",
            origins,
        ),
    ]


def _live_section(live: Run, virtual: Run) -> Section:
    both = [*live.arms, *virtual.arms]
    origins = _from(both, TIME)
    blocks: list[Block] = [
        TableBlock(
            "live-figures",
            live_columns(live.arms, virtual.arms),
            "What was lived, what was predicted, and the first over the second. Lateness: how long "
            "after its deadline a frame was handed over.",
            origins,
        ),
        _drawn(
            "live-itl",
            latency.live_figure((live.tokens, live.arms), (virtual.tokens, virtual.arms)),
            "Inter-token latency, lived and predicted.",
            origins,
        ),
        *_stage_blocks("live-", both, origins),
    ]
    lead = f"{scale_sentence(live.arms)} {live_sentence(live.arms, virtual.arms)}".strip()
    title = "A live run beside its virtual prediction"
    return Section(LIVE, title, lead, blocks)


def _stage_blocks(prefix: str, rows: Sequence[Row], origins: str) -> list[Block]:
    caption = (
        "Where the mean token's time goes, tokens after the first: the critical path, so that the "
        "stages sum to the latency. Left in milliseconds, right as shares."
    )
    return [
        FigureBlock(
            f"{prefix}stages", plots.stages_figure(rows), caption, origins, data.stages_csv(rows)
        ),
        TableBlock(f"{prefix}stage-times", stage_columns(rows), "The same in numbers.", origins),
    ]


def _sample_blocks(run: Run) -> list[Block]:
    arms = whole_arms(run.arms)
    methods = list(dict.fromkeys(str(row.get("method", "")) for row in arms))
    marked = marked_texts(run.path)
    samples = pick_samples(run.requests, 2, [(name, name) for name in methods], marked)
    if not samples:
        return []
    colours = {
        str(row.get("method")): look.colour for row, look in zip(arms, looks(arms), strict=True)
    }
    caption = "The first prompts, by id, that every method finished."
    if any(sample.marks for sample in samples):
        caption += (
            " Marked: tokens that would have been others without steering, from the same logits and"
            " the text so far. Hover or tab to a token for the likeliest before and after."
        )
    return [SamplesBlock(samples, colours | METHOD_COLOURS, caption)]


def _drawn(name: str, drawn: latency.Drawn, caption: str, origins: str) -> FigureBlock:
    return FigureBlock(name, drawn.svg, caption, origins, drawn.csv)


def _from(rows: Sequence[Row], *about: str) -> str:
    return origins_line(whole_arms(rows), about)


def _slug(name: str) -> str:
    return name or "results"
