"""A row of prompts, as everything behind the readers sees it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PromptRow(BaseModel):
    """One row of prompts."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str = Field(min_length=1)
    """Unique in its file."""
    input: str = Field(min_length=1)
    """The public query, without the private context."""
    personalized_input: str = Field(min_length=1)
    """The complete prompt, private context included."""
    output: str
    """Reference text."""
    profile_facts: tuple[str, ...] = ()
    """Words of the private context that a personal text uses."""
    thing_facts: tuple[str, ...] = ()
    """Facts that everybody may know and a good text uses."""
