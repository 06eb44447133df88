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

The cloud's half is in ``costeer.verification``, the device's in ``costeer.drafting``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from costeer.errors import RemoteProtocolError

if TYPE_CHECKING:
    from costeer.refinement import Ladder


class SpeculationConfig(BaseModel):
    """How a device drafts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    drafts: Annotated[int, Field(ge=1, le=64)] | Literal["adaptive"] = 4
    """Tokens drafted for one DRAFT frame; `adaptive` learns it, and whether to go on drafting
    meanwhile, from round trips, drafting times and how often drafts are right."""

    ahead: int = Field(default=0, ge=0, le=256)
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
class SentRow:
    """A position whose logits the cloud has sent, or is about to.

    Args:
        version: of the text that they belong to.
        ladder: its ranks per round.
        round: the newest that was asked for.
    """

    version: int
    ladder: Ladder
    round: int = 0


@dataclass(slots=True)
class Ledger:
    """What the cloud knows of a drafting session's text and of the logits sent for it.

    Args:
        next_row: the first position whose logits were not sent for the text as it is.
        version: of the newest DRAFT; 0 for the text of OPEN.
        served: version of the text that the step under way, or the last one, was begun for.
        uplink_ns: transit of the newest DRAFT.
        arrived_ns: when it came.
        rows: what was sent, of positions that are not yet decided.
        asked: (position, round) of ranks that were asked for and not yet sent.
        sending: (position, round, row) of what the step under way encodes.
    """

    next_row: int
    version: int = 0
    served: int = 0
    uplink_ns: int = 0
    arrived_ns: int = 0
    rows: dict[int, SentRow] = field(default_factory=dict)
    asked: list[tuple[int, int]] = field(default_factory=list)
    sending: list[tuple[int, int, SentRow]] = field(default_factory=list)

    def refine(self, position: int, round_: int, version: int) -> bool:
        """Book a REFINE; return whether it asks for something that is still there.

        Raises:
            RemoteProtocolError: the ladder has no such round.
        """
        row = self.rows.get(position)
        if row is None or (row.version, row.round + 1) != (version, round_):
            return False
        if not row.ladder.has(round_):
            raise RemoteProtocolError(f"REFINE: round {round_} is beyond the ladder")
        row.round = round_
        self.asked.append((position, round_))
        return True

    def rewrite(self, version: int, position: int, agreed: int) -> list[SentRow]:
        """Book a DRAFT: a choice for ``position`` and drafts behind it.

        Args:
            version: its count.
            position: of the chosen token.
            agreed: up to here, this position not included, the text is what it was.

        Returns:
            The rows that were decided with it.
        """
        self.version = version
        decided = [row for at, row in self.rows.items() if at <= position]
        self.rows = {at: row for at, row in self.rows.items() if position < at <= agreed}
        self.asked = [each for each in self.asked if each[0] in self.rows]
        self.next_row = min(self.next_row, agreed + 1)
        return decided
