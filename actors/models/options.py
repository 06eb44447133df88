"""How a model is held by its host: where it lives, how its weights and its head are kept."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Quantisation(Enum):
    """How weights are kept after loading. Checkpoints that are quantised already need none."""

    NONE = "none"
    """In the numerics' dtype."""
    INT8 = "int8"
    """Linear layers' weights in 8 bits, one scale a row (torchao)."""
    INT4 = "int4"
    """Linear layers' weights in 4 bits, one scale per 128 (torchao; on a GPU)."""


class Attention(Enum):
    """Which of transformers' attention functions is called.

    Both take the slot cache's own mask; flash-attention kernels do not, so they are not offered.
    """

    SDPA = "sdpa"
    """PyTorch's fused function."""
    EAGER = "eager"
    """Plain matrix products; what models that cap their attention logits (Gemma 2) need."""


class Head(Enum):
    """In what the last layer, from hidden state to logits, is computed."""

    MODEL = "model"
    """In the numerics' dtype: logits of a bf16 model lie on the bf16 grid."""
    FP32 = "fp32"
    """In float32 (weights and hidden state widened): fewer ties, more bits on the wire."""


class Decode(Enum):
    """How a step of decoding is asked for."""

    EAGER = "eager"
    """Kernel by kernel."""
    GRAPHS = "graphs"
    """All at once, as a CUDA graph of the next larger power of two of rows and of context."""


@dataclass(frozen=True, slots=True)
class HostOptions:
    """How a model is held.

    Args:
        device: a torch device, or ``auto``: spread over the accelerators there are.
        quantisation: how weights are kept.
        attention: which attention function is called.
        head: in what logits are computed.
        decode: how a step of decoding is asked for.
    """

    device: str = "cpu"
    quantisation: Quantisation = Quantisation.NONE
    attention: Attention = Attention.SDPA
    head: Head = Head.MODEL
    decode: Decode = Decode.EAGER
