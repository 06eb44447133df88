"""Machine code of the scalar rules, made when it is asked for and never at import.

The rules (`tcp.transfer`, `carriage.serialise_ns`, …) are plain functions of numbers, written once.
Python calls them as they are; a driver over arrays calls what this makes of them.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dis import Instruction, get_instructions
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
        folder: keeps the machine code for later processes. It must be of one state of the rule and
            of everything that it calls, and hold a file of the rule's name, which may be empty.
    """
    calls: Counter[Any] = Counter()
    _count_calls(rule, calls)
    once = frozenset(each for each, count in calls.items() if count == 1)
    return cast("Function", _whole(rule, once, folder))


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
    for step in live_steps(rule):
        called = rule.__globals__.get(step.argval) if step.opname == "LOAD_GLOBAL" else None
        if isinstance(called, FunctionType):
            yield step.argval, called


def live_steps(rule: FunctionType) -> Iterator[Instruction]:
    """The instructions of a rule, but for those after ``if CONSTANT`` where it is false."""
    constant: object = None
    behind = 0
    for step in get_instructions(rule):
        if step.offset < behind or step.opname in _BETWEEN:
            continue
        if constant is False and step.opname.endswith("IF_FALSE"):
            behind = step.argval
        yield step
        named = step.opname == "LOAD_GLOBAL"
        constant = rule.__globals__.get(step.argval) if named else None


_BETWEEN = frozenset(("CACHE", "TO_BOOL", "NOT_TAKEN"))
"""What may stand between a constant and the jump over what it rules."""


@cache
def _whole(rule: Any, once: frozenset[Any], folder: str | None) -> Any:  # noqa: ANN401 - a compiler's dispatcher has no useful type
    from netsim.linking import whole  # noqa: PLC0415 - numba takes half a second to import

    bound = _bound(rule, once)
    if folder is None:
        return whole(bound, kept=False)
    # The compiler keeps by the place of a file and what it holds, wherever the rules stand.
    bound.__code__ = rule.__code__.replace(
        co_filename=f"{folder}/{rule.__name__}.py", co_firstlineno=1
    )
    return whole(bound, kept=True)


@cache
def _part(rule: Any, once: frozenset[Any]) -> Any:  # noqa: ANN401 - as above
    from netsim.linking import part  # noqa: PLC0415 - as above

    # What is called from one place alone becomes part of it: handing on many arrays takes long.
    return part(_bound(rule, once), inline=rule in once)


def _bound(rule: Any, once: frozenset[Any]) -> FunctionType:  # noqa: ANN401 - any function
    """The rule with machine code for whatever it calls."""
    called = {name: _part(value, once) for name, value in _calls(rule)}
    return FunctionType(
        rule.__code__, rule.__globals__ | called, rule.__name__, rule.__defaults__, rule.__closure__
    )
