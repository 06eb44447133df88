"""What an access link is like: one profile for all devices of a class, or figures of their own.

Unless it is told to spread (netsim/spread.py), every device of a profile has the same figures: then
two runs differ in what was changed and in nothing else, and a name means the numbers in the table
of netsim/presets.py. `own_figures` is where a class's profile becomes its devices' own.
"""

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from netsim.carriage import UNLIMITED
from netsim.link import Bursts, Direction, Link
from netsim.random import Floats, Integers, Stream, uniforms
from netsim.spread import Spread
from netsim.trace import RateTrace
from netsim.transport import IDEAL, TCP, Transport, time_out_ns

_WITHOUT_LIMIT_BYTES = 2**31 - 1
Int64s: TypeAlias = npt.NDArray[np.int64]


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
    down_rates: RateTrace | None = None
    """The rate towards the device over time, before a device's own beginning is drawn."""
    up_rates: RateTrace | None = None
    """The same from the device."""
    offset_ns: int | None = None
    """Where in the traces every device begins; None to draw it for each."""
    spread: Spread | None = None
    """How its devices differ; None for the same figures on every device."""

    def spreading(self, spread: Spread) -> "LinkProfile":
        """The profile whose devices differ. Percentiles that tell devices apart are no jitter."""
        if not spread.rtt_ns:
            return replace(self, spread=spread)
        return replace(
            make_profile(
                self.name,
                self.source,
                down_mbps=self.down.rate_bps / 1e6,
                up_mbps=self.up.rate_bps / 1e6,
                rtt_s=spread.rtt_ns / 1e9,
                loss=self.down.loss,
                buffer_bytes=self.down.buffer_bytes,
                bursts=self.down.bursts,
                transport=self.transport,
            ),
            spread=spread,
        )

    def times(self, rtt: float = 1.0, rate: float = 1.0) -> "LinkProfile":
        """The profile with round trip and jitter, and with rates, so many times as large."""
        jitter_ns = self.down.jitter_ns + self.up.jitter_ns
        kept_time_out = self.down.loss_delay_ns != time_out_ns(self.rtt_ns, jitter_ns)

        def direction(of: Direction) -> Direction:
            return replace(
                of,
                rate_bps=round(of.rate_bps * rate),
                propagation_ns=round(of.propagation_ns * rtt),
                jitter_ns=round(of.jitter_ns * rtt),
            )

        down, up = direction(self.down), direction(self.up)
        if not kept_time_out:
            loss_delay_ns = time_out_ns(
                down.propagation_ns + up.propagation_ns, down.jitter_ns + up.jitter_ns
            )
            down, up = (replace(each, loss_delay_ns=loss_delay_ns) for each in (down, up))
        told = [f"{word} × {by:g}" for word, by in (("rtt", rtt), ("rate", rate)) if by != 1]
        spread = self.spread
        if spread is not None:
            spread = replace(spread, rtt_ns=round(spread.rtt_ns * rtt))
        return replace(
            self,
            name=f"{self.name} ({', '.join(told)})" if told else self.name,
            down=down,
            up=up,
            spread=spread,
            source=f"{self.source}; declared: {', '.join(told)}" if told else self.source,
        )

    def following(
        self, down: RateTrace | None, up: RateTrace | None, offset_ns: int | None = None
    ) -> "LinkProfile":
        """The profile with rates that follow traces; None leaves a direction as it is."""

        def mean(direction: Direction, trace: RateTrace | None) -> Direction:
            return direction if trace is None else replace(direction, rate_bps=trace.mean_bps)

        return replace(
            self,
            down=mean(self.down, down),
            up=mean(self.up, up),
            down_rates=down,
            up_rates=up,
            offset_ns=offset_ns,
        )

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
        return carried_bytes(self.down.rate_bps, self.mean_round_trip_ns)


def carried_bytes(rate_bps: int, duration_ns: int) -> int:
    """Return what a way could carry meanwhile; one without limit: 2 GiB."""
    if rate_bps == UNLIMITED:
        return _WITHOUT_LIMIT_BYTES
    return min(rate_bps * duration_ns // 8_000_000_000, _WITHOUT_LIMIT_BYTES)


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
        time_out_ns(rtt_ns, sum(round(each * 1e9) for each in jitter_s))
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


@dataclass(frozen=True, slots=True)
class OwnFigures:
    """What the devices of a class have of their own; one entry per device, shape (N,)."""

    down_bps: Int64s
    """Rate towards the device; with a trace its mean."""
    up_bps: Int64s
    """Rate from the device."""
    rtt_ns: Int64s
    """Round trip of the empty, idle link without jitter."""
    loss_delay_ns: Int64s
    """Retransmission time-out."""
    offset_ns: Int64s
    """Where in its traces a device begins; 0 without any."""


def own_figures(profile: LinkProfile, seed: int, devices_N: Integers) -> OwnFigures:
    """What each of these devices has, if it is of this class. A pure function of its arguments.

    A device's figures do not depend on who else is asked for.
    """
    devices_N = np.asarray(devices_N)
    spread, down, up = profile.spread, profile.down, profile.up
    down_bps_N, up_bps_N, rtt_ns_N = (
        np.full(devices_N.shape, each, np.int64)
        for each in (down.rate_bps, up.rate_bps, profile.rtt_ns)
    )
    loss_delay_ns_N = np.full(devices_N.shape, down.loss_delay_ns, np.int64)
    if spread is not None:
        down_N, up_N, rtt_N = spread.factors(seed, devices_N)
        if profile.down_rates is None:
            down_bps_N = _multiplied(down.rate_bps, down_N)
        if profile.up_rates is None:
            up_bps_N = _multiplied(up.rate_bps, up_N)
        rtt_ns_N = _multiplied(profile.rtt_ns, rtt_N)
        jitter_ns = down.jitter_ns + up.jitter_ns
        if down.loss_delay_ns == time_out_ns(profile.rtt_ns, jitter_ns):
            loss_delay_ns_N = rtt_ns_N + time_out_ns(0, jitter_ns)
    return OwnFigures(
        down_bps_N, up_bps_N, rtt_ns_N, loss_delay_ns_N, _offsets_ns(profile, seed, devices_N)
    )


def _multiplied(value: int, factors_N: Floats) -> Int64s:
    return np.rint(value * factors_N).astype(np.int64)


def _offsets_ns(profile: LinkProfile, seed: int, devices_N: Integers) -> Int64s:
    """Both directions begin at the same time of their recording."""
    periods_ns = [each.period_ns for each in (profile.down_rates, profile.up_rates) if each]
    if profile.offset_ns is not None or not periods_ns:
        return np.full(devices_N.shape, profile.offset_ns or 0, np.int64)
    shares_N = uniforms(seed, Stream.TRACE_OFFSET, devices_N, 0)
    return (shares_N * max(periods_ns)).astype(np.int64)


def drawn(profile: LinkProfile, seed: int, device: int) -> LinkProfile:
    """What one device of a class has: `own_figures` of this device alone."""
    if profile.spread is None and profile.down_rates is None and profile.up_rates is None:
        return profile
    own = own_figures(profile, seed, np.array([device]))
    rtt_ns, loss_delay_ns = int(own.rtt_ns[0]), int(own.loss_delay_ns[0])

    def direction(
        of: Direction, trace: RateTrace | None, rate_bps: int, propagation_ns: int
    ) -> Direction:
        return replace(
            of,
            rate_bps=rate_bps,
            propagation_ns=propagation_ns,
            loss_delay_ns=loss_delay_ns,
            trace=trace and trace.starting_at(int(own.offset_ns[0])),
        )

    half_ns = rtt_ns // 2
    return replace(
        profile,
        down=direction(profile.down, profile.down_rates, int(own.down_bps[0]), rtt_ns - half_ns),
        up=direction(profile.up, profile.up_rates, int(own.up_bps[0]), half_ns),
        down_rates=None,
        up_rates=None,
        spread=None,
    )


def link_for(profile: LinkProfile, seed: int, device: int) -> Link:
    """The link of one device of a class. A pure function of its arguments."""
    profile = drawn(profile, seed, device)
    return Link(profile.down, profile.up, seed=seed, device=device, transport=profile.transport)
