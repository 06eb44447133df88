"""`costeer record-logits`: logits and Δ of a real pair, into a file that replaces its models."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.commands.options import AddCommand, add_scenario, check_writable, read_scenario


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("record-logits", "record a pair's logits, for runs and ablations without models")
    add_scenario(parser)
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        default=Path("logits.parquet"),
        help="where to write them (default: logits.parquet)",
    )
    parser.add_argument(
        "--figure", metavar="FILE.svg", type=Path, help="draw how far Δ reaches, too"
    )
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Record, measure, and say how to use the file."""
    from experiments.pair_limits import check_models

    scenario = read_scenario(arguments)
    check_models(scenario.models)
    check_writable(arguments.out)  # before anything is computed for nothing
    from actors.values.recorded import Recording
    from experiments.logits.price import prices
    from experiments.logits.record import record
    from experiments.logits.shown import (
        draw_exceedance,
        generator_settings,
        price_table,
        statistics_table,
    )
    from experiments.logits.statistics import measure

    count = record(scenario, arguments.out)
    recording = Recording(arguments.out)
    c = recording.origin.strength
    found = measure(recording, recording.steps(_MOST_STEPS))
    size_mb = arguments.out.stat().st_size / 1e6
    print(f"{arguments.out}: {count:,} tokens of {recording.sessions} sessions, {size_mb:.1f} MB")
    print(f"\nwhat a token costs on the wire, the same as dense logits give, at c = {c:.4g}:\n")
    print(price_table(prices(recording, recording.steps(_PRICED_STEPS), found.vocab_size, c)))
    print(f"\nwhat its logits are like:\n\n{statistics_table(found)}")
    print("\nthe generator's nearest parameters:")
    print(generator_settings(found))
    print(f"\nuse it with `--set values=recorded --set recorded.path={arguments.out}`")
    if arguments.figure is not None:
        draw_exceedance(recording, recording.steps(_MOST_STEPS), arguments.figure)
        print(f"{arguments.figure}: how far Δ reaches")
    return 0


_PRICED_STEPS = 300
_MOST_STEPS = 1_000
"""Steps that are measured, whole sessions from the first."""
