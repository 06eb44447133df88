"""Named links and links that a person writes.

Where a source reports a round-trip time as three percentiles, propagation and jitter are fitted
to it: the model's round trip is a constant plus two exponential delays of mean j, whose
percentiles are 0.532 j (p10) and 3.890 j (p90) above the constant. The medians that follow are
within 2–15 % of the published ones, except for the US 4G row (its distribution leans the other
way). Where a source reports one number, the jitter is 0: not reported is not invented.

The percentiles are over many measurements on many devices; here every device of a profile gets
the same numbers. `link_for` is the seam at which a profile becomes a distribution over devices.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from netsim.link import UNLIMITED, Bursts, Direction, Link
from netsim.names import lookup
from netsim.transport import IDEAL, TCP, Transport, TransportConfig, time_out_ns

_GAMMA2_P10 = 0.532
_GAMMA2_P90 = 3.890
_MAX_MBPS = 100_000.0
_MAX_RTT_S = 10.0
_WITHOUT_LIMIT_BYTES = 2**31 - 1


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """A link by name: what a device of this class has, and who says so."""

    name: str
    """What a scenario calls it."""
    down: Direction
    """Towards the device."""
    up: Direction
    """From the device."""
    source: str
    """Where the numbers come from, in words."""
    transport: Transport = IDEAL
    """How the two ends talk."""

    @property
    def rtt_ns(self) -> int:
        """Round-trip time of an empty, idle link without jitter."""
        return self.down.propagation_ns + self.up.propagation_ns

    @property
    def mean_round_trip_ns(self) -> int:
        """Mean round-trip time of an empty, idle link: with jitter."""
        return self.rtt_ns + self.down.jitter_ns + self.up.jitter_ns

    @property
    def round_trip_bytes(self) -> int:
        """What the way down could carry in a mean round trip; a link without limit: 2 GiB."""
        if self.down.rate_bps == UNLIMITED:
            return _WITHOUT_LIMIT_BYTES
        carried = self.down.rate_bps * self.mean_round_trip_ns // 8_000_000_000
        return min(carried, _WITHOUT_LIMIT_BYTES)


def make_profile(
    name: str,
    source: str,
    *,
    down_mbps: float | None,
    up_mbps: float | None,
    rtt_s: float,
    jitter_s: tuple[float, float] = (0.0, 0.0),
    loss: float = 0.0,
    loss_delay_s: float | None = None,
    buffer_bytes: int = 0,
    bursts: Bursts | None = None,
    transport: Transport = TCP,
) -> LinkProfile:
    """A profile from people's units; rates of None are unlimited, jitter is (down, up).

    The round trip is split evenly. The retransmission time-out is, unless told otherwise, what TCP
    makes of round trip and jitter.
    """
    rtt_ns = round(rtt_s * 1e9)
    loss_delay_ns = (
        time_out_ns(rtt_ns, round(sum(jitter_s) * 1e9))
        if loss_delay_s is None
        else round(loss_delay_s * 1e9)
    )

    def direction(mbps: float | None, propagation_ns: int, jitter: float) -> Direction:
        rate_bps = UNLIMITED if mbps is None else round(mbps * 1e6)
        return Direction(
            rate_bps,
            propagation_ns,
            round(jitter * 1e9),
            loss,
            loss_delay_ns,
            buffer_bytes,
            bursts,
        )

    half_ns = rtt_ns // 2
    return LinkProfile(
        name=name,
        down=direction(down_mbps, rtt_ns - half_ns, jitter_s[0]),
        up=direction(up_mbps, half_ns, jitter_s[1]),
        source=source,
        transport=transport,
    )


def fit_round_trip(p10_s: float, p90_s: float) -> tuple[float, float]:
    """(rtt_s without jitter, mean jitter_s per direction) that give these percentiles."""
    jitter_s = (p90_s - p10_s) / (_GAMMA2_P90 - _GAMMA2_P10)
    return p10_s - _GAMMA2_P10 * jitter_s, jitter_s


def _cellular(
    name: str, source: str, down_mbps: float, up_mbps: float, p10_ms: float, p90_ms: float
) -> LinkProfile:
    rtt_s, jitter_s = fit_round_trip(p10_ms / 1e3, p90_ms / 1e3)
    return make_profile(
        name,
        source,
        down_mbps=down_mbps,
        up_mbps=up_mbps,
        rtt_s=rtt_s,
        jitter_s=(jitter_s, jitter_s),
    )


def _fixed(name: str, source: str, down_mbps: float, up_mbps: float, rtt_ms: float) -> LinkProfile:
    return make_profile(name, source, down_mbps=down_mbps, up_mbps=up_mbps, rtt_s=rtt_ms / 1e3)


_ALL = (
    make_profile(
        "ideal",
        "declared: no limit, no delay; headers are counted",
        down_mbps=None,
        up_mbps=None,
        rtt_s=0.0,
        transport=IDEAL,
    ),
    _fixed("3g", "preset: Chrome DevTools 3G, 0.5/0.5 Mbit/s, 400 ms", 0.5, 0.5, 400),
    _fixed("slow-4g", "preset: Chrome DevTools Slow 4G, 1.6/0.75 Mbit/s, 150 ms", 1.6, 0.75, 150),
    _fixed("fast-4g", "preset: Chrome DevTools Fast 4G, 9/1.5 Mbit/s, 60 ms", 9, 1.5, 60),
    make_profile(
        "4g",
        "preset: Loadero 4G, 100/50 Mbit/s, 45 ms, jitter 5/15 ms, loss 0.2 %",
        down_mbps=100,
        up_mbps=50,
        rtt_s=0.045,
        jitter_s=(0.005, 0.015),
        loss=0.002,
    ),
    _cellular(
        "3g-eu",
        "measured: ERRANT, 3G in Europe, n=91, 13.2/2.7 Mbit/s, RTT p10/50/90 48/80/176 ms",
        13.2,
        2.7,
        48,
        176,
    ),
    _cellular(
        "4g-eu",
        "measured: ERRANT, 4G in Europe, n=909, 27.1/10.6 Mbit/s, RTT p10/50/90 49/85/167 ms",
        27.1,
        10.6,
        49,
        167,
    ),
    _cellular(
        "4g-us",
        "measured: 4G in the US, 117/31 Mbit/s, RTT p10/50/90 53/89/105 ms",
        117,
        31,
        53,
        105,
    ),
    _cellular(
        "lte",
        "measured: LTE in Ireland under load, 6.7 Mbit/s down, RTT p10/50/90 68/84/106 ms; "
        "up declared: 2.6 Mbit/s, the down/up ratio of 4g-eu",
        6.7,
        2.6,
        68,
        106,
    ),
    _cellular(
        "5g-ie",
        "measured: 5G NSA in Ireland, 20 Mbit/s down (p95 226), RTT p10/50/90 66/72/91 ms; "
        "up declared: 8 Mbit/s, the down/up ratio of 4g-eu",
        20,
        8,
        66,
        91,
    ),
    _fixed("5g", "measured: 5G NSA in the US, 136/77 Mbit/s, RTT p50 57 ms", 136, 77, 57),
    _fixed("5g-mmwave", "measured: 5G mmWave in the US, 944/77 Mbit/s, 52 ms", 944, 77, 52),
    _fixed("starlink", "measured: Starlink in the US, 2023, 64.5/9.7 Mbit/s, 60 ms", 64.5, 9.7, 60),
    _fixed(
        "geo",
        "measured: geostationary satellite, 18–20 (19)/<3.5 Mbit/s, RTT 630–724 (677) ms",
        19,
        3.5,
        677,
    ),
    _fixed("cable", "preset: WebPageTest Cable, 5/1 Mbit/s, 28 ms", 5, 1, 28),
    _fixed("dsl", "preset: WebPageTest DSL, 1.5/0.384 Mbit/s, 50 ms", 1.5, 0.384, 50),
    _fixed("fios", "preset: WebPageTest FIOS, 20/5 Mbit/s, 4 ms", 20, 5, 4),
    _fixed(
        "fixed-us", "measured: fixed line in the US, median of 2021, 115/17, 14 ms", 115, 17, 14
    ),
)

PROFILES: Mapping[str, LinkProfile] = MappingProxyType({profile.name: profile for profile in _ALL})
"""Every named profile. Rates are down/up, in Mbit/s."""


def profile_named(name: str) -> LinkProfile:
    """The profile called `name`; NetsimError names the nearest valid one."""
    return lookup(PROFILES, name, "link profile")


def link_for(profile: LinkProfile, seed: int, device: int) -> Link:
    """The link of one device of a class. A pure function of its arguments."""
    return Link(profile.down, profile.up, seed=seed, device=device, transport=profile.transport)


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


class LinkConfig(BaseModel):
    """A link in a scenario: the name of a profile, one with changes, or all in numbers.

    `lte`, `{profile: lte, loss: 0.01}` and `{down_mbps: 5, up_mbps: 1, rtt_s: 0.04}` are valid.
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
        if self.profile is None:
            needed = ("down_mbps", "up_mbps", "rtt_s")
            missing = [name for name in needed if getattr(self, name) is None]
            if missing:
                raise ValueError(f"a link without a profile needs {', '.join(missing)} as well")
        return self

    def resolve(self) -> LinkProfile:
        """The profile that this describes."""
        base = profile_named(self.profile or "ideal")
        given = self.model_dump(exclude_none=True, exclude={"profile", "bursts", "transport"})
        changed = [f"{key}={value:g}" for key, value in given.items()]
        if self.bursts is not None:
            changed.append(str(self.bursts))
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
        return make_profile(
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
