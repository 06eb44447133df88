"""How sure a cloud without a model is of a token: wholly, or hardly at all.

Steering that pauses (``costeer.gate``) asks no more of a token than on which side of two thresholds
its doubt lies, so two doubts do: one below any ``sure``, one at or above any ``unsure`` but that of
a gate that never opens again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from costeer.gate import GateConfig
from costeer.machine import Doubt, EncodeItem
from netsim.random import Stream, uniform

SURE = 0.0
UNSURE = 1.0 - 2.0**-53
"""The greatest below 1: no row leaves no doubt."""


def drawn_sure(share: float, *, seed: int, session: int, position: int) -> bool:
    """Whether the cloud is sure of a token, which it is as often as somebody says.

    Args:
        share: how often, 0 to 1, independently from position to position.
        seed: of the run.
        session: session id.
        position: of the token.
    """
    return uniform(seed, Stream.DOUBTS, session, position) < share


def doubts_of(
    items: Sequence[EncodeItem],
    sure_of: Callable[[int, int], bool],
    token_of: Callable[[int, int], int],
) -> tuple[Doubt | None, ...]:
    """Return what a ``CloudSelect`` asks of doubts; see ``costeer.machine.Selected``.

    Args:
        items: its items to encode.
        sure_of: whether the cloud is sure of the token of (session, position).
        token_of: that token.
    """
    if all(item.unless is None for item in items):
        return ()
    return tuple(_doubt(item, sure_of, token_of) for item in items)


def _doubt(
    item: EncodeItem,
    sure_of: Callable[[int, int], bool],
    token_of: Callable[[int, int], int],
) -> Doubt | None:
    if item.unless is None:
        return None
    step = (item.session, item.position)
    doubt = SURE if sure_of(*step) else UNSURE
    return Doubt(doubt, token_of(*step) if doubt < item.unless else None)


def thresholds(gate: GateConfig) -> tuple[int, int]:
    """Return whether ``UNSURE`` is sure to a gate, and whether it brings steering back."""
    return int(gate.sure > UNSURE), int(gate.unsure <= UNSURE)
