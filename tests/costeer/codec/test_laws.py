"""Law 2 for every shipped combination and for a user's own codec."""

from __future__ import annotations

from itertools import product

import pytest

from costeer.codec import CodecConfig, CustomCodecConfig
from tests.costeer.codec.laws import CodecLaws

SHIPPED = [
    CodecConfig.model_validate("-".join(choices))
    for choices in product(
        ("dense", "top7"),
        ("fp32", "fp16", "bf16"),
        ("naive", "planar", "packed"),
        ("none", "zstd3"),
    )
]
OWN = [
    CustomCodecConfig(kind="tests.costeer.codec.own_codec:OwnCodec"),
    CustomCodecConfig(kind="tests.costeer.codec.own_codec:OwnCodec", options={"k": 9}),
]


@pytest.mark.parametrize("config", SHIPPED)
class TestShippedCodecs(CodecLaws):
    pass


@pytest.mark.parametrize("config", OWN)
class TestOwnCodec(CodecLaws):
    pass
