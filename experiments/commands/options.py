"""Options that several commands have, and where a run's directory goes."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from costeer.errors import ConfigError

if TYPE_CHECKING:
    from experiments.scenario import Scenario

AddCommand: TypeAlias = Callable[[str, str], argparse.ArgumentParser]
"""(name, summary) -> the parser of a new command."""

TOKEN_FILE = Path("costeer.token")
"""Where a server's token is, unless said otherwise."""
_LAST_PORT = 65_535
_ADDRESSES = ("local", "auto", "none")


def add_scenario(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """SCENARIO and what changes it."""
    parser.add_argument(
        "scenario",
        metavar="SCENARIO",
        nargs="?" if optional else None,
        help="shipped name or YAML path",
    )
    parser.add_argument(
        "--set",
        metavar="A.B=C",
        action="append",
        default=[],
        dest="overrides",
        help="change one value, e.g. arms.0.codec.select.k=32; repeatable",
    )
    parser.add_argument("--seed", metavar="N", type=seed, help="replace the scenario's seed")
    parser.add_argument("--prompts", metavar="FILE.jsonl", help="run your own rows")


def add_json(parser: argparse.ArgumentParser) -> None:
    """JSON instead of tables."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def add_study_out(parser: argparse.ArgumentParser, name: str, what: str) -> None:
    """Where a study is written.

    Args:
        parser: of its command.
        name: of its folder under runs/.
        what: lies there.
    """
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("runs", name),
        help=f"where {what} go (default: runs/{name})",
    )


def add_out(parser: argparse.ArgumentParser) -> None:
    """Where a run is written."""
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="new directory for the run (default: runs/...)"
    )


def add_arm(parser: argparse.ArgumentParser) -> None:
    """Which of a scenario's arms."""
    parser.add_argument(
        "--arm",
        metavar="METHOD|N",
        help="the arm: its method, or its number from 1 (default: the only one)",
    )


def add_run(parser: argparse.ArgumentParser) -> None:
    """Where a run is carried out and where it is written."""
    add_out(parser)
    parser.add_argument(
        "--address",
        metavar="local|auto|none|HOST:PORT",
        type=address,
        default="local",
        help="Ray: start one here, find one, join that one; none: all in this process "
        "(default: local)",
    )


def read_scenario(arguments: argparse.Namespace) -> Scenario:
    """The scenario that `add_scenario`'s arguments name.

    Raises:
        ConfigError: see `load_scenario`.
    """
    from experiments.scenario import load_scenario

    overrides = list(arguments.overrides)
    if arguments.prompts is not None:
        # Single quotes in YAML: only the quote itself is special.
        quoted = arguments.prompts.replace("'", "''")
        overrides.append(f"workload.prompts='{quoted}'")
    scenario = load_scenario(arguments.scenario, overrides, arguments.seed)
    if arguments.prompts is not None and scenario.values != "models":
        raise ConfigError(
            f"--prompts {arguments.prompts}: {scenario.name} runs on {scenario.values} values, "
            "which read no prompts; add --set values=models"
        )
    return scenario


def run_directory(out: Path | None, name: str) -> Path:
    """The directory of a run: what was asked for, or a new name under `runs/`."""
    if out is not None:
        return out
    stamp = time.strftime("%Y%m%d-%H%M%S")
    path = Path("runs") / f"{name}-{stamp}"
    number = 2
    while path.exists():
        path = Path("runs") / f"{name}-{stamp}-{number}"
        number += 1
    return path


def print_outcome(run_dir: Path, summary: dict[str, Any], *, as_json: bool) -> None:
    """Print what a run found out: its tables, or its whole summary."""
    if as_json:
        print(json.dumps({"run_dir": str(run_dir), **summary}, indent=2))
        return
    from experiments.results.cost_table import cost_table, has_costs
    from experiments.results.tables import methods_table

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    rows = summary["arms"]
    print(methods_table(rows, width=width))
    if has_costs(rows):
        print(f"\n{cost_table(rows, width=width)}")
    if "numerics" in summary:
        from experiments.results.labels import arm_labels, whole_arms
        from experiments.results.narrow import narrow_sentence

        arms = whole_arms(rows)
        labels = {str(arm["arm"]): label for arm, label in zip(arms, arm_labels(arms), strict=True)}
        print(textwrap.fill(narrow_sentence(summary["numerics"], labels), width or 110))
    print(f"\nrun directory: {run_dir}")


@contextmanager
def telling_of_partial_run(run_dir: Path, *, resumable: bool = False) -> Iterator[None]:
    """On Ctrl-C and on errors, say where the rows are that were written until then.

    What lay there before is no part of this run.

    Args:
        run_dir: its directory.
        resumable: whether `costeer run --resume` goes on from there.
    """
    held_one = _holds_run(run_dir)
    try:
        yield
    except BaseException:
        if not held_one and _holds_run(run_dir):
            told = f"look at it with `costeer report {run_dir}`"
            if resumable:
                told += f", go on with `costeer run --resume {run_dir}`"
            print(f"costeer: partial run in {run_dir}; {told}", file=sys.stderr)
        raise


def _holds_run(run_dir: Path) -> bool:
    """Whether there is a run, or a run of several parts."""
    return any(any(run_dir.glob(f"{part}manifest.json")) for part in ("", "*/"))


def check_writable(path: Path) -> None:
    """Refuse a file that cannot be written; what is in it stays, and none is left behind.

    Raises:
        ConfigError: it cannot be written.
    """
    with _refusing(path):
        existed = path.exists()
        path.open("a", encoding="utf-8").close()
        if not existed:
            path.unlink()


def write_file(path: Path, text: str) -> None:
    """Write a text file.

    Raises:
        ConfigError: it cannot be written.
    """
    with _refusing(path):
        path.write_text(text, encoding="utf-8")


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise ConfigError(f"{path}: cannot be written ({reason}); choose another --out") from error


def seed(text: str) -> int:
    """A whole number that can seed a run."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def count(text: str) -> int:
    """A whole number, at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def share(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def formats(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """What reads a list of formats, separated by commas."""

    def read(text: str) -> tuple[str, ...]:
        wanted = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
        strange = [each for each in wanted if each not in known]
        if strange:
            raise argparse.ArgumentTypeError(
                f"{strange[0]!r} is no format; there are {', '.join(known)}"
            )
        return wanted

    return read


def port(text: str) -> int:
    """A TCP port; 0 stands for any that is free."""
    if not text.isdecimal() or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 0 to {_LAST_PORT}")
    return int(text)


def span(text: str) -> tuple[int, int]:
    """First and last of some numbered things: `3` or `0-7`."""
    first, dash, last = text.partition("-")
    if first.isdecimal() and (last.isdecimal() if dash else not last):
        return int(first), int(last or first)
    raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor FIRST-LAST")


def host_and_port(text: str) -> tuple[str, int]:
    """Where something listens."""
    host, _, number = text.rpartition(":")
    if host and number.isdecimal() and 0 < int(number) <= _LAST_PORT:
        return host.strip("[]"), int(number)
    raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")


def address(text: str) -> str:
    """One of Ray's addresses that the cluster layer understands."""
    host, _, number = text.rpartition(":")
    if text in _ADDRESSES or (host and number.isdecimal() and 0 < int(number) <= _LAST_PORT):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is none of local, auto, none, HOST:PORT")
