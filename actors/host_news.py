"""What a host tells of itself to whoever serves its node's metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class HostNews:
    """What one host did since it told the last time.

    Args:
        role: ``cloud`` or ``edge``.
        calls: batches of operations that it was given.
        busy_ns: how long it was at them, on the wall.
        operations: kind -> how many.
    """

    role: str
    calls: int
    busy_ns: int
    operations: dict[str, int]


Feed: TypeAlias = Callable[[HostNews], None]
"""Takes what a host tells, and does not wait."""
