"""When steering may pause: AdaCoSteer's gate, with a way back.

Theory of operation
-------------------
Where the large model is sure of its next token, Δ hardly ever changes it. The authors' AdaCoSteer
stops fusing for good after three tokens in a row of which 1 − p_max < 0.1. Here the gate opens
again: while it is closed a token of which the model is not sure (1 − p_max ≥ ``unsure``) is
steered, and so are those behind it, until ``after`` sure ones in a row have closed it once more.
That ``unsure`` lies above ``sure`` is the hysteresis; ``unsure: 1`` is the authors' rule.

p_max is the cloud's own, of its whole row and without Δ. So the gate is a function of the public
query and the chosen tokens, which the cloud has: it needs no signal from the device, nothing goes
up that would not have gone up, and the device is told by what comes down, a token instead of
logits. A session that is opened again has its gate worked out again, token by token.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

NEVER = 0.0
"""No doubt is below it: logits, whatever the row says."""
ALWAYS = 2.0
"""Every doubt is below it."""


class GateConfig(BaseModel):
    """When steering pauses, and when it comes back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sure: float = Field(default=0.1, gt=0, le=1, allow_inf_nan=False)
    """The cloud is sure of a token whose doubt, 1 − the probability of its likeliest one, is below
    this."""
    after: int = Field(default=3, ge=1, le=1000)
    """So many sure tokens in a row pause steering (tokens)."""
    unsure: float = Field(default=0.3, gt=0, le=1, allow_inf_nan=False)
    """Doubt from which steering comes back, with the very token in doubt; 1: never."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.unsure < self.sure:
            raise ValueError(
                f"unsure: {self.unsure:g} must not be below sure: {self.sure:g}, or a token would"
                " be both"
            )
        return self

    @property
    def label(self) -> str:
        """Short name in tables."""
        back = "for good" if self.unsure >= 1 else f"until {self.unsure:g}"
        return f"{self.after} below {self.sure:g}, {back}"


class Gate:
    """Whether one session's steering is paused."""

    __slots__ = ("_config", "_run", "closed")

    def __init__(self, config: GateConfig) -> None:
        """Begin with steering."""
        self._config = config
        self._run = 0
        self.closed = False
        """Whether the next token is the cloud's own, unless it is in doubt."""

    @property
    def unless(self) -> float:
        """The doubt below which the next token is the cloud's own."""
        return self._config.unsure if self.closed else NEVER

    def saw(self, doubt: float) -> None:
        """Take the doubt of a token."""
        config = self._config
        sure, in_doubt = int(doubt < config.sure), int(doubt >= config.unsure)
        closed, self._run = seen(int(self.closed), self._run, sure, in_doubt, config.after)
        self.closed = closed == 1


def seen(closed: int, run: int, sure: int, in_doubt: int, after: int) -> tuple[int, int]:
    """Return a gate behind a token: whether it is closed, and how many sure ones came in a row.

    Integers only, so that compiled code can call it.

    Args:
        closed: 1 if it was closed.
        run: sure tokens in a row before.
        sure: 1 if the cloud was sure of this one.
        in_doubt: 1 if it was so little sure that steering comes back.
        after: so many in a row close the gate.
    """
    run = run + 1 if sure else 0
    if run >= after:
        return 1, run
    return (0 if in_doubt else closed), run
