"""The plain rules that compiled drivers call are the rules that Python calls."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.compiled import compiled
from netsim.hardware import Fixed, Roofline, hardware_named, shape_named
from netsim.hardware.calibrated import Linear, grid_ns
from netsim.hardware.roofline import batch_ns
from netsim.random import (
    device_key,
    exponential_at,
    exponential_with,
    seed_word,
    stream_key,
    uniform_at,
    uniform_with,
)
from netsim.wire import HTTP2_OVER_TLS, QUIC, RAW_TCP, wire_cost, wire_numbers
from tests.netsim.measured import made_of

few = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**63 - 1)
devices = st.integers(0, 2**20 - 1)
counters = st.integers(0, 2**31)


@few
@given(seeds, st.integers(0, 16), devices, counters)
def test_compiled_draws_are_the_same_draws(
    seed: int, stream: int, device: int, counter: int
) -> None:
    kept = stream_key(seed, stream, device)
    # Machine code hands an unsigned number back as a plain one.
    key = np.uint64(compiled(device_key)(seed_word(seed), stream, device))
    assert int(key) == kept
    assert compiled(uniform_with)(key, counter) == uniform_at(kept, counter)
    assert compiled(exponential_with)(key, counter) == exponential_at(kept, counter)


@few
@given(st.integers(0, 2**23), st.sampled_from((HTTP2_OVER_TLS, RAW_TCP, QUIC)))
def test_wire_numbers_are_the_wire_cost(frame_bytes: int, wire: object) -> None:
    assert isinstance(wire, type(QUIC))
    assert compiled(wire_numbers)(frame_bytes, wire.terms) == wire_cost(frame_bytes, wire)


@few
@given(
    st.lists(st.tuples(st.integers(1, 600), st.integers(0, 9000)), min_size=1, max_size=80),
    st.integers(0, 10**7),
    st.integers(0, 10**6),
)
def test_a_forward_is_ruled_by_what_its_rows_add_up_to(
    rows: list[tuple[int, int]], forward: int, per_row: int
) -> None:
    new_tokens, contexts = [row[0] for row in rows], [row[1] for row in rows]
    pairs = sum(n * c + n * (n + 1) // 2 for n, c in rows)
    sums = len(rows), sum(new_tokens), sum(contexts), pairs
    for model in (
        Roofline(hardware_named("h100"), shape_named("qwen2.5-7b")),
        Fixed(forward=forward, forward_per_row=per_row),
    ):
        terms = tuple(np.int64(each) for each in model.terms)
        assert compiled(batch_ns)(*sums, terms) == model.forward_ns(new_tokens, contexts)  # type: ignore[arg-type]


_axes = st.lists(st.integers(1, 60), min_size=1, max_size=4, unique=True).map(sorted)


@few
@given(
    st.lists(st.tuples(st.integers(1, 90), st.integers(0, 90)), min_size=1, max_size=70),
    _axes,
    _axes,
    _axes,
    st.integers(0, 2**30),
)
def test_a_forward_between_measured_points_is_the_same_in_machine_code(
    rows: list[tuple[int, int]],
    batches: list[int],
    news: list[int],
    contexts: list[int],
    seed: int,
) -> None:
    line = Linear(base_ns=1.0, per_value_ns=1.0)
    noise = np.random.default_rng(seed)
    model = made_of(
        [
            (batch, new, context, int(noise.integers(1, 10**9)))
            for batch in batches
            for new in news
            for context in contexts
        ],
        line,
    )
    new_tokens, held = [row[0] for row in rows], [row[1] for row in rows]
    # Other numbers may stand before a grid.
    grid: Any = np.array((0, 0, *model.grid))
    told_ns = compiled(grid_ns)(len(rows), sum(new_tokens), sum(held), grid, 2)
    assert told_ns == model.forward_ns(new_tokens, held)
