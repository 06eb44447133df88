"""The methods compared, and what is asked of them."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from costeer.codec.config import AnyCodecConfig, CodecConfig
from costeer.errors import ConfigError
from costeer.gate import GateConfig
from costeer.lookup import CloudDraftsConfig
from costeer.methods import Method, method_named
from costeer.overlap import OverlapConfig
from costeer.padding import PaddingConfig
from costeer.refinement import RefineConfig
from costeer.sampling import SamplingConfig
from costeer.speculation import SpeculationConfig
from costeer.steering import StrengthConfig
from experiments.scenario.lengths import LengthsConfig
from experiments.scenario.section import Section

_STEERED_ALONE = ("strength", "codec", "refine", "padding", "speculation", "gate", "overlap")


class ArmConfig(Section):
    """One method with its settings; every arm runs the same fleet and the same prompts."""

    method: str
    """Name of the method."""
    strength: StrengthConfig | None = None
    """How strongly Δ steers (a bare number is c); steered methods have the paper's by default. Of
    `contrastive` it is its paper's β, of `context_steering` its paper's λ, which may be negative
    (−1: as if there were no context)."""
    codec: AnyCodecConfig | None = None
    """How logits go down; dense fp16 by default. Steered methods alone."""
    refine: RefineConfig | None = None
    """What a device does when a choice is not certified. Steered methods alone."""
    padding: PaddingConfig | None = None
    """Buckets that frame sizes are filled up to; none by default. Steered methods alone."""
    speculation: SpeculationConfig | None = None
    """How devices draft, so that one exchange may bring several tokens; none by default. Which
    tokens are chosen does not depend on it, unless its `theta` says so. Steered methods alone."""
    cloud_drafts: CloudDraftsConfig | None = None
    """How the cloud drafts for what it streams, so that one forward may bring several tokens; none
    by default. Which tokens are chosen does not depend on it. Streamed methods alone."""
    gate: GateConfig | None = None
    """When steering pauses, and when it comes back. `adacosteer` alone."""
    overlap: OverlapConfig | None = None
    """What devices do while they wait for the cloud. By default the small model runs, and Δ is
    charged behind it (simulated) or comes with it (live); which tokens are chosen does not depend
    on it. Steered methods without drafts, which overlap by themselves."""
    sampling: SamplingConfig = SamplingConfig()
    """How tokens are chosen; greedy by default."""

    @field_validator("method")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            method_named(name)
        except ConfigError as error:
            raise ValueError(str(error).removeprefix("method: ")) from error
        return name

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:  # noqa: ANN401 - pydantic hands over what was written
        if not isinstance(given, dict):
            return given
        try:
            method = method_named(given.get("method", ""))
        except ConfigError:
            return given  # the field says what is wrong with it
        filled = {key: value for key, value in given.items() if value is not None}
        if method.guided:
            return {"strength": {"c": method.default_c}} | filled
        if not (method.steered or method.verified):
            return given
        if method.drafts is not None:
            drafts = filled.setdefault("speculation", method.drafts)
            if isinstance(drafts, dict):
                own = method.drafts.model_dump(include={"theta", "draft"})
                filled["speculation"] = own | drafts
        if not method.steered:
            return filled
        usual = {"T": method.default_strength, "c": method.default_c}
        filled.setdefault(
            "strength", {key: value for key, value in usual.items() if value is not None}
        )
        filled.setdefault("codec", CodecConfig())
        filled.setdefault("refine", RefineConfig())
        if method.gated:
            filled.setdefault("gate", GateConfig())
        return filled

    @model_validator(mode="after")
    def _fits_method(self) -> Self:
        if not self.settings.steered:
            for name in _STEERED_ALONE:
                drafts = name == "speculation" and self.settings.verified
                applies = drafts or (name == "strength" and self.settings.guided)
                if getattr(self, name) is not None and not applies:
                    raise ValueError(f"{name} has no effect on {self.method}: leave it out")
        told = self.speculation
        if self.settings.verified and told is not None and (told.theta or told.draft != "generic"):
            raise ValueError(
                f"speculation: {self.method} has the branch without context alone, and steers"
                " nothing; write draft: generic, and no theta"
            )
        streams = self.settings.streamed and not self.settings.guided
        if self.cloud_drafts is not None and not streams:
            raise ValueError(f"cloud_drafts has no effect on {self.method}: leave it out")
        if self.gate is not None and not self.settings.gated:
            raise ValueError(f"gate has no effect on {self.method}: leave it out")
        if self.settings.gated and self.speculation is not None:
            raise ValueError(
                f"speculation: devices under {self.method} do not draft, its cloud goes on by"
                " itself where it is sure; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _neighbour_fits(self) -> Self:
        method = self.settings
        if self.strength is not None and self.strength.c < 0 and not method.guided:
            raise ValueError(
                f"strength: {self.strength.c:g} is below 0, where no choice of {self.method} could"
                " be certified; give 0 or more"
            )
        if method.floor is not None:
            if isinstance(self.codec, CodecConfig) and self.codec.reference == "exact":
                raise ValueError(
                    f"codec.reference: {self.method} compares logits with the best one's share,"
                    " which needs the rounded row; leave it out"
                )
            if self.overlap is not None and self.overlap.sparse:
                raise ValueError(f"overlap.sparse has no effect on {self.method}: leave it out")
        if method.contrasts and (self.sampling.temperature > 0 or self.speculation is not None):
            raise ValueError(
                f"{self.method} weighs logits by 1 + strength and drafts nothing; choose"
                " temperature: 0 and leave speculation out"
            )
        return self

    @model_validator(mode="after")
    def _overlap_fits(self) -> Self:
        if self.overlap is None:
            return self
        if self.speculation is not None or self.gate is not None:
            raise ValueError(
                "overlap is of decoding step by step: devices that draft, or whose steering"
                " pauses, do not wait in this way; leave it out"
            )
        if self.overlap.sparse and self.sampling.temperature > 0:
            raise ValueError(
                "overlap.sparse: at a temperature every token's noise has to be looked at; leave it"
                " out, or choose temperature: 0"
            )
        return self

    @property
    def settings(self) -> Method:
        """Who sees what, who chooses, what crosses."""
        return method_named(self.method)


class WorkloadConfig(Section):
    """What users ask for."""

    prompts: str = "held-out"
    """`held-out` or `dev` (rows for looking and choosing), `test`, `test-templates`, or the path
    of a file: rows of one's own, or of the paper's datasets (JSONL, JSON, CSV)."""
    preference: str | None = Field(default=None, min_length=1)
    """Asks for answers "as … as possible" where a file holds questions without a context: the
    paper's are `concise`, `creative`, `uplifting`, `verbose`."""
    history: int = Field(default=5, ge=1)
    """Earlier texts before the query, where a file holds a user's history."""
    reranker: str | None = None
    """Folder or hub name of a cross-encoder that orders a history after BM25."""
    noise: float = Field(default=0.0, ge=0, le=100)
    """Irrelevant lines, from other rows' contexts, per line of a private context."""
    limit: int | None = Field(default=None, ge=1)
    """Use only so many rows, from the first; all of them by default."""
    max_new_tokens: int = Field(default=64, ge=1, le=1_000_000)
    """Tokens of an answer, at most."""
    ignore_eos: bool = False
    """Run every answer to `max_new_tokens`."""
    lengths: LengthsConfig | None = None
    """Lengths that differ from request to request, where no text says them (`values: generated` and
    `null`)."""
    duration_s: float | None = Field(default=None, gt=0, le=1e7)
    """Simulated time after which everything stops, seconds; requests under way count as censored.
    Every request is served to its end if not given."""
    warmup_s: float = Field(default=0.0, ge=0, le=1e7)
    """Requests that come within so long of the start are served but not counted, seconds."""

    @model_validator(mode="after")
    def _something_counted(self) -> Self:
        if self.duration_s is not None and self.warmup_s >= self.duration_s:
            raise ValueError(
                f"warmup_s: {self.warmup_s:g} s leave nothing of duration_s: {self.duration_s:g};"
                " shorten the warm-up"
            )
        return self
