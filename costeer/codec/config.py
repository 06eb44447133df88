"""What a person writes about a codec: four independent choices, each with a short form.

Long: `{select: {kind: top_k, k: 64}, values: bf16, layout: naive, entropy: {kind: zstd}}`.
Short: `select: dense`, `select: top64`, `select: topp0.95`, `select: floor0.01max256`,
`select: adaptive`, `select: adaptive16to4096`,
`values: step0.25`, `entropy: none`, `entropy: zstd`, `entropy: zstd9`; or the whole codec by the
name that tables give it: `top64-bf16-naive-zstd3`, `topp0.95-step0.25-packed-exact`.
One's own: `{kind: "package.module:Class", options: {…}}`.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    PlainSerializer,
    Tag,
    model_validator,
)

_FROZEN = ConfigDict(extra="forbid", frozen=True)
_BASE64 = "base64:"


def _dictionary(given: object) -> object:
    """The bytes of a dictionary: as they are, in base64, or from a file."""
    if not isinstance(given, (str, Path)):
        return given
    text = str(given)
    if text.startswith(_BASE64):
        return b64decode(text.removeprefix(_BASE64), validate=True)
    try:
        return Path(text).read_bytes()
    except OSError as error:
        raise ValueError(f"zstd dictionary {text!r} cannot be read: {error.strerror}") from error


def _as_text(dictionary: bytes | None) -> str | None:
    return None if dictionary is None else _BASE64 + b64encode(dictionary).decode()


_AS_TEXT = PlainSerializer(_as_text)


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


class TopPConfig(BaseModel):
    """The fewest ranks whose probabilities sum to p, before any steering."""

    model_config = _FROZEN

    kind: Literal["top_p"] = "top_p"
    """`top_p`."""
    p: float = Field(gt=0, lt=1)
    """Probability to be reached (no unit)."""
    k_max: int = Field(default=1024, ge=1, lt=2**31)
    """Tokens in the first payload of a position, at most."""


class FloorConfig(BaseModel):
    """The tokens that are at least a times as probable as the most probable one."""

    model_config = _FROZEN

    kind: Literal["floor"] = "floor"
    """`floor`."""
    a: float = Field(gt=0, le=1)
    """Share of the largest probability (no unit)."""
    k_max: int = Field(default=1024, ge=1, lt=2**31)
    """Tokens in the first payload of a position, at most."""


class AdaptiveConfig(BaseModel):
    """The k largest logits, k learnt from the MORE requests so far for the link at hand."""

    model_config = _FROZEN

    kind: Literal["adaptive"] = "adaptive"
    """`adaptive`."""
    k_min: int = Field(default=4, ge=1, lt=2**31)
    """Tokens in the first payload of a position, at least."""
    k_max: int = Field(default=4096, ge=1, lt=2**31)
    """Tokens in the first payload of a position, at most."""

    @model_validator(mode="after")
    def _ordered(self) -> AdaptiveConfig:
        if self.k_min > self.k_max:
            raise ValueError(f"adaptive: k_min = {self.k_min} exceeds k_max = {self.k_max}")
        return self


class StepConfig(BaseModel):
    """Multiples of a step, 16 bits each: sign and magnitude."""

    model_config = _FROZEN

    kind: Literal["step"] = "step"
    """`step`."""
    step_nats: float = Field(ge=1e-4, le=100)
    """Distance of neighbouring values (nats)."""


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
    dictionary: Annotated[bytes | None, BeforeValidator(_dictionary), _AS_TEXT] = None
    """Trained dictionary: the path of a file, or `base64:` and its content (written so when a
    scenario is resolved)."""


def _select_short(given: object) -> object:
    if not isinstance(given, str):
        return given
    if match := re.fullmatch(r"top_?k?(\d+)", given):
        return {"kind": "top_k", "k": int(match[1])}
    if match := re.fullmatch(r"(topp|floor)([\d.]+)(?:max(\d+))?", given):
        kind, share = ("top_p", "p") if match[1] == "topp" else ("floor", "a")
        cap = {"k_max": int(match[3])} if match[3] else {}
        return {"kind": kind, share: match[2], **cap}
    if match := re.fullmatch(r"adaptive(?:(\d+)to(\d+))?", given):
        bounds = {"k_min": int(match[1]), "k_max": int(match[2])} if match[1] else {}
        return {"kind": "adaptive", **bounds}
    return {"kind": given}


def _values_short(given: object) -> object:
    match = re.fullmatch(r"step([\d.]+)", given) if isinstance(given, str) else None
    return {"kind": "step", "step_nats": match[1]} if match else given


def _entropy_short(given: object) -> object:
    if given is None:  # YAML reads a bare `entropy:` and `null` so
        return {"kind": "none"}
    if isinstance(given, str):
        match = re.fullmatch(r"zstd-?(\d+)", given)
        return {"kind": "zstd", "level": int(match[1])} if match else {"kind": given}
    return given


SelectConfig: TypeAlias = Annotated[
    Annotated[
        DenseConfig | TopKConfig | TopPConfig | FloorConfig | AdaptiveConfig,
        Field(discriminator="kind"),
    ],
    BeforeValidator(_select_short),
]
ValuesConfig: TypeAlias = Annotated[
    Literal["fp32", "fp16", "bf16", "int8"] | StepConfig, BeforeValidator(_values_short)
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
    values: ValuesConfig = "fp16"
    """Number format; ranks refer to the row rounded to it. `int8`: 255 levels from the row's least
    to its largest logit."""
    layout: Literal["naive", "planar", "packed"] = "naive"
    """Arrangement of ids and values in bytes."""
    entropy: EntropyConfig = NoEntropyConfig()
    """Stage over the finished body."""
    reference: Literal["rounded", "exact"] = "rounded"
    """What a certificate refers to: the row as it travels, or the row before rounding, each value
    then known to an interval."""

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        choices, parts = ("select", "values", "layout", "entropy"), given.split("-")
        reference = parts.pop() if parts[-1] in {"exact", "rounded"} else "rounded"
        if len(parts) > len(choices):
            raise ValueError(f"codec name {given!r} has more than {'-'.join(choices)}")
        return {**dict(zip(choices, parts, strict=False)), "reference": reference}


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


def is_adaptive(codec: AnyCodecConfig | None) -> bool:
    """Whether a codec leaves it to the engine how many ranks it sends first."""
    return isinstance(codec, CodecConfig) and isinstance(codec.select, AdaptiveConfig)
