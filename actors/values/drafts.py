"""Drafts of hosts without a model: right as often as a scenario says."""

from __future__ import annotations

from netsim.random import Stream, uniform


def drafted_token(
    token: int, acceptance: float, *, seed: int, session: int, position: int, vocab_size: int
) -> int:
    """Return a draft for a position: the token that will be chosen there, or its neighbour.

    Args:
        token: what will be chosen.
        acceptance: how often the draft is that, 0 to 1, independently from position to position.
        seed: of the run.
        session: session id.
        position: of the draft.
        vocab_size: V; ids are below it.
    """
    right = uniform(seed, Stream.DRAFTS, session, position) < acceptance
    return draft_for(token, vocab_size, right=right)


def draft_for(token: int, vocab_size: int, *, right: bool) -> int:
    """Return the token, or its neighbour where a draft of it is to be wrong."""
    return token if right else (token + 1) % vocab_size
