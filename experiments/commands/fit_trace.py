"""`costeer fit-trace`: a model of a link's rates from recordings, beside what it was fitted to."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.commands.options import AddCommand, check_writable, count, write_file


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("fit-trace", "fit a Markov model of a link's rates to recordings of it")
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="recordings")
    parser.add_argument("--name", metavar="NAME", help="of the model (default: the first file's)")
    parser.add_argument("--source", metavar="TEXT", help="where the recordings are from")
    parser.add_argument(
        "--step-s", metavar="S", type=_seconds, default=1.0, help="length of a step (default: 1)"
    )
    parser.add_argument(
        "--states", metavar="N", type=count, default=10, help="rates told apart (default: 10)"
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="of what is generated for the comparison"
    )
    parser.add_argument("--out", metavar="FILE", type=Path, help="where the model goes (JSON)")
    parser.set_defaults(execute=execute)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.001 <= seconds <= 3600:  # noqa: PLR2004 - a step of a recording
        raise argparse.ArgumentTypeError(f"{text!r} is no time from 0.001 to 3600 s")
    return seconds


def execute(arguments: argparse.Namespace) -> int:
    """Fit, compare, write."""
    if arguments.out is not None:
        check_writable(arguments.out)
    from experiments.links import read_trace
    from experiments.results.grid import Column, number, text_table
    from netsim.markov import MOST_STATES, fit, sampled_bps, statistics

    traces = [read_trace(file) for file in arguments.files]
    name = arguments.name or arguments.files[0].stem
    source = arguments.source or f"{len(traces)} recordings, {traces[0].name} the first"
    states = min(arguments.states, MOST_STATES - 1)
    model = fit(name, source, traces, arguments.step_s, states)
    recorded = sampled_bps(traces, arguments.step_s)
    # As long as the recordings, but long enough that chance is small.
    steps = max(20_000, sum(map(len, recorded)))
    loop = model.generate(arguments.seed, 0, steps)
    columns = [statistics(recorded), statistics(sampled_bps([loop], arguments.step_s))]
    rows = _ROWS
    print(
        text_table(
            [
                Column("", tuple(title for title, _ in rows), left=True),
                *(
                    Column(head, tuple(number(getattr(each, field), 3) for _, field in rows))
                    for head, each in zip(("recorded", "generated"), columns, strict=True)
                ),
            ]
        )
    )
    seconds = sum(each.period_ns for each in traces) / 1e9
    print(
        f"{len(traces)} recordings, {seconds:,.0f} s; {len(model.rates_mbps)} states of"
        f" {arguments.step_s:g} s, {steps:,} steps generated"
    )
    if arguments.out is not None:
        write_file(arguments.out, model.to_json())
        print(f"{arguments.out}: use it with a link's `trace: {{down: {arguments.out}}}`")
    return 0


_ROWS: tuple[tuple[str, str], ...] = (
    ("mean, Mbit/s", "mean_mbps"),
    ("p5, Mbit/s", "p5_mbps"),
    ("median, Mbit/s", "p50_mbps"),
    ("p95, Mbit/s", "p95_mbps"),
    ("correlation with the next step", "correlation"),
    ("share without any rate", "without"),
)
"""Fields of ``RateStatistics`` as the table has them."""
