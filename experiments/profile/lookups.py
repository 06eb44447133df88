"""What a cloud could have looked up for each token of a text that it streamed.

Prompt lookup (``costeer.lookup``) depends on the text alone, so whoever has the text knows what any
cloud that drafts would have proposed at each position, whether the measured one drafted or not.
"""

from __future__ import annotations

from collections.abc import Sequence

from costeer.lookup import CloudDraftsConfig, looked_up

_MOST = next(
    each.le for each in CloudDraftsConfig.model_fields["drafts"].metadata if hasattr(each, "le")
)
"""Drafts that an arm may ask for."""


def lookups(prompt: Sequence[int], tokens: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return how many drafts are found that begin at each token, and how many of them are right.

    Args:
        prompt: what the cloud was sent.
        tokens: what it streamed.
    """
    text = [*prompt, *tokens]
    found, followed = [], []
    for position in range(len(tokens)):
        drafts = looked_up(text[: len(prompt) + position], _MOST)
        right = 0
        for draft, token in zip(drafts, tokens[position:], strict=False):
            if draft != token:
                break
            right += 1
        found.append(len(drafts))
        followed.append(right)
    return found, followed
