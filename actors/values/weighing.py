"""How much one payload weighs under a codec, where no values are at hand to encode."""

from __future__ import annotations

from actors.values.generated import GeneratedConfig, RowSource
from costeer.codec.config import AnyCodecConfig
from costeer.codec.core import build_codec

_SEED = 0
_ROWS = 9


def typical_payload_bytes(
    config: GeneratedConfig, codec: AnyCodecConfig, ranks: tuple[int, int] | None = None
) -> int:
    """Return the median size of a payload, over a few generated rows that are encoded.

    Args:
        config: the shape of the rows.
        codec: how they go down.
        ranks: [first, last) that it holds; None: those that the codec sends first.

    Raises:
        ConfigError: a codec that cannot be built for the vocabulary.
    """
    rows = RowSource(config, _SEED)
    made = build_codec(codec, config.vocab_size)
    sizes = [len(made.encode(rows.logits(0, at), *(ranks or ()))) for at in range(_ROWS)]
    return sorted(sizes)[_ROWS // 2]
