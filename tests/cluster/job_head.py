"""A Ray head with a job server, in processes of its own: it wants its token, and ends with us."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_STARTING_S = 120.0
ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def job_head(folder: Path) -> Iterator[tuple[str, str]]:
    """Yields the address of the dashboard and the token."""
    token = secrets.token_hex(32)
    dashboard, agent = free_port(), free_port()
    environment = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [
        str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--port=0",
        "--num-cpus=3", "--include-dashboard=true", f"--dashboard-port={dashboard}",
        f"--dashboard-agent-listen-port={agent}", f"--temp-dir={folder}",
        f"--ray-client-server-port={free_port()}",
        "--disable-usage-stats",
    ]  # fmt: skip
    with (folder / "head.log").open("wb") as log:
        head = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        for port in (dashboard, agent):
            _wait_for(port, head)
        yield f"http://127.0.0.1:{dashboard}", token
    finally:
        _end(head, folder)


def _end(head: subprocess.Popen[bytes], folder: Path) -> None:
    if head.poll() is None:
        os.killpg(head.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        head.wait(10)
    # Its processes have sessions of their own; all of them name the folder.
    subprocess.run(["pkill", "-KILL", "-f", str(folder)], check=False)  # noqa: S607
    head.wait(10)


def _wait_for(port: int, head: subprocess.Popen[bytes]) -> None:
    """Another process comes up in its own time: asked again and again, up to a limit."""
    deadline = time.monotonic() + _STARTING_S
    while head.poll() is None and time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the head did not open port {port}")
