"""A reward model, from a folder or hub name, as the judge of a text.

Any sequence classifier with one score works (Skywork-Reward and its like), and models that give
their score in a field of that name (ArmoRM, whose code comes with it and has to be trusted).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModelForSequenceClassification
from transformers.utils import logging as transformers_logging

from actors.models.hub import explained
from actors.models.tokenizer import load_tokenizer
from costeer.errors import ConfigError

F64 = npt.NDArray[np.float64]


class RewardModel:
    """Scores answers one at a time, in float32 on the CPU or bfloat16 on a GPU.

    Args:
        path: of the model.
        device: where it lives.
        trust_code: run the code that comes with it.

    Raises:
        ConfigError: it cannot be loaded, or gives no single score.
    """

    def __init__(self, path: str, device: str = "cpu", *, trust_code: bool = False) -> None:
        self._tokenizer = load_tokenizer(path)
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # untyped there
        try:
            model = AutoModelForSequenceClassification.from_pretrained(
                path,
                dtype=torch.float32 if device == "cpu" else torch.bfloat16,
                trust_remote_code=trust_code,
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise explained(path, "no reward model", error) from error
        self._model = model.to(device).eval()
        self._path = path

    def scores(self, prompts: Sequence[str], answers: Sequence[str]) -> F64:
        """Return the reward of each answer to its prompt, shape (rows,)."""
        pairs = zip(prompts, answers, strict=True)
        return np.array([self._score(prompt, answer) for prompt, answer in pairs], dtype=np.float64)

    @torch.inference_mode()
    def _score(self, prompt: str, answer: str) -> float:
        if self._tokenizer.chat_template:
            turns = [
                {"role": "user", "content": prompt},
                {"role": "assistant", "content": answer},
            ]
            text = str(self._tokenizer.apply_chat_template(turns, tokenize=False))
            encoded = self._tokenizer(text, add_special_tokens=False, return_tensors="pt")
        else:
            encoded = self._tokenizer(prompt, answer, return_tensors="pt")
        output = self._model(**encoded.to(self._model.device))
        score = getattr(output, "score", None)
        if score is None:
            score = output.logits
        if score.numel() != 1:
            raise ConfigError(
                f"--reward {self._path}: gives {score.numel()} scores an answer; give a model with"
                " one"
            )
        return float(score)
