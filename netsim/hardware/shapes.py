"""The shape of a decoder-only transformer, as far as its cost depends on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from netsim.errors import NetsimError
from netsim.names import lookup


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Numbers that decide what a forward reads and computes."""

    name: str
    """What a scenario calls it."""
    parameters: int
    """All weights, embeddings included (once if tied)."""
    layers: int
    """Transformer blocks."""
    hidden: int
    """Width of the residual stream."""
    heads: int
    """Query heads."""
    kv_heads: int
    """Key/value heads (grouped-query attention)."""
    head_dim: int
    """Width of a head."""
    vocab: int
    """Rows of the output matrix, padding included."""
    tied: bool
    """Whether input embedding and output matrix are one."""
    bytes_per_weight: float = 2.0
    """2 for bf16, 1 for int8, 0.5 for 4 bits."""
    bytes_per_kv: int = 2
    """Bytes of one cached key or value number."""

    def __post_init__(self) -> None:
        positive = (
            "parameters", "layers", "hidden", "heads", "kv_heads", "head_dim", "vocab",
            "bytes_per_weight", "bytes_per_kv",
        )  # fmt: skip
        for name in positive:
            value = getattr(self, name)
            if not value > 0:
                raise NetsimError(
                    f"model shape {self.name!r}: {name} = {value}; it must be positive"
                )
        if self.block_parameters <= 0:
            raise NetsimError(
                f"model shape {self.name!r}: {self.parameters} parameters are fewer than its "
                f"embeddings alone ({self.vocab} × {self.hidden}); check vocab, hidden and tied"
            )

    @classmethod
    def of_decoder(
        cls,
        name: str,
        *,
        layers: int,
        hidden: int,
        intermediate: int,
        heads: int,
        kv_heads: int,
        head_dim: int,
        vocab: int,
        tied: bool,
        qkv_bias: bool,
        qk_norm: bool = False,
        bytes_per_weight: float = 2.0,
        bytes_per_kv: int = 2,
    ) -> "ModelShape":
        """The shape of a Llama- or Qwen2-like decoder, its parameters counted from its widths."""
        q, kv = heads * head_dim, kv_heads * head_dim
        attention = hidden * (q + 2 * kv) + q * hidden + ((q + 2 * kv) if qkv_bias else 0)
        attention += 2 * head_dim if qk_norm else 0
        block = attention + 3 * hidden * intermediate + 2 * hidden
        embeddings = vocab * hidden * (1 if tied else 2)
        return cls(
            name=name,
            parameters=layers * block + hidden + embeddings,
            layers=layers,
            hidden=hidden,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            vocab=vocab,
            tied=tied,
            bytes_per_weight=bytes_per_weight,
            bytes_per_kv=bytes_per_kv,
        )

    @property
    def block_parameters(self) -> int:
        """Weights that every new token passes: all but embedding and output matrix."""
        return self.parameters - self.vocab * self.hidden * (1 if self.tied else 2)

    @property
    def weight_bytes(self) -> int:
        """Memory that the weights take."""
        return round(self.parameters * self.bytes_per_weight)

    @property
    def read_bytes(self) -> int:
        """Weights that one forward reads: blocks and output matrix; of an embedding only rows."""
        return round((self.block_parameters + self.vocab * self.hidden) * self.bytes_per_weight)

    @property
    def kv_bytes_per_token(self) -> int:
        """KV-cache bytes of one token."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.bytes_per_kv


def _qwen(
    name: str, layers: int, hidden: int, intermediate: int, heads: int, kv_heads: int, vocab: int
) -> ModelShape:
    return ModelShape.of_decoder(
        name,
        layers=layers,
        hidden=hidden,
        intermediate=intermediate,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=hidden // heads,
        vocab=vocab,
        tied=vocab == _QWEN_SMALL_VOCAB,
        qkv_bias=True,
    )


def _llama(
    name: str, layers: int, hidden: int, intermediate: int, head_dim: int, *, tied: bool
) -> ModelShape:
    return ModelShape.of_decoder(
        name,
        layers=layers,
        hidden=hidden,
        intermediate=intermediate,
        heads=32,
        kv_heads=8,
        head_dim=head_dim,
        vocab=128_256,
        tied=tied,
        qkv_bias=False,
    )


def _qwen3(
    name: str, layers: int, hidden: int, intermediate: int, heads: int, *, tied: bool
) -> ModelShape:
    return ModelShape.of_decoder(
        name,
        layers=layers,
        hidden=hidden,
        intermediate=intermediate,
        heads=heads,
        kv_heads=8,
        head_dim=128,
        vocab=_QWEN_SMALL_VOCAB,
        tied=tied,
        qkv_bias=False,
        qk_norm=True,
    )


# The Qwen2.5 family ties its embeddings up to 3B and pads the vocabulary less there.
_QWEN_SMALL_VOCAB = 151_936
_QWEN_LARGE_VOCAB = 152_064

_ALL = (
    _qwen("qwen2.5-0.5b", 24, 896, 4864, 14, 2, _QWEN_SMALL_VOCAB),
    _qwen("qwen2.5-1.5b", 28, 1536, 8960, 12, 2, _QWEN_SMALL_VOCAB),
    _qwen("qwen2.5-3b", 36, 2048, 11008, 16, 2, _QWEN_SMALL_VOCAB),
    _qwen("qwen2.5-7b", 28, 3584, 18944, 28, 4, _QWEN_LARGE_VOCAB),
    _qwen("qwen2.5-14b", 48, 5120, 13824, 40, 8, _QWEN_LARGE_VOCAB),
    _qwen("qwen2.5-32b", 64, 5120, 27648, 40, 8, _QWEN_LARGE_VOCAB),
    _qwen3("qwen3-0.6b", 28, 1024, 3072, 16, tied=True),
    _qwen3("qwen3-1.7b", 28, 2048, 6144, 16, tied=True),
    _qwen3("qwen3-8b", 36, 4096, 12288, 32, tied=False),
    _llama("llama-3.2-1b", 16, 2048, 8192, 64, tied=True),
    _llama("llama-3.1-8b", 32, 4096, 14336, 128, tied=False),
)

SHAPES: Mapping[str, ModelShape] = MappingProxyType({shape.name: shape for shape in _ALL})
"""Every named shape, from the models' published configurations, in bf16."""


def shape_named(name: str) -> ModelShape:
    """The shape called `name`; NetsimError names the nearest valid one."""
    return lookup(SHAPES, name, "model shape")
