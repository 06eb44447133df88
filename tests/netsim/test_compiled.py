"""How rules become machine code: what is left out of them, and one piece for all integers."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np

from netsim.compiled import compiled, live_steps, specialised

WIDE = TALL = True


def area(numbers: Any, at: int) -> int:
    size = 1
    if WIDE and numbers[at] > 1:
        size *= twice(numbers[at])
    if TALL:
        size *= twice(int(numbers[at + 1]))
    return size + twice(3)


def twice(number: int) -> int:
    return 2 * number


def named(rule: Any) -> list[str]:
    return [step.argval for step in live_steps(rule) if step.opname == "LOAD_GLOBAL"]


def test_what_stands_behind_a_false_constant_is_left_out() -> None:
    assert named(area).count("twice") == 3
    narrow: Any = specialised(area, WIDE=False)
    assert named(narrow).count("twice") == 2
    flat: Any = specialised(area, WIDE=False, TALL=False)
    assert named(flat).count("twice") == 1


def test_a_rule_is_specialised_with_all_that_it_calls() -> None:
    assert specialised(area, unknown=3) is area
    numbers = np.array([5, 7], np.int32)
    assert area(numbers, 0) == compiled(area)(numbers, 0) == 10 * 14 + 6
    for wide, tall, expected in ((False, True, 20), (True, False, 16), (False, False, 7)):
        rule = specialised(area, WIDE=wide, TALL=tall)
        assert rule(numbers, 0) == compiled(rule)(numbers, 0) == expected


def test_a_part_is_made_once_for_all_integers() -> None:
    """Of 32 and 64 bits, and constants; what is called from outside takes what it is given."""
    whole: Any = compiled(area)
    numbers = np.array([5, 7], np.int32)
    assert whole(numbers, 0) == 146
    part = whole.py_func.__globals__["twice"]
    assert [str(kind) for (kind,) in part.signatures] == ["int64"]


def test_rules_stay_python_where_numba_is_switched_off() -> None:
    command = "from tests.netsim.test_compiled import area; from netsim.compiled import compiled;"
    done = subprocess.run(
        [sys.executable, "-c", f"{command} print(compiled(area)([5, 7], 0), compiled(area))"],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("146 <function area")
