"""Machine code of the fleet's rules, kept between processes: made once for each state of the code.

Compiling takes most of a minute, so what was made is kept under the user's cache folder, in a
folder named by a hash of every source file that the rules come from and of what compiles them.
"""

from __future__ import annotations

import hashlib
import os
import platform
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import costeer
import netsim
from netsim.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Callable

_COMPILERS = ("numba", "llvmlite", "numpy")


def kept_compiler(folder: Path | None = None) -> Callable[[Any], Any]:
    """Return what makes machine code of a rule and keeps it.

    Args:
        folder: where; by default the user's cache folder (``XDG_CACHE_HOME``, else ``~/.cache``).
            Where that cannot be written, nothing is kept.
    """
    root = folder or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "costeer"
    place = root / "machine-code" / _state_of_the_code()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:
        return compiled
    return partial(compiled, folder=str(place))


def _state_of_the_code() -> str:
    sha = hashlib.sha256(platform.python_version().encode())
    for name in _COMPILERS:
        sha.update(f"{name} {version(name)}".encode())
    rooms = [Path(__file__).parent, *(Path(each) for each in (*costeer.__path__, *netsim.__path__))]
    for room in rooms:
        for file in sorted(room.rglob("*.py")):
            sha.update(file.relative_to(room).as_posix().encode())
            sha.update(file.read_bytes())
    return sha.hexdigest()[:16]
