"""Drafts and k learnt together: what is said of links, and what the cloud makes of rows in vain."""

from __future__ import annotations

from costeer.starting_k import worth
from experiments.evaluation.bootstrap import Interval
from experiments.speculation.together import LinkFound, table


def link(share: float) -> LinkFound:
    flat = Interval(20.0, 19.0, 21.0)
    return LinkFound(0.05, 10.0, "4 drafts", 64, flat, flat, Interval(share, share, share))


def test_links_where_learning_comes_close_are_counted() -> None:
    said = table([link(0.99), link(0.95), link(0.9)])
    assert "0.95 of the best of 20 fixed pairs on 2 of 3 links" in said
    assert "4 drafts" in said


def test_rows_in_vain_make_a_round_trip_cheaper() -> None:
    assert worth(1_000, 0, 0) == 500
    assert worth(1_000, 0, 8) == 250
    assert worth(1_000, 16, 8) == 625
