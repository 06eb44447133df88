"""The `costeer` command: arguments in, exit codes out.

Rules
-----
* Nothing heavy is imported here: `costeer --help` answers at once. Commands import what they need
  when they run.
* Tables go to standard output (JSON with `--json`), progress and errors to standard error.
* What the user got wrong is one line and exit code 2; what went wrong around us (a host that
  died, a peer that broke the protocol) is one line and exit code 1; `--debug` shows where it was
  noticed. Ctrl-C is exit code 130, after the run was closed. Anything else is our bug, with its
  traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NoReturn

from costeer.errors import ConfigError, CosteerError, LocalProtocolError
from experiments.commands import (
    ablate,
    bench,
    bottleneck,
    calibrate,
    capacity,
    compare,
    dashboards,
    demo,
    deploy,
    device,
    evaluate,
    fit_trace,
    record_logits,
    record_profile,
    replay,
    report,
    run,
    scenario,
    score,
    serve,
    submit,
)
from netsim.errors import NetsimError

EXIT_FAILED = 1
EXIT_USER = 2
EXIT_INTERRUPTED = 130
_EXIT_PIPE = 141
_COMMANDS = (
    run,
    demo,
    ablate,
    capacity,
    scenario,
    report,
    compare,
    score,
    evaluate,
    record_logits,
    record_profile,
    replay,
    fit_trace,
    calibrate,
    bottleneck,
    dashboards,
    deploy,
    bench,
    serve,
    device,
    submit,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code of the process.

    Args:
        argv: arguments, without the program's name; the process's own if None.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    # One thread per process unless the user says otherwise: a run spreads over processes, and
    # threads that wait for each other on busy cores made small models many times slower.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        arguments = _parser().parse_args(given)
        code: int = arguments.execute(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("costeer: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone; say nothing more, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _EXIT_PIPE
    except Exception as error:
        code = _code_of(error)
        if not code:
            raise
        if "--debug" in given:
            traceback.print_exc()
        print(f"costeer: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def _code_of(error: Exception) -> int:
    """Exit code of an error that is told in one line; 0 for our own bugs."""
    if isinstance(error, ConfigError | NetsimError):
        return EXIT_USER
    ours = not isinstance(error, CosteerError) or isinstance(error, LocalProtocolError)
    return 0 if ours else EXIT_FAILED


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"{_plain(message)}; see `{self.prog} --help`")


def _plain(message: str) -> str:
    """Argparse's words, and for a command that is not known the nearest one."""
    words = message.split("'")
    if "invalid choice" not in message or len(words) < 4:  # noqa: PLR2004 - 'x', then the choices
        return message
    near = get_close_matches(words[1], words[3::2], n=1)
    return f"{words[1]!r} is not known; did you mean {near[0]!r}?" if near else message


class _Version(argparse.Action):
    """Prints the installed version; looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Print and exit."""
        from importlib.metadata import version  # noqa: PLC0415 - costs a tenth of a start

        print(f"costeer {version('costeer-lab')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    common.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks of errors"
    )
    parser = _Parser(
        prog="costeer",
        description="A laboratory for cloud-edge collaborative decoding.",
        epilog="Start with `costeer demo`. A SCENARIO is the name of a shipped one or a YAML path.",
        parents=[common],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=summary, description=summary, parents=[common], allow_abbrev=False
        )

    for command in _COMMANDS:
        command.register(add)
    return parser


if __name__ == "__main__":
    sys.exit(main())
