"""Which ranks each round of a step sends.

Round 0 sends the codec's first k ranks. When the device cannot certify its choice it asks for
MORE: round r sends the next ranks up to k·growth^r, and the last round, by the policy's choice,
everything that is left (the dense fallback, after which every choice is exact). The ladder is
session configuration that both sides know, so MORE carries nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from costeer.errors import LocalProtocolError


class RefineConfig(BaseModel):
    """What a device does when a choice is not certified."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    growth: int = Field(default=4, ge=2, le=64)
    """Factor by which the sent ranks grow with each round."""

    max_rounds: int = Field(default=5, ge=0, le=16)
    """MORE requests a step may make; 0 accepts every first choice, certified or not."""

    at_cap: Literal["dense", "accept"] = "dense"
    """The last round: all remaining ranks (exact), or the next ladder step and then accept."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """The rank range of each round.

    Args:
        first_k: ranks of round 0, at least 1.
        vocab_size: V; the ladder ends there.
        config: growth, cap and what happens at the cap.

    Raises:
        LocalProtocolError: a ladder without a first step.
    """

    first_k: int
    vocab_size: int
    config: RefineConfig

    def __post_init__(self) -> None:
        """Check that there is a first step."""
        if self.first_k < 1 or self.vocab_size < 1:
            raise LocalProtocolError(f"a ladder needs first_k and vocab_size of 1 or more: {self}")

    def ranks(self, round_: int) -> tuple[int, int]:
        """Return [first, last) of a round.

        Raises:
            LocalProtocolError: there is no such round.
        """
        if round_ == 0:
            return 0, self._reach(0)
        if not self.has(round_):
            raise LocalProtocolError(f"round {round_} is beyond the ladder {self}")
        return self._reach(round_ - 1), self._reach(round_)

    def has(self, round_: int) -> bool:
        """Whether a device may ask for this round (1 is the first MORE)."""
        within = 1 <= round_ <= self.config.max_rounds
        return within and self._reach(round_ - 1) < self.vocab_size

    @property
    def last_rank(self) -> int:
        """How many ranks are known once every round was asked for."""
        return self._reach(self.config.max_rounds)

    @property
    def ends_dense(self) -> bool:
        """Whether its last round sends all that is left, so that every choice can be proved."""
        return self.last_rank == self.vocab_size

    def _reach(self, round_: int) -> int:
        """Return how many ranks are known after a round."""
        if round_ and round_ == self.config.max_rounds and self.config.at_cap == "dense":
            return self.vocab_size
        growth: int = self.config.growth**round_
        return min(self.first_k * growth, self.vocab_size)
