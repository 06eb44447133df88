"""What is timed of a device's step: three ways to one choice."""

from __future__ import annotations

from actors.values.generated import GeneratedConfig, RowSource
from experiments.bench import overlap as bench
from experiments.bench.codec import SEED

VOCAB = 4_096


def test_the_three_ways_choose_alike() -> None:
    for k in bench.SENT:
        for step in bench._steps(RowSource(GeneratedConfig(vocab_size=VOCAB), SEED), k):
            assert step.with_nothing() == step.with_delta() == step.with_sorted()


def test_every_case_is_told_once() -> None:
    rows = bench.run(repeats=1, vocab_size=VOCAB)
    cases = [row["case"] for row in rows]
    assert len(set(cases)) == len(cases) == 3 * len(bench.SENT) + 3
    assert all(row["bench"] == "overlap" and row["repeats"] == 1 for row in rows)
