"""A cross-encoder from a folder as a reranker of a user's history."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import AutoModelForSequenceClassification
from transformers.utils import logging as transformers_logging

from actors.models.hub import explained
from actors.models.tokenizer import load_tokenizer
from costeer.errors import ConfigError
from experiments.datasets.history import Rank

_BATCH = 16


def load_reranker(path: str) -> Rank:
    """Load a sequence classifier that scores (query, document) pairs with its first logit.

    Raises:
        ConfigError: no such model is there, or it has no single score.
    """
    tokenizer = load_tokenizer(path)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # untyped there
    try:
        model = AutoModelForSequenceClassification.from_pretrained(path)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise explained(path, "no reranker", error) from error
    if model.config.num_labels != 1:
        raise ConfigError(
            f"model {path}: gives {model.config.num_labels} scores a pair, a reranker gives one"
        )
    model.eval()
    longest = min(tokenizer.model_max_length, model.config.max_position_embeddings)

    def rank(query: str, documents: Sequence[str]) -> list[float]:
        scores: list[float] = []
        for first in range(0, len(documents), _BATCH):
            part = list(documents[first : first + _BATCH])
            encoded = tokenizer(
                [query] * len(part),
                part,
                padding=True,
                truncation=True,
                max_length=longest,
                return_tensors="pt",
            )
            with torch.inference_mode():
                scores += model(**encoded).logits[:, 0].float().tolist()
        return scores

    return rank
