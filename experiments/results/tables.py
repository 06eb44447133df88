"""The tables of a run, from rows of ``summary.json``: columns first, then text or Markdown.

``*_columns`` return what a table holds; ``methods_table`` and its like return it printed.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from costeer.methods import ALL as ALL_METHODS
from costeer.methods import NEIGHBOURS
from costeer.token_record import STAGES
from experiments.results.grid import (
    ABSENT,
    Column,
    markdown_table,
    number,
    numbers,
    text_table,
)
from experiments.results.labels import (
    BYTES,
    TEXT,
    TIME,
    Row,
    arm_labels,
    arms_title,
    origins_line,
    whole_arms,
)
from experiments.results.samples import Sample
from experiments.results.summary import ALL

_MS = 1e3
_YES_NO = {True: "yes", False: "no"}
_SAME = ("method", "codec", "strength", "refine")

STAGE_TITLES = {stage: stage.replace("_", " ") for stage in STAGES} | {
    "select_encode": "select + encode",
    "edge_wait": "wait for edge",
    "steer": "steer + certify",
}
"""How stages are called where people read them."""


def methods_columns(rows: Sequence[Row]) -> list[Column]:
    """Return table 1: what each arm says, how fast, for how many bytes, and what the cloud sees."""
    arms = whole_arms(rows)
    return [
        Column(arms_title(arms), tuple(arm_labels(arms)), left=True),
        *_context_columns(arms),
        *_performance_columns(arms),
    ]


def _context_columns(rows: Sequence[Row]) -> list[Column]:
    """Where each arm needs the private context, if one is of a method that is not the paper's."""
    named = {method.name: method for method in ALL_METHODS}
    methods = [named.get(str(row["method"])) for row in rows]
    if not any(method in NEIGHBOURS for method in methods):
        return []
    at = tuple(ABSENT if method is None else method.context_at for method in methods)
    told = tuple("" if method is None else _YES_NO[not method.leaks_context] for method in methods)
    return [
        Column("context", at, "needed at", left=True),
        Column("private", told, left=True),
    ]


def methods_note(rows: Sequence[Row]) -> str:
    """Return what the figures of table 1 mean."""
    note = (
        "All at the device. tokens/s: per stream, from the intended arrival to the last token. "
        "frame, wire: bytes of whole sessions (OPEN, MORE and CLOSE included) over their tokens."
    )
    if any("facts_in_prompt_share" in row["quality"] for row in rows):
        note += (
            " facts seen: share of the profile's facts that the cloud finds in the prompt it is "
            "sent, and in the tokens it is told or chooses."
        )
    failed = sum(row["requests_failed"] for row in whole_arms(rows))
    if failed:
        note += (
            f" {failed} requests failed and are in no figure of time; requests.parquet has each"
            " one's reason."
        )
    return f"{note} {alone_note(rows)}".rstrip()


def alone_note(rows: Sequence[Row]) -> str:
    """Return what devices did whose cloud did not answer; empty where that did not happen."""
    # Runs of an earlier schema know nothing of it.
    tokens, requests, stalled = (
        sum(row.get(key, 0) for row in whole_arms(rows))
        for key in ("fallback_tokens", "fallback_requests", "requests_stalled")
    )
    said = []
    if tokens:
        said.append(
            f"In {requests:,} requests devices chose {tokens:,} tokens alone, on their own small"
            " model, after their cloud had not answered."
        )
    if stalled:
        said.append(f"{stalled:,} requests failed because the cloud did not answer.")
    return " ".join(said)


def link_columns(rows: Sequence[Row]) -> list[Column]:
    """Return speed and bytes of every arm on every link class."""
    classed = [row for row in rows if row["link_class"] != ALL]
    classed.sort(key=lambda row: (row["link_class"], row["arm"]))
    labels = {row["arm"]: label for row, label in _labelled(rows)}
    return [
        Column("link", tuple(row["link_class"] for row in classed), left=True),
        Column(
            arms_title(whole_arms(rows)), tuple(labels[row["arm"]] for row in classed), left=True
        ),
        *_performance_columns(classed),
    ]


def _labelled(rows: Sequence[Row]) -> list[tuple[Row, str]]:
    arms = whole_arms(rows)
    return list(zip(arms, arm_labels(arms), strict=True))


def _performance_columns(rows: Sequence[Row]) -> list[Column]:
    columns = []
    if any(row["quality"] for row in rows):
        columns += [
            Column("ROUGE-L", _quality(rows, "rouge_l", 3), group="text"),
            Column("profile", _quality(rows, "profile_recall", 2), "recall", "text"),
            Column("fact", _quality(rows, "fact_recall", 2), "recall", "text"),
        ]
    columns += [
        Column("tokens/s", numbers([row["tokens_per_second"] for row in rows]), "stream", "speed"),
        _time_column(rows, "ttft_s", "p50", "TTFT p50"),
        _time_column(rows, "itl_s", "p50", "ITL p50"),
        _time_column(rows, "itl_s", "p95", "ITL p95"),
        *(
            Column(way, numbers([row[f"{kind}_bytes_{way}_per_token"] for row in rows]), "B", group)
            for kind, group in (("frame", "frame/token"), ("wire", "wire/token"))
            for way in ("down", "up")
        ),
    ]
    if any("facts_in_prompt_share" in row["quality"] for row in rows):
        in_prompt = _quality(rows, "facts_in_prompt_share", 0, scale=100)
        in_tokens = _quality(rows, "facts_in_tokens_share", 0, scale=100)
        columns += [
            Column("prompt", in_prompt, "%", "facts seen"),
            Column("tokens", in_tokens, "%", "facts seen"),
        ]
    return columns


def _quality(rows: Sequence[Row], key: str, decimals: int, scale: float = 1.0) -> tuple[str, ...]:
    means = [row["quality"].get(key, {}).get("mean") for row in rows]
    return tuple(number(None if mean is None else mean * scale, decimals) for mean in means)


def _time_column(rows: Sequence[Row], key: str, percentile: str, title: str) -> Column:
    values = [row[key][percentile] for row in rows]
    cells = numbers([None if value is None else value * _MS for value in values])
    return Column(title, cells, "ms", "speed")


def quality_columns(rows: Sequence[Row]) -> list[Column]:
    """Return every quality figure with its 95 % interval; empty where nothing was scored."""
    arms = whole_arms(rows)
    if not any(row["quality"] for row in arms):
        return []
    names = {
        "rouge_l": "ROUGE-L",
        "profile_recall": "profile recall",
        "fact_recall": "fact recall",
        "facts_in_prompt_share": "facts in prompt",
        "facts_in_tokens_share": "facts in tokens",
    }
    columns = [Column(arms_title(arms), tuple(arm_labels(arms)), left=True)]
    for key, title in names.items():
        found = [row["quality"].get(key) for row in arms]
        if any(found):
            cells = tuple(
                f"{item['mean']:.3f} [{item['low']:.3f}, {item['high']:.3f}]" if item else "–"
                for item in found
            )
            columns.append(Column(title, cells))
    counts = [max((item["n"] for item in row["quality"].values()), default=0) for row in arms]
    return [*columns, Column("requests", tuple(str(count) for count in counts))]


def stage_columns(rows: Sequence[Row], which: str = "itl_breakdown_s") -> list[Column]:
    """Return table 2: where the mean token's time goes, a stage a row, with the total.

    Args:
        rows: summary rows.
        which: ``itl_breakdown_s`` (tokens after the first) or ``breakdown_s`` (all).
    """
    arms = whole_arms(rows)
    stages = [stage for stage in STAGES if any(row[which][stage] for row in arms)]
    columns = [Column("stage", (*(STAGE_TITLES[stage] for stage in stages), "total"), left=True)]
    for row, label in zip(arms, arm_labels(arms), strict=True):
        times = [row[which][stage] for stage in stages]
        known = [value for value in times if value is not None]
        total = sum(known) if known else None
        ms = numbers([None if value is None else value * _MS for value in (*times, total)])
        shares = [
            number(None if value is None or not total else value / total * 100, 0)
            for value in (*times, total)
        ]
        columns += [Column("time", ms, "ms", label), Column("share", tuple(shares), "%", label)]
    return columns


def live_columns(live: Sequence[Row], virtual: Sequence[Row]) -> list[Column]:
    """Return table 3: each live arm beside its virtual prediction, and live over virtual.

    Args:
        live: summary rows of the live run.
        virtual: summary rows of the prediction; arms are matched by method, codec,
            strength and refinement.
    """
    predicted = {_match(row): row for row in whole_arms(virtual)}
    lines: list[tuple[str, str, float | None, float | None]] = []
    for row, label in _labelled(live):
        twin = predicted.get(_match(row))
        for name, path, scale in (
            ("ITL p50, ms", ("itl_s", "p50"), _MS),
            ("ITL p95, ms", ("itl_s", "p95"), _MS),
            ("TTFT p50, ms", ("ttft_s", "p50"), _MS),
            ("tokens/s per stream", ("tokens_per_second",), 1.0),
            ("tokens/s in all", ("system_tokens_per_second",), 1.0),
            ("lateness p50, ms", ("lateness_s", "p50"), _MS),
            ("lateness p95, ms", ("lateness_s", "p95"), _MS),
        ):
            found = _at(row, path, scale)
            lines.append((label, name, found, None if twin is None else _at(twin, path, scale)))
    labels = [line[0] for line in lines]
    measured, expected = [line[2] for line in lines], [line[3] for line in lines]
    ratios = [
        a / b if a is not None and b else None for a, b in zip(measured, expected, strict=True)
    ]
    return [
        *([Column("method", tuple(labels), left=True)] if len(set(labels)) > 1 else []),
        Column("figure", tuple(line[1] for line in lines), left=True),
        Column("live", tuple(number(value, 2) for value in measured)),
        Column("virtual", tuple(number(value, 2) for value in expected)),
        Column("live/virtual", tuple(number(value, 2) for value in ratios)),
    ]


def _match(row: Row) -> tuple[object, ...]:
    return tuple(row.get(key) for key in _SAME)


def _at(row: Row, path: tuple[str, ...], scale: float) -> float | None:
    value: object = row
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value * scale if isinstance(value, int | float) else None


def printed(
    columns: Sequence[Column],
    rows: Sequence[Row] = (),
    about: Sequence[str] = (TEXT, BYTES, TIME),
    *,
    markdown: bool = False,
    width: int | None = None,
) -> str:
    """Return columns as a table, the origins of their numbers below.

    Args:
        columns: the table.
        rows: the summary rows that it was made from, for the origins.
        about: the kinds of figures whose origins are named.
        markdown: Markdown instead of aligned text.
        width: characters of the terminal; wider tables are broken between groups of columns.
    """
    table = markdown_table(columns) if markdown else text_table(columns, width)
    origins = origins_line(whole_arms(rows), about)
    if origins and not markdown:
        wrapped = textwrap.wrap(origins, width or 110, subsequent_indent="  ")
        return "\n".join([table, *wrapped])
    return f"{table}\n\n{origins}" if origins else table


def methods_table(rows: Sequence[Row], *, markdown: bool = False, width: int | None = None) -> str:
    """Return table 1 printed; see ``methods_columns``."""
    table = printed(methods_columns(rows), rows, markdown=markdown, width=width)
    note = methods_note(rows)
    return f"{table}\n\n{note}" if markdown else f"{table}\n{textwrap.fill(note, width or 110)}"


def stage_table(rows: Sequence[Row], *, markdown: bool = False, width: int | None = None) -> str:
    """Return table 2 printed; see ``stage_columns``."""
    return printed(stage_columns(rows), rows, (BYTES, TIME), markdown=markdown, width=width)


def live_table(
    live: Sequence[Row],
    virtual: Sequence[Row],
    *,
    markdown: bool = False,
    width: int | None = None,
) -> str:
    """Return table 3 printed; see ``live_columns``. Each run's origins are named below."""
    table = printed(live_columns(live, virtual), markdown=markdown, width=width)
    told = [
        f"{name} {line}"
        for name, rows in (("live", live), ("virtual", virtual))
        if (line := origins_line(whole_arms(rows), (TIME,)))
    ]
    return "\n".join([table, *([""] if markdown and told else []), *told])


def samples_table(samples: Sequence[Sample], width: int = 100) -> str:
    """Return sample texts side by side, wrapped to the terminal.

    Args:
        samples: the samples; each text is a column.
        width: characters of the terminal.
    """
    return "\n\n".join(_sample(sample, max(width, 40)) for sample in samples)


def _sample(sample: Sample, width: int) -> str:
    gap = " │ "
    count = max(1, len(sample.texts))
    column = (width - len(gap) * (count - 1)) // count
    blocks = [
        [title, "─" * min(len(title), column), *_wrapped(text, column)]
        for title, text in sample.texts
    ]
    height = max((len(block) for block in blocks), default=0)
    lines = [
        gap.join((block[i] if i < len(block) else "").ljust(column) for block in blocks).rstrip()
        for i in range(height)
    ]
    head = textwrap.wrap(f"[{sample.prompt_id}] {sample.input}", width)
    tail = textwrap.wrap(f"reference: {sample.reference}", width) if sample.reference else []
    return "\n".join([*head, "", *lines, *([""] if tail else []), *tail])


def _wrapped(text: str, width: int) -> list[str]:
    return [line for part in text.splitlines() for line in textwrap.wrap(part, width) or [""]]
