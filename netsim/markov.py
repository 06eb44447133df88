"""Rates that nobody recorded: a Markov chain over states of constant rate, fitted to recordings.

Every step the chain is in one state, which is a rate. A fit cuts the recordings' steps into states
that are visited equally often (one more for no rate at all), so that the percentiles of what is
generated are those of what was recorded. The chances of going from one state to another are
counted, so that a good time is followed by a good time as often as it was. What the chain does not
keep is memory beyond a step.

The chain is made into a `RateTrace`, so that everything that follows a recording follows it too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from netsim.errors import NetsimError
from netsim.random import Stream, uniform_array
from netsim.trace import MAX_BPS, RateTrace, make_trace

MOST_STATES = 100
_TOLERANCE = 1e-6
_LEAST_BPS = 1_000
"""Below 1 kbit/s a link carries nothing that anybody waits for: its state has the rate 0."""
_Floats = npt.NDArray[np.float64]


class RateModel(BaseModel):
    """A chain of rates, as it stands in a file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["markov"] = "markov"
    """`markov`."""
    name: str = Field(min_length=1)
    """What reports call it."""
    origin: Literal["fitted", "published", "declared"]
    """Whether the figures were fitted to recordings, published by somebody, or just said."""
    source: str = Field(min_length=1)
    """Where they are from, in words."""
    step_s: float = Field(gt=0, le=3600)
    """How long the rate stays at least."""
    rates_mbps: tuple[float, ...] = Field(min_length=1, max_length=MOST_STATES)
    """Rate of each state, Mbit/s."""
    transitions: tuple[tuple[float, ...], ...]
    """Row by row: the chance to be in each state a step later; every row makes 1."""

    @model_validator(mode="after")
    def _is_a_chain(self) -> Self:
        count = len(self.rates_mbps)
        if len(self.transitions) != count or any(len(row) != count for row in self.transitions):
            raise ValueError(f"{count} rates need {count} rows of {count} transitions")
        for number, row in enumerate(self.transitions):
            if min(row) < 0 or abs(math.fsum(row) - 1) > _TOLERANCE:
                raise ValueError(f"transitions: row {number} is no distribution; it has to make 1")
        if min(self.rates_mbps) < 0 or max(self.rates_mbps) * 1e6 > MAX_BPS:
            raise ValueError("rates_mbps: rates lie between 0 and 100 Gbit/s")
        if max(self.rates_mbps) == 0:
            raise ValueError("rates_mbps: every rate is 0, nothing would ever arrive")
        return self

    @classmethod
    def from_json(cls, text: str, where: str) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            NetsimError: it is something else; ``where`` names it.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(map(str, first["loc"]))
            raise NetsimError(
                f"{where}: {key or 'no model'}: {first['msg']}; make one with `costeer fit-trace`"
            ) from None

    def to_json(self) -> str:
        """Return the model as JSON text."""
        return self.model_dump_json(indent=1) + "\n"

    def generate(self, seed: int, number: int, steps: int) -> RateTrace:
        """Return a loop of so many steps; a pure function of its arguments.

        Args:
            seed: of the run.
            number: which of several loops.
            steps: how long.
        """
        rows_SS = np.cumsum(np.array(self.transitions), axis=1)
        draws_N = uniform_array(seed, Stream.RATES, number, np.arange(steps, dtype=np.uint64))
        state = _index(np.cumsum(self.occupied()), float(draws_N[0]))
        states = [state]
        for draw in draws_N[1:].tolist():
            state = _index(rows_SS[state], draw)
            states.append(state)
        step_us = round(self.step_s * 1e6)
        rates_bps = [round(mbps * 1e6) for mbps in self.rates_mbps]
        if not any(rates_bps[state] for state in states):
            raise NetsimError(f"{self.name}: a loop of {steps} steps without any rate; lengthen it")
        return make_trace(self.name, [(step_us, rates_bps[state]) for state in states])

    def occupied(self) -> _Floats:
        """Return the share of time in each state, in the long run."""
        chain_SS = np.array(self.transitions)
        share_S = np.full(len(chain_SS), 1 / len(chain_SS))
        # Half of each step stays, so that a chain that goes in circles settles as well.
        for _ in range(10_000):
            later_S = (share_S + share_S @ chain_SS) / 2
            if float(np.abs(later_S - share_S).max()) < 1e-12:  # noqa: PLR2004 - converged
                break
            share_S = later_S
        settled: _Floats = share_S / share_S.sum()
        return settled


@dataclass(frozen=True, slots=True)
class RateStatistics:
    """What rates are like over time.

    Args:
        mean_mbps: mean.
        p5_mbps: 5th percentile.
        p50_mbps: median.
        p95_mbps: 95th percentile.
        correlation: of a step with the next one (lag-1 autocorrelation).
        without: share of steps that carry nothing.
    """

    mean_mbps: float
    p5_mbps: float
    p50_mbps: float
    p95_mbps: float
    correlation: float
    without: float


def statistics(series: Sequence[Sequence[int]]) -> RateStatistics:
    """Return what sampled rates (bit/s) are like; several recordings are never joined."""
    all_N = np.concatenate([np.asarray(each, np.float64) for each in series]) / 1e6
    pairs = [pair for each in series for pair in pairwise(each)]
    p5, p50, p95 = np.quantile(all_N, (0.05, 0.5, 0.95)).tolist()
    return RateStatistics(
        float(all_N.mean()),
        p5,
        p50,
        p95,
        _correlation(pairs),
        float((all_N * 1e6 < _LEAST_BPS).mean()),
    )


def fit(
    name: str, source: str, traces: Sequence[RateTrace], step_s: float, states: int
) -> RateModel:
    """Return the chain that recordings are most likely of, given where states are cut.

    Args:
        name: of the model.
        source: where the recordings are from.
        traces: each at least two steps long; none is joined to the next.
        step_s: length of a step.
        states: how many states have a rate; fewer where the recordings have fewer rates.

    Raises:
        NetsimError: nothing to fit.
    """
    series = sampled_bps(traces, step_s)
    positive = sorted(rate for each in series for rate in each if rate >= _LEAST_BPS)
    if not positive:
        raise NetsimError(f"{name}: the recordings carry nothing")
    # Below the smallest rate there is nothing to cut off.
    found = {positive[len(positive) * cut // states] for cut in range(1, states)}
    cuts = sorted(found - {positive[0]})
    has_outage = any(rate < _LEAST_BPS for each in series for rate in each)
    count = len(cuts) + 1 + has_outage

    def state_of(rate: int) -> int:
        if rate < _LEAST_BPS:
            return 0
        return int(np.searchsorted(cuts, rate, side="right")) + has_outage

    visited = [[state_of(rate) for rate in each] for each in series]
    sums, visits = np.zeros(count), np.zeros(count)
    counts_SS = np.zeros((count, count))
    for rates, path in zip(series, visited, strict=True):
        np.add.at(sums, path, rates)
        np.add.at(visits, path, 1)
        # From its end a recording goes on at its beginning, as it does where it is used: so each
        # state is left as often as it is entered, and visited in the long run as it was.
        for before, after in pairwise([*path, path[0]]):
            counts_SS[before, after] += 1
    rows_SS = counts_SS / counts_SS.sum(axis=1, keepdims=True)
    rates_mbps = (sums / visits / 1e6).tolist()
    if has_outage:
        rates_mbps[0] = 0.0
    return RateModel(
        name=name,
        origin="fitted",
        source=source,
        step_s=step_s,
        rates_mbps=tuple(round(mbps, 6) for mbps in rates_mbps),
        transitions=tuple(tuple(_rounded(row)) for row in rows_SS.tolist()),
    )


def lognormal_model(
    name: str,
    source: str,
    *,
    median_mbps: float,
    sigma: float,
    correlation: float,
    step_s: float,
    states: int = 10,
) -> RateModel:
    """Return a chain with lognormal rates, where only figures were published and no recording.

    Args:
        name: of the model.
        source: where the figures are from.
        median_mbps: median rate.
        sigma: standard deviation of the rate's logarithm.
        correlation: chance that a step keeps the rate; else it is drawn anew.
        step_s: length of a step.
        states: of equal chance.
    """
    normal = NormalDist()
    middles = [normal.inv_cdf((state + 0.5) / states) for state in range(states)]
    anew = (1 - correlation) / states
    return RateModel(
        name=name,
        origin="published",
        source=source,
        step_s=step_s,
        rates_mbps=tuple(round(median_mbps * math.exp(sigma * z), 6) for z in middles),
        transitions=tuple(
            tuple(_rounded([anew + correlation * (row == column) for column in range(states)]))
            for row in range(states)
        ),
    )


def sampled_bps(traces: Sequence[RateTrace], step_s: float) -> list[list[int]]:
    """Return each recording's mean rate by step.

    Raises:
        NetsimError: one is shorter than two steps.
    """
    step_ns = round(step_s * 1e9)
    for trace in traces:
        if trace.period_ns < 2 * step_ns:
            raise NetsimError(
                f"{trace.name}: {trace.period_ns / 1e9:g} s are less than two steps of {step_s:g} s"
            )
    return [trace.resampled_bps(step_ns) for trace in traces]


def _correlation(pairs: Sequence[tuple[int, int]]) -> float:
    before_N, after_N = np.array(pairs, np.float64).T
    spread = float(before_N.std() * after_N.std())
    if spread == 0:
        return 1.0
    return float(((before_N - before_N.mean()) * (after_N - after_N.mean())).mean() / spread)


def _index(cumulated: _Floats, draw: float) -> int:
    return min(int(np.searchsorted(cumulated, draw, side="right")), len(cumulated) - 1)


def _rounded(row: Sequence[float]) -> list[float]:
    """Six decimals that still make 1: the largest takes the rest."""
    rounded = [round(chance, 6) for chance in row]
    largest = rounded.index(max(rounded))
    rounded[largest] = round(rounded[largest] + 1 - math.fsum(rounded), 9)
    return rounded
