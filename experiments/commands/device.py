"""`costeer device`: devices of a scenario against a cloud that `costeer serve` runs somewhere."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.commands.options import (
    TOKEN_FILE,
    AddCommand,
    add_arm,
    add_json,
    add_out,
    add_scenario,
    host_and_port,
    print_outcome,
    read_scenario,
    run_directory,
    span,
    telling_of_partial_run,
)


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("device", "run a scenario's devices against a cloud that is served elsewhere")
    add_scenario(parser)
    add_arm(parser)
    parser.add_argument(
        "--connect",
        metavar="HOST:PORT",
        type=host_and_port,
        required=True,
        help="where `costeer serve` listens",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        type=Path,
        default=TOKEN_FILE,
        help="a copy of the server's (default: %(default)s)",
    )
    parser.add_argument(
        "--devices",
        metavar="A-B",
        type=span,
        default=(0, None),
        help="which of the fleet's devices (default: all)",
    )
    add_out(parser)
    add_json(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the devices; print their tables or their summary."""
    scenario = read_scenario(arguments)
    from actors.sockets.connecting import CloudAddress
    from experiments.progress import progress_for
    from experiments.sockets import choose_arm, choose_devices, read_token, run_devices

    scenario = choose_arm(scenario, arguments.arm)
    devices = choose_devices(scenario, *arguments.devices)
    host, port = arguments.connect
    cloud = CloudAddress(host, port, read_token(arguments.token_file))
    out_dir = run_directory(arguments.out, scenario.name)
    with telling_of_partial_run(out_dir):
        outcome = run_devices(scenario, cloud, devices, out_dir, progress_for())
    print_outcome(outcome.run_dir, outcome.summary, as_json=arguments.json)
    return 0
