"""What the hosts of both models share: a model, its sequences, and how long rows are kept.

Rules
-----
* One slot per sequence: a session of the cloud has one, a session of a device one per branch.
  Slots are taken by a session's first forward and freed by its release.
* The logits of a session's newest forward stay with the host until its next one; MORE ranks and
  late steering are answered from them. A drafting session's stay by position until they are older
  than what it still needs.
* With batch-invariant numerics no value depends on how operations were cut into calls. Everything
  after the forward is computed row by row or elementwise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

from actors.models.loading import load
from actors.models.numerics import Numerics
from actors.models.options import HostOptions
from actors.values.sequences import Sequences
from actors.values.shadow import Shadow
from costeer.machine import Span

_Row = TypeVar("_Row")

PLAIN = HostOptions()
"""On the CPU, as the model is."""

BRANCHES = 2
"""Sequences of a steered session, without the context and with it; of a guided one likewise."""

NEWEST = -1
"""The key of a row that belongs to whatever position is asked for next."""


class ModelHost(ABC):
    """A hosted model and the sessions that it holds.

    Args:
        path: a local folder or a hub name.
        numerics: arithmetic.
        vocab_size: ``shared_vocab_size`` of the pair; the model's width if None.
        max_context: tokens of one sequence; the model's own limit if None.
        options: where the model lives and how its weights are kept.
        shadow: compares every choice with that from the whole row, where given.
        rank_on_device: rank a step's logits where the model is, even if that is this host; on an
            accelerator they are in any case.

    Raises:
        ConfigError: the model cannot be hosted.
    """

    def __init__(
        self,
        path: str,
        numerics: Numerics,
        *,
        vocab_size: int | None = None,
        max_context: int | None = None,
        options: HostOptions = PLAIN,
        shadow: Shadow | None = None,
        rank_on_device: bool = False,
    ) -> None:
        self._shadow = shadow
        self._rank_on_device = rank_on_device
        model = load(
            path, numerics, vocab_size=vocab_size, max_context=max_context, options=options
        )
        self._sequences = Sequences(model)
        self._forget()

    @abstractmethod
    def _forget(self) -> None:
        """Drop what is known of sessions and of the arm."""


def kept(rows: dict[int, _Row], span: Span | None, found: list[_Row]) -> dict[int, _Row]:
    """Return a session's rows after a forward: those still needed, and what it gave."""
    if span is None:
        return {NEWEST: found[-1]}
    needed = {position: row for position, row in rows.items() if position >= span.oldest}
    return needed | dict(enumerate(found, start=span.first))
