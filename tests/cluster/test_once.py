"""Each call once, whatever is repeated, and a bounded number of replies."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.once import CALLERS, WINDOW, Once, Stamp
from costeer.errors import ConfigError, LocalProtocolError


def stamp(sequence: int, answered: int = 0, caller: str = "a", epoch: int = 0) -> Stamp:
    return Stamp(caller, epoch, sequence, answered)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), max_size=60))
def test_a_call_is_carried_out_once_and_every_repeat_has_its_reply(
    calls: list[tuple[str, int]],
) -> None:
    once, done = Once(), Counter[tuple[str, int]]()

    def carry_out(call: tuple[str, int]) -> tuple[str, int]:
        done[call] += 1
        return call

    for call in calls:
        assert once.call(stamp(call[1], caller=call[0]), lambda call=call: carry_out(call)) == call  # type: ignore[misc]
    assert set(done) == set(calls)
    assert set(done.values()) <= {1}


def test_errors_are_replies_as_well() -> None:
    once, tries = Once(), []

    def fail() -> None:
        tries.append(1)
        raise ConfigError("as asked")

    for _ in range(2):
        with pytest.raises(ConfigError, match="as asked"):
            once.call(stamp(0), fail)
    assert tries == [1]


def test_a_repeat_waits_for_the_first_time() -> None:
    once, begun, go_on = Once(), threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go_on.wait(10)
        return "value"

    found: list[object] = []
    first = threading.Thread(target=lambda: found.append(once.call(stamp(0), slow)))
    first.start()
    assert begun.wait(10)
    again = threading.Thread(target=lambda: found.append(once.call(stamp(0), slow)))
    again.start()
    go_on.set()
    first.join()
    again.join()
    assert found == ["value", "value"]


def test_replies_are_kept_until_they_have_come_and_no_longer() -> None:
    once = Once()
    for sequence in range(1000):
        once.call(stamp(sequence, answered=max(0, sequence - 3)), lambda: None)
        assert once.kept <= 4
    with pytest.raises(LocalProtocolError, match="came again"):
        once.call(stamp(7), lambda: None)
    # Another life of the caller, or of the host, begins anew.
    once.call(stamp(7, epoch=1), lambda: None)
    once.call(stamp(7, caller="b"), lambda: None)


def test_nobody_may_leave_more_unanswered_than_are_kept() -> None:
    once = Once()
    for sequence in range(WINDOW):
        once.call(stamp(sequence), lambda: None)
    with pytest.raises(LocalProtocolError, match="unanswered"):
        once.call(stamp(WINDOW), lambda: None)


def test_callers_that_are_gone_are_forgotten() -> None:
    once = Once()
    for number in range(3 * CALLERS):
        once.call(stamp(0, caller=str(number)), lambda: None)
        once.call(stamp(number, answered=number, caller="steady"), lambda: None)
    assert once.kept <= CALLERS
    with pytest.raises(LocalProtocolError, match="came again"):
        once.call(stamp(5, caller="steady"), lambda: None)
