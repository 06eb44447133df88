"""Figure 2: the five hyperparameters one at a time, through the paper's own loop in float32.

Every step of a text is decided by the T-step loop as the paper runs it (eq. 7, float32), on the
text that this loop has written so far. At the same step the scalar form, log π_0 + c·Δ in float64,
is asked too, and disagreements are counted. So the sweep shows what the five parameters do, and
how far one number says it. A curve over c alone, by the scalar form, is drawn beside it.

Legend: B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from actors.models.tokenizer import load_tokenizer
from costeer.steering import PAPER, steer_loop, strength
from experiments.evaluation.bootstrap import Interval, mean_interval
from experiments.evaluation.decode import Branch, greedy
from experiments.evaluation.quality import rouge_l
from experiments.pair_limits import vocab_size_of
from experiments.progress import Progress
from experiments.scenario import Scenario
from experiments.scoring.likelihood import load_reference
from experiments.workload import load_rows

SWEEPS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "alpha": (0.1, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0),
        "beta": (0.1, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0),
        "eta": (2.0, 5.0, 10.0, 15.0, 20.0),
        "lam": (0.5, 1.0, 2.0, 3.0, 4.0, 5.0),
        "T": (1, 5, 10, 20, 50, 100),
    }
)
"""The paper's ranges: α, β 0.1–5; η 2–20; λ up to 5 (0 has no weight to divide by); T 1–100."""

STRENGTHS = (0.1, 0.2, 0.476, 0.75, 1.0, 1.4, 1.783, 2.25, 3.0, 4.5, 7.0, 12.0, 25.0)


@dataclass(frozen=True, slots=True)
class Point:
    """One setting.

    Args:
        parameter: which of the five is off its default; `c` on the curve of the scalar form.
        value: its value.
        c: the strength that the five come to.
        rouge_l: mean over rows, with its interval.
        per_row: ROUGE-L of every row.
        tokens: how many were chosen.
        disagreements: tokens that the scalar form would have chosen otherwise.
    """

    parameter: str
    value: float
    c: float
    rouge_l: Interval
    per_row: tuple[float, ...]
    tokens: int
    disagreements: int


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The figure's figures.

    Args:
        pair: whose models.
        rows: prompts of each point.
        sweeps: points through the loop.
        curve: points over c, by the scalar form.
    """

    pair: str
    rows: int
    sweeps: tuple[Point, ...]
    curve: tuple[Point, ...]

    def of(self, parameter: str) -> list[Point]:
        """Return one sweep."""
        return [point for point in self.sweeps if point.parameter == parameter]

    def expected(self, c: float) -> float:
        """Return the curve's ROUGE-L at a strength: linear over log c, its ends beyond them."""
        known = sorted(self.curve, key=lambda point: point.c)
        return float(
            np.interp(np.log(c), [np.log(p.c) for p in known], [p.rouge_l.mean for p in known])
        )

    def explained(self) -> float:
        """Return the share of the sweeps' variance that the curve over c explains (R²).

        Settings beyond the curve's end are left out; NaN where nothing varies.
        """
        within = [p for p in self.sweeps if p.c <= max(q.c for q in self.curve)]
        measured = np.array([p.rouge_l.mean for p in within])
        left = measured - np.array([self.expected(p.c) for p in within])
        spread = float(((measured - measured.mean()) ** 2).sum())
        return 1 - float((left**2).sum()) / spread if spread else float("nan")


class _Loop:
    """The paper's loop as a rule of decoding, with the scalar form asked beside it."""

    def __init__(self, settings: Mapping[str, Any], c: float) -> None:
        self._settings = dict(settings)
        self._c = c
        self.tokens = 0
        self.disagreements = 0

    def __call__(self, log_probs: Sequence[torch.Tensor], going_B: torch.Tensor) -> torch.Tensor:
        """Scores by the loop in float32."""
        base_BV, with_BV, without_BV = (each.float() for each in log_probs)
        delta_BV = with_BV - without_BV
        loop_BV: torch.Tensor = steer_loop(base_BV, delta_BV, **self._settings)
        scalar_BV = base_BV.double() + self._c * delta_BV.double()
        differ_B = loop_BV.argmax(-1) != scalar_BV.argmax(-1)
        self.tokens += int(going_B.sum())
        self.disagreements += int((differ_B & going_B).sum())
        return loop_BV


def sweep(scenario: Scenario, prompts: str, limit: int | None, progress: Progress) -> Sensitivity:
    """Decode every setting and score it.

    Args:
        scenario: names the pair and how long texts are.
        prompts: for `workload.prompts`.
        limit: rows; all if None.
        progress: told of settings.

    Raises:
        ConfigError: the models or prompts cannot be had.
    """
    rows = load_rows(prompts, limit)
    models = scenario.models
    vocab_size = vocab_size_of(models)
    cloud = load_reference(models.hosted_cloud("the paper's loop"))
    edge = load_reference(models.edge)
    tokenizer = load_tokenizer(models.tokenizer_location)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    public = [row.input for row in rows]
    personal = [row.personalized_input for row in rows]
    branches = [Branch(cloud, public, 1.0), Branch(edge, personal, 0.0), Branch(edge, public, 0.0)]
    references = [row.output for row in rows]

    def point(name: str, value: float, c: float, rule: _Loop | None) -> Point:
        weighed = [branches[0], Branch(edge, personal, c), Branch(edge, public, -c)]
        texts = greedy(
            branches if rule else weighed,
            tokenizer,
            scenario.workload.max_new_tokens,
            rule=rule,
            vocab_size=vocab_size,
        )
        values = rouge_l(texts, references)
        return Point(
            name,
            value,
            c,
            mean_interval(values),
            tuple(values.tolist()),
            rule.tokens if rule else 0,
            rule.disagreements if rule else 0,
        )

    settings = [
        (name, value, dict(PAPER) | {name: value}) for name in SWEEPS for value in SWEEPS[name]
    ]
    sweeps = []
    for name, value, five in settings:
        c = strength(**five)
        progress.note(f"figure 2: {name} = {value:g}, c = {c:.4g}")
        sweeps.append(point(name, float(value), c, _Loop(five, c)))
    progress.note("figure 2: the curve over c")
    curve = [point("c", c, c, None) for c in STRENGTHS]
    return Sensitivity(scenario.name, len(rows), tuple(sweeps), tuple(curve))
