"""Machine code of the scalar rules, made when it is asked for and never at import.

The rules (`tcp.transfer`, `carriage.serialise_ns`, …) are plain functions of numbers, written once.
Python calls them as they are; a driver over arrays calls what this makes of them.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dis import get_instructions
from functools import cache
from types import FunctionType
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(rule: Function, folder: str | None = None) -> Function:
    """The rule as machine code, with the rules that it calls. Made once.

    Overflow wraps, as in any 64-bit integer: each rule says up to where it is exact. Nobody counts
    who holds an array: that would be most of what the code does. So a rule makes no array or list;
    it writes into those that it is given.

    Args:
        rule: the function.
        folder: keeps the machine code for later processes. The compiler looks at the age of the
            rule's own file alone, so a folder must be of one state of everything that it calls.
    """
    calls: Counter[Any] = Counter()
    _count_calls(rule, calls)
    once = frozenset(each for each, count in calls.items() if count == 1)
    return cast("Function", _compiled(rule, once, folder))


def specialised(rule: Function, **constants: object) -> Function:
    """The rule with other values of some constants, here and in all that it calls.

    What comes after ``if CONSTANT:`` is left out by the compiler where the constant is false, with
    the rules that only it calls.

    Args:
        rule: the function.
        constants: by the names that they have in its module, and in those of what it calls.
    """
    return cast("Function", _specialised(rule, constants, {}))


def _specialised(rule: Any, constants: dict[str, object], made: dict[Any, Any]) -> Any:  # noqa: ANN401 - any function
    if rule not in made:
        known = rule.__globals__
        new = {name: value for name, value in constants.items() if name in known}
        for name, called in _calls(rule):
            found = _specialised(called, constants, made)
            if found is not called:
                new[name] = found
        made[rule] = rule
        if new:
            made[rule] = FunctionType(
                rule.__code__, known | new, rule.__name__, rule.__defaults__, rule.__closure__
            )
    return made[rule]


def _count_calls(rule: Any, calls: Counter[Any]) -> None:  # noqa: ANN401 - any function
    """Count where each rule that a rule reaches is named."""
    for _, called in _calls(rule):
        calls[called] += 1
        if calls[called] == 1:
            _count_calls(called, calls)


def _calls(rule: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any function
    """Name each rule that a rule calls, as often as it does; a figure may be named like a rule."""
    for step in get_instructions(rule):
        called = rule.__globals__.get(step.argval) if step.opname == "LOAD_GLOBAL" else None
        if isinstance(called, FunctionType):
            yield step.argval, called


@cache
def _compiled(rule: Any, once: frozenset[Any], folder: str | None = None) -> Any:  # noqa: ANN401 - a compiler's dispatcher has no useful type
    from numba import config, njit  # noqa: PLC0415 - numba takes half a second to import

    called = {name: _compiled(value, once) for name, value in _calls(rule)}
    bound = FunctionType(
        rule.__code__, rule.__globals__ | called, rule.__name__, rule.__defaults__, rule.__closure__
    )
    # What is called from one place alone becomes part of it: handing on many arrays takes long.
    options: Any = {
        "error_model": "numpy",
        "nogil": True,
        "_nrt": False,
        "forceinline": rule in once,
    }
    if folder is None:
        return njit(**options)(bound)
    settings: Any = config
    before, settings.CACHE_DIR = settings.CACHE_DIR, folder
    try:
        return njit(**options, cache=True)(bound)
    finally:
        settings.CACHE_DIR = before
