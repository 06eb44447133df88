"""What a person writes about a codec: four independent choices, each with a short form.

Long: `{select: {kind: top_k, k: 64}, values: bf16, layout: naive, entropy: {kind: zstd}}`.
Short: `select: dense`, `select: top64`, `entropy: none`, `entropy: zstd`, `entropy: zstd9`; or the
whole codec by the name that tables give it: `top64-bf16-naive-zstd3`.
One's own: `{kind: "package.module:Class", options: {…}}`.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    model_validator,
)

_FROZEN = ConfigDict(extra="forbid", frozen=True)


class DenseConfig(BaseModel):
    """Every logit of the row."""

    model_config = _FROZEN

    kind: Literal["dense"] = "dense"
    """`dense`."""


class TopKConfig(BaseModel):
    """The k largest logits; among equals the lowest ids."""

    model_config = _FROZEN

    kind: Literal["top_k"] = "top_k"
    """`top_k`."""
    k: int = Field(ge=1, lt=2**31)
    """Tokens in the first payload of a position."""


class NoEntropyConfig(BaseModel):
    """No entropy stage."""

    model_config = _FROZEN

    kind: Literal["none"] = "none"
    """`none`."""


class ZstdConfig(BaseModel):
    """zstd over the whole body."""

    model_config = _FROZEN

    kind: Literal["zstd"] = "zstd"
    """`zstd`."""
    level: int = Field(default=3, ge=1, le=22)
    """Compression level (no unit)."""


def _select_short(given: object) -> object:
    if isinstance(given, str):
        match = re.fullmatch(r"top_?k?(\d+)", given)
        return {"kind": "top_k", "k": int(match[1])} if match else {"kind": given}
    return given


def _entropy_short(given: object) -> object:
    if given is None:  # YAML reads a bare `entropy:` and `null` so
        return {"kind": "none"}
    if isinstance(given, str):
        match = re.fullmatch(r"zstd-?(\d+)", given)
        return {"kind": "zstd", "level": int(match[1])} if match else {"kind": given}
    return given


SelectConfig: TypeAlias = Annotated[
    Annotated[DenseConfig | TopKConfig, Field(discriminator="kind")],
    BeforeValidator(_select_short),
]
EntropyConfig: TypeAlias = Annotated[
    Annotated[NoEntropyConfig | ZstdConfig, Field(discriminator="kind")],
    BeforeValidator(_entropy_short),
]


class CodecConfig(BaseModel):
    """How logits travel. The default is the paper's: dense fp16, nothing done to it."""

    model_config = _FROZEN

    select: SelectConfig = DenseConfig()
    """Which tokens of a row are sent."""
    values: Literal["fp32", "fp16", "bf16"] = "fp16"
    """Number format; ranks and certificates refer to the row rounded to it."""
    layout: Literal["naive", "planar", "packed"] = "naive"
    """Arrangement of ids and values in bytes."""
    entropy: EntropyConfig = NoEntropyConfig()
    """Stage over the finished body."""

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        choices, parts = ("select", "values", "layout", "entropy"), given.split("-")
        if len(parts) > len(choices):
            raise ValueError(f"codec name {given!r} has more than {'-'.join(choices)}")
        return dict(zip(choices, parts, strict=False))


class CustomCodecConfig(BaseModel):
    """A codec of one's own: a class with the methods of `costeer.codec.Codec`."""

    model_config = _FROZEN

    kind: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """`package.module:Class`, called with `vocab_size` and the options."""
    options: dict[str, JsonValue] = {}
    """Keyword arguments of the class."""


def _variant(given: object) -> str:
    custom = isinstance(given, CustomCodecConfig) or (isinstance(given, dict) and "kind" in given)
    return "custom" if custom else "composed"


AnyCodecConfig: TypeAlias = Annotated[
    Annotated[CodecConfig, Tag("composed")] | Annotated[CustomCodecConfig, Tag("custom")],
    Discriminator(_variant),
]
"""The type of a scenario's `codec:` field."""
