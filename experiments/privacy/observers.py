"""Two observers who try to tell which of n candidate profiles a session used.

*Sizes only*: sees how many frames of which sizes went by, and when, as anyone on the path does. It
has seen other sessions of the same candidates, with the candidate's name, and assigns a new one to
the nearest candidate: linear discriminant analysis with a shrunk covariance (Ledoit and Wolf's form
with a fixed share), the classifier of choice for few samples of many features.

*The cloud*: sees the tokens that it is told. It knows both models and the candidates' profiles, and
takes the candidate under which the tokens are most likely. This is what steering says by its very
output; no padding or encryption hides it.

Pure: numbers in, guesses out. A tie counts as a fraction of a hit, so an observer who knows nothing
is right exactly once in n.

Legend: N sessions, F features, C candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_SHRINKAGE = 0.3
_TIE = 1e-9
_QUARTERS = 4


@dataclass(frozen=True, slots=True)
class Traffic:
    """What passes the wire for one session, token by token.

    Args:
        down_bytes: LOGITS frames, refinement included.
        up_bytes: TOKEN and MORE frames.
        packets: both ways.
        latency_ns: of each token; the first includes the device's reading of its context.
    """

    down_bytes: tuple[int, ...]
    up_bytes: tuple[int, ...]
    packets: tuple[int, ...]
    latency_ns: tuple[int, ...]


def features(traffic: Traffic) -> F64:
    """Return what a sizes-only observer makes of a session, shape (F,)."""
    found = [float(len(traffic.down_bytes)), float(traffic.latency_ns[0])]
    for sequence in (traffic.down_bytes, traffic.up_bytes, traffic.packets, traffic.latency_ns):
        values = np.asarray(sequence, dtype=np.float64)
        found += [values.sum(), values.mean(), values.std(), float(values.max())]
        parts = np.array_split(values, _QUARTERS)
        found += [float(part.mean()) if len(part) else 0.0 for part in parts]
    return np.array(found)


def nearest_candidate(train_NF: F64, of_N: Ints, test_MF: F64) -> F64:
    """Return a score of each candidate for each test session, shape (M, C): higher is likelier.

    Args:
        train_NF: features of sessions whose candidate is known.
        of_N: that candidate, 0 … C − 1; each occurs.
        test_MF: features of the sessions to be told.
    """
    mean_F, sd_F = train_NF.mean(axis=0), train_NF.std(axis=0)
    scale_F = np.where(sd_F > 0, sd_F, 1.0)
    known_NF, asked_MF = (train_NF - mean_F) / scale_F, (test_MF - mean_F) / scale_F
    count = int(of_N.max()) + 1
    centre_CF = np.stack([known_NF[of_N == one].mean(axis=0) for one in range(count)])
    within_NF = known_NF - centre_CF[of_N]
    covariance_FF = within_NF.T @ within_NF / max(len(within_NF) - count, 1)
    average = max(float(np.trace(covariance_FF)) / len(covariance_FF), 1e-12)
    shrunk_FF = (1 - _SHRINKAGE) * covariance_FF + _SHRINKAGE * average * np.eye(len(covariance_FF))
    weights_FC = np.linalg.solve(shrunk_FF, centre_CF.T)
    scores_MC: F64 = asked_MF @ weights_FC - 0.5 * (centre_CF.T * weights_FC).sum(axis=0)
    return scores_MC


def hits(scores_NC: F64, of_N: Ints) -> F64:
    """Return the share of a hit of each session: 1, 0, or 1 of so many where candidates tie."""
    best_N = scores_NC.max(axis=1)
    scale = np.maximum(np.abs(best_N), 1.0)
    tied_NC = scores_NC >= (best_N - _TIE * scale)[:, None]
    right_N = tied_NC[np.arange(len(of_N)), of_N]
    shares_N: F64 = right_N / tied_NC.sum(axis=1)
    return shares_N
