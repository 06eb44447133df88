"""`costeer submit`: a scenario run by a cluster's job server, its run directory brought home."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from experiments.commands.options import (
    AddCommand,
    add_json,
    add_out,
    add_scenario,
    print_outcome,
    read_scenario,
    run_directory,
)

_ATTACH = "attach"


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("submit", "run a scenario on a Ray cluster as a job, and fetch its run directory")
    add_scenario(parser)
    add_out(parser)
    add_json(parser)
    parser.add_argument(
        "--address",
        metavar="http://HOST:PORT",
        required=True,
        help="the dashboard of the cluster's head, e.g. http://127.0.0.1:8265",
    )
    parser.add_argument(
        "--code",
        choices=("installed", "ship"),
        default="installed",
        help="use the version installed on the cluster, or send this one along "
        "(default: installed)",
    )
    parser.add_argument(
        "--attach", metavar="JOB", help="follow and fetch a job that was submitted earlier"
    )
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Submit, follow, fetch, show."""
    scenario = read_scenario(arguments)
    from cluster.jobs import JobServer, new_job
    from experiments.results import load
    from experiments.submission import submit, unpack

    server = JobServer(arguments.address)
    job = arguments.attach
    if job is None:
        job = new_job()
        submit(server, job, scenario, ship=arguments.code == "ship")
        print(f"costeer: job {job} at {arguments.address}", file=sys.stderr)
    try:
        server.follow(job, lambda text: print(text, end="", file=sys.stderr, flush=True))
    except KeyboardInterrupt:
        print(
            f"\ncosteer: the job goes on; costeer submit {arguments.scenario} --address"
            f" {arguments.address} --attach {job} follows and fetches it, ray job stop {job}"
            f" --address {arguments.address} ends it",
            file=sys.stderr,
        )
        raise
    succeeded, end = server.end_of(job)
    out_dir: Path = run_directory(arguments.out, scenario.name)
    unpack(server.fetch(job), out_dir)
    if not succeeded:
        from cluster.jobs import JobError

        raise JobError(f"job {job}: {end}; what it left is in {out_dir}")
    if arguments.json:
        print_outcome(out_dir, load(out_dir).summary, as_json=True)
    else:  # the job's own log has shown the tables
        print(f"run directory: {out_dir}")
    return 0
