"""Choosing a token from scores: greedy, temperature through Gumbel noise, top-p.

Rules
-----
1. Among equal scores the lowest id wins, whatever the order of the candidates.
2. Randomness is passed in: `noise(ids)` gives the Gumbel variate of every id, the same variate for
   the same id however many candidates there are. Sampling is then an argmax (Gumbel-max), and one
   certificate covers greedy and temperature alike.
3. Top-p normalises over the candidates given. Over a partial support that is an approximation.

Shapes: K candidates (K = V when the support is dense).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from costeer.errors import ConfigError, LocalProtocolError
from costeer.tail import Tail

F64: TypeAlias = npt.NDArray[np.float64]
Ids: TypeAlias = npt.NDArray[np.int32]
Noise: TypeAlias = Callable[[Ids], F64]

MIN_TEMPERATURE = 1e-3  # below it scores / temperature leaves the range where differences survive


def _problem(temperature: float, top_p: float) -> str | None:
    if temperature != 0.0 and not MIN_TEMPERATURE <= temperature < math.inf:
        return f"temperature must be 0 (greedy) or at least {MIN_TEMPERATURE}, not {temperature!r}"
    if not 0.0 < top_p <= 1.0:
        return f"top_p must be above 0 and at most 1, not {top_p!r}"
    return None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a token is chosen. `temperature` 0 is greedy; `top_p` 1 keeps every candidate.

    `tail` is what is assumed of unsent tokens where a choice is not certified (costeer.tail).

    Raises ConfigError for values outside these ranges.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    tail: Tail = "renormalised"

    def __post_init__(self) -> None:
        problem = _problem(self.temperature, self.top_p)
        if problem:
            raise ConfigError(f"sampling: {problem}")

    @property
    def greedy(self) -> bool:
        """Whether the choice is a plain argmax."""
        return self.temperature == 0.0


class SamplingConfig(BaseModel):
    """How tokens are chosen from the steered distribution."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float = Field(default=0.0)
    """Divides the scores (no unit); 0 is greedy, otherwise at least 0.001."""
    top_p: float = Field(default=1.0)
    """Smallest probability mass that is kept, in (0, 1]; 1 keeps all. No effect when greedy."""
    tail: Tail = "renormalised"
    """What is assumed of tokens that were not sent, where a choice is accepted uncertified: they
    cannot be chosen (`renormalised`), all have the smallest sent logit (`bounded`), or the unsent
    mass spread evenly (`uniform`). A certified choice does not depend on it."""

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        problem = _problem(self.temperature, self.top_p)
        if problem:
            raise ValueError(problem)
        return self

    def build(self) -> Sampling:
        """The frozen value that the machines use."""
        return Sampling(self.temperature, self.top_p, self.tail)


def best(scores_K: F64, ids_K: Ids) -> int:
    """Index of the largest score, among equals the lowest id. LocalProtocolError on NaN."""
    at = int(np.argmax(scores_K))
    top = scores_K[at]
    if np.isnan(top):
        raise LocalProtocolError("scores contain NaN: check that models were cut to shared tokens")
    ties = np.flatnonzero(scores_K == top)
    return int(ties[np.argmin(ids_K[ties])])


def perturb(scores_K: F64, temperature: float, gumbel_K: F64) -> F64:
    """Scores / temperature + Gumbel: an argmax that samples from softmax(scores / temperature)."""
    return np.asarray(scores_K / temperature + gumbel_K, dtype=np.float64)


def nucleus(scores_K: F64, ids_K: Ids, temperature: float, top_p: float) -> npt.NDArray[np.intp]:
    """Indices of the smallest set of best candidates that holds `top_p` of their total mass."""
    order = np.lexsort((ids_K, -scores_K))
    scaled = scores_K[order] / temperature
    mass = np.cumsum(np.exp(scaled - scaled[0]))
    kept = int(np.searchsorted(mass, top_p * mass[-1], side="left")) + 1
    return order[:kept]


def choose(scores_K: F64, ids_K: Ids, sampling: Sampling, noise: Noise | None = None) -> int:
    """The chosen token id among candidates `ids_K` (any order, distinct) with `scores_K` in nats.

    `noise(ids)` gives the Gumbel variate of each id; not needed when greedy.
    Raises LocalProtocolError without candidates, on NaN, or if noise is missing.
    """
    if ids_K.size == 0:
        raise LocalProtocolError("no candidates to choose from")
    if sampling.greedy:
        return int(ids_K[best(scores_K, ids_K)])
    if noise is None:
        raise LocalProtocolError("sampling at a temperature needs noise per token id")
    if sampling.top_p < 1.0:
        kept = nucleus(scores_K, ids_K, sampling.temperature, sampling.top_p)
        scores_K, ids_K = scores_K[kept], ids_K[kept]
    perturbed_K = perturb(scores_K, sampling.temperature, noise(ids_K))
    return int(ids_K[best(perturbed_K, ids_K)])
