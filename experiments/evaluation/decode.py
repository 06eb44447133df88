"""Batched greedy decoding of weighted mixtures of log-probabilities.

The plain reference path of the evaluation: Hugging Face forward passes in float32, left padding,
one cache per branch, no network and no sessions.  A method is a list of branches, each a model, a
prompt and a weight; the next token is the arg max of the weighted sum of their log-softmaxes, or of
what another rule makes of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Branch:
    """One term of the sum: a model that reads its own prompts, and its weight."""

    model: PreTrainedModel
    prompts: Sequence[str]
    weight: float


Rule: TypeAlias = Callable[[Sequence[torch.Tensor], torch.Tensor], torch.Tensor]
"""(log-probabilities (B, V) per branch, which rows still go on (B,)) -> scores (B, V)."""


@torch.inference_mode()
def greedy(
    branches: Sequence[Branch],
    tokenizer: PreTrainedTokenizerBase,
    max_new_tokens: int,
    batch_rows: int = 200,
    rule: Rule | None = None,
    vocab_size: int | None = None,
) -> list[str]:
    """Texts for all rows, without special tokens and outer spaces; the lowest id wins a tie.

    Args:
        branches: the method; with a rule their weights do not count.
        tokenizer: of all models.
        max_new_tokens: of a text.
        batch_rows: decoded together.
        rule: scores of the next token; the weighted sum of log-probabilities if None.
        vocab_size: logits that are kept of every model; all if None.
    """
    rows = len(branches[0].prompts)
    texts: list[str] = []
    for start in range(0, rows, batch_rows):
        part = [Branch(b.model, b.prompts[start : start + batch_rows], b.weight) for b in branches]
        texts += _greedy_batch(part, tokenizer, max_new_tokens, rule, vocab_size)
    return texts


def _greedy_batch(
    branches: Sequence[Branch],
    tokenizer: PreTrainedTokenizerBase,
    max_new_tokens: int,
    rule: Rule | None,
    vocab_size: int | None,
) -> list[str]:
    runs = [_Run(branch, tokenizer, vocab_size) for branch in branches]
    eos = tokenizer.eos_token_id
    done_B = torch.zeros(len(branches[0].prompts), dtype=torch.bool)
    chosen: list[torch.Tensor] = []
    for _ in range(max_new_tokens):
        if rule is None:
            scores_BV = torch.stack([run.weight * run.log_probs() for run in runs]).sum(0)
        else:
            scores_BV = rule([run.log_probs() for run in runs], ~done_B)
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

    def __init__(
        self, branch: Branch, tokenizer: PreTrainedTokenizerBase, vocab_size: int | None
    ) -> None:
        self._model = branch.model
        self._vocab_size = vocab_size
        self.weight = branch.weight
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
        ).logits[:, -1, : self._vocab_size]

    def log_probs(self) -> torch.Tensor:
        """Log-softmax of the next token, shape (B, V)."""
        return torch.log_softmax(self._logits_BV, dim=-1)

    def append(self, token_B: torch.Tensor) -> None:
        """Read one more token per row."""
        self._mask_BT = torch.cat([self._mask_BT, torch.ones_like(token_B)[:, None]], dim=1)
        self._forward(token_B[:, None], self._mask_BT.sum(-1, keepdim=True) - 1)
