"""What a person may write about a codec, and what happens when it is mistyped."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from costeer.codec import AnyCodecConfig, CodecConfig, CustomCodecConfig, build_codec
from costeer.errors import ConfigError

ANY: TypeAdapter[CodecConfig | CustomCodecConfig] = TypeAdapter(AnyCodecConfig)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ({}, "dense-fp16-naive"),
        ({"select": "dense", "entropy": "zstd"}, "dense-fp16-naive-zstd3"),
        ({"select": {"kind": "top_k", "k": 64}, "values": "bf16"}, "top64-bf16-naive"),
        ({"select": "top64", "entropy": {"kind": "zstd", "level": 9}}, "top64-fp16-naive-zstd9"),
        ({"select": "top_k64", "entropy": "zstd9"}, "top64-fp16-naive-zstd9"),
        ({"entropy": None}, "dense-fp16-naive"),
        ({"entropy": "none"}, "dense-fp16-naive"),
        ("dense", "dense-fp16-naive"),
        ({"select": "top64", "layout": "packed", "values": "bf16"}, "top64-bf16-packed"),
        ("dense-bf16-planar-zstd3", "dense-bf16-planar-zstd3"),
        ("top8-fp32", "top8-fp32-naive"),
        ("top8-fp32-naive-zstd19", "top8-fp32-naive-zstd19"),
        ("topp0.95-bf16-packed", "topp0.95max1024-bf16-packed"),
        ({"select": {"kind": "top_p", "p": 1e-5, "k_max": 7}}, "topp0.00001max7-fp16-naive"),
        ("floor0.01max256", "floor0.01max256-fp16-naive"),
        ({"select": "floor1"}, "floor1max1024-fp16-naive"),
        ("top8-step0.25-packed", "top8-step0.25-packed"),
        ({"values": {"kind": "step", "step_nats": 2}}, "dense-step2-naive"),
        ("top8-int8-packed-zstd3-exact", "top8-int8-packed-zstd3-exact"),
        ("top8-bf16-exact", "top8-bf16-naive-exact"),
        ("top8-bf16-rounded", "top8-bf16-naive"),
    ],
)
def test_long_and_short_forms(written: object, name: str) -> None:
    config = ANY.validate_python(written)
    assert build_codec(config, 500).name == name
    assert ANY.validate_python(config.model_dump()) == config
    assert ANY.validate_python(name) == config


@pytest.mark.parametrize(
    ("written", "match"),
    [
        ({"values": "fp8"}, "values"),
        ({"value": "fp16"}, "value"),
        ({"select": {"kind": "top_k"}}, "k"),
        ({"select": {"kind": "top_k", "k": 0}}, "k"),
        ({"select": {"kind": "top_k", "k": 4, "p": 0.9}}, "p"),
        ({"select": "topp"}, "select"),
        ({"entropy": "gzip"}, "entropy"),
        ({"entropy": {"kind": "zstd", "level": 23}}, "level"),
        ("dense-fp16-naive-zstd-again", "zstd"),
        ({"select": "topp1.5"}, "p"),
        ({"select": "floor0"}, "a"),
        ({"values": "step0"}, "step_nats"),
        ({"reference": "true"}, "reference"),
        ({"entropy": {"kind": "zstd", "dictionary": "no/such/file"}}, "no/such/file"),
        ({"entropy": {"kind": "zstd", "dictionary": "base64:?"}}, "dictionary"),
        ({"kind": "no-colon"}, "kind"),
        ({"kind": "a:B", "k": 4}, "k"),
    ],
)
def test_mistakes_name_the_place(written: object, match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        ANY.validate_python(written)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("no.such.module:Codec", {}),
        ("costeer.codec:NoSuchClass", {}),
        ("tests.costeer.codec.own_codec:OwnCodec", {"q": 1}),
        ("fractions:Fraction", {}),
        ("types:SimpleNamespace", {}),
    ],
)
def test_an_own_codec_that_cannot_be_built_is_the_users_to_mend(
    kind: str, options: dict[str, int]
) -> None:
    config = ANY.validate_python({"kind": kind, "options": options})
    with pytest.raises(ConfigError, match=kind):
        build_codec(config, 10)


@pytest.mark.parametrize("vocab_size", [0, -1, 2**31])
def test_an_impossible_vocabulary_is_refused(vocab_size: int) -> None:
    with pytest.raises(ConfigError, match="vocabulary"):
        build_codec(CodecConfig(), vocab_size)
