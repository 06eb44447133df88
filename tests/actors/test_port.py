"""The port in this process; the one on Ray has the same rules, see ``tests/cluster``."""

from __future__ import annotations

import pytest

from actors.port import LocalPort, gather, never


class Host:
    def __init__(self, name: str = "") -> None:
        if not name:
            raise ValueError("a host needs a name")
        self.said: list[str] = [name]

    def say(self, word: str) -> list[str]:
        self.said.append(word)
        return list(self.said)

    def fail(self) -> None:
        raise OSError("the disk is gone")

    def stop(self) -> None:
        raise KeyboardInterrupt


def test_calls_are_carried_out_in_order() -> None:
    port = LocalPort()
    host = port.start(Host, "a", threads=3)
    pendings = [host.submit("say", word) for word in "bc"]
    assert gather(pendings[::-1]) == [["a", "b", "c"], ["a", "b"]]
    assert host.call("say", "d") == ["a", "b", "c", "d"]
    port.close()


def test_a_failure_is_raised_by_the_result() -> None:
    host = LocalPort().start(Host, "a")
    pending = host.submit("fail")
    with pytest.raises(OSError, match="the disk is gone"):
        pending.result()
    with pytest.raises(OSError, match="the disk is gone"):
        host.call("fail")
    with pytest.raises(KeyboardInterrupt):
        host.submit("stop")


def test_a_host_that_cannot_be_made_says_so() -> None:
    with pytest.raises(ValueError, match="needs a name"):
        LocalPort().start(Host)


def test_nobody_stops_a_run_by_default() -> None:
    assert not never()
