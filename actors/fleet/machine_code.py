"""Machine code of the fleet's rules, kept between processes: made once for each state of the rules.

What was made is kept under the user's cache folder, in a folder named by a hash of all that went
into it: the rule, every rule that it calls, the constants that they name, the layout of the arrays,
and what compiles them. A change elsewhere costs nothing, nor does another checkout of the same.
"""

from __future__ import annotations

import hashlib
import os
import platform
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, cast

import netsim.compiled
from actors.fleet.layout import Books, Fleet
from netsim.compiled import compiled, live_steps

if TYPE_CHECKING:
    from collections.abc import Callable
    from dis import Instruction

_COMPILERS = ("numba", "llvmlite", "numpy")
_HOW = [Path(netsim.compiled.__file__).with_name(name) for name in ("compiled.py", "linking.py")]


def kept_compiler(folder: Path | None = None) -> Callable[[Any], Any]:
    """Return what makes machine code of a rule and keeps it.

    Args:
        folder: where; by default the user's cache folder (``XDG_CACHE_HOME``, else ``~/.cache``).
            Where that cannot be written, nothing is kept.
    """
    return partial(_compile, _root(folder))


def is_kept(rule: Callable[..., object], folder: Path | None = None) -> bool:
    """Whether a rule's machine code was made before, as far as its folder tells.

    Args:
        rule: it.
        folder: see ``kept_compiler``.
    """
    return any((_root(folder) / fingerprint(rule)).rglob("*.nbc"))


def _root(folder: Path | None) -> Path:
    root = folder or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "costeer"
    return root / "machine-code"


def _compile(root: Path, rule: Any) -> Any:  # noqa: ANN401 - a compiler's dispatcher has no useful type
    place = root / fingerprint(rule)
    named = place / f"{rule.__name__}.py"
    try:
        place.mkdir(parents=True, exist_ok=True)
        if not named.exists():
            named.touch()
    except OSError:
        return compiled(rule)
    return compiled(rule, folder=str(place))


def fingerprint(rule: Callable[..., object]) -> str:
    """Return a hash of a rule's machine code: of everything that it is made from."""
    sha = hashlib.sha256(platform.python_version().encode())
    for name in _COMPILERS:
        sha.update(f"{name} {version(name)}".encode())
    for how in _HOW:
        sha.update(how.read_bytes())
    sha.update(repr((Fleet._fields, Books._fields)).encode())
    for part in _parts(cast("FunctionType", rule), set()):
        sha.update(part.encode())
    return sha.hexdigest()[:16]


def _parts(rule: FunctionType, seen: set[str]) -> list[str]:
    """Return what a rule is made from and has not been seen yet, in the order in which it comes."""
    name = f"{rule.__module__}.{rule.__qualname__}"
    if name in seen:
        return []
    seen.add(name)
    parts = [name, *_code(rule.__code__)]
    names = list(dict.fromkeys(str(step.argval) for step in live_steps(rule) if _names(step)))
    for used in names:
        value = rule.__globals__.get(used)
        if isinstance(value, FunctionType):
            parts += _parts(value, seen)
        elif isinstance(value, ModuleType):
            named = [each for each in names if hasattr(value, each)]
            parts += [f"{used}.{each} = {_constant(getattr(value, each))}" for each in named]
        elif value is not None:
            parts.append(f"{used} = {_constant(value)}")
    return parts


def _names(step: Instruction) -> bool:
    return step.opname in {"LOAD_GLOBAL", "LOAD_ATTR", "LOAD_METHOD"}


def _constant(value: object) -> str:
    """Return a constant as text; what is none, a class or a library's function, by its name."""
    return getattr(value, "__qualname__", None) or repr(value)


def _code(code: CodeType) -> list[str]:
    """Return a function's instructions as text; where they stand does not matter."""
    parts = [code.co_code.hex(), repr((code.co_names, code.co_varnames, code.co_freevars))]
    for constant in code.co_consts:
        parts += _code(constant) if isinstance(constant, CodeType) else [repr(constant)]
    return parts
