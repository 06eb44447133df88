"""`costeer serve`: a scenario's cloud behind a port, for devices on this or other machines."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from experiments.commands.options import (
    TOKEN_FILE,
    AddCommand,
    add_arm,
    add_scenario,
    count,
    port,
    read_scenario,
)

DEFAULT_PORT = 7077


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("serve", "serve a scenario's cloud model to devices that connect (TCP)")
    add_scenario(parser)
    add_arm(parser)
    parser.add_argument(
        "--host", metavar="ADDRESS", default="127.0.0.1", help="interface (default: this machine)"
    )
    parser.add_argument(
        "--port",
        metavar="N",
        type=port,
        default=DEFAULT_PORT,
        help=f"port; 0: a free one (default: {DEFAULT_PORT})",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        type=Path,
        default=TOKEN_FILE,
        help="what devices have to know; made if it is not there (default: %(default)s)",
    )
    parser.add_argument(
        "--max-devices",
        metavar="N",
        type=count,
        default=1024,
        help="connected at the same time (default: 1024)",
    )
    parser.add_argument(
        "--idle-s",
        metavar="S",
        type=count,
        default=600,
        help="silence after which a connection is closed, seconds (default: 600)",
    )
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Serve until interrupted; the address goes to standard output, the rest to standard error."""
    scenario = read_scenario(arguments)
    from actors.sockets.server import ServeLimits
    from experiments.sockets import Listening, choose_arm, make_token, serve_scenario

    scenario = choose_arm(scenario, arguments.arm)
    limits = ServeLimits(max_devices=arguments.max_devices, idle_timeout_s=float(arguments.idle_s))
    token = make_token(arguments.token_file)

    def ready(what: str, chosen: int) -> None:
        print(f"costeer: serving {what}; token in {arguments.token_file}", file=sys.stderr)
        print(f"{arguments.host}:{chosen}", flush=True)

    where = Listening(arguments.host, arguments.port, token, limits)
    server = serve_scenario(scenario, where, ready)
    seen, engine = server.counters, server.engine
    rows, forwards = sum(engine.batches), len(engine.batches)
    batch = f", {rows / forwards:.2f} rows each" if forwards else ""
    print(
        f"costeer: {seen.connections} connections served, {seen.refused} refused, {seen.closed}"
        f" closed; {forwards} forwards{batch}; {engine.dropped_frames} frames dropped,"
        f" {engine.refused_sessions} sessions refused, {engine.timed_out_sessions} timed out",
        file=sys.stderr,
    )
    return 0
