"""The paper's Table 3 read backwards: which parts of a token's time give 23.88, 13.73 and 9.44.

This is calibration, not measurement. The paper reports three speeds (Qwen2.5 7B/1.5B, batch 1) and
names neither hardware nor link. With L the large model's step, C one steering iteration and X the
rest that every steered token pays, L = 1/23.88, L + X + C = 1/13.73 and L + X + 20 C = 1/9.44 s:
three equations, three unknowns. What X is made of they do not say, so it is read in two ways:

* link-bound: X is the way down of 304 KB of fp16 logits; the small model hides behind the large one
  and the transfer. It gives a rate of the link, its round trip taken as none.
* SLM-bound: X is the small model, which the released code runs after the large one in one process,
  twice, with nothing in between; logits do not leave the machine.

Each reading then says what the project's three remedies would bring: the scalar form (one iteration
whatever T), the 64 best logits packed, and overlap (the small model runs while the large one does
and logits travel). A prediction names what was fitted and changes nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from experiments.paper.published import FIRST_PAIR, published

ITERATIONS = 20
"""T of CoSteer; LightCoSteer has one."""
DENSE_BYTES = 2 * 152_064
"""Logits of the 7B model in fp16."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a token's time is made of, seconds.

    Args:
        name: of the reading.
        llm_s: one step of the large model.
        slm_s: both branches of the small model.
        transfer_s: the way down of a dense row.
        iteration_s: one steering iteration.
        fitted: which parts were fitted, and to what.
        overlapped: whether the small model runs beside the large one and the transfer.
    """

    name: str
    llm_s: float
    slm_s: float
    transfer_s: float
    iteration_s: float
    fitted: tuple[str, ...]
    overlapped: bool

    def token_s(self, iterations: int) -> float:
        """Time of a steered token."""
        sent_s = self.llm_s + self.transfer_s
        both_s = max(sent_s, self.slm_s) if self.overlapped else sent_s + self.slm_s
        return both_s + iterations * self.iteration_s


def readings() -> tuple[Reading, Reading]:
    """Return both readings of the published speeds."""
    theirs = published("table3", FIRST_PAIR)
    llm_s, light_s, full_s = (
        1 / theirs[method, "speed", "tokens_per_second"]
        for method in ("llm_without", "light_costeer", "costeer")
    )
    iteration_s = (full_s - light_s) / (ITERATIONS - 1)
    rest_s = light_s - llm_s - iteration_s
    common = (
        f"large model's step: {llm_s * 1e3:.1f} ms, from vanilla's speed",
        f"one steering iteration: {iteration_s * 1e3:.2f} ms, from CoSteer over LightCoSteer",
    )
    rate_mbps = 8 * DENSE_BYTES / rest_s / 1e6
    return (
        Reading(
            "link-bound",
            llm_s,
            0.0,
            rest_s,
            iteration_s,
            (*common, f"link: {rate_mbps:.0f} Mbit/s down, no round trip; small model hidden"),
            overlapped=True,
        ),
        Reading(
            "SLM-bound",
            llm_s,
            rest_s,
            0.0,
            iteration_s,
            (*common, f"small model: {rest_s * 1e3:.1f} ms for both branches; no link"),
            overlapped=False,
        ),
    )


def remedies(reading: Reading, payload_bytes: int) -> Mapping[str, float]:
    """Return tokens per second of CoSteer (T = 20) as published, and with each remedy.

    Args:
        reading: the parts.
        payload_bytes: of a packed row of the 64 best.
    """
    packed = replace(reading, transfer_s=reading.transfer_s * payload_bytes / DENSE_BYTES)
    beside = replace(reading, overlapped=True)
    whole = replace(packed, overlapped=True)
    return {
        "as published": 1 / reading.token_s(ITERATIONS),
        "scalar form": 1 / reading.token_s(1),
        "top-64": 1 / packed.token_s(ITERATIONS),
        "overlap": 1 / beside.token_s(ITERATIONS),
        "all three": 1 / whole.token_s(1),
        "vanilla": 1 / reading.llm_s,
    }
