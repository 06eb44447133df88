"""Kinds of arrays that the rules of compiled cells work on, as the type checker sees them."""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Any, Protocol, TypeAlias, overload

import numpy as np

Array: TypeAlias = Any
"""An array of numpy, which stands for any of the following."""


class Column(Protocol):
    """One-dimensional array of integers."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> MutableSequence[int]: ...
    def __setitem__(self, at: int, value: int) -> None: ...


class Table(Protocol):
    """Two-dimensional array of integers."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, at: tuple[int, int]) -> int: ...
    @overload
    def __getitem__(self, at: tuple[int, slice] | tuple[slice, int]) -> MutableSequence[int]: ...
    def __setitem__(self, at: tuple[int, int], value: int) -> None: ...


class Words(Protocol):
    """One-dimensional array of unsigned integers, which wrap."""

    def __getitem__(self, at: int) -> np.uint64: ...
    def __setitem__(self, at: int, value: np.uint64) -> None: ...


class Reals(Protocol):
    """One-dimensional array of real numbers."""

    def __len__(self) -> int: ...
    def __getitem__(self, at: int) -> float: ...


class Shares(Protocol):
    """Two-dimensional array of real numbers."""

    def __getitem__(self, at: tuple[int, int]) -> float: ...
