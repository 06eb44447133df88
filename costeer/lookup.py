"""Drafts that a cloud makes for what it streams: by a small model beside it, or looked up.

Prompt lookup needs no model: the text's last few tokens are searched for further up, the longest
run of them that occurs there first, the latest occurrence of several; what followed is proposed.
Answers that quote their question, lists and names are full of such places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST = 3
"""Tokens of the end that are searched for, at most."""


class CloudDraftsConfig(BaseModel):
    """How a cloud drafts for what it streams."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["lookup", "model"] = "lookup"
    """What is proposed: `lookup`, what followed when the text last ended like this; `model`, what
    the small model of `models.edge` chooses, which then stands beside the large one as well, reads
    the same prompt (without the private context) and is charged on the cloud's hardware. Constant
    and generated values, whose texts mean nothing, draft what is right as often as their
    `acceptance` says."""

    drafts: int = Field(default=4, ge=1, le=64)
    """Tokens that are verified in one forward beside the newest one, at most."""

    @property
    def by_model(self) -> bool:
        """Whether a small model drafts."""
        return self.kind == "model"

    @property
    def label(self) -> str:
        """Short name in tables."""
        drafts = f"{self.drafts} cloud draft" + ("s" if self.drafts > 1 else "")
        return f"{drafts} by model" if self.by_model else drafts


def looked_up(tokens: Sequence[int], count: int) -> tuple[int, ...]:
    """Return what followed the last place like the end of a text, ``count`` tokens at most."""
    text = tuple(tokens)
    for length in range(min(_LONGEST, len(text) - 1), 0, -1):
        end = text[-length:]
        for at in range(len(text) - length - 1, -1, -1):
            if text[at : at + length] == end:
                return text[at + length : at + length + count]
    return ()
