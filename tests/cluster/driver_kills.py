"""Kills a driver, ``costeer run`` itself, and has the run go on with ``--resume``."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from experiments.results import load_parts

ROOT = Path(__file__).parents[2]
SCENARIO = """
name: doomed
way: {way}
values: generated
seed: {seed}
generated: {{vocab_size: 2000}}
fleet:
  devices: 4
  shards: 2
  arrivals: {{kind: closed, think_s: 0.01, requests_per_device: {requests}}}
  classes: [{{share: 1, link: {link}, hardware: h100}}]
arms: [{{method: {method}}}]
workload: {{max_new_tokens: 64}}
"""
FAST = "{down_mbps: 1000, up_mbps: 1000, rtt_s: 0.002}"
REQUESTS = 6
"""Of each device: 1,536 tokens, in half a dozen pieces."""
PIECES = 4
"""A kill comes when so many of them at most are on disk."""
_LOOK_S = 0.002


def scenario(way: str, method: str, seed: int) -> str:
    """A run whose rows come in half a dozen pieces."""
    return SCENARIO.format(way=way, method=method, seed=seed, link=FAST, requests=REQUESTS)


def ended(process: subprocess.Popen[bytes], within_s: float) -> bool:
    """Whether a process ends within a while."""
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def costeer(*arguments: str) -> subprocess.Popen[bytes]:
    """Start the program."""
    command = [sys.executable, "-m", "experiments.cli", "run", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def digests(run_dir: Path) -> tuple[object, object]:
    """What a run said, and the whole of it: the latter of simulated runs alone."""
    summary = load_parts(run_dir)[""].summary
    return summary["output_digest"], summary["digest"]


def killed(way: str, method: str, seed: int, address: str, share: float) -> tuple[bool, int]:
    """Run once in peace and once with a kill, and compare.

    Returns:
        Whether the two say the same, and how many pieces were on disk at the kill.
    """
    with TemporaryDirectory() as folder:
        file, calm, run_dir = (Path(folder) / name for name in ("s.yaml", "calm", "run"))
        file.write_text(scenario(way, method, seed), encoding="utf-8")
        if costeer(str(file), "--address", "none", "--out", str(calm)).wait():
            return False, 0
        child = costeer(str(file), "--address", address, "--out", str(run_dir))
        piece = run_dir / "pieces" / f"{round(share * PIECES):06d}"
        while not piece.exists() and not ended(child, _LOOK_S):
            pass
        child.kill()
        if child.wait() != -signal.SIGKILL:
            return False, 0
        pieces = len(list((run_dir / "pieces").iterdir()))
        if costeer("--resume", str(run_dir), "--address", address).wait():
            return False, pieces
        kinds = 1 if way == "live" else 2
        return digests(calm)[:kinds] == digests(run_dir)[:kinds], pieces
