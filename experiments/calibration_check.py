"""How good a calibration is: its forwards against points that it was not made from.

The same points are predicted by the roofline of a named device, the fallback where nothing was
measured. An error is signed: +20 % says that the prediction is a fifth too long.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from experiments.results.grid import Column, number, numbers, text_table
from netsim.hardware import CostModel, ModelShape, Roofline, hardware_named

if TYPE_CHECKING:
    from experiments.scenario.models import HfModel

_MS = 1e6
_WIDTH = 110
_BYTES = {"batch-invariant": 8.0, "fp32": 4.0, "bf16": 2.0}


class CheckedForward(BaseModel):
    """One forward that was measured for the check alone, and what it should have taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    side: str
    """`cloud` or `edge`."""
    rows: int
    """Rows of the batch; two a device at the edge."""
    new_tokens: int
    """New tokens of each row."""
    context: int
    """Tokens that each row held before."""
    measured_ns: int
    """Median of several executions, nanoseconds."""
    calibrated_ns: int
    """What the calibration says, nanoseconds."""
    roofline_ns: int | None
    """What the roofline says, nanoseconds; None where there is none for the model."""

    @property
    def error(self) -> float:
        """Of the calibration, over what was measured."""
        return self.calibrated_ns / self.measured_ns - 1

    @property
    def roofline_error(self) -> float | None:
        """Of the roofline, likewise."""
        return None if self.roofline_ns is None else self.roofline_ns / self.measured_ns - 1


def checked(
    side: str,
    points: Sequence[tuple[int, int, int, int]],
    calibrated: CostModel,
    roofline: CostModel | None,
) -> tuple[CheckedForward, ...]:
    """Compare points (rows, new tokens, context, ns) with what both models say of them."""
    made = []
    for rows, new, context, measured_ns in points:
        batch = [new] * rows, [context] * rows
        made.append(
            CheckedForward(
                side=side,
                rows=rows,
                new_tokens=new,
                context=context,
                measured_ns=max(1, measured_ns),
                calibrated_ns=calibrated.forward_ns(*batch),
                roofline_ns=None if roofline is None else roofline.forward_ns(*batch),
            )
        )
    return tuple(made)


def roofline_of(model: HfModel, numerics: str, hardware: str) -> Roofline:
    """Return the roofline of a model on named hardware, its shape read from its configuration.

    Raises:
        ConfigError: the model's configuration cannot be read.
        NetsimError: no such hardware, or the model does not fit.
    """
    from actors.models.loading import load_config  # noqa: PLC0415 - transformers takes seconds

    config: Any = load_config(model.location).get_text_config()
    heads = config.num_attention_heads
    width = _BYTES[numerics]
    shape = ModelShape.of_decoder(
        model.path,
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        heads=heads,
        kv_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        vocab=config.vocab_size,
        tied=bool(config.tie_word_embeddings),
        qkv_bias=config.model_type == "qwen2",
        bytes_per_weight=width,
        bytes_per_kv=round(width),
    )
    return Roofline(hardware_named(hardware), shape)


def check_columns(points: Sequence[CheckedForward]) -> list[Column]:
    """Return the check as a table."""
    return [
        Column("side", tuple(point.side for point in points), left=True),
        Column("rows", tuple(str(point.rows) for point in points)),
        Column("new", tuple(str(point.new_tokens) for point in points), "tokens"),
        Column("held", tuple(str(point.context) for point in points), "tokens"),
        Column("measured", numbers([point.measured_ns / _MS for point in points]), "ms"),
        Column("time", numbers([p.calibrated_ns / _MS for p in points]), "ms", "calibrated"),
        Column("error", tuple(_percent(p.error) for p in points), "%", "calibrated"),
        Column(
            "time",
            numbers([None if p.roofline_ns is None else p.roofline_ns / _MS for p in points]),
            "ms",
            "roofline",
        ),
        Column("error", tuple(_percent(p.roofline_error) for p in points), "%", "roofline"),
    ]


def check_text(points: Sequence[CheckedForward], hardware: str) -> str:
    """Return the check printed, with what the errors come to."""
    ours = [abs(point.error) for point in points]
    theirs = [abs(error) for point in points if (error := point.roofline_error) is not None]
    told = (
        f"Forwards that the calibration was not made from: median error {median(ours):.0%}, "
        f"largest {max(ours):.0%}."
    )
    if theirs:
        told += (
            f" The roofline of {hardware} is off by {median(theirs):.0%} in the median, by "
            f"{max(theirs):.0%} at most."
        )
    return f"{text_table(check_columns(points))}\n{textwrap.fill(told, _WIDTH)}"


def _percent(error: float | None) -> str:
    return number(None if error is None else error * 100, 0)
