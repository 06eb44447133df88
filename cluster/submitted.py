"""What runs on the head for a submitted job: a command, and then its folder left to be fetched.

``python -m cluster.submitted --job ID --leave FOLDER [--version V] -- COMMAND …``
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cluster.jobs import archive_name

_DISTRIBUTION = "costeer-lab"
EXIT_VERSION = 2


def main() -> int:
    """Run the command; leave its folder whatever its exit code, which is ours too."""
    parser = argparse.ArgumentParser(prog="cluster.submitted")
    parser.add_argument("--job", required=True)
    parser.add_argument("--leave", type=Path, required=True)
    parser.add_argument("--version", default="")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    wrong = wrong_version(arguments.version)
    if wrong:
        sys.stderr.write(f"{wrong}\n")
        return EXIT_VERSION
    done = subprocess.run(arguments.command[1:], check=False)  # noqa: S603 - what was submitted
    if arguments.leave.is_dir():
        _leave(arguments.leave, arguments.job)
    return done.returncode


def wrong_version(wanted: str) -> str:
    """Return what is wrong with the version installed here: nothing, or a line."""
    if not wanted:
        return ""
    try:
        found = version(_DISTRIBUTION)
    except PackageNotFoundError:
        found = "none"
    if found == wanted:
        return ""
    return (
        f"costeer: the cluster has version {found} of {_DISTRIBUTION}, {wanted} submitted the job;"
        " install the same wheel on every node, or submit with --code ship"
    )


def _leave(folder: Path, job: str) -> None:
    import ray  # noqa: PLC0415 - the command may need the memory that this takes

    context: Any = ray.init(address="auto", log_to_driver=False)  # its type names less than it has
    logs = Path(context.address_info["session_dir"]) / "logs"
    part = logs / f".{archive_name(job)}"
    with tarfile.open(part, "w:gz") as archive:
        archive.add(folder, arcname=".")
    part.rename(logs / archive_name(job))
    ray.shutdown()


if __name__ == "__main__":
    sys.exit(main())
