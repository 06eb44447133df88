"""Which architectures the slot cache can host, told from a configuration before any weight loads.

The cache holds one key and one value per token, layer and head, and masks decide which of them a
token attends to. That covers full attention and sliding windows (a window is a narrower mask; the
tokens behind it stay in memory). Layers that keep a running state instead of keys and values
(linear attention, state-space models) cannot be cut back or forked token by token, which drafts
and resumed sessions need, so models with such layers are refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedConfig

from costeer.errors import ConfigError

_KINDS = frozenset({"full_attention", "sliding_attention"})
_WAY_OUT = "choose a model with plain attention, such as Qwen2, Qwen3, Llama, Mistral or Gemma"


@dataclass(frozen=True, slots=True)
class Architecture:
    """What the slot cache has to know of a model.

    Args:
        layers: number of layers.
        heads: key-value heads of a layer.
        head_dim: dimension of a head.
        context: tokens that a sequence may have.
        width: logits, padding included.
        kinds: kinds of layers that expect a mask of their own; empty where all take the same.
        window: tokens that a sliding layer attends to; None where no layer slides.
        final_softcap: logits x leave the model as cap·tanh(x / cap); None where they do not.
    """

    layers: int
    heads: int
    head_dim: int
    context: int
    width: int
    kinds: frozenset[str]
    window: int | None
    final_softcap: float | None


def architecture_of(config: PreTrainedConfig, path: object) -> Architecture:
    """Read an architecture off a model's configuration.

    Args:
        config: of the model.
        path: what error messages call it.

    Raises:
        ConfigError: the slot cache cannot host it; the reason is named.
    """
    text = config.get_text_config()
    if getattr(config, "is_encoder_decoder", False):
        raise ConfigError(
            f"model {path}: {text.model_type} has an encoder; {_WAY_OUT} (a decoder alone)"
        )
    missing = [
        name
        for name in ("num_attention_heads", "num_hidden_layers", "max_position_embeddings")
        if not getattr(text, name, None)
    ]
    if missing:
        raise ConfigError(
            f"model {path}: {text.model_type} names no {', '.join(missing)}, so it does not keep"
            f" keys and values token by token; {_WAY_OUT}"
        )
    kinds = frozenset(getattr(text, "layer_types", None) or ())
    foreign = sorted(kinds - _KINDS)
    if foreign:
        raise ConfigError(
            f"model {path}: has layers of {', '.join(foreign)}, whose state cannot be kept token"
            f" by token in the slot cache; {_WAY_OUT}"
        )
    if getattr(text, "kv_lora_rank", None):
        raise ConfigError(
            f"model {path}: compresses its keys and values (latent attention), which the slot"
            f" cache does not hold; {_WAY_OUT}"
        )
    heads = int(text.num_attention_heads)
    slides = "sliding_attention" in kinds or not kinds
    window = getattr(text, "sliding_window", None) if slides else None
    softcap = getattr(text, "final_logit_softcapping", None)
    return Architecture(
        layers=int(text.num_hidden_layers),
        heads=int(getattr(text, "num_key_value_heads", None) or heads),
        head_dim=int(getattr(text, "head_dim", None) or text.hidden_size // heads),
        context=int(text.max_position_embeddings),
        width=int(text.vocab_size),
        kinds=kinds if "sliding_attention" in kinds else frozenset(),
        window=None if window is None else int(window),
        final_softcap=None if softcap is None else float(softcap),
    )
