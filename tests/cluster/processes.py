"""Processes over time: their own memory and open files. Only lines of JSON go to stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

_SERVERS = ("raylet", "gcs_server")


@dataclass
class Life:
    """One process over time, or over whatever else it is looked at along.

    Args:
        at: where it was looked at.
        memory_kib: its own memory then (RssAnon).
        files: its open files then.
    """

    at: list[float] = field(default_factory=list)
    memory_kib: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def look(self, pid: int, at: float) -> None:
        """Measure it; a process that is gone is left as it was."""
        process = Path(f"/proc/{pid}")
        try:
            status = (process / "status").read_text()
            files = len(list((process / "fd").iterdir()))
        except OSError:
            return
        said = next(line for line in status.splitlines() if line.startswith("RssAnon"))
        self.at.append(at)
        self.memory_kib.append(int(said.split()[1]))
        self.files.append(files)

    def slope_kib(self, warm_up: float = 0.0) -> float | None:
        """How much its memory grows by one of what it is looked at along, after a warm-up.

        None where it did not live so long.
        """
        at = np.array(self.at)
        warm = at - at[0] >= warm_up
        if warm.sum() <= 2:
            return None
        return float(np.polyfit(at[warm], np.array(self.memory_kib)[warm], 1)[0])

    def quarters_kib(self) -> list[int]:
        """Its memory at its first quarter's end, the second's, the third's and its own.

        What settles grows less from one to the next; a leak does not.
        """
        at = np.array(self.at)
        ends = at[0] + (at[-1] - at[0]) * np.array([0.25, 0.5, 0.75, 1.0])
        return [self.memory_kib[int(np.searchsorted(at, end))] for end in ends]

    def more_files(self, warm_up: float = 0.0) -> int:
        """Files that are open beside those at the end of the warm-up."""
        warm = np.array(self.at) - self.at[0] >= warm_up
        return self.files[-1] - self.files[int(np.argmax(warm))] if warm.any() else 0


def servers(root: int) -> dict[int, str]:
    """Ray's own processes below a process, by id."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            before, _, after = stat.read_text().rpartition(")")
        except OSError:
            continue
        pid, _, name = before.partition(" (")
        names[int(pid)] = name
        parents[int(pid)] = int(after.split()[1])

    def is_ours(pid: int) -> bool:
        while pid in parents and pid != root:
            pid = parents[pid]
        return pid == root

    return {pid: name for pid, name in names.items() if name in _SERVERS and is_ours(pid)}


@contextmanager
def json_lines() -> Iterator[Callable[..., None]]:
    """Give what prints a line; all else that is printed goes to stderr: Ray tells of each death."""
    out = sys.stdout

    def tell(**said: object) -> None:
        print(json.dumps(said), file=out, flush=True)

    with redirect_stdout(sys.stderr):
        yield tell
