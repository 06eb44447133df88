"""How long a token takes when drafts share exchanges, on paper.

Of γ drafts that are each right with probability a, independently, an exchange brings
E = (1 − a^(γ+1)) / (1 − a) tokens: the right ones at the front, and the choice behind them. An
exchange costs a round trip and a forward of the large model; drafts cost d each.

* One exchange after the other: (γ d + RTT + V) / E a token.
* Pipelined, drafts going up as they are made: the slower of device and cloud sets the pace, and
  each wrong draft costs an exchange in which nothing else arrives: max(d, V / (γ+1)) + (1 − a)
  (RTT + V).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """What an exchange consists of, in seconds.

    Args:
        draft_s: the small model, for a token.
        forward_s: the large model, for a step.
        rtt_s: round trip of the link.
    """

    draft_s: float
    forward_s: float
    rtt_s: float


def tokens_per_exchange(acceptance: float, drafts: int) -> float:
    """Return E."""
    return sum(acceptance**count for count in range(drafts + 1))


def sequential_s(pace: Pace, acceptance: float, drafts: int) -> float:
    """Return seconds a token, each exchange waiting for the one before."""
    exchange_s = drafts * pace.draft_s + pace.rtt_s + pace.forward_s
    return exchange_s / tokens_per_exchange(acceptance, drafts)


def pipelined_s(pace: Pace, acceptance: float, drafts: int) -> float:
    """Return seconds a token, drafts going up before the verdict on earlier ones."""
    flow_s = max(pace.draft_s, pace.forward_s / (drafts + 1))
    return flow_s + (1 - acceptance) * (pace.rtt_s + pace.forward_s)
