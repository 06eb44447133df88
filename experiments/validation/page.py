"""What was measured, as a page of the documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from experiments.validation.design import Cell, State
from experiments.validation.exchange import ExchangeOutcome
from experiments.validation.measurement import Figure, Outcome, Validation

_INTRODUCTION = """# The link model beside real TCP

`make validate-network` makes two network namespaces on one machine, joins them by a path (a relay
over TUN devices for delay and loss, the kernel's token bucket for the rate) and exchanges the
project's own frames over real TCP sockets (CUBIC, no TLS): a request of 100 B, an answer of the
size named. The same exchanges go through the link model that scenarios use. This page is what the
command wrote.

*New* counts from the first byte of the request; set-up has rows of its own. *Warm* follows another
exchange at once, *idle* a pause after two exchanges. Measured is the median of the exchanges with
the smallest and largest (with several clients their mean); the error is the prediction's. Allowed
are 2 % or 0.5 ms for warm connections, 5 % or 1 ms for new and idle ones, 3 % where clients share
the path.

What was seen before. The path of 20 Mbit/s and 40 ms was at hand while the model was built: its
rows are marked ° and judge nothing. New and warm connections had also been looked at on 100 Mbit/s,
40 ms and 20 Mbit/s, 150 ms and 5 Mbit/s, 10 ms, and a first run of this design showed the idle rows
before two rules were mended (what a window grows by before any loss, and that a queue lengthens the
time-out). Both rules and their constants are Linux's own, read against its counters, and nothing
was fitted to a row; but the idle rows were no surprise when this page was written.

What the design leaves out: loss together with a new or an idle connection, or with several clients;
idle connections that share.
"""


def page(
    validation: Validation, exchanges: Sequence[ExchangeOutcome], machine: str, took_s: float
) -> str:
    """Return the page in Markdown.

    Args:
        validation: what was measured of single exchanges.
        exchanges: and of the whole protocol.
        machine: where.
        took_s: how long the whole took.
    """
    outcomes = validation.outcomes
    single = [each for each in outcomes if each.cell.clients == 1 and not each.cell.loss]
    shared = [each for each in outcomes if each.cell.clients > 1]
    lossy = [each for each in outcomes if each.cell.loss]
    setting = (
        f"Measured on {machine}, in {took_s / 60:.1f} minutes. The machine's own part, an exchange"
        f" of 100 B over a path that adds nothing: {validation.own_ms:.2f} ms; it is in every row."
    )
    parts = [
        _INTRODUCTION,
        setting,
        "## In short",
        _summary(single, shared),
        _misses(outcomes),
        *(_block(f"One client, {state}", single, _is(state)) for state in State),
        _block("Several clients at once", shared, lambda _: True),
        _losses(lossy),
        _connects(validation.connects),
        _protocol(exchanges),
    ]
    return "\n\n".join(part.rstrip() for part in parts if part) + "\n"


def _is(state: State) -> Callable[[Outcome], bool]:
    return lambda outcome: outcome.cell.state is state


def _summary(single: Sequence[Outcome], shared: Sequence[Outcome]) -> str:
    groups = [
        (str(state), [each for each in single if each.cell.state is state]) for state in State
    ]
    rows = []
    for name, members in [*groups, ("several clients", list(shared))]:
        judging = [each for each in members if each.cell.judges]
        if not judging:
            continue
        errors = sorted(abs(each.typical.error) for each in judging)
        met = sum(bool(each.typical.within) for each in judging)
        middle, worst = errors[len(errors) // 2], errors[-1]
        rows.append((name, f"{met} of {len(judging)}", f"{middle:.1%}", f"{worst:.1%}"))
    return _table(("state", "within what is allowed", "median error", "largest error"), rows)


def _misses(outcomes: Iterable[Outcome]) -> str:
    missed = [each for each in outcomes if each.typical.within is False]
    if not missed:
        return "No row lies outside what is allowed."
    told = "; ".join(
        f"{_size(each.cell)} {each.cell.state} at {_path(each.cell)}"
        f" {each.typical.error:+.1%}{'' if each.cell.judges else '°'}"
        for each in missed
    )
    return f"Outside: {told}."


def _block(title: str, outcomes: Sequence[Outcome], chosen: Callable[[Outcome], bool]) -> str:
    rows = [
        (
            _size(each.cell) + ("" if each.cell.judges else " °"),
            _path(each.cell),
            str(each.exchanges),
            *_figures(each.typical),
            "yes" if each.typical.within else "**no**",
        )
        for each in sorted(outcomes, key=_order)
        if chosen(each)
    ]
    if not rows:
        return ""
    heads = ("answer", "path", "n", "measured ms", "predicted ms", "error", "within")
    return f"## {title}\n\n" + _table(heads, rows)


def _losses(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for each in sorted(outcomes, key=_order):
        if each.p95 is None:
            continue
        typical, tail = each.typical, each.p95
        rows.append(
            (
                _size(each.cell),
                _path(each.cell),
                str(each.exchanges),
                f"{typical.measured_ms:.1f} ({typical.low_ms:.1f} to {typical.high_ms:.1f})",
                f"{typical.predicted_ms:.1f}",
                f"{typical.error:+.1%}",
                f"{tail.measured_ms:.1f}",
                f"{tail.predicted_ms:.1f}",
                f"{tail.error:+.1%}",
            )
        )
    if not rows:
        return ""
    heads = (
        "answer", "path", "n", "median ms (quartiles)", "predicted", "error",
        "p95 ms", "predicted", "error",
    )  # fmt: skip
    lead = (
        "One packet in a hundred is lost each way, so an exchange has a distribution. No bound was"
        " set; the p95 of so few exchanges is itself uncertain by about a tenth."
    )
    return f"## 1 % loss, warm\n\n{lead}\n\n" + _table(heads, rows)


def _connects(connects: dict[int, Figure]) -> str:
    rows = [(f"{trip} ms", *_figures(figure)) for trip, figure in connects.items()]
    return "## Set-up of a connection\n\n" + _table(
        ("round trip", "measured ms", "predicted ms", "error"), rows
    )


def _protocol(exchanges: Sequence[ExchangeOutcome]) -> str:
    if not exchanges:
        return ""
    rows = []
    for each in exchanges:
        (real_ms, told_ms), (real_s, told_s) = each.itl_ms, each.total_s
        rows.append(
            (
                f"{each.case.rate_mbps} Mbit/s, {each.case.rtt_ms} ms",
                str(each.case.devices),
                str(each.tokens),
                f"{real_ms:.1f}",
                f"{told_ms:.1f}",
                f"{told_ms / real_ms - 1:+.1%}",
                f"{real_s:.2f}",
                f"{told_s:.2f}",
                f"{told_s / real_s - 1:+.1%}",
                "yes" if each.same_tokens else "**no**",
            )
        )
    heads = (
        "path", "devices", "tokens", "ITL ms", "simulated", "error",
        "total s", "simulated", "error", "same tokens",
    )  # fmt: skip
    lead = (
        "`costeer serve` on one host, `costeer device` on the other, the shipped pair, three"
        " requests a device; then the same scenario in simulated time. It is charged with the means"
        " that both processes measured of themselves in a run before, of one device and other"
        " prompts: a cloud step with its wait for the model's thread, select, the device's forward,"
        " decode, steer. Allowed: 5 % of the mean time between tokens (ITL), 3 % of the total."
    )
    return f"## The whole protocol\n\n{lead}\n\n" + _table(heads, rows)


def _figures(figure: Figure) -> tuple[str, str, str]:
    spread = f"{figure.measured_ms:.1f} ({figure.low_ms:.1f} to {figure.high_ms:.1f})"
    return spread, f"{figure.predicted_ms:.1f}", f"{figure.error:+.1%}"


def _order(outcome: Outcome) -> tuple[int, int, int]:
    return outcome.cell.answer_bytes, outcome.cell.rate_mbps, outcome.cell.rtt_ms


def _size(cell: Cell) -> str:
    return f"{cell.answer_bytes:,} B"


def _path(cell: Cell) -> str:
    clients = f", {cell.clients} clients" if cell.clients > 1 else ""
    return f"{cell.rate_mbps} Mbit/s, {cell.rtt_ms} ms{clients}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] + ["--:"] * (len(heads) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
