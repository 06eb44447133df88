"""What the pair's own models say of a run's texts: how likely they are, and how methods differ.

Texts are read back token by token with both models and every prefix of both prompts (teacher
forcing), in float32, cut to the shared tokens before the log-softmax. So methods are compared on
the same prefixes, where free-running texts would soon have none in common.

Legend: T tokens of a text, V shared vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging as transformers_logging

from actors.models.hub import explained
from costeer.methods import CloudRole, Method, Prompt
from experiments.scenario import HfModel


@dataclass(frozen=True, slots=True)
class Text:
    """One text and the prompts that it answers, as token ids."""

    public: tuple[int, ...]
    personal: tuple[int, ...]
    chosen: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Distance:
    """How far a method is from the reference along one text.

    Args:
        kl_nats: mean over tokens of KL(reference ‖ method).
        agreement: share of tokens where both would choose the same.
    """

    kl_nats: float
    agreement: float


@dataclass(frozen=True, slots=True)
class _Read:
    """One text, read by all three branches, in log-probabilities behind each of its prefixes.

    Args:
        chosen: its tokens.
        base_TV: of the large model.
        personal_TV: of the small one with the context.
        generic_TV: of the small one without it.
        full_TV: of full CoSteer.
    """

    chosen: tuple[int, ...]
    base_TV: torch.Tensor
    personal_TV: torch.Tensor
    generic_TV: torch.Tensor
    full_TV: torch.Tensor

    def distance(self, drawn_TV: torch.Tensor, steered_T: npt.NDArray[np.bool_]) -> Distance:
        """Return how far the text is from full CoSteer, where unsteered tokens were drawn so."""
        full_TV = self.full_TV.double()
        kl_T = (full_TV.exp() * (full_TV - drawn_TV.double())).sum(-1)
        kl_T[torch.from_numpy(steered_T)] = 0.0
        same_T = self.full_TV.argmax(-1) == torch.tensor(self.chosen)
        return Distance(float(kl_T.mean()), float(same_T.double().mean()))


class PairReader:
    """Both models, reading.

    Args:
        cloud: the large model.
        edge: the small model.
        vocab_size: tokens that they share.

    Raises:
        ConfigError: one cannot be loaded.
    """

    def __init__(self, cloud: HfModel, edge: HfModel, vocab_size: int) -> None:
        self._cloud = load_reference(cloud)
        self._edge = load_reference(edge)
        self._vocab_size = vocab_size

    def nats_per_token(self, text: Text) -> float:
        """Return −log p per token under the large model with the whole context; exp: perplexity."""
        log_p_TV = self._log_probs(self._cloud, text.personal, text.chosen)
        picked = torch.tensor(text.chosen)[:, None]
        return -float(log_p_TV.gather(1, picked).double().mean())

    def distances(
        self, text: Text, reference: float, arms: Mapping[int, tuple[Method, float]]
    ) -> dict[int, Distance]:
        """Return how far each arm is from full CoSteer along one text.

        Args:
            text: prefixes that all are compared on.
            reference: c of the reference.
            arms: by number: the method, and its c.
        """
        rows: dict[tuple[str, Prompt], torch.Tensor] = {
            (name, prompt): self._log_probs(model, ids, text.chosen)
            for name, model in (("cloud", self._cloud), ("edge", self._edge))
            for prompt, ids in ((Prompt.PUBLIC, text.public), (Prompt.PERSONAL, text.personal))
        }
        delta_TV = rows["edge", Prompt.PERSONAL] - rows["edge", Prompt.PUBLIC]
        base_TV = rows["cloud", Prompt.PUBLIC]
        full_TV = torch.log_softmax(base_TV + reference * delta_TV, dim=-1)
        found = {}
        for arm, (method, strength) in arms.items():
            if method.steered:
                moves_TV = -rows["edge", Prompt.PUBLIC] if method.contrasts else delta_TV
                scores_TV = base_TV + method.weight(strength) * moves_TV
                arm_TV = torch.log_softmax(scores_TV, dim=-1)
            elif method.cloud is CloudRole.ABSENT:
                arm_TV = rows["edge", method.edge_branches[0]]
            elif method.guided:
                with_TV = rows["cloud", Prompt.PERSONAL]
                scores_TV = with_TV + strength * (with_TV - base_TV)
                arm_TV = torch.log_softmax(scores_TV, dim=-1)
            else:
                arm_TV = rows["cloud", method.cloud_prompt or Prompt.PUBLIC]
            kl_T = (full_TV.exp() * (full_TV - arm_TV)).sum(-1)
            chosen_TV = arm_TV
            if method.floor is not None:
                least_T1 = base_TV.max(-1, keepdim=True).values + math.log(method.floor)
                chosen_TV = arm_TV.masked_fill(base_TV < least_T1, -math.inf)
            same_T = full_TV.argmax(-1) == chosen_TV.argmax(-1)
            found[arm] = Distance(float(kl_T.double().mean()), float(same_T.double().mean()))
        return found

    def pauses(self, text: Text, reference: float, steered_T: npt.NDArray[np.bool_]) -> Distance:
        """Return how far a text that was steered in part is from full CoSteer.

        Args:
            text: as it was chosen; the prefixes are its own.
            reference: c.
            steered_T: which of its tokens were steered; the others are the cloud's own.
        """
        read = self._read(text, reference)
        return read.distance(read.base_TV, steered_T)

    def taken(
        self, text: Text, reference: float, theta: float, steered_T: npt.NDArray[np.bool_]
    ) -> Distance:
        """Return how far a text whose drafts might be taken unsteered is from full CoSteer.

        What a token is drawn from then is a mixture: the small model with the context drafts, its
        draft d is taken where p_llm(d) > θ · p_base(d), and the steered distribution draws the
        token where it is not. It gives every token some probability, so the KL is finite.

        Args:
            text: as it was chosen; the prefixes are its own.
            reference: c.
            theta: θ.
            steered_T: which of its tokens had no draft.
        """
        read = self._read(text, reference)
        takes_TV = read.base_TV > read.generic_TV + math.log(theta)
        taken_TV = read.personal_TV.double().exp() * takes_TV
        left_T1 = (1.0 - taken_TV.sum(-1, keepdim=True)).clamp(min=0.0)
        mixed_TV = taken_TV + left_T1 * read.full_TV.double().exp()
        return read.distance(mixed_TV.log(), steered_T)

    def _read(self, text: Text, reference: float) -> _Read:
        base_TV = self._log_probs(self._cloud, text.public, text.chosen)
        personal_TV = self._log_probs(self._edge, text.personal, text.chosen)
        generic_TV = self._log_probs(self._edge, text.public, text.chosen)
        scores_TV = base_TV + reference * (personal_TV - generic_TV)
        full_TV = torch.log_softmax(scores_TV, dim=-1)
        return _Read(text.chosen, base_TV, personal_TV, generic_TV, full_TV)

    @torch.inference_mode()
    def _log_probs(
        self, model: PreTrainedModel, prompt: Sequence[int], chosen: Sequence[int]
    ) -> torch.Tensor:
        ids = torch.tensor([[*prompt, *chosen[:-1]]], device=model.device)
        logits_TV = model(input_ids=ids, logits_to_keep=len(chosen)).logits[0]
        return torch.log_softmax(logits_TV[:, : self._vocab_size].float(), dim=-1).cpu()


def text_of(public: Sequence[int], personal: Sequence[int], chosen: np.ndarray) -> Text:
    """Return a text of ids that come in any sequence."""
    return Text(tuple(public), tuple(personal), tuple(int(token) for token in chosen))


def load_reference(model: HfModel) -> PreTrainedModel:
    """Load a model for whole rows of logits: float32 on the CPU, bfloat16 elsewhere.

    Raises:
        ConfigError: it cannot be loaded.
    """
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # untyped there
    on_cpu = model.device == "cpu"
    placed = {} if on_cpu else {"device_map": model.device}
    try:
        found: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            model.location, dtype=torch.float32 if on_cpu else torch.bfloat16, **placed
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise explained(model.location, "cannot be loaded", error) from error
    found.train(mode=False)
    return found
