"""Batched greedy decoding of weighted mixtures of log-probabilities.

The plain reference path of the evaluation: Hugging Face forward passes in float32, left padding,
one cache per branch, no network and no sessions.  A method is a list of branches, each a model, a
prompt and a weight; the next token is the arg max of the weighted sum of their log-softmaxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Branch:
    """One term of the sum: a model that reads its own prompts, and its weight."""

    model: PreTrainedModel
    prompts: Sequence[str]
    weight: float


@torch.inference_mode()
def greedy(
    branches: Sequence[Branch],
    tokenizer: PreTrainedTokenizerBase,
    max_new_tokens: int,
    batch_rows: int = 200,
) -> list[str]:
    """Texts for all rows, without special tokens and outer spaces; the lowest id wins a tie."""
    rows = len(branches[0].prompts)
    texts: list[str] = []
    for start in range(0, rows, batch_rows):
        part = [Branch(b.model, b.prompts[start : start + batch_rows], b.weight) for b in branches]
        texts += _greedy_batch(part, tokenizer, max_new_tokens)
    return texts


def _greedy_batch(
    branches: Sequence[Branch], tokenizer: PreTrainedTokenizerBase, max_new_tokens: int
) -> list[str]:
    runs = [_Run(branch, tokenizer) for branch in branches]
    eos = tokenizer.eos_token_id
    done_B = torch.zeros(len(branches[0].prompts), dtype=torch.bool)
    chosen: list[torch.Tensor] = []
    for _ in range(max_new_tokens):
        scores_BV = torch.stack([run.weighted_log_probs() for run in runs]).sum(0)
        token_B = torch.where(done_B, eos, scores_BV.argmax(-1))
        chosen.append(token_B)
        done_B |= token_B == eos
        if bool(done_B.all()):
            break
        for run in runs:
            run.append(token_B)
    ids_BT = torch.stack(chosen, dim=1).tolist()
    return [text.strip() for text in tokenizer.batch_decode(ids_BT, skip_special_tokens=True)]


class _Run:
    """One branch under way: its cache, mask and next-token logits."""

    def __init__(self, branch: Branch, tokenizer: PreTrainedTokenizerBase) -> None:
        self._model = branch.model
        self._weight = branch.weight
        self._cache = DynamicCache()
        encoded = tokenizer(
            list(branch.prompts), padding=True, padding_side="left", return_tensors="pt"
        )
        self._mask_BT = encoded["attention_mask"]
        self._forward(encoded["input_ids"], (self._mask_BT.cumsum(-1) - 1).clamp(min=0))

    def _forward(self, ids_BT: torch.Tensor, positions_BT: torch.Tensor) -> None:
        self._logits_BV = self._model(
            input_ids=ids_BT,
            attention_mask=self._mask_BT,
            position_ids=positions_BT,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]

    def weighted_log_probs(self) -> torch.Tensor:
        """Weight times log-softmax of the next token, shape (B, V)."""
        return self._weight * torch.log_softmax(self._logits_BV, dim=-1)

    def append(self, token_B: torch.Tensor) -> None:
        """Read one more token per row."""
        self._mask_BT = torch.cat([self._mask_BT, torch.ones_like(token_B)[:, None]], dim=1)
        self._forward(token_B[:, None], self._mask_BT.sum(-1, keepdim=True) - 1)
