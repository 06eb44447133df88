"""Links that a person writes in a scenario."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from netsim.link import Bursts
from netsim.presets import profile_named
from netsim.profiles import LinkProfile, make_profile
from netsim.spread import SPREADS
from netsim.trace import MAX_WAIT_NS
from netsim.transport import TCP, TransportConfig

_MAX_MBPS = 100_000.0
_MAX_RTT_S = 10.0
_SECTIONS = {"profile", "bursts", "trace", "spread", "transport", "rtt_factor", "rate_factor"}
"""Keys of a link that are not one figure."""


class BurstsConfig(BaseModel):
    """Times in which a link loses more than else, in a scenario."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    gap_s: float = Field(gt=0, le=1e6)
    """Mean time between two bursts, seconds."""
    burst_s: float = Field(gt=0, le=1e6)
    """Mean length of a burst, seconds."""
    loss: float = Field(ge=0, lt=1)
    """Probability that a packet is lost within a burst."""

    def __str__(self) -> str:
        return f"bursts={self.loss:g} for {self.burst_s:g} s every {self.gap_s:g} s"

    def resolve(self) -> Bursts:
        """The bursts that this describes."""
        return Bursts(max(round(self.gap_s * 1e9), 1), max(round(self.burst_s * 1e9), 1), self.loss)


class TraceConfig(BaseModel):
    """Rates that follow recordings, in a scenario: a file for one direction or for both.

    `{down: drive.down, up: drive.up}` and `{down: lte-ghent}` are valid. netsim/trace_text.py says
    what recordings may hold; netsim/markov.py what a model is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    down: str | None = Field(default=None, min_length=1)
    """Rate towards the device: a recording, a file of `costeer fit-trace`, or the name of a shipped
    model; the link's own rate if not given."""
    up: str | None = Field(default=None, min_length=1)
    """Rate from the device, likewise."""
    offset_s: float | None = Field(default=None, ge=0, le=1e6)
    """Where in the recording every device begins, seconds; drawn for each one if not given."""
    max_wait_s: float = Field(default=MAX_WAIT_NS / 1e9, gt=0, le=1e6)
    """How long a message waits at most while the rate is 0, seconds; then the run ends."""

    @model_validator(mode="after")
    def _something(self) -> "TraceConfig":
        if self.down is None and self.up is None:
            raise ValueError("a trace needs a file: give down, up or both")
        return self

    def __str__(self) -> str:
        return ", ".join(
            f"{name}={Path(file).name}"
            for name, file in (("down", self.down), ("up", self.up))
            if file is not None
        )


class LinkConfig(BaseModel):
    """A link in a scenario: the name of a profile, one with changes, or all in numbers.

    `lte`, `{profile: lte, loss: 0.01}`, `{down_mbps: 5, up_mbps: 1, rtt_s: 0.04}` and
    `{profile: lte, trace: {down: drive.txt}}` and `{profile: lte, spread: true}` are valid.
    What is not given comes from the profile; without a profile jitter and loss are 0.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    profile: str | None = None
    """Name of a profile to start from."""
    down_mbps: float | None = Field(default=None, gt=0)
    """Rate towards the device, Mbit/s."""
    up_mbps: float | None = Field(default=None, gt=0)
    """Rate from the device, Mbit/s."""
    rtt_s: float | None = Field(default=None, ge=0)
    """Round-trip time of the empty, idle link, seconds; split evenly."""
    jitter_s: float | None = Field(default=None, ge=0)
    """Mean extra delay of a message in each direction, seconds."""
    loss: float | None = Field(default=None, ge=0, lt=1)
    """Probability that a packet is lost, in each direction; 0.01 for 1 %."""
    loss_delay_s: float | None = Field(default=None, ge=0)
    """Retransmission time-out, seconds; what TCP makes of round trip and jitter if not given."""
    buffer_bytes: int | None = Field(default=None, ge=1500)
    """What can wait at the bottleneck, bytes on the wire; more is lost. No limit if not given."""
    bursts: BurstsConfig | None = None
    """Times in which more is lost, in each direction by itself."""
    trace: TraceConfig | None = None
    """Recordings that the rates follow, instead of a constant."""
    spread: bool | None = None
    """Whether the profile's devices differ, each with its own rates and round trip
    (netsim/spread.py); all have the profile's figures if not given."""
    rtt_factor: float | None = Field(default=None, gt=0, le=1000)
    """What multiplies the round trip and the jitter that follow from all the above; 1 if not
    given."""
    rate_factor: float | None = Field(default=None, gt=0, le=1000)
    """What multiplies the rates likewise."""
    transport: TransportConfig | None = None
    """How the two ends talk: `tcp`, `datagram`, `ideal`, or one with changes; `tcp` if neither this
    nor the profile says it."""

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, data: Any) -> Any:  # noqa: ANN401 - pydantic hands over what was written
        return {"profile": data} if isinstance(data, str) else data

    @field_validator("profile")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None:
            profile_named(name)
        return name

    @field_validator("down_mbps", "up_mbps")
    @classmethod
    def _plausible_rate(cls, mbps: float | None) -> float | None:
        if mbps is not None and mbps > _MAX_MBPS:
            raise ValueError(f"{mbps:g} Mbit/s is over 100 Gbit/s: was it meant in kbit/s?")
        return mbps

    @field_validator("rtt_s", "jitter_s", "loss_delay_s")
    @classmethod
    def _plausible_delay(cls, delay_s: float | None) -> float | None:
        if delay_s is not None and delay_s > _MAX_RTT_S:
            raise ValueError(f"{delay_s:g} s is over 10 s: was it meant in ms? 40 ms is 0.04")
        return delay_s

    @model_validator(mode="after")
    def _complete(self) -> "LinkConfig":
        traced = {"down_mbps"} if self.trace and self.trace.down else set[str]()
        traced |= {"up_mbps"} if self.trace and self.trace.up else set[str]()
        if self.spread and self.profile not in SPREADS:
            named = "a link in numbers" if self.profile is None else self.profile
            raise ValueError(f"{named} has no spread; start from another profile, or leave it out")
        twice = [name for name in sorted(traced) if getattr(self, name) is not None]
        if twice:
            raise ValueError(f"{twice[0]} and trace both say the rate; leave one of them out")
        if traced and self.rate_factor is not None:
            raise ValueError("rate_factor and trace both say the rate; leave one of them out")
        if self.profile is None:
            needed = [each for each in ("down_mbps", "up_mbps", "rtt_s") if each not in traced]
            missing = [name for name in needed if getattr(self, name) is None]
            if missing:
                raise ValueError(f"a link without a profile needs {', '.join(missing)} as well")
        return self

    def resolve(self) -> LinkProfile:
        """The profile that this describes; whoever can read files adds what traces say."""
        described = self._described()
        if self.rtt_factor is None and self.rate_factor is None:
            return described
        return described.times(rtt=self.rtt_factor or 1.0, rate=self.rate_factor or 1.0)

    def _described(self) -> LinkProfile:
        base = profile_named(self.profile or "ideal")
        given = self.model_dump(exclude_none=True, exclude=_SECTIONS)
        changed = [f"{key}={value:g}" for key, value in given.items()]
        if self.bursts is not None:
            changed.append(str(self.bursts))
        if self.trace is not None:
            changed.append(f"trace: {self.trace}")
        if self.spread:
            changed.append("spread")
        transport = TCP if self.profile is None else base.transport
        if self.transport is not None:
            transport = self.transport.resolve()
            changed.append(str(self.transport))
        if not changed:
            return base
        changes = ", ".join(changed)
        down, up = base.down, base.up
        loss = given.get("loss", down.loss)
        rtt_s = given.get("rtt_s", base.rtt_ns / 1e9)
        kept_delay_s = None if {"rtt_s", "jitter_s"} & set(given) else down.loss_delay_ns / 1e9
        made = make_profile(
            f"{self.profile or 'custom'}({changes})",
            f"declared: {changes}" + (f"; rest: {base.source}" if self.profile else ""),
            down_mbps=given.get("down_mbps", down.rate_bps / 1e6 or None),
            up_mbps=given.get("up_mbps", up.rate_bps / 1e6 or None),
            rtt_s=rtt_s,
            jitter_s=(
                given.get("jitter_s", down.jitter_ns / 1e9),
                given.get("jitter_s", up.jitter_ns / 1e9),
            ),
            loss=loss,
            loss_delay_s=given.get("loss_delay_s", kept_delay_s),
            buffer_bytes=given.get("buffer_bytes", down.buffer_bytes),
            bursts=down.bursts if self.bursts is None else self.bursts.resolve(),
            transport=transport,
        )
        if not self.spread or self.profile is None:
            return made
        spread = SPREADS[self.profile]
        if {"rtt_s", "jitter_s"} & set(given):  # what is said of the round trip is kept
            spread = replace(spread, rtt_ns=0)
        spreading = made.spreading(spread)
        return replace(spreading, source=f"{made.source}; spread {spread.source}")
