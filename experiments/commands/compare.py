"""`costeer compare`: runs side by side, with paired differences and their intervals."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.commands.options import AddCommand, add_json, formats, seed, write_file

if TYPE_CHECKING:
    from experiments.comparison import Comparison

_FORMATS = ("html", "md", "csv", "tex")


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("compare", "lay runs side by side: differences of their paired requests")
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        type=Path,
        help="run directories; the first is what the others are compared with. One alone: its arms",
    )
    parser.add_argument(
        "--baseline", metavar="ARM", help="of one run: compare its arms with this one"
    )
    parser.add_argument(
        "--format",
        metavar=",".join(_FORMATS),
        type=formats(_FORMATS),
        default=(),
        help="instead of tables for the terminal; several with --out",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="write compare.<format> there (default: print)"
    )
    parser.add_argument("--seed", metavar="N", type=seed, default=0, help="of the bootstrap")
    add_json(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Compare and show; what speaks against it goes to standard error too."""
    from costeer.errors import ConfigError
    from experiments.comparison import compare
    from experiments.comparison.tables import as_json, as_text

    wanted: tuple[str, ...] = arguments.format
    if arguments.out is None and len(wanted) > 1:
        raise ConfigError(
            f"--format {','.join(wanted)}: several formats are several files; add --out DIR"
        )
    if arguments.json and (wanted or arguments.out is not None):
        raise ConfigError("--json prints; leave out --format and --out")
    found = compare(arguments.runs, arguments.baseline, arguments.seed)
    if arguments.json:
        print(json.dumps(as_json(found), indent=2))
    elif arguments.out is not None:
        _write(found, wanted or _FORMATS, arguments.out)
    elif wanted:
        print(_made(found, wanted[0]), end="")
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print(as_text(found, width))
        return 0
    for each in found.warnings:
        print(f"costeer: warning: {each}", file=sys.stderr)
    return 0


def _write(found: Comparison, wanted: tuple[str, ...], out: Path) -> None:
    from costeer.errors import ConfigError

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"{out}: cannot be written ({reason}); choose another --out") from error
    for suffix in wanted:
        path = out / f"compare.{suffix}"
        write_file(path, _made(found, suffix))
        print(path)


def _made(found: Comparison, suffix: str) -> str:
    from experiments.comparison.page import render
    from experiments.comparison.tables import as_frame, as_latex, as_markdown

    if suffix == "html":
        return render(found)
    if suffix == "csv":
        return str(as_frame(found).to_csv(index=False))
    return as_markdown(found) if suffix == "md" else as_latex(found)
