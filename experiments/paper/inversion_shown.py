"""The inversion of Table 3 as a table and as JSON, every fitted part named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actors.values.generated import GeneratedConfig
from actors.values.weighing import typical_payload_bytes
from costeer.codec.config import CodecConfig
from experiments.paper.inversion import DENSE_BYTES, ITERATIONS, Reading, readings, remedies
from experiments.results.grid import Column, number, text_table

CODEC = "top64-bf16-packed"
_NOTES = (
    "calibration, not measurement: three published speeds fix three parts, and what the third",
    "is made of is assumed, in two readings. tokens/s of CoSteer, T = 20; each remedy alone, then",
    "all. Predictions leave refinement out (a token that 64 ranks do not prove costs one more",
    "exchange), and take the round trip as none, which no real link has.",
)


def payload_bytes() -> int:
    """Return what the 64 best weigh, packed: the median of a few generated rows."""
    return typical_payload_bytes(GeneratedConfig(), CodecConfig.model_validate(CODEC))


def inversion_text(packed_bytes: int, width: int | None = None) -> str:
    """Return both readings, what they predict, and what was fitted."""
    both = readings()
    predicted = [remedies(reading, packed_bytes) for reading in both]
    columns = [Column("reading", tuple(reading.name for reading in both), left=True)]
    columns += [
        Column(name, tuple(number(each[name], 2) for each in predicted), "tokens/s")
        for name in predicted[0]
    ]
    lines = [text_table(columns, width), *_NOTES]
    lines.append(f"A dense row is {DENSE_BYTES:,} B, the 64 best packed {packed_bytes} B.")
    for reading in both:
        lines += ["", f"fitted, {reading.name}:", *(f"  {part}" for part in reading.fitted)]
    return "\n".join(lines)


def inversion_json(packed_bytes: int) -> dict[str, Any]:
    """Return the same for programs."""
    return {
        "table": "table3-inverse",
        "origin": "calibrated: the paper's Table 3",
        "iterations": ITERATIONS,
        "dense_bytes": DENSE_BYTES,
        "packed_bytes": packed_bytes,
        "readings": [_as_json(reading, packed_bytes) for reading in readings()],
    }


def _as_json(reading: Reading, packed_bytes: int) -> dict[str, Any]:
    fitted: Sequence[str] = reading.fitted
    return {
        "name": reading.name,
        "llm_s": reading.llm_s,
        "slm_s": reading.slm_s,
        "transfer_s": reading.transfer_s,
        "iteration_s": reading.iteration_s,
        "fitted": list(fitted),
        "tokens_per_second": dict(remedies(reading, packed_bytes)),
    }
