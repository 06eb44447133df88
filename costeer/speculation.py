"""Round trips hidden: the device drafts, the cloud sends the logits behind all drafts at once.

Theory of operation
-------------------
The text of a session is a list of tokens. What the device has chosen of it stands; behind that lie
drafts, guesses of its small model. The cloud holds a copy of the text and computes the logits
behind every token of it, not caring which tokens were chosen. The device steers position after
position, exactly as without drafts; where its choice is the draft, the next position's logits are
there already, where it is not, all that follows was in vain. So the tokens are those of
step-by-step decoding, whatever is drafted: only how many exchanges they take depends on it.

One frame moves the copy, DRAFT: *from this position on the text is this*. It begins with the newest
chosen token, whose logits the cloud had sent, so the cloud knows everything before it; and it holds
all that follows, so it replaces every earlier DRAFT. DRAFT frames are counted, and the count is the
version of the text: one that comes late is older than what the cloud has, and none is missed. ROWS
come back with the version that they were computed for; a device that has refuted a draft takes none
of a version that contained it.

===================  ===================================================================
the cloud is told    it
===================  ===================================================================
DRAFT, newer         keeps the cache as far as the texts agree, forgets rows behind that
DRAFT, older         drops it
REFINE of a row      sends the row's next ranks, if it still belongs to the text
REFINE, other        drops it: the row's text is gone, or the round was asked for before
===================  ===================================================================

The cloud's half is in ``costeer.verification``, the device's in ``costeer.drafting``; what in
these is integers, in ``costeer.served_text`` and ``costeer.device_text``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from costeer import served_text

if TYPE_CHECKING:
    from costeer.refinement import Ladder

MOST_DRAFTS = 256
"""What a device may have under way at a time."""


class SpeculationConfig(BaseModel):
    """How a device drafts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    drafts: Annotated[int, Field(ge=1, le=64)] | Literal["adaptive"] = 4
    """Tokens drafted for one DRAFT frame; `adaptive` learns it, and whether to go on drafting
    meanwhile, from round trips, drafting times and how often drafts are right."""

    ahead: int = Field(default=0, ge=0, le=MOST_DRAFTS)
    """Drafts that may be under way, further ones going up before the verdict on the first is there
    (pipelined); 0: each DRAFT waits for the verdict on the one before."""

    draft: Literal["personal", "generic"] = "personal"
    """The branch of the small model that drafts: with the private context, or (`generic`) without
    it, so that rejected drafts tell the cloud nothing that depends on it."""

    theta: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """The lossy rule of SpecSteer (arXiv 2603.16219; 0.1 there): a draft is taken, unsteered, while
    the cloud gives it more than θ times the probability that the small model gives it without the
    context; the first that is not gives way to the steered choice. By default every token is the
    steered choice. Models alone."""

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Self:
        if self.drafts == "adaptive" and self.ahead:
            raise ValueError("drafts: adaptive chooses `ahead` by itself; leave `ahead` out")
        return self

    @property
    def label(self) -> str:
        """Short name in tables."""
        ahead = f"+{self.ahead}" if self.ahead else ""
        noun = "draft" if self.drafts == 1 and not ahead else "drafts"
        generic = ", generic" if self.draft == "generic" else ""
        lossy = f", specsteer θ={self.theta:g}" if self.theta is not None else ""
        return f"{self.drafts}{ahead} {noun}{generic}{lossy}"


@dataclass(slots=True)
class Ledger:
    """What the cloud keeps of a drafting session, beside its text.

    Args:
        state: what is known of the text and of the logits sent for it; see ``served_text``.
        ladders: ranks per round, of each position whose logits were sent and that is not decided.
        uplink_ns: transit of the newest DRAFT.
        arrived_ns: when it came.
        sending: (position, round) of what the step under way encodes.
        used_rows: rows that a token was chosen from.
        vain_rows: rows that were sent behind a draft that was refuted.
    """

    state: list[int]
    ladders: dict[int, Ladder] = field(default_factory=dict)
    uplink_ns: int = 0
    arrived_ns: int = 0
    sending: list[tuple[int, int]] = field(default_factory=list)
    used_rows: int = 0
    vain_rows: int = 0

    @classmethod
    def begun(cls, position: int, max_new_tokens: int) -> Ledger:
        """Return that of a session whose first open position is this."""
        window = served_text.window_of(min(MOST_DRAFTS, max_new_tokens))
        ledger = cls([0] * served_text.size_of(window))
        served_text.lay(ledger.state, window, position)
        return ledger
