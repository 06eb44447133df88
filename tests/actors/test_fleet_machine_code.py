"""What is kept of machine code belongs to one state of the rules, and to nothing else."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from actors.fleet import columns, engine, steps
from actors.fleet.layout import Books
from actors.fleet.loops import Rules, advance_of
from actors.fleet.machine_code import fingerprint, is_kept, kept_compiler
from costeer import device_text, schedule
from netsim import tcp


def double(value: int) -> int:
    return 2 * _half(value) * _FACTOR


def _half(value: int) -> int:
    return value // 2


_FACTOR = 2


def other_half(value: int) -> int:
    return value // 3


def test_a_hash_follows_rules_and_constants_wherever_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Names are looked up where the rule was made.
    names = double.__globals__
    before = fingerprint(double)
    assert fingerprint(double) == before
    monkeypatch.setitem(names, "_FACTOR", 3)
    assert fingerprint(double) != before
    monkeypatch.setitem(names, "_FACTOR", 2)
    monkeypatch.setitem(names, "unrelated", 5)
    assert fingerprint(double) == before
    assert isinstance(other_half, FunctionType)
    monkeypatch.setitem(names, "_half", other_half)
    assert fingerprint(double) != before


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (columns, "READ", 14),
        (tcp, "MILLI", 999),
        (steps, "_FORWARDS", 7),
        (schedule, "fill_step", other_half),
        (steps, "fill_step", other_half),
    ],
)
def test_the_loop_is_made_anew_when_what_it_calls_changes(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, value: Any
) -> None:
    before = fingerprint(engine.advance)
    monkeypatch.setattr(module, name, value)
    # The loop has its own name for the rule: a new one in the other module is not what it calls.
    assert (fingerprint(engine.advance) == before) == (module is schedule)


def test_the_loop_is_made_anew_when_its_arrays_change(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(engine.advance)
    monkeypatch.setattr(Books, "_fields", Books._fields[::-1])
    assert fingerprint(engine.advance) != before


def test_what_was_made_is_kept(tmp_path: Path) -> None:
    assert not is_kept(_half, tmp_path)
    assert kept_compiler(tmp_path)(_half)(8) == 4
    assert is_kept(_half, tmp_path)
    kept = list((tmp_path / "machine-code" / fingerprint(_half)).rglob("*.nbc"))
    assert len(kept) == 1
    unwritable = tmp_path / "file"
    unwritable.write_text("")
    assert kept_compiler(unwritable)(_half)(6) == 3


def test_another_checkout_of_the_same_rules_takes_what_was_made(tmp_path: Path) -> None:
    elsewhere = copy_of(_half, "/another/checkout/rules.py")
    kept_compiler(tmp_path)(_half)(8)
    made: Any = kept_compiler(tmp_path)(elsewhere)
    assert made(8) == 4
    assert sum(made.stats.cache_hits.values()) == 1
    assert not sum(made.stats.cache_misses.values())


def copy_of(rule: Any, file: str) -> Any:
    """The same rule, as if it stood at another place of another file."""
    code = rule.__code__.replace(co_filename=file, co_firstlineno=rule.__code__.co_firstlineno + 9)
    return FunctionType(code, rule.__globals__, rule.__name__)


def test_few_loops_are_made_for_all_that_cells_do() -> None:
    every = itertools.product((False, True), repeat=len(Rules._fields))
    assert len({advance_of(Rules(*each)) for each in every}) == 12
    assert advance_of(Rules(sharing=True)) is advance_of(Rules(pausing=True))
    assert advance_of(Rules()) is not advance_of(Rules(sharing=True))
    # A k that is learnt changes no other loop.
    assert advance_of(Rules(learning=True)) is advance_of(Rules(learning=True, sharing=True))
    assert advance_of(Rules(learning=True)) is not advance_of(Rules(sharing=True))


def test_what_is_left_out_of_a_loop_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = advance_of(Rules())
    drafting = advance_of(Rules(drafting=True))
    before = fingerprint(plain), fingerprint(drafting)
    monkeypatch.setattr(device_text, "RUN", 99)
    assert fingerprint(plain) == before[0]
    assert fingerprint(drafting) != before[1]
