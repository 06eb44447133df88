"""An answer that a device finishes by itself, on its own small model with the private context.

The public branch stays where it is: only the personal one is run from here on. Operations come one
after the other, a forward and a choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from costeer.machine import EdgeChoose, EdgeForward, Span
from costeer.methods import Prompt
from costeer.session import own_prompts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from costeer.session import SessionSpec


def can_finish_alone(spec: SessionSpec) -> bool:
    """Whether a session's device has a small model that follows the private context."""
    return Prompt.PERSONAL in spec.method.edge_branches


class Solo:
    """What the small model is asked next."""

    __slots__ = ("_branch", "_held", "_run", "_spec", "decided_from_ns")

    def __init__(
        self, spec: SessionSpec, held: Sequence[int], run: tuple[int, ...], now_ns: int
    ) -> None:
        """Take over from a machine whose operations have all ended.

        Args:
            spec: the session's.
            held: tokens in the cache, per branch of the method, as far as they are of the text.
            run: tokens that the personal branch has to be run with before its logits are those of
                the next position; empty where they are.
            now_ns: the present.
        """
        self._spec = spec
        self._branch = spec.method.edge_branches.index(Prompt.PERSONAL)
        self._held = list(held)
        self._run = run
        self.decided_from_ns = now_ns
        """When the position's logits were there."""

    def next_op(self, position: int, now_ns: int) -> EdgeForward | EdgeChoose:
        """Return what is to be computed now for a position."""
        if not self._run:
            self.decided_from_ns = now_ns
            return EdgeChoose(self._spec.session, position, self._branch)
        tokens: list[tuple[int, ...]] = [()] * len(self._held)
        tokens[self._branch] = self._run
        starts = tuple(self._held)
        self._held[self._branch] += len(self._run)
        self._run = ()
        spec = self._spec
        span = Span(position, 1, position) if spec.speculation is not None else None
        prompts = own_prompts(spec) if not starts[self._branch] else ()
        return EdgeForward(spec.session, tuple(tokens), starts, span, prompts)

    def chose(self, token: int) -> None:
        """Go on behind a token."""
        self._run = (token,)
