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
FURTHER = [
    CodecConfig.model_validate(name)
    for name in (
        "topp0.9max9-bf16-packed",
        "floor0.1max9-step2-planar-zstd3",
        "top7-step2-packed-exact",
        "top7-int8-packed",
        "top7-int8-naive-exact",
        "dense-int8-planar-zstd3",
    )
] + [
    CodecConfig.model_validate(
        {
            "select": "top7",
            "values": "bf16",
            "entropy": {"kind": "zstd", "dictionary": bytes(range(256))},
        }
    )
]
OWN = [
    CustomCodecConfig(kind="tests.costeer.codec.own_codec:OwnCodec"),
    CustomCodecConfig(kind="tests.costeer.codec.own_codec:OwnCodec", options={"k": 9}),
]


@pytest.mark.parametrize("config", SHIPPED)
class TestShippedCodecs(CodecLaws):
    pass


@pytest.mark.parametrize("config", FURTHER)
class TestFurtherCodecs(CodecLaws):
    pass


@pytest.mark.parametrize("config", OWN)
class TestOwnCodec(CodecLaws):
    pass
