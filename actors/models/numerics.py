"""The arithmetic in which a model is run: a named choice.

Theory
------
``BATCH_INVARIANT`` is what makes deferred batching, exact drafts and ``live equals virtual`` hold.
The order in which a matrix product adds its terms depends on the batch's shape, so two
compositions of the same rows differ by rounding noise. In float64 throughout (weights, cache,
norms, rotary tables; nothing passes through float32) that noise was at most 2.4e-14 in a logit of
the shipped pair, and the logits are then rounded to the bf16 grid that the wire uses anyway, in
steps of at least 2^-8: all compositions give the same bits unless a logit lies within the noise of
a midpoint of that grid. Summed over the 4,456 logits of a row that is a chance below 3e-8; tests
compare the bits. ``FP32`` has no such guarantee (99.96 % of a small model's logits were equal
on the grid); there the margin of each choice is recorded instead.
"""

from __future__ import annotations

from enum import Enum


class Numerics(Enum):
    """How weights, cache and logits are held."""

    FP32 = "fp32"
    """float32 throughout; logits as they come."""
    BF16 = "bf16"
    """bfloat16 throughout; logits as they come (already on the bf16 grid)."""
    BATCH_INVARIANT = "batch-invariant"
    """float64 throughout; logits rounded to the bf16 grid, in steps of at least 2^-8."""

    @property
    def dtype_name(self) -> str:
        """Name of the torch dtype of weights and cache."""
        return {"fp32": "float32", "bf16": "bfloat16", "batch-invariant": "float64"}[self.value]
