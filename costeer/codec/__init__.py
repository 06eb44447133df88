"""Logits to bytes and back: select × values × layout × entropy stage.

Theory of operation: the cloud rounds a row to the wire's number format, ranks it (logit
descending, id ascending), writes the asked ranks and the row's logsumexp; the device reads them
as `SparseLogits`, whose floor bounds every unsent logit. A further round sends the ranks that
follow and is merged. `core` joins the stages, one module holds each.
"""

from costeer.codec.config import AnyCodecConfig, CodecConfig, CustomCodecConfig
from costeer.codec.core import Codec, ComposedCodec, build_codec
from costeer.codec.sparse import SparseLogits, merge, with_outlier

__all__ = [
    "AnyCodecConfig",
    "Codec",
    "CodecConfig",
    "ComposedCodec",
    "CustomCodecConfig",
    "SparseLogits",
    "build_codec",
    "merge",
    "with_outlier",
]
