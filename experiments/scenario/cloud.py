"""The large model's side, and what simulated forwards are charged as."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from experiments.scenario.section import HardwareName, Section, ShapeName
from netsim.sharing import Discipline


class RetryConfig(Section):
    """How long devices wait for the cloud's answer, and what they do then."""

    timeout_s: float = Field(default=2.0, gt=0, le=86_400)
    """How long the first try is waited for, seconds; more than a first token takes, queue and
    prompt included."""
    tries: int = Field(default=3, ge=1, le=32)
    """Times that a frame is sent, the first one included."""
    backoff: float = Field(default=2.0, ge=1, le=100)
    """Each further try is waited for so many times as long (no unit)."""
    jitter: float = Field(default=0.1, ge=0, lt=1)
    """A wait is longer or shorter by at most this share of it (no unit), each session its own."""
    fallback: Literal["none", "slm_with"] = "none"
    """After the last try the request fails (`none`), or the device finishes the answer on its own
    small model, with the private context (`slm_with`; steered methods)."""


class CloudConfig(Section):
    """The large model's side."""

    replicas: int = Field(default=1, ge=1, le=100_000)
    """Copies of the large model, each with devices, memory and a way out of its own."""
    hardware: HardwareName = "h100"
    """Name of the device that the large model is charged as."""
    max_batch: int = Field(default=64, ge=1, le=65_536)
    """Rows of one forward."""
    chunk_tokens: int = Field(default=512, ge=1)
    """Prompt tokens of one forward, over all its rows."""
    kv_bytes: int | Literal["auto"] = "auto"
    """Memory for keys and values, bytes; `auto` is what the hardware has left beside the
    model, and the small one where that drafts for it."""
    kv_tokens: int | None = Field(default=None, ge=1)
    """The same in tokens; replaces `kv_bytes`."""
    when_full: Literal["queue", "reject", "preempt"] = "queue"
    """What becomes of a session for which there is no memory. With `queue` and `reject` a session
    reserves its prompt and all that it may generate, and one that does not fit waits, or is told so
    and fails. With `preempt` it holds its present text alone, so more fit; where texts outgrow the
    memory, whoever was admitted last is evicted, and is computed again when there is room."""
    idle_timeout_s: float = Field(default=60.0, gt=0, le=86_400)
    """Silence after which a session is dropped, seconds."""
    retry: RetryConfig | None = None
    """When devices ask again and when they give the cloud up; they wait for ever without it."""
    egress_mbps: float = Field(default=10_000.0, gt=0, le=1e6)
    """Rate of the cloud's way out, shared by all devices, Mbit/s."""
    egress_sharing: Discipline = Discipline.FIFO
    """How they share it: `fifo` (frame by frame) or `ps` (at the same time, max-min fairly)."""

    @field_validator("kv_bytes")
    @classmethod
    def _some_memory(cls, kv_bytes: int | str) -> int | str:
        if isinstance(kv_bytes, int) and kv_bytes < 1:
            raise ValueError(f"{kv_bytes} bytes hold no token; give more, or auto")
        return kv_bytes

    @model_validator(mode="after")
    def _memory_said_once(self) -> Self:
        if self.kv_tokens is not None and self.kv_bytes != "auto":
            raise ValueError("kv_bytes and kv_tokens say the same thing; give one of them")
        return self


class CostFactors(Section):
    """What multiplies the charged times: 1 leaves them, 0.5 is twice as fast."""

    cloud_forward: float = Field(default=1.0, gt=0, le=1e4)
    """Forwards of the large model."""
    cloud_logits: float = Field(default=1.0, gt=0, le=1e4)
    """Selecting, encoding and choosing at the cloud."""
    edge_forward: float = Field(default=1.0, gt=0, le=1e4)
    """Forwards of the small model."""
    edge_logits: float = Field(default=1.0, gt=0, le=1e4)
    """Decoding, steering and choosing on a device."""


class TimingConfig(Section):
    """What simulated forwards are charged as, whatever really computed the values."""

    cloud_model: ShapeName = "qwen2.5-7b"
    """Name of the model that a cloud forward is charged as."""
    edge_model: ShapeName = "qwen2.5-1.5b"
    """Name of the model that a device's forward is charged as."""
    calibration: Path | None = None
    """File written by `costeer calibrate`: all operations are charged by it, whatever hardware is
    named."""
    factors: CostFactors = CostFactors()
    """What multiplies them all, for studies of what a faster part would bring."""
