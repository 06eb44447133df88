"""What a compiled cell has still to book of a fairly shared way out: since the last look."""

from __future__ import annotations

import numpy as np

from actors.fleet import columns as col
from actors.fleet.array_types import Array
from actors.fleet.layout import BIN_NS, NETWORK_NOW, Books
from actors.fleet.names import SERIES
from actors.fleet.tally import bin_of


def sending_ns(books: Books) -> int:
    """Return how long the cloud's way out was sending since it was last looked at."""
    if books.hubs[0, col.HUB_FLOWS] == 0:
        return 0
    return int(books.engine[NETWORK_NOW] - books.hubs[0, col.HUB_NOW])


def bins_of(books: Books) -> tuple[int, Array]:
    """Return the width of the bins and the bins, with all that is to be booked by now."""
    engine: Array = np.array(books.engine)
    series: Array = np.array(books.series)
    took_ns = sending_ns(books)
    if took_ns:
        at = bin_of(engine, series, int(books.hubs[0, col.HUB_NOW]))
        series[at, SERIES.index("egress_busy_ns")] += took_ns
    return int(engine[BIN_NS]), series
