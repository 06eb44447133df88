"""Where values come from that no model computes."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from actors.values.generated import GeneratedConfig
from actors.values.order import ReplayOrder
from costeer.errors import ConfigError
from experiments.scenario.section import Section


class GeneratedValues(Section):
    """Seeded logits in the shape of a large model's, really encoded and sent."""

    vocab_size: int = Field(default=151_936, ge=2, lt=2**31)
    """V, tokens; 151,936 is Qwen2.5's. Constant (`null`) values have it too."""
    sigma: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Standard deviation of Δ, nats."""
    boosted: int = Field(default=2, ge=0)
    """Tokens per position that the private context raises."""
    boost_nats: tuple[float, float] = (1.0, 4.0)
    """By how much at least and at most, nats."""
    boost_ranks: int = Field(default=64, ge=1)
    """The cloud's ranks that raised tokens are drawn from."""
    noise_nats: float = Field(default=0.25, ge=0, allow_inf_nan=False)
    """Standard deviation of a logit about the shape of its rank, nats."""
    slope: float = Field(default=2.1, gt=0, allow_inf_nan=False)
    """Median slope of a row's head, nats per e-fold of rank; each row's is within 1.1 and 6."""
    slope_spread: float = Field(default=0.45, ge=0, allow_inf_nan=False)
    """Standard deviation of the slope's logarithm."""
    highest: tuple[float, float] = (18.0, 30.0)
    """A row's largest logit at least and at most."""
    tail: Literal["normal", "laplace"] = "normal"
    """How Δ falls off over the vocabulary; `laplace` is the heavier one."""
    acceptance: float = Field(default=0.8, ge=0, le=1)
    """How often a draft is the token that is chosen, where an arm drafts; constant values too."""
    sure: float = Field(default=0.8, ge=0, le=1)
    """How often the cloud is sure of a token, where steering may pause. Constant values alone: rows
    of logits say it themselves."""
    prompt_tokens: int = Field(default=64, ge=1, le=1_000_000)
    """Length of the public prompt, tokens."""
    context_tokens: int = Field(default=192, ge=0, le=1_000_000)
    """Length of the private context in front of it, tokens."""
    constant_bytes: Annotated[int, Field(ge=0, le=1 << 24)] | Literal["codec"] = 165
    """Size of a constant (`null`) payload; `codec`: what the arm's codec makes of a generated row,
    the median of nine."""
    needs_ranks: int = Field(default=0, ge=0, lt=2**31)
    """Ranks that a choice of constant (`null`) values needs to be certified; 0: whatever is sent
    first will do."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        try:
            self.build()
        except ConfigError as error:
            raise ValueError(str(error).removeprefix("generated: ")) from error
        return self

    def build(self) -> GeneratedConfig:
        """The frozen value that the hosts use."""
        return GeneratedConfig(
            vocab_size=self.vocab_size,
            sigma=self.sigma,
            boosted=self.boosted,
            boost_nats=self.boost_nats,
            boost_ranks=self.boost_ranks,
            noise_nats=self.noise_nats,
            slope=self.slope,
            slope_spread=self.slope_spread,
            highest=self.highest,
            tail=self.tail,
        )


class RecordedValues(Section):
    """Logits and Δ of real models, served from a file."""

    path: str = Field(min_length=1)
    """A file of `costeer record-logits`."""
    acceptance: float = Field(default=0.8, ge=0, le=1)
    """How often a draft is the token that is chosen, where an arm drafts."""


class ProfileValues(Section):
    """Sizes and outcomes of sessions that were measured before, replayed in contiguous blocks."""

    path: str = Field(min_length=1)
    """Name of a shipped profile, or a file of `costeer record-profile`."""
    order: ReplayOrder = ReplayOrder.DRAWN
    """Which session a device's n-th one replays: `drawn` (blocks that begin at a drawn session) or
    `own` (that of the measured device of the same number)."""
