"""How long prompts and answers are that no text says: drawn per request, as arrays.

Legend: S sessions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from actors.fleet.cell import Int64s
from costeer.varint import number_bytes
from experiments.planning.arrival_trace import dealt_request, lengths_from_trace
from experiments.scenario import Scenario
from experiments.scenario.lengths import (
    ExponentialLength,
    FixedLength,
    Length,
    LengthsConfig,
    LognormalLength,
)
from netsim.maths import exp_array
from netsim.random import Integers, Stream, exponentials, normals, uniforms

_FEW = 5.0
"""Standard deviations that a draw's exponent is cut at; no draw comes near."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Tokens of each session, and bytes of its prompts' ids; see ``CellPlan``."""

    public_S: Int64s
    personal_S: Int64s
    new_tokens_S: Int64s
    public_bytes_S: Int64s
    personal_bytes_S: Int64s


@dataclass(frozen=True, slots=True)
class TracedLength:
    """Lengths that a trace says.

    Args:
        tokens_N: of each of its requests.
        devices: that these are dealt out to.
    """

    tokens_N: Int64s
    devices: int

    @property
    def most(self) -> int:
        """No request is longer, tokens."""
        return int(self.tokens_N.max())

    def of(self, device_S: Integers, request_S: Integers) -> Int64s:
        """Return the lengths of sessions."""
        of_S: Int64s = self.tokens_N[dealt_request(self.devices, device_S, request_S)]
        return of_S


AnyLength: TypeAlias = Length | TracedLength


@dataclass(frozen=True, slots=True)
class Asked:
    """The lengths of a scenario, filled in.

    Args:
        public: of the public prompt.
        context: of the private context.
        answer: of the answer.
        max_new_tokens: where every answer ends.
    """

    public: AnyLength
    context: Length
    answer: AnyLength
    max_new_tokens: int

    @property
    def longest_public(self) -> int:
        """The most tokens of a public prompt."""
        return self.public.most

    @property
    def longest_personal(self) -> int:
        """The most tokens of a whole prompt."""
        return self.public.most + self.context.most


def lengths_of(scenario: Scenario) -> Asked:
    """Return the lengths of prompts and answers that no text says."""
    given = scenario.workload.lengths or LengthsConfig()
    most = scenario.workload.max_new_tokens
    context = given.context or FixedLength(tokens=scenario.generated.context_tokens)
    trace, devices = lengths_from_trace(scenario), scenario.fleet.devices
    if trace is not None:
        prompt, answer = (TracedLength(each, devices) for each in (trace.prompt_N, trace.answer_N))
        return Asked(prompt, context, answer, most)
    return Asked(
        given.public or FixedLength(tokens=scenario.generated.prompt_tokens),
        context,
        given.answer or FixedLength(tokens=most),
        most,
    )


def plan_sizes(scenario: Scenario, device_S: Integers, request_S: Integers) -> Sizes:
    """Return the lengths of sessions.

    Args:
        scenario: the distributions.
        device_S: number of each session's device in the fleet.
        request_S: which of its device's sessions each is.
    """
    asked, seed = lengths_of(scenario), scenario.seed
    if scenario.values == "profile":
        from experiments.profile.replay import (  # noqa: PLC0415 - brings pyarrow in
            replayed_sizes,
            replayed_vocab_size,
        )

        sizes = replayed_sizes(scenario, device_S, request_S)
        if not isinstance(asked.public, TracedLength):
            return sizes
        vocab_size = replayed_vocab_size(scenario)
        context_S = sizes.personal_S - sizes.public_S
    else:
        vocab_size = scenario.generated.vocab_size
        context_S = _drawn(asked.context, seed, Stream.PROMPT, device_S, 2 * request_S + 1)
    if isinstance(asked.public, TracedLength):
        public_S = asked.public.of(device_S, request_S)
    else:
        public_S = _drawn(asked.public, seed, Stream.PROMPT, device_S, 2 * request_S)
    if isinstance(asked.answer, TracedLength):
        answer_S = asked.answer.of(device_S, request_S)
    else:
        answer_S = _drawn(asked.answer, seed, Stream.OUTPUT, device_S, request_S)
    most_S = np.minimum(answer_S, asked.max_new_tokens)
    return _counting(vocab_size, public_S, public_S + context_S, most_S)


def _counting(vocab_size: int, public_S: Int64s, personal_S: Int64s, new_tokens_S: Int64s) -> Sizes:
    """Return the sizes of sessions whose prompts' ids count up from 0 to V and begin again."""
    bytes_of = partial(prompt_bytes, vocab_size)
    return Sizes(public_S, personal_S, new_tokens_S, bytes_of(public_S), bytes_of(personal_S))


def _drawn(length: Length, seed: int, stream: int, device_S: Integers, at_S: Integers) -> Int64s:
    if isinstance(length, FixedLength):
        return np.full(len(device_S), length.tokens, np.int64)
    if isinstance(length, LognormalLength):
        deviation_S = np.clip(normals(seed, stream, device_S, at_S), -_FEW, _FEW) * length.spread
        real_S = length.median * exp_array(deviation_S)
    elif isinstance(length, ExponentialLength):
        real_S = length.mean * exponentials(seed, stream, device_S, at_S)
    else:
        real_S = uniforms(seed, stream, device_S, at_S) * (length.most - length.least + 1)
        real_S = np.floor(real_S) + length.least
    cut_S: Int64s = np.clip(np.rint(real_S), length.least, length.most).astype(np.int64)
    return cut_S


def mean_tokens(length: AnyLength) -> float:
    """Return about how long requests are on average, for estimates."""
    if isinstance(length, TracedLength):
        return float(length.tokens_N.mean())
    if isinstance(length, FixedLength):
        return float(length.tokens)
    if isinstance(length, LognormalLength):
        mean = length.median * float(exp_array(np.array([length.spread**2 / 2]))[0])
        return min(max(mean, length.least), length.most)
    if isinstance(length, ExponentialLength):
        return min(max(length.mean, length.least), length.most)
    return (length.least + length.most) / 2


def prompt_bytes(vocab_size: int, tokens_S: Int64s) -> Int64s:
    """Return the bytes of prompts in an OPEN frame: ids count up from 0 to V and begin again.

    Args:
        vocab_size: V.
        tokens_S: how many ids each has.
    """
    most = int(tokens_S.max(initial=0))
    sizes = np.array([number_bytes(index) for index in range(min(most, vocab_size))], np.int64)
    sums = np.zeros(most + 1, np.int64)
    np.cumsum(np.resize(sizes, most), out=sums[1:])
    bytes_S: Int64s = sums[tokens_S]
    return bytes_S


def ids_of(tokens: int, size: int) -> tuple[int, ...]:
    """Return ids of a prompt that has so many tokens and takes so many bytes in an OPEN frame.

    Args:
        tokens: how many.
        size: bytes, from one to five for each.
    """
    if not tokens:
        return ()
    each, more = divmod(size, tokens)
    long, short = (1 << 7 * count if count else 0 for count in (each, each - 1))
    return (long,) * more + (short,) * (tokens - more)
