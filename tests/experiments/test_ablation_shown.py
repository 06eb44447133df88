"""What an ablation shows: fronts, crossings, intervals, tables for papers, sentences."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.ablation.collection import codec_columns, half_width
from experiments.ablation.figures import pareto
from experiments.ablation.learning import against_fixed, best_single, on_learning
from experiments.ablation.overlap import on_overlap
from experiments.ablation.speed import catches_up, crossovers
from experiments.results.formats import latex_table
from experiments.results.grid import Column

POINTS = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), min_size=1, max_size=12)


@given(POINTS)
def test_a_front_is_what_no_point_beats(points: list[tuple[int, int]]) -> None:
    front = pareto([point[0] for point in points], [point[1] for point in points])
    on = [points[index] for index in front]
    assert on == sorted(on)
    for size, wrong in points:
        assert any(x <= size and y <= wrong for x, y in on)
    for x, y in on:
        assert not any((a < x and b <= y) or (a <= x and b < y) for a, b in points)


def test_a_crossing_lies_where_two_power_laws_meet() -> None:
    rates = [1.0, 10.0, 100.0]
    lines = {"flat": [4.0, 4.0, 4.0], "steep": [0.5, 5.0, 50.0]}
    ((rate, below, above),) = crossovers(rates, lines)
    assert (below, above) == ("flat", "steep")
    assert rate == pytest.approx(8.0)


def test_two_crossings_in_one_segment_and_none() -> None:
    lines = {"a": [8.0, 8.0], "b": [4.0, 20.0], "c": [0.5, 50.0]}
    found = crossovers([1.0, 100.0], lines)
    assert [(below, above) for _, below, above in found] == [("a", "b"), ("b", "c")]
    assert found[0][0] < found[1][0]
    assert crossovers([1.0, 100.0], {"a": [2.0, 2.0], "b": [1.0, 1.0]}) == []
    assert crossovers([1.0, 100.0], {"a": [2.0, 2.0], "b": [2.0, 2.0]}) == []


@given(st.lists(st.lists(st.floats(0.1, 100.0), min_size=3, max_size=3), min_size=1, max_size=5))
def test_crossings_end_at_the_best_line(values: list[list[float]]) -> None:
    lines = {str(index): line for index, line in enumerate(values)}
    found = crossovers([1.0, 10.0, 100.0], lines)
    last = found[-1][2] if found else max(lines, key=lambda name: lines[name][0])
    assert lines[last][-1] == pytest.approx(max(line[-1] for line in values))
    assert all(1.0 <= rate <= 100.0 + 1e-9 for rate, _, _ in found)


def test_catching_up_is_for_good() -> None:
    rates, best = [1.0, 10.0, 100.0], [4.0, 4.0, 4.0]
    assert catches_up(rates, [4.0, 4.0, 4.0], best, 0.5) == 1.0
    assert catches_up(rates, [4.0, 4.0, 1.0], best, 0.5) is None
    assert catches_up(rates, [4.0, 1.0, 4.0], best, 0.5) == pytest.approx(10 * math.sqrt(10))


def test_half_widths_are_students() -> None:
    assert half_width([1.0]) is None
    assert half_width([]) is None
    assert half_width([1.0, 3.0]) == pytest.approx(12.706 * math.sqrt(2) / math.sqrt(2))
    many = np.random.default_rng(1).standard_normal(400)
    assert half_width(many) == pytest.approx(1.96 * many.std(ddof=1) / 20)


@pytest.mark.parametrize(
    ("codec", "family", "k"),
    [
        ("dense-fp16-naive", "dense fp16", None),
        ("dense-fp16-naive-zstd3", "dense fp16 zstd3", None),
        ("top64-bf16-packed", "top-k bf16 packed", 64),
        ("top4096-bf16-naive-zstd3", "top-k bf16 naive zstd3", 4096),
        ("mine", "mine", None),
    ],
)
def test_a_codec_is_taken_apart(codec: str, family: str, k: int | None) -> None:
    found = codec_columns(codec, refined=False)
    assert (found["codec"], found["family"], found["k"]) == (codec, family, k)
    assert found["exactness"] == ("" if codec.startswith("dense") else "first frame")


def test_latex_is_escaped_and_ruled() -> None:
    columns = [
        Column("codec", ("a_b", "50 %"), left=True),
        Column("frame", ("1 ± 2", "–"), "B", "down/token"),
        Column("wire", ("1", "2"), "B", "down/token"),
        Column("speed", ("3", "4")),
    ]
    assert latex_table(columns, "R&D", "x").splitlines() == [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering\small",
        r"\caption{R\&D}",
        r"\label{tab:x}",
        r"\begin{tabular}{lrrr}",
        r"\toprule",
        r" & \multicolumn{2}{c}{down/token} &  \\",
        r"\cmidrule(lr){2-3}",
        r"codec & frame & wire & speed \\",
        r" & B & B &  \\",
        r"\midrule",
        r"a\_b & 1 $\pm$ 2 & 1 & 3 \\",
        r"50 \% & -- & 2 & 4 \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def _row(codec: str, k: int | None, link: str, itl_s: float, rounds: float) -> dict[str, object]:
    rates = {"slow": (1.0, 0.4), "fast": (100.0, 0.02)}
    down_mbps, rtt_s = rates.get(link, (math.nan, math.nan))
    return {
        "codec": codec,
        "k": k,
        "exactness": "exact",
        "link_class": link,
        "down_mbps": down_mbps,
        "rtt_s": rtt_s,
        "round_trip_mean_s": rtt_s,
        "itl_mean_s": itl_s,
        "rounds_mean": rounds,
        "frame_bytes_down_per_token": 1_000.0,
        "shadow_tokens": 0,
        "overlap": "",
    }


def test_a_learnt_k_is_compared_with_the_best_fixed_one_of_each_link() -> None:
    means = pd.DataFrame(
        [
            _row("adaptive4to4096-bf16-packed", None, "slow", 0.51, 0.1),
            _row("adaptive4to4096-bf16-packed", None, "fast", 0.030, 0.0),
            _row("top16-bf16-packed", 16, "slow", 0.50, 0.1),
            _row("top16-bf16-packed", 16, "fast", 0.050, 1.0),
            _row("top64-bf16-packed", 64, "slow", 0.60, 0.0),
            _row("top64-bf16-packed", 64, "fast", 0.030, 0.0),
        ]
    ).astype({"k": "Int64"})
    table = against_fixed(means).set_index("link_class")
    assert table.loc["slow", "best_k"] == 16
    assert table.loc["slow", "itl_gap"] == pytest.approx(0.02)
    assert table.loc["slow", "best_extra_s"] == pytest.approx(0.008)
    assert table.loc["slow", "extra_gap"] == pytest.approx(5.0)
    assert table.loc["fast", "itl_gap"] == pytest.approx(0.0)
    found = best_single(means)
    assert found is not None
    assert found[0] == 64
    assert found[1] == pytest.approx(math.sqrt(0.51 / 0.60) - 1)
    assert len(on_learning(means)) == 3
    assert on_learning(means[means["k"].notna()]) == []


def test_overlap_is_told_switch_after_switch_on_each_link() -> None:
    rows = [
        _row("top64-bf16-packed", 64, link, itl_s, 0.0) | {"overlap": overlap}
        for link, times_s in (("slow", (0.5, 0.4)), ("fast", (0.1, 0.102)))
        for overlap, itl_s in zip(("none", "forward"), times_s, strict=True)
    ]
    said = "a token, by what the exchange hides"
    assert on_overlap(pd.DataFrame(rows)) == [
        f"slow, {said}: none 500.0 ms; forward 400.0 ms (−20.00 %).",
        f"fast, {said}: none 100.0 ms; forward 102.0 ms (+2.00 %).",
    ]
    assert on_overlap(pd.DataFrame(rows[:1])) == []
