"""A small model beside the large one, that drafts for what a cloud streams.

It reads the text that the cloud has, the public prompt and the chosen tokens, and proposes what it
would choose itself: greedily, or with the noise that the large model's choice will have. Its slots
hold the text as far as drafts were right; what it read in vain is forgotten when it goes on.

A host that was made anew has read nothing: it reads the whole text then, whatever an item says of
where it stands. What is proposed does not depend on it, with batch-invariant numerics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.models.loading import load
from actors.models.numerics import Numerics
from actors.models.options import HostOptions
from actors.values.port import ArmSpec
from actors.values.sequences import Sequences
from actors.values.steering_host import DenseChooser
from costeer.errors import LocalProtocolError

if TYPE_CHECKING:
    from costeer.proposal import DraftItem


@dataclass(frozen=True, slots=True)
class BesideSpec:
    """Which model drafts.

    Args:
        folder: returns where it lies on the machine that hosts the large model.
        options: how it is held.
    """

    folder: Callable[[], str]
    options: HostOptions


class Beside:
    """The small model of one replica.

    Args:
        spec: which one.
        numerics: arithmetic.
        vocab_size: of the large model, whose ids it proposes.

    Raises:
        ConfigError: the model cannot be hosted.
    """

    def __init__(self, spec: BesideSpec, numerics: Numerics, vocab_size: int) -> None:
        model = load(spec.folder(), numerics, vocab_size=vocab_size, options=spec.options)
        self._sequences = Sequences(model)
        self._chooser: DenseChooser | None = None

    def begin_arm(self, arm: ArmSpec) -> None:
        """Forget every session, take the arm's sampling."""
        self._sequences.release_all()
        self._chooser = DenseChooser(arm, self._sequences.model.vocab_size)

    def release(self, session: int) -> None:
        """The session is over."""
        self._sequences.release(session)

    def propose(self, items: Sequence[DraftItem]) -> tuple[tuple[int, ...], ...]:
        """Return the drafts of each item, made side by side.

        Raises:
            LocalProtocolError: an item asks for none.
        """
        if any(item.count < 1 for item in items):
            raise LocalProtocolError("cloud host: a session was to be drafted for with no drafts")
        found: list[list[int]] = [[] for _ in items]
        for depth in range(max((item.count for item in items), default=0)):
            wanted = [at for at, item in enumerate(items) if item.count > depth]
            tokens = self._read(
                [items[at] for at in wanted], [tuple(found[at]) for at in wanted], depth
            )
            for at, token in zip(wanted, tokens, strict=True):
                found[at].append(token)
        return tuple(map(tuple, found))

    def _read(
        self, items: Sequence[DraftItem], drafts: Sequence[tuple[int, ...]], depth: int
    ) -> list[int]:
        """Read what is new of each text and of the drafts behind it; return what follows."""
        if self._chooser is None:
            raise LocalProtocolError("cloud host: an operation before begin_arm")
        model = self._sequences.model
        slots = [self._sequences.slots(item.session, 1)[0] for item in items]
        starts, runs = [], []
        for slot, item, drafted in zip(slots, items, drafts, strict=True):
            text = item.tokens + drafted
            start = len(text) - 1 if depth else min(item.read, model.cache.length(slot))
            starts.append(start)
            runs.append(text[start:])
        logits_BV = model.forward(slots, starts, runs)
        return [
            self._chooser.choose(item.session, item.position + depth, logits_V).token
            for item, logits_V in zip(items, logits_BV, strict=True)
        ]
