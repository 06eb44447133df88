"""Two hosts on this machine: what crosses the path obeys physics, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from costeer.errors import ConfigError
from experiments.validation import hosts
from experiments.validation.design import short
from experiments.validation.hosts import PathSpec, two_hosts
from experiments.validation.measurement import validate
from experiments.validation.page import page

_REASON = hosts.missing()
needs_hosts = pytest.mark.skipif(_REASON is not None, reason=f"no hosts here: {_REASON}")


def namespaces(pid: int) -> set[str]:
    """What a process has made; others may be validating at the same time."""
    return {each.name for each in Path("/run/netns").glob(f"costeer-{pid}-*")}


@needs_hosts
def test_a_short_validation_obeys_physics_and_leaves_nothing() -> None:
    told: list[str] = []
    with two_hosts() as net:
        assert len(namespaces(os.getpid())) == 3
        validation = validate(net, short(), told.append)
    assert not namespaces(os.getpid())
    assert len(told) == len(validation.outcomes) == len(short())
    for outcome in validation.outcomes:
        cell = outcome.cell
        # Nothing is faster than the path, whatever the machine is busy with.
        least_ms = cell.rtt_ms + cell.answer_bytes * 8 / (cell.rate_mbps * 1e3)
        assert outcome.typical.low_ms > 0.97 * least_ms
        assert outcome.typical.predicted_ms > least_ms
    text = page(validation, [], "a machine", 1.0)
    assert "30,000 B" in text
    assert "1 % loss" in text


@needs_hosts
def test_a_failure_leaves_nothing() -> None:
    started: list[subprocess.Popen[bytes]] = []

    def fail() -> None:
        with two_hosts() as net:
            started.append(subprocess.Popen(net.edge.command(["sleep", "1000"])))
            net.lay(PathSpec(rate_bps=1_000_000))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not namespaces(os.getpid())
    assert started[0].wait(60) == -signal.SIGKILL


def _victim() -> subprocess.Popen[str]:
    """A process that has two hosts, in a session of its own."""
    program = (
        "import signal, sys, time\n"
        "from experiments.validation.hosts import two_hosts\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "with two_hosts():\n"
        "    print('up', flush=True)\n"
        "    time.sleep(1000)\n"
    )
    root = Path(__file__).parents[3]
    victim = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert victim.stdout is not None
    assert victim.stdout.readline() == "up\n"
    assert len(namespaces(victim.pid)) == 3
    return victim


@needs_hosts
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_is_ended_kindly_leaves_nothing(number: signal.Signals) -> None:
    victim = _victim()
    os.killpg(victim.pid, number)
    victim.communicate(timeout=60)
    assert not namespaces(victim.pid)


@needs_hosts
def test_what_a_killed_process_left_is_removed_by_the_next() -> None:
    victim = _victim()
    victim.kill()
    victim.communicate()
    assert namespaces(victim.pid)
    with two_hosts():
        pass
    assert not namespaces(victim.pid)


def test_no_root_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ConfigError, match="needs root"), two_hosts():
        pass


def test_a_missing_tool_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda _: None)
    reason = hosts.missing()
    assert reason is not None
    assert "iproute2" in reason
