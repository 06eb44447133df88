"""Ways to decode from several distributions, each by its published formula.

All are written over log-probabilities: where a paper combines logits, normalising constants cancel
in the choice. Who has to see the private context decides whether a method keeps it private; what a
method computes does not.

| method | scores of the next token x | source |
|---|---|---|
| CoSteer | log P_L(x|q) + c Δ_S(x), Δ_S = log P_S(x|C,q) − log P_S(x|q) | arXiv 2507.04756, eq. 7 |
| CoSteer with a floor | the same among x with P_L(x|q) ≥ 0.1 max P_L | arXiv 2210.15097 |
| proxy tuning's form | the same with weight 1 | arXiv 2401.08565 |
| context steering | log P_L(x|C,q) + λ (log P_L(x|C,q) − log P_L(x|q)) | arXiv 2405.01768 |
| contrastive decoding | (1+β) log P_L(x|q) − β log P_S(x|q), floor 0.1 | arXiv 2309.09117 |

Contrastive decoding as first published (arXiv 2210.15097) is its limit of large β. L is the cloud's
model, S the device's, q the public query, C the private context.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from costeer.methods import Prompt
from experiments.evaluation.decode import Rule

CLOUD, DEVICE, NOWHERE = "cloud", "device", "nowhere"
"""Where the private context has to be."""

FLOOR = 0.1
"""α of the plausibility constraint: least share of the best token's probability."""

Part = tuple[str, Prompt]
"""(whose model, which prompt)."""

_L, _LC = (CLOUD, Prompt.PUBLIC), (CLOUD, Prompt.PERSONAL)
_S, _SC = (DEVICE, Prompt.PUBLIC), (DEVICE, Prompt.PERSONAL)


@dataclass(frozen=True, slots=True)
class Baseline:
    """One way to decode.

    Args:
        key: in data.
        title: in tables.
        parts: the distributions that it combines, in the order in which its rule takes them.
        context_at: where the private context has to be.
        strengths: what its one number is tuned over; a single one where the paper fixes it.
        rule: from a strength to scores.
    """

    key: str
    title: str
    parts: tuple[Part, ...]
    context_at: str
    strengths: tuple[float, ...]
    rule: Callable[[float], Rule]

    @property
    def private(self) -> bool:
        """Whether the context stays on the device."""
        return self.context_at != CLOUD


def plausible(scores_BV: torch.Tensor, log_p_BV: torch.Tensor, floor: float) -> torch.Tensor:
    """Keep the scores of tokens that have at least `floor` of the best one's probability."""
    least_B1 = log_p_BV.max(-1, keepdim=True).values + math.log(floor)
    return scores_BV.masked_fill(log_p_BV < least_B1, -math.inf)


def _alone(_: float) -> Rule:
    return lambda parts, _going: parts[0]


def _steered(strength: float) -> Rule:
    return lambda parts, _going: parts[0] + strength * (parts[1] - parts[2])


def _steered_with_floor(strength: float) -> Rule:
    inner = _steered(strength)
    return lambda parts, going: plausible(inner(parts, going), parts[0], FLOOR)


def _contrasted(strength: float) -> Rule:
    return lambda parts, _going: plausible(
        (1 + strength) * parts[0] - strength * parts[1], parts[0], FLOOR
    )


def _context_steered(strength: float) -> Rule:
    return lambda parts, _going: parts[0] + strength * (parts[0] - parts[1])


_C_GRID = (0.25, 0.476, 0.75, 1.0, 1.4, 1.783, 2.5)

BASELINES: tuple[Baseline, ...] = (
    Baseline("slm_with", "SLM w/", (_SC,), DEVICE, (0.0,), _alone),
    Baseline("llm_without", "LLM w/o", (_L,), NOWHERE, (0.0,), _alone),
    Baseline("costeer", "CoSteer", (_L, _SC, _S), DEVICE, _C_GRID, _steered),
    Baseline(
        "costeer_floor", "CoSteer, floor 0.1", (_L, _SC, _S), DEVICE, _C_GRID, _steered_with_floor
    ),
    Baseline("proxy_tuning", "proxy tuning's form", (_L, _SC, _S), DEVICE, (1.0,), _steered),
    Baseline(
        "contrastive",
        "contrastive decoding",
        (_L, _S),
        NOWHERE,
        (0.1, 0.25, 0.5, 1.0, 2.0),
        _contrasted,
    ),
    Baseline("llm_with", "LLM w/", (_LC,), CLOUD, (0.0,), _alone),
    Baseline(
        "context_steering",
        "context steering (CoS)",
        (_LC, _L),
        CLOUD,
        (-0.5, 0.25, 0.5, 1.0, 2.0),
        _context_steered,
    ),
)
"""All that are compared; those that keep the context private come first."""
