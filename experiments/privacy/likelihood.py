"""How likely a session's tokens are under each candidate's profile, as the cloud can work out.

Legend: T chosen tokens, V vocabulary, C candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

F64 = npt.NDArray[np.float64]


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
    ) -> F64:
        """Return the log-likelihood of the chosen tokens for each candidate, shape (C,).

        The steered distribution is softmax(l + c·Δ) with the candidate's own Δ, at temperature 1: a
        greedy choice is likelier where it comes out on top by more.

        Args:
            public: prompt ids that the cloud was sent.
            chosen: ids that it was told.
            suspects: of each candidate the whole prompt, profile included.
            strength: c.
        """
        base_TV = self._log_probs(self._cloud, public, chosen)
        without_TV = self._log_probs(self._edge, public, chosen)
        picked = torch.tensor(list(chosen))[:, None]
        found = []
        for suspect in suspects:
            with_TV = self._log_probs(self._edge, suspect, chosen)
            steered_TV = base_TV + strength * (with_TV - without_TV)
            log_p_TV = torch.log_softmax(steered_TV, dim=-1)
            found.append(float(log_p_TV.gather(1, picked).sum()))
        return np.array(found)

    @torch.inference_mode()
    def _log_probs(
        self, model: PreTrainedModel, prompt: Sequence[int], chosen: Sequence[int]
    ) -> torch.Tensor:
        ids = torch.tensor([[*prompt, *chosen[:-1]]])
        logits = model(input_ids=ids, logits_to_keep=len(chosen)).logits[0].double()
        return torch.log_softmax(logits, dim=-1)
