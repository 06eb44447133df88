"""Parts of a transformers model that pass through float32, replaced for float64 throughout.

transformers computes norms and rotary tables in float32 whatever the model's dtype. A float64
value that differs in its last bit between two batch compositions then sometimes rounds to another
float32, which enlarges a difference of 1e-16 to one of 1e-7: the batch-invariant numerics cannot
have that. Everything else in these architectures keeps float64 by itself.

Legend: B rows, T tokens, D head dimension.
"""

from __future__ import annotations

import torch
from torch import nn

from costeer.errors import ConfigError

_PLAIN_RMS_NORMS = frozenset({"Qwen2RMSNorm", "Qwen3RMSNorm", "LlamaRMSNorm", "MistralRMSNorm"})
"""Norms of the form weight * x / rms(x), which is what ``Float64RMSNorm`` computes."""

_OFFSET_RMS_NORMS = frozenset({"GemmaRMSNorm"})
"""The same with (1 + weight)."""

_STATIC_ROPES = frozenset({"default", "linear", "llama3", "yarn"})
"""Rotary types whose frequencies do not depend on the sequence's length."""


class Float64RMSNorm(nn.Module):
    """Root-mean-square norm without a detour through float32."""

    def __init__(self, weight: torch.Tensor, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.epsilon = epsilon

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Normalise the last dimension."""
        scale = torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + self.epsilon)
        return self.weight * (hidden * scale)


class RotaryTable(nn.Module):
    """Cosines and sines of every position, looked up instead of computed for each batch."""

    def __init__(self, inv_freq: torch.Tensor, scaling: float, context: int) -> None:
        super().__init__()
        positions = torch.arange(context, dtype=torch.float64, device=inv_freq.device)
        angles = torch.outer(positions, inv_freq.to(torch.float64))
        angles_CD = torch.cat((angles, angles), dim=-1)
        self.cos_CD = angles_CD.cos() * scaling
        self.sin_CD = angles_CD.sin() * scaling

    def forward(
        self,
        hidden: torch.Tensor,  # noqa: ARG002  # transformers passes it, to tell the dtype
        position_ids: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (B, T, D) cosines and sines."""
        return self.cos_CD[position_ids], self.sin_CD[position_ids]


def keep_float64(model: nn.Module, context: int) -> None:
    """Replace a float64 model's norms and rotary embedding in place.

    Args:
        model: a causal language model of transformers.
        context: positions that the rotary table has to cover.

    Raises:
        ConfigError: the architecture has parts whose arithmetic is not known here.
    """
    way_out = "choose numerics fp32 for this model"
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            kind = type(child).__name__
            if kind in _PLAIN_RMS_NORMS:
                norm = Float64RMSNorm(child.weight, float(child.variance_epsilon))  # type: ignore[arg-type]  # both are attributes of every norm in the list
                setattr(parent, name, norm)
            elif kind in _OFFSET_RMS_NORMS:
                setattr(parent, name, Float64RMSNorm(1 + child.weight, float(child.eps)))  # type: ignore[arg-type, operator]  # both are attributes of every norm in the list
            elif kind.endswith("RotaryEmbedding"):
                if str(child.rope_type) not in _STATIC_ROPES:
                    raise ConfigError(
                        f"numerics: batch-invariant does not know rope type {child.rope_type!r};"
                        f" {way_out}"
                    )
                table = RotaryTable(child.inv_freq, float(child.attention_scaling), context)  # type: ignore[arg-type]  # both are attributes of every rotary embedding
                setattr(parent, name, table)
            elif "Norm" in kind:
                raise ConfigError(f"numerics: batch-invariant does not know {kind}; {way_out}")
