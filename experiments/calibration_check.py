"""How good a calibration is: its forwards against points that it was not made from.

The same points are predicted by the roofline of a named device, the fallback where nothing was
measured. An error is signed: +20 % says that the prediction is a fifth too long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from netsim.hardware import CostModel, ModelShape, Roofline, hardware_named

if TYPE_CHECKING:
    from experiments.scenario.models import HfModel

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
