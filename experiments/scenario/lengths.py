"""How long prompts and answers are: one length, or a distribution over requests."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from experiments.scenario.section import Section

_MOST_TOKENS = 1_000_000


class _Bounded(Section):
    """What all distributions have."""

    most: int = Field(ge=1, le=_MOST_TOKENS)
    """No request is longer, tokens."""
    least: int = Field(default=1, ge=0)
    """No request is shorter, tokens."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.least > self.most:
            raise ValueError(f"at least {self.least} and at most {self.most} tokens; turn them")
        return self


class FixedLength(Section):
    """The same for all requests."""

    kind: Literal["fixed"] = "fixed"
    """`fixed`."""
    tokens: int = Field(ge=0, le=_MOST_TOKENS)
    """How long, tokens."""

    @property
    def most(self) -> int:
        """No request is longer, tokens."""
        return self.tokens

    @property
    def least(self) -> int:
        """No request is shorter, tokens."""
        return self.tokens


class LognormalLength(_Bounded):
    """Mostly short, a few long: what logs of prompts and answers look like."""

    kind: Literal["lognormal"] = "lognormal"
    """`lognormal`."""
    median: float = Field(gt=0, le=_MOST_TOKENS)
    """Half of the requests are shorter, tokens."""
    spread: float = Field(ge=0, le=4)
    """Standard deviation of the natural logarithm."""


class ExponentialLength(_Bounded):
    """Ends as likely after any token."""

    kind: Literal["exponential"] = "exponential"
    """`exponential`."""
    mean: float = Field(gt=0, le=_MOST_TOKENS)
    """Mean before it is cut at `most`, tokens."""


class UniformLength(_Bounded):
    """Every length from `least` to `most` as often."""

    kind: Literal["uniform"] = "uniform"
    """`uniform`."""


Length: TypeAlias = Annotated[
    FixedLength | LognormalLength | ExponentialLength | UniformLength, Field(discriminator="kind")
]


class LengthsConfig(Section):
    """Lengths of each request; what is not given is the same for all."""

    public: Length | None = None
    """The public prompt; `generated.prompt_tokens` if not given."""
    context: Length | None = None
    """The private context in front of it; `generated.context_tokens` if not given."""
    answer: Length | None = None
    """The answer, up to `workload.max_new_tokens`; that long if not given."""

    @model_validator(mode="after")
    def _something_asked(self) -> Self:
        for name in ("public", "answer"):
            given = getattr(self, name)
            if given is not None and given.least < 1:
                raise ValueError(f"{name}: has at least 1 token; raise least, or tokens")
        return self
