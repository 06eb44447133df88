"""Results of cells: merging is addition, in any grouping."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.fleet.histogram import BUCKETS, NONE_YET, Histogram
from actors.fleet.names import CLASS_FIGURES, CLOUD_FIGURES, CLOUD_PEAKS, HISTOGRAMS, SERIES
from actors.fleet.result import CellResult, Sample, Series
from costeer.errors import LocalProtocolError

some = settings(max_examples=30, deadline=None)


@st.composite
def results(draw: st.DrawFn, classes: int = 2) -> CellResult:
    """A result whose figures are all drawn."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))

    def table(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        return random.integers(0, 10**6, shape, np.int64)

    counts_CHB = np.zeros((classes, len(HISTOGRAMS), BUCKETS), np.int64)
    counts_CHB[:, :, :50] = table(classes, len(HISTOGRAMS), 50)
    return CellResult(
        cells=1,
        replicas=draw(st.integers(1, 3)),
        end_ns=draw(st.integers(0, 10**12)),
        complete=draw(st.booleans()),
        overloaded=draw(st.integers(0, 1)),
        tokens=draw(st.integers(0, 10**6)),
        devices_done=draw(st.integers(0, 10**6)),
        by_class_CK=table(classes, len(CLASS_FIGURES)),
        first_arrival_ns_C=table(classes),
        last_token_ns_C=table(classes),
        counts_CHB=counts_CHB,
        totals_CH=table(classes, len(HISTOGRAMS)),
        least_CH=table(classes, len(HISTOGRAMS)),
        most_CH=table(classes, len(HISTOGRAMS)),
        cloud_K=table(len(CLOUD_FIGURES)),
        peaks_K=table(len(CLOUD_PEAKS)),
        batches=Histogram.of(draw(st.lists(st.integers(0, 64), max_size=5))),
        series=Series(draw(st.sampled_from((10, 20, 80))), table(5, len(SERIES))),
        sample=Sample(table(2, 3), table(1, 2)),
        output_word=draw(st.integers(0, 2**64 - 1)),
        digest_word=draw(st.integers(0, 2**64 - 1)),
    )


@some
@given(results(), results(), results())
def test_merging_is_associative(one: CellResult, two: CellResult, three: CellResult) -> None:
    left, right = one.merged(two).merged(three), one.merged(two.merged(three))
    assert left.digest == right.digest
    assert left.output_digest == right.output_digest
    assert np.array_equal(left.counts_CHB, right.counts_CHB)
    assert np.array_equal(left.sample.tokens, right.sample.tokens)
    assert (
        left.series.bin_ns
        == right.series.bin_ns
        == max(each.series.bin_ns for each in (one, two, three))
    )
    for name in SERIES:
        assert np.array_equal(left.series.figure(name), right.series.figure(name))
        assert left.series.figure(name).sum() == sum(
            each.series.figure(name).sum() for each in (one, two, three)
        )


@some
@given(results(), results())
def test_what_is_merged_adds_up(one: CellResult, two: CellResult) -> None:
    both = one.merged(two)
    assert both.cells == 2
    for name in CLASS_FIGURES:
        assert both.figure(name) == one.figure(name) + two.figure(name)
        assert both.figure(name) == both.figure(name, 0) + both.figure(name, 1)
    for name in CLOUD_FIGURES:
        assert both.cloud(name) == one.cloud(name) + two.cloud(name)
    for name in CLOUD_PEAKS:
        assert both.peak(name) == one.peak(name) + two.peak(name)
    for name in HISTOGRAMS:
        found = both.histogram(name)
        assert found.count == one.histogram(name).count + two.histogram(name).count
        assert found.total == sum(both.histogram(name, each).total for each in (0, 1))
        assert found.most == max(one.histogram(name).most, two.histogram(name).most)


@some
@given(results())
def test_a_digest_tells_every_sum(result: CellResult) -> None:
    changed = result.by_class_CK.copy()
    changed[1, 3] += 1
    assert replace(result, by_class_CK=changed).digest != result.digest
    assert replace(result, digest_word=result.digest_word ^ 1).digest != result.digest
    assert result.nbytes > result.counts_CHB.nbytes


def test_other_classes_and_narrower_bins_are_refused() -> None:
    with pytest.raises(LocalProtocolError, match="classes"):
        _first(results(2)).merged(_first(results(3)))
    with pytest.raises(LocalProtocolError, match="bins"):
        Series(20, np.zeros((1, len(SERIES)), np.int64)).widened(30)


def _first(strategy: st.SearchStrategy[CellResult]) -> CellResult:
    found: list[CellResult] = []

    @settings(max_examples=1, database=None, derandomize=True)
    @given(strategy)
    def take(result: CellResult) -> None:
        found.append(result)

    take()
    assert found[0].histogram("itl").least != NONE_YET
    return found[0]
