"""Which models compute the values, how they are held, and how prompts reach them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from actors.models.numerics import Numerics
from actors.models.options import Attention, Decode, Head, HostOptions, Quantisation
from costeer.errors import ConfigError
from experiments.scenario.section import Section

if TYPE_CHECKING:
    from actors.models.chat import Chat

SHIPPED_MODELS = Path(__file__).parent.parent / "pair" / "models"
"""The folders of the shipped models."""


class HfModel(Section):
    """A causal language model in Hugging Face format."""

    kind: Literal["hf"] = "hf"
    """`hf`."""
    path: str = Field(min_length=1)
    """`pair/llm` or `pair/slm` (the shipped pair), a local folder, or a hub name."""
    device: str = Field(default="cpu", min_length=1)
    """Where it lives: `cpu`, `cuda`, `cuda:1`, or `auto` (spread over the GPUs there are)."""
    gpus: float | None = Field(default=None, ge=0, le=64)
    """Accelerators that each actor of it takes on a Ray cluster, parts of one allowed; by default
    one where `device` is not `cpu`, else none."""
    quantisation: Quantisation = Quantisation.NONE
    """How its weights are kept: `none`, `int8` or `int4` (torchao)."""
    attention: Attention = Attention.SDPA
    """`sdpa`, or `eager` (for models that cap attention logits, such as Gemma 2)."""
    head: Head = Head.MODEL
    """In what logits are computed: the `model`'s numerics, or `fp32`."""
    decode: Decode = Decode.EAGER
    """Steps of decoding: `eager`, or `graphs` (recorded as CUDA graphs; on one GPU)."""
    delivery: Literal["path", "object_store"] = "path"
    """How it reaches a cluster's nodes: `path` (each reads it itself, from a folder that all share
    or from the hub), or `object_store` (the driver's copy is sent to those that need it)."""

    @property
    def location(self) -> str:
        """The folder or hub name; the shipped pair's folder, wherever the project is installed."""
        family, _, name = self.path.partition("/")
        shipped = SHIPPED_MODELS / name
        return str(shipped) if family == "pair" and shipped.is_dir() else self.path

    @property
    def title(self) -> str:
        """What reports call it."""
        return self.path

    @property
    def needed_gpus(self) -> float:
        """Accelerators that an actor takes."""
        if self.gpus is not None:
            return self.gpus
        return 0.0 if self.device == "cpu" else 1.0

    @property
    def options(self) -> HostOptions:
        """How its host holds it."""
        return HostOptions(self.device, self.quantisation, self.attention, self.head, self.decode)


class OpenAiModel(Section):
    """A large model behind an OpenAI-compatible completions server: vLLM, SGLang, llama.cpp.

    It reports log-probabilities of its best tokens, so an arm has to do with so many ranks.
    """

    kind: Literal["openai"]
    """`openai`."""
    url: str
    """Address of the server, up to and with `/v1`."""
    model: str = ""
    """Name of the model at the server; may be left out where it has one alone."""
    tokenizer: str | None = Field(default=None, min_length=1)
    """Folder or hub name of its tokenizer; the small model's by default."""
    top_logprobs: int = Field(default=20, ge=1, le=10_000)
    """Tokens whose log-probabilities are asked for; many servers allow 20."""
    max_context: int = Field(default=8192, ge=1)
    """Tokens of one session that the server allows."""
    timeout_s: float = Field(default=60.0, gt=0, le=3600)
    """For one answer, seconds."""
    retries: int = Field(default=3, ge=0, le=20)
    """How often a request that got no answer is made again, after pauses that double."""
    key_variable: str = Field(default="OPENAI_API_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Environment variable that holds the server's key; need not exist."""

    @field_validator("url")
    @classmethod
    def _is_web_address(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url} is no address of a server; give http://HOST:PORT/v1")
        return url

    @property
    def title(self) -> str:
        """What reports call it."""
        return self.model or self.url


def _kind_of(given: Any) -> str:  # noqa: ANN401 - pydantic hands over what was written
    kind = given.get("kind", "hf") if isinstance(given, dict) else getattr(given, "kind", "hf")
    return str(kind)


CloudModel: TypeAlias = Annotated[
    Annotated[HfModel, Tag("hf")] | Annotated[OpenAiModel, Tag("openai")],
    Discriminator(
        _kind_of,
        custom_error_type="model_kind",
        custom_error_message="kind is neither hf nor openai; choose one",
    ),
]


class ChatConfig(Section):
    """Prompts wrapped in the large model's chat template."""

    system: str | None = None
    """The system prompt; the template's own by default, an empty one if empty."""
    thinking: bool = False
    """Let a model think aloud first, where its template has a switch (Qwen3)."""
    date: str | None = None
    """The day that a template may name (Llama's do); `26 Jul 2024` by default."""

    def build(self) -> Chat:
        """The same for `actors.models.chat`."""
        from actors.models.chat import FIXED_DATE, Chat  # noqa: PLC0415 - transformers

        return Chat(self.system, self.thinking, self.date or FIXED_DATE)


class SameTokens(Section):
    """One vocabulary for both models."""

    kind: Literal["same"] = "same"
    """`same`."""


class SharedTokens(Section):
    """Tokens of the same bytes in both vocabularies are steered, the large model's others not."""

    kind: Literal["intersection"]
    """`intersection`."""


class AlignedBytes(Section):
    """Every token of the large model is steered by what the small one makes of its bytes."""

    kind: Literal["bytes"]
    """`bytes`."""
    depth: int = Field(default=1, ge=0, le=8)
    """How many of its own tokens the device looks ahead, one more forward each; with 0, tokens of
    the large model that begin alike in the small one's share their Δ."""
    width: int = Field(default=4, ge=1, le=64)
    """Beginnings of tokens that a look ahead follows, rows of each branch."""
    least: float = Field(default=0.01, ge=0, le=1)
    """Probability of a beginning, with or without the context, below which it is not followed."""


Alignment: TypeAlias = Annotated[
    SameTokens | SharedTokens | AlignedBytes, Field(discriminator="kind")
]


class ModelsConfig(Section):
    """The two models."""

    cloud: CloudModel = HfModel(path="pair/llm")
    """The large model, in the cloud: of this laboratory's own (`hf`), or of a server (`openai`)."""
    edge: HfModel = HfModel(path="pair/slm")
    """The small model, on every device."""
    numerics: Numerics = Numerics.BATCH_INVARIANT
    """`batch-invariant` (same bits whoever shares the batch), `fp32` or `bf16`."""
    alignment: Alignment = SameTokens()
    """What steers where the models' tokens differ: `same` (refused then), `intersection`, or
    `bytes`."""
    chat: ChatConfig | None = None
    """Wrap prompts in the chat template; as they stand by default."""
    end_tokens: tuple[str, ...] = ()
    """Tokens that end a text beside those that the model names, as the vocabulary writes them."""

    @model_validator(mode="before")
    @classmethod
    def _shipped_unless_said(cls, given: Any) -> Any:  # noqa: ANN401 - what was written
        """Let a party that says no path keep the shipped one, whatever else it says."""
        if not isinstance(given, dict):
            return given
        filled = dict(given)
        for party, path in (("cloud", "pair/llm"), ("edge", "pair/slm")):
            model = filled.get(party)
            if isinstance(model, dict) and model.get("kind", "hf") == "hf":
                filled[party] = {"path": path} | model
        return filled

    @model_validator(mode="after")
    def _invariant_is_whole(self) -> Self:
        if self.numerics is not Numerics.BATCH_INVARIANT:
            return self
        for party, model in (("cloud", self.cloud), ("edge", self.edge)):
            for key, plain in (("quantisation", Quantisation.NONE), ("head", Head.MODEL)):
                value = getattr(model, key, plain)
                if value is not plain:
                    raise ValueError(
                        f"{party}.{key}: {value.value} has no batch-invariant form; choose numerics"
                        " fp32 or bf16"
                    )
        return self

    @property
    def tokenizer_location(self) -> str:
        """Where the tokenizer that texts are encoded with lies."""
        if isinstance(self.cloud, HfModel):
            return self.cloud.location
        return self.cloud.tokenizer or self.edge.location

    @property
    def aligned(self) -> bool:
        """Whether the small model has its own vocabulary."""
        return not isinstance(self.alignment, SameTokens)

    def hosted_cloud(self, purpose: str) -> HfModel:
        """Return the large model where its whole rows of logits are needed.

        Raises:
            ConfigError: it is at a server, which tells of its best tokens alone.
        """
        if isinstance(self.cloud, HfModel):
            return self.cloud
        raise ConfigError(
            f"models.cloud: {purpose} needs whole rows of logits, a completions server tells of"
            " its best tokens alone; give a model of kind: hf"
        )
