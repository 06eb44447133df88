"""How likely a session's tokens are under each candidate's profile, as the cloud can work out.

Legend: T chosen tokens, V vocabulary, C candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Drafts:
    """What the cloud was told of a session's drafts, made with the private context.

    Args:
        right_T: whether a chosen token had been told as a draft.
        refuted: position -> the drafts that were told from there on and refuted.
    """

    right_T: tuple[bool, ...]
    refuted: Mapping[int, tuple[int, ...]]


class CloudObserver:
    """Both models, in float32, as anyone may have them."""

    def __init__(self, cloud: PreTrainedModel, edge: PreTrainedModel) -> None:
        self._cloud = cloud
        self._edge = edge

    def scores(
        self,
        public: Sequence[int],
        chosen: Sequence[int],
        suspects: Sequence[Sequence[int]],
        strength: float,
        drafts: Drafts | None = None,
    ) -> F64:
        """Return the log-likelihood of the chosen tokens for each candidate, shape (C,).

        The steered distribution is softmax(l + c·Δ) with the candidate's own Δ, at temperature 1: a
        greedy choice is likelier where it comes out on top by more. Drafts are the small model's
        own, so each counts by its likelihood under that model with the candidate's profile,
        whether it was right or refuted.

        Args:
            public: prompt ids that the cloud was sent.
            chosen: ids that it was told.
            suspects: of each candidate the whole prompt, profile included.
            strength: c.
            drafts: what was told of drafts; None where there were none, or where they were made
                without the context and so are as likely under every candidate.
        """
        base_TV = self._log_probs(self._cloud, public, chosen)
        without_TV = self._log_probs(self._edge, public, chosen)
        picked = torch.tensor(list(chosen))[:, None]
        found = []
        for suspect in suspects:
            with_TV = self._log_probs(self._edge, suspect, chosen)
            steered_TV = base_TV + strength * (with_TV - without_TV)
            log_p_TV = torch.log_softmax(steered_TV, dim=-1)
            score = float(log_p_TV.gather(1, picked).sum())
            if drafts is not None:
                right_T = torch.tensor(drafts.right_T)
                score += float(with_TV.gather(1, picked)[right_T].sum())
                score += self._of_refuted(suspect, chosen, drafts.refuted)
            found.append(score)
        return np.array(found)

    def _of_refuted(
        self, suspect: Sequence[int], chosen: Sequence[int], refuted: Mapping[int, tuple[int, ...]]
    ) -> float:
        """Return the log-likelihood of refuted drafts under the small model with a profile."""
        total = 0.0
        for position, run in refuted.items():
            log_p_RV = self._log_probs(self._edge, [*suspect, *chosen[:position]], run)
            total += float(log_p_RV.gather(1, torch.tensor(run)[:, None]).sum())
        return total

    @torch.inference_mode()
    def _log_probs(
        self, model: PreTrainedModel, prompt: Sequence[int], chosen: Sequence[int]
    ) -> torch.Tensor:
        ids = torch.tensor([[*prompt, *chosen[:-1]]])
        logits = model(input_ids=ids, logits_to_keep=len(chosen)).logits[0].double()
        return torch.log_softmax(logits, dim=-1)
