"""Machine code of the scalar rules, made when it is asked for and never at import.

The rules (`tcp.transfer`, `link.serialise_ns`, …) are plain functions of numbers, written once.
Python calls them as they are; a driver over arrays calls what this makes of them.
"""

from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(rule: Function) -> Function:
    """The rule as machine code, with the rules of its module that it calls. Made once.

    Overflow wraps, as in any 64-bit integer: each rule says up to where it is exact.
    """
    return cast("Function", _compiled(rule))


@cache
def _compiled(rule: Any) -> Any:  # noqa: ANN401 - a compiler's dispatcher has no useful type
    from numba import njit  # noqa: PLC0415 - numba takes half a second to import

    called = {
        name: _compiled(value)
        for name in rule.__code__.co_names
        if isinstance(value := rule.__globals__.get(name), FunctionType)
    }
    bound = FunctionType(
        rule.__code__, rule.__globals__ | called, rule.__name__, rule.__defaults__, rule.__closure__
    )
    return njit(error_model="numpy", nogil=True)(bound)
