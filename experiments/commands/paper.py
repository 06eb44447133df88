"""`costeer evaluate table1|…|figure2|baselines|…`: the paper, its neighbours, its numerics."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from experiments.commands.options import add_json, count, run_directory
from experiments.commands.scorers import add_scorers, scorers_of, tell_bill

if TYPE_CHECKING:
    from experiments.paper.tasks import Task

Parsers: TypeAlias = Callable[..., argparse.ArgumentParser]

_HELP = {
    "table1": "quality of the five settings per task, and what crosses the network for it",
    "table2": "LightCoSteer beside CoSteer",
    "table5": "preference alignment per dataset and preference (needs --reward)",
}
_SHIPPED_ROWS = 48
_RUN_ROWS = 12
_SHIPPED_POINT_ROWS = 24


def register(add: Parsers) -> None:
    """Add a command per table, and the figure's."""
    for table, summary in _HELP.items():
        parser = add(table, help=summary)
        _add_pair(parser)
        parser.add_argument(
            "--data",
            metavar="DIR",
            type=Path,
            help="the paper's eight JSONL files (default: the shipped corpus)",
        )
        _add_numerics(parser)
        add_scorers(parser)
        add_json(parser)
        parser.set_defaults(execute=_table, table=table)
    parser = add("table3", help="tokens per second of vanilla, LightCoSteer and CoSteer")
    parser.add_argument("--limit", metavar="N", type=count, default=64, help="tokens a session")
    parser.add_argument("--out", metavar="DIR", type=Path, help="new directory for the runs")
    add_json(parser)
    parser.set_defaults(execute=_speed)
    parser = add("table3-inverse", help="what table 3 says of its own set-up, in two readings")
    add_json(parser)
    parser.set_defaults(execute=_inverse)
    parser = add("figure2", help="sensitivity to the five hyperparameters, and over c alone")
    _add_pair(parser)
    parser.add_argument(
        "--data", metavar="DIR", type=Path, help="holds longlamp_abstract.jsonl, as in the paper"
    )
    add_json(parser)
    parser.set_defaults(execute=_figure)
    parser = add("baselines", help="CoSteer among its neighbours, every strength tuned alike")
    parser.add_argument("--pair", metavar="SCENARIO", default="shipped", help="whose models")
    parser.add_argument("--dev", metavar="N", type=count, default=32, help="rows to tune on")
    parser.add_argument("--limit", metavar="N", type=count, default=64, help="rows to compare on")
    parser.add_argument(
        "--runs",
        metavar="N",
        type=count,
        default=_RUN_ROWS,
        help=f"rows of the run that measures bytes and speed (default: {_RUN_ROWS})",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="new directory for that run")
    add_json(parser)
    parser.set_defaults(execute=_baselines)
    parser = add("tokenizers", help="CoSteer with a small model of another tokenizer")
    parser.add_argument("--pair", metavar="SCENARIO", default="shipped", help="of one vocabulary")
    parser.add_argument(
        "--slm",
        metavar="DIR",
        default="pair/slm-other",
        help="the small model of another tokenizer (default: the shipped one)",
    )
    parser.add_argument("--limit", metavar="N", type=count, default=24, help="prompts")
    parser.add_argument("--out", metavar="DIR", type=Path, help="new directory for the runs")
    add_json(parser)
    parser.set_defaults(execute=_tokenizers)
    parser = add("noise", help="how methods bear irrelevant lines in the private context")
    parser.add_argument("--pair", metavar="SCENARIO", default="shipped", help="whose models")
    parser.add_argument("--limit", metavar="N", type=count, default=32, help="rows of each point")
    add_json(parser)
    parser.set_defaults(execute=_noise)
    parser = add("numerics", help="choices that turn with float32, bf16, or another batch")
    parser.add_argument("--pair", metavar="SCENARIO", default="shipped", help="whose models")
    parser.add_argument("--rows", metavar="N", type=count, default=8, help="rows of the batch")
    parser.add_argument("--tokens", metavar="N", type=count, default=32, help="steps of each row")
    parser.add_argument("--large", action="store_true", help="leave out float64, for large models")
    add_json(parser)
    parser.set_defaults(execute=_numerics)


def _add_numerics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--numerics",
        choices=("batch-invariant", "fp32", "bf16"),
        help="arithmetic of the models (default: the pair's; fp32 takes two thirds of the time of"
        " batch-invariant, and choices that are close may turn)",
    )


def _add_pair(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pair",
        metavar="SCENARIO",
        default="shipped",
        help="whose models and links: shipped, qwen2.5-7b-1.5b, … or a YAML path"
        " (default: shipped)",
    )
    parser.add_argument("--limit", metavar="N", type=count, help="rows of each task")
    parser.add_argument("--out", metavar="DIR", type=Path, help="new directory for the runs")


def _table(arguments: argparse.Namespace) -> int:
    """Run every task, score, print beside what the paper prints."""
    from experiments.outcome import check_out_dir
    from experiments.paper.running import pair_scenario, run_tasks
    from experiments.paper.tables import TABLES, table_json, table_text
    from experiments.progress import progress_for

    table = arguments.table
    base = pair_scenario(arguments.pair, arguments.numerics)
    tasks = _tasks(table, arguments.data)
    limit = arguments.limit or (None if arguments.data else _SHIPPED_ROWS)
    out = run_directory(arguments.out, table)
    check_out_dir(out)
    out.mkdir(parents=True, exist_ok=True)
    scorers = scorers_of(arguments, out / "verdicts.jsonl")
    done = run_tasks(base, tasks, TABLES[table], out, scorers, progress_for(), limit)
    if arguments.json:
        print(json.dumps(table_json(table, arguments.pair, done), indent=2))
    else:
        print(table_text(table, arguments.pair, done, _width()))
        print(f"\nruns: {out}")
    tell_bill(arguments, scorers.judge)
    return 0


def _tasks(table: str, data: Path | None) -> list[Task]:
    from costeer.errors import ConfigError
    from experiments.paper.tasks import check_found, preference_tasks, shipped_task, text_tasks

    if data is None:
        if table == "table5":
            raise ConfigError(
                "evaluate table5: the shipped corpus has no preferences; give the paper's files"
                " with --data DIR, and a reward model with --reward MODEL"
            )
        return [shipped_task()]
    if table == "table5":
        tasks = preference_tasks(data)
    else:
        tasks = text_tasks(data, ("abstract", "review") if table == "table2" else ())
    check_found(tasks, data, table)
    return tasks


def _speed(arguments: argparse.Namespace) -> int:
    """Run the exchange at full vocabulary and print speeds beside the paper's."""
    from experiments.outcome import check_out_dir
    from experiments.paper.speed import measure_speed, speed_json, speed_text
    from experiments.progress import progress_for

    out = run_directory(arguments.out, "table3")
    check_out_dir(out)
    rows = measure_speed(out, arguments.limit, progress_for())
    if arguments.json:
        print(json.dumps(speed_json(rows), indent=2))
    else:
        print(speed_text(rows, _width()))
        print(f"\nrun: {out}")
    return 0


def _inverse(arguments: argparse.Namespace) -> int:
    """Fit the published speeds and print what each reading predicts."""
    from experiments.paper.inversion_shown import inversion_json, inversion_text, payload_bytes

    packed_bytes = payload_bytes()
    if arguments.json:
        print(json.dumps(inversion_json(packed_bytes), indent=2))
    else:
        print(inversion_text(packed_bytes, _width()))
    return 0


def _figure(arguments: argparse.Namespace) -> int:
    """Sweep, draw, and say how far one axis explains it."""
    from experiments.outcome import check_out_dir
    from experiments.paper.running import pair_scenario
    from experiments.paper.sensitivity import sweep
    from experiments.paper.sensitivity_shown import as_json, as_text, write_page
    from experiments.paper.tasks import check_found, shipped_task, text_tasks
    from experiments.progress import progress_for

    scenario = pair_scenario(arguments.pair)
    tasks = [shipped_task()]
    if arguments.data is not None:
        tasks = text_tasks(arguments.data, ("abstract",))
        check_found(tasks, arguments.data, "figure2")
    limit = arguments.limit or (None if arguments.data else _SHIPPED_POINT_ROWS)
    out = run_directory(arguments.out, "figure2")
    check_out_dir(out)
    found = sweep(scenario, tasks[0].prompts, limit, progress_for())
    page = write_page(found, out)
    if arguments.json:
        print(json.dumps(as_json(found), indent=2))
    else:
        print(as_text(found))
        print(f"\n{page}")
    return 0


def _baselines(arguments: argparse.Namespace) -> int:
    """Tune on dev rows, compare on test rows, print."""
    from dataclasses import asdict, replace

    from experiments.baselines.crossing import measure_crossing
    from experiments.baselines.shown import comparison_text
    from experiments.baselines.study import compare_baselines
    from experiments.outcome import check_out_dir
    from experiments.paper.running import pair_scenario
    from experiments.progress import progress_for

    base, progress = pair_scenario(arguments.pair), progress_for()
    out = run_directory(arguments.out, "baselines")
    check_out_dir(out)
    found = compare_baselines(base, progress, ("dev", arguments.dev), ("test", arguments.limit))
    rows = min(arguments.runs, arguments.limit)
    standings = measure_crossing(base, found.standings, "test", rows, out, progress)
    found = replace(found, standings=standings)
    if arguments.json:
        print(json.dumps(asdict(found), indent=2))
    else:
        print(comparison_text(found, _width()))
        print(f"\nrun: {out}")
    return 0


def _tokenizers(arguments: argparse.Namespace) -> int:
    """Run every way to align two vocabularies, and print."""
    from dataclasses import asdict

    from experiments.outcome import check_out_dir
    from experiments.paper.running import pair_scenario
    from experiments.progress import progress_for
    from experiments.tokenizers.shown import tokenizers_text
    from experiments.tokenizers.study import compare_tokenizers

    base = pair_scenario(arguments.pair)
    out = run_directory(arguments.out, "tokenizers")
    check_out_dir(out)
    out.mkdir(parents=True, exist_ok=True)
    found = compare_tokenizers(base, arguments.limit, out, progress_for(), arguments.slm)
    if arguments.json:
        print(json.dumps([asdict(each) for each in found], indent=2))
    else:
        print(tokenizers_text(found, arguments.limit, _width()))
        print(f"\nruns: {out}")
    return 0


def _noise(arguments: argparse.Namespace) -> int:
    """Decode at every rate of noise, and print."""
    from dataclasses import asdict

    from experiments.baselines.noise import noise_text, study_noise
    from experiments.paper.running import pair_scenario
    from experiments.progress import progress_for

    found = study_noise(pair_scenario(arguments.pair), arguments.limit, progress_for())
    if arguments.json:
        print(json.dumps([asdict(each) for each in found], indent=2))
    else:
        print(noise_text(found, arguments.limit, _width()))
    return 0


def _numerics(arguments: argparse.Namespace) -> int:
    """Count the choices that turn, and print."""
    from dataclasses import asdict

    from experiments.paper.running import pair_scenario
    from experiments.precision.shown import precision_text
    from experiments.precision.study import study_precision
    from experiments.progress import progress_for

    found = study_precision(
        pair_scenario(arguments.pair),
        arguments.rows,
        arguments.tokens,
        progress_for(),
        large=arguments.large,
    )
    if arguments.json:
        print(json.dumps([asdict(each) for each in found], indent=2))
    else:
        print(precision_text(found, _width()))
    return 0


def _width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
