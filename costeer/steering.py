"""Steering: how the private context moves the cloud's distribution.

Theory of operation
-------------------
The paper's loop (arXiv 2507.04756, eq. 7) refines the cloud's log-probabilities T times with the
device's own preference Δ = log π*_pers − log π*_base. Every step is affine in (log π_0, Δ) and the
normalising constants cancel, so the whole loop is one scalar:

    log π_T = log π_0 + c Δ + const,
    (tλ + 1/η) c_t = Σ_{i<t} (α c_i + β) + c_{t−1} / η,   c_0 = 0.

Rules that the rest of the project leans on:

1. Models are cut to the tokens they share before any log-softmax (`cut`), never padded.
2. Decisions are taken on `decision_scores`: float64, one multiplication, one addition, elementwise.
   Rounding is monotone, hence a bound computed by the same two operations holds after rounding,
   and a score does not depend on which other tokens are known.
3. The loop is kept (`steer_path`, `steer_loop`) as the reference that tests hold the scalar to.

Arrays are numpy or torch where the type says `Array`; torch is never imported.
Shapes: V vocabulary, K known tokens; a leading axis, if any, is a batch.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from costeer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

Array: TypeAlias = Any  # numpy.ndarray or torch.Tensor: both have what is used here
F64: TypeAlias = npt.NDArray[np.float64]

PAPER: Mapping[str, Any] = MappingProxyType(
    {"T": 20, "alpha": 2.0, "beta": 1.0, "lam": 2.0, "eta": 10.0}
)
"""The paper's defaults, as keyword arguments of `strength` and `steer_loop`."""


def strength(T: int, alpha: float, beta: float, lam: float, eta: float) -> float:
    """The scalar c_T that T steps of the paper's eq. 7 amount to (defaults: c_20 = 1.7833).

    Raises ConfigError for a value that is not positive and finite, or a c beyond float64.
    """
    if isinstance(T, bool) or not isinstance(T, int) or T < 1:
        raise ConfigError(f"strength: T must be a whole number of steps, at least 1, not {T!r}")
    for name, value in (("alpha", alpha), ("beta", beta), ("lam", lam), ("eta", eta)):
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"strength: {name} must be a positive finite number, not {value!r}")
    c = 0.0
    pull = 0.0
    for t in range(1, T + 1):
        pull += alpha * c + beta
        c = (pull + c / eta) / (t * lam + 1.0 / eta)
    if not math.isfinite(c):
        raise ConfigError(
            f"strength: c overflows for T={T}, alpha={alpha}, lam={lam}; "
            "lower T or bring alpha closer to lam"
        )
    return c


class StrengthConfig(BaseModel):
    """How strongly Δ steers: the paper's five hyperparameters, or c (also as a bare number).

    Nothing given means the paper's defaults. A resolved configuration holds both forms and is
    read back only if they agree.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    T: int | None = Field(default=None, ge=1)
    """Iterations of the paper's loop (steps; 1 is LightCoSteer)."""
    alpha: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Weight of the drift from the cloud's distribution (no unit)."""
    beta: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Weight of Δ (no unit)."""
    lam: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Pull back to the cloud's distribution (no unit)."""
    eta: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Step size (no unit)."""
    c: float = Field(default=math.nan, allow_inf_nan=False)
    """Nats of steering per nat of Δ; computed from the five unless given. Below 0 of
    `context_steering` alone: of the others a certificate needs c ≥ 0."""

    @model_validator(mode="before")
    @classmethod
    def _one_form(cls, given: object) -> object:
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            return {"c": given}
        if not isinstance(given, Mapping):
            return given
        data = dict(given)
        named = {key: data[key] for key in PAPER if data.get(key) is not None}
        if "c" in data and not named:
            return data
        five = {**PAPER, **named}
        try:
            c = strength(**five)
        except (ConfigError, TypeError):
            # Let the fields say which value is wrong; the closing check repeats the rest.
            return {**data, **five, "c": 0.0}
        if "c" in data and data["c"] != c:
            raise ValueError(
                f"c={data['c']!r} contradicts T, alpha, beta, lam, eta, which give c={c!r}; "
                "give one of the two forms"
            )
        return {**data, **five, "c": c}

    @model_validator(mode="after")
    def _computable(self) -> Self:
        if self.T is not None:
            five = {key: getattr(self, key) for key in PAPER}
            try:
                strength(**five)
            except (ConfigError, TypeError) as error:
                raise ValueError(str(error)) from error
        return self


def cut(logits: Array, shared_vocab_size: int) -> Array:
    """The logits of the tokens both models share: the first `shared_vocab_size` of the last axis.

    Done before log-softmax. Raises ConfigError if the model is narrower than that.
    """
    width = logits.shape[-1]
    if not 0 < shared_vocab_size <= width:
        raise ConfigError(
            f"shared vocabulary of {shared_vocab_size} tokens does not fit logits of width {width}"
        )
    return logits[..., :shared_vocab_size]


def log_softmax(logits: Array, axis: int = -1) -> Array:
    """Log-probabilities in the dtype of `logits`; the normaliser is summed in float64 (numpy)."""
    if not isinstance(logits, np.ndarray):
        return logits.log_softmax(axis)
    shifted = logits - logits.max(axis=axis, keepdims=True)
    # astype before the sum: a buffered cast would split rows of a batch differently from one row.
    mass = np.exp(shifted).astype(np.float64).sum(axis=axis, keepdims=True)
    return shifted - np.log(mass).astype(shifted.dtype)


def delta(logits_pers_V: Array, logits_base_V: Array) -> Array:
    """Δ = log π*_pers − log π*_base over the last axis: what the context changes, in nats."""
    return log_softmax(logits_pers_V) - log_softmax(logits_base_V)


def steer(logits_V: Array, delta_V: Array, c: float) -> Array:
    """Unnormalised steered log-probabilities, logits + cΔ, in the arrays' own dtype."""
    return logits_V + c * delta_V


def decision_scores(logits_K: npt.ArrayLike, delta_K: npt.ArrayLike, c: float) -> F64:
    """Compute logits + cΔ in float64, elementwise: the arithmetic in which tokens are compared.

    The dense reference and the device's sparse step both use it, so equal inputs give equal bits.
    """
    scores_K = np.multiply(delta_K, c, dtype=np.float64)
    return np.add(logits_K, scores_K, out=scores_K, dtype=np.float64)


def steer_path(
    log_pi0_V: Array,
    delta_V: Array,
    T: int,
    alpha: float,
    beta: float,
    lam: float,
    eta: float,
) -> Iterator[Array]:
    """Yield log π_1 … log π_T of the paper's loop (eq. 7), each normalised, in the arrays' dtype.

    The loop amplifies the rounding of log π_0 by about (α/λ)^T / T!; the scalar form does not.
    """
    log_pi_V = log_pi0_V
    pull_V = 0.0 * delta_V
    for t in range(1, T + 1):
        pull_V = pull_V + alpha * (log_pi_V - log_pi0_V) + beta * delta_V
        mixed_V = pull_V + (t * lam) * log_pi0_V + log_pi_V / eta
        log_pi_V = log_softmax(mixed_V / (t * lam + 1.0 / eta))
        yield log_pi_V


def steer_loop(
    log_pi0_V: Array,
    delta_V: Array,
    T: int,
    alpha: float,
    beta: float,
    lam: float,
    eta: float,
) -> Array:
    """Compute log π_T by the paper's T-step loop: the reference, not the way to run it."""
    return deque(steer_path(log_pi0_V, delta_V, T, alpha, beta, lam, eta), maxlen=1)[0]
