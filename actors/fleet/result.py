"""What a cell of a compiled fleet came to: sums, histograms and bins, mergeable in cell order.

Rules
-----
* All is integers, and merging adds (or takes the least, the most), so what a fleet came to does not
  depend on how many workers its cells ran on.
* A request counts if it was intended at or after the warm-up's end and before the cell's; its
  tokens, bytes and stages count with it, as far as they happened before the cell's end.
* A token is delivered if it was chosen between these two ends, whatever request it belongs to: of
  a fleet far beyond saturation those that count may all still wait while others are served.
* Whatever had come and had not ended by then is censored. Backlog is what of it waited: for the
  device in front of it, or for the cloud's memory.
* Digests are sums, modulo 2**64, of a hash of each record, so no order is told from another. The
  output digest's records are (session, position, token); the digest's hold in addition when the
  token was chosen, its latency, stages, hidden work, rounds and whether it is certified, and there
  is one of each counted request that ended: (session, arrival, end, tokens).

Legend: C classes of devices, H histograms, B buckets, K figures, N bins.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field, fields

import numpy as np

from actors.fleet import columns as col
from actors.fleet.histogram import NONE_YET, Histogram
from actors.fleet.names import CLASS_FIGURES, CLOUD_FIGURES, CLOUD_PEAKS, HISTOGRAMS, SERIES
from costeer.errors import LocalProtocolError

__all__ = [
    "CLASS_FIGURES",
    "CLOUD_FIGURES",
    "CLOUD_PEAKS",
    "HISTOGRAMS",
    "SERIES",
    "CellResult",
    "Sample",
    "Series",
]

Integers = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Series:
    """What happened when, in bins of simulated time.

    Args:
        bin_ns: width of a bin.
        sums_NK: by bin and figure, see ``SERIES``.
    """

    bin_ns: int
    sums_NK: Integers

    def figure(self, name: str) -> Integers:
        """Return one figure of every bin."""
        column: Integers = self.sums_NK[:, SERIES.index(name)]
        return column

    def widened(self, bin_ns: int) -> Series:
        """Return the same in wider bins.

        Raises:
            LocalProtocolError: not a multiple of the present width.
        """
        if bin_ns % self.bin_ns:
            raise LocalProtocolError(f"series: bins of {bin_ns} ns hold no bins of {self.bin_ns}")
        each = bin_ns // self.bin_ns
        sums_NK = np.pad(self.sums_NK, ((0, -len(self.sums_NK) % each), (0, 0)))
        return Series(bin_ns, sums_NK.reshape(-1, each, len(SERIES)).sum(axis=1))

    def merged(self, other: Series) -> Series:
        """Return both, bin by bin; the wider bins rule."""
        bin_ns = max(self.bin_ns, other.bin_ns)
        one, two = self.widened(bin_ns).sums_NK, other.widened(bin_ns).sums_NK
        count = max(len(one), len(two))
        sums_NK = np.zeros((count, len(SERIES)), np.int64)
        sums_NK[: len(one)] += one
        sums_NK[: len(two)] += two
        return Series(bin_ns, sums_NK)


@dataclass(frozen=True, slots=True)
class Sample:
    """Full records of some sessions, as rows of integers; ``actors.fleet.rows`` reads them.

    Args:
        tokens: one row per token.
        requests: one row per session that ended.
    """

    tokens: Integers
    requests: Integers

    @classmethod
    def none(cls) -> Sample:
        """Return the records of nobody."""
        return cls(
            np.zeros((0, col.ROW_FIGURES), np.int64), np.zeros((0, col.REQUEST_FIGURES), np.int64)
        )

    def merged(self, other: Sample) -> Sample:
        """Return the records of both."""
        return Sample(
            np.concatenate((self.tokens, other.tokens)),
            np.concatenate((self.requests, other.requests)),
        )


@dataclass(frozen=True, slots=True)
class CellResult:
    """What one cell came to, or several that were merged.

    Args:
        cells: how many.
        replicas: of all of them.
        end_ns: the last instant: of the cell that ended last.
        complete: whether every request has ended.
        overloaded: cells that were stopped because their backlog would have grown for ever.
        tokens: chosen from the beginning to the end, those of the warm-up included.
        devices_done: that have nothing more to ask: their last requests came, or they left.
        by_class_CK: see ``CLASS_FIGURES``.
        first_arrival_ns_C: see ``CLASS_EDGES``.
        last_token_ns_C: ...
        counts_CHB: see ``HISTOGRAMS``.
        totals_CH: their sums.
        least_CH: their least values.
        most_CH: their largest values.
        cloud_K: see ``CLOUD_FIGURES``.
        peaks_K: see ``CLOUD_PEAKS``.
        batches: rows of each forward.
        series: what happened when.
        sample: some sessions in full.
        output_word: see the module's rules.
        digest_word: ...
    """

    cells: int
    replicas: int
    end_ns: int
    complete: bool
    overloaded: int
    tokens: int
    devices_done: int
    by_class_CK: Integers
    first_arrival_ns_C: Integers
    last_token_ns_C: Integers
    counts_CHB: Integers
    totals_CH: Integers
    least_CH: Integers
    most_CH: Integers
    cloud_K: Integers
    peaks_K: Integers
    batches: Histogram
    series: Series
    sample: Sample = field(repr=False)
    output_word: int
    digest_word: int

    def figure(self, name: str, of: int | None = None) -> int:
        """Return a figure of one class, or its sum over all; see ``CLASS_FIGURES``."""
        column = self.by_class_CK[:, CLASS_FIGURES.index(name)]
        return int(column.sum() if of is None else column[of])

    def cloud(self, name: str) -> int:
        """Return a figure of the cloud; see ``CLOUD_FIGURES``."""
        return int(self.cloud_K[CLOUD_FIGURES.index(name)])

    def peak(self, name: str) -> int:
        """Return the most of something; see ``CLOUD_PEAKS``."""
        return int(self.peaks_K[CLOUD_PEAKS.index(name)])

    def histogram(self, name: str, of: int | None = None) -> Histogram:
        """Return a histogram of one class, or of all; see ``HISTOGRAMS``."""
        at = HISTOGRAMS.index(name)
        chosen = slice(None) if of is None else slice(of, of + 1)
        return Histogram(
            self.counts_CHB[chosen, at].sum(axis=0),
            sum(int(each) for each in self.totals_CH[chosen, at]),
            int(self.least_CH[chosen, at].min(initial=NONE_YET)),
            int(self.most_CH[chosen, at].max(initial=0)),
        )

    @property
    def output_digest(self) -> str:
        """What was said, as a fingerprint."""
        return f"{self.output_word:016x}"

    @property
    def digest(self) -> str:
        """What was said, when and what it weighed, as a fingerprint: records and all sums."""
        sha = hashlib.sha256(b"costeer cells 1")
        sha.update(struct.pack("<QQq", self.output_word, self.digest_word, self.end_ns))
        for table in (self.by_class_CK, self.cloud_K, self.peaks_K):
            sha.update(np.ascontiguousarray(table, "<i8").tobytes())
        return sha.hexdigest()

    def merged(self, other: CellResult) -> CellResult:
        """Return what both came to. Cells are merged in their order, for the sample's sake.

        Raises:
            LocalProtocolError: their classes are not the same.
        """
        if self.by_class_CK.shape != other.by_class_CK.shape:
            raise LocalProtocolError(
                f"cells of {len(self.by_class_CK)} and {len(other.by_class_CK)} classes cannot be"
                " merged; give every cell all classes of the fleet"
            )
        return CellResult(
            cells=self.cells + other.cells,
            replicas=self.replicas + other.replicas,
            end_ns=max(self.end_ns, other.end_ns),
            complete=self.complete and other.complete,
            overloaded=self.overloaded + other.overloaded,
            tokens=self.tokens + other.tokens,
            devices_done=self.devices_done + other.devices_done,
            by_class_CK=self.by_class_CK + other.by_class_CK,
            first_arrival_ns_C=np.minimum(self.first_arrival_ns_C, other.first_arrival_ns_C),
            last_token_ns_C=np.maximum(self.last_token_ns_C, other.last_token_ns_C),
            counts_CHB=self.counts_CHB + other.counts_CHB,
            totals_CH=self.totals_CH + other.totals_CH,
            least_CH=np.minimum(self.least_CH, other.least_CH),
            most_CH=np.maximum(self.most_CH, other.most_CH),
            cloud_K=self.cloud_K + other.cloud_K,
            peaks_K=self.peaks_K + other.peaks_K,
            batches=self.batches.merged(other.batches),
            series=self.series.merged(other.series),
            sample=self.sample.merged(other.sample),
            output_word=(self.output_word + other.output_word) % (1 << 64),
            digest_word=(self.digest_word + other.digest_word) % (1 << 64),
        )

    @property
    def nbytes(self) -> int:
        """What the arrays take."""
        arrays = [getattr(self, each.name) for each in fields(self)]
        return sum(each.nbytes for each in arrays if isinstance(each, np.ndarray))
