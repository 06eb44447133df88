"""Drafts that the cloud asks its own host for, for what it streams; see ``costeer.lookup``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DraftItem:
    """A streamed session that the cloud drafts for.

    Args:
        session: session id.
        position: of the first draft.
        tokens: its text, prompt and chosen tokens.
        count: drafts at most.
        read: tokens of the text that a small model which drafts has in its cache.
    """

    session: int
    position: int
    tokens: tuple[int, ...]
    count: int
    read: int = 0


@dataclass(frozen=True, slots=True)
class CloudDraft:
    """Propose what may follow; value: the proposals, one tuple of ids an item, possibly empty."""

    items: tuple[DraftItem, ...]
