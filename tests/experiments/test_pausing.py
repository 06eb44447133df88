"""What pausing saves and costs: a small study, and its words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from costeer.methods import method_named
from experiments.evaluation.bootstrap import Interval
from experiments.pair_limits import vocab_size_of
from experiments.pausing.shown import sentences, table, write_study
from experiments.pausing.study import GATES, PausingStudy, Standing, study
from experiments.progress import NoProgress
from experiments.scenario import load_scenario
from experiments.scoring.likelihood import PairReader, Text


def standing(arm: str, **changes: object) -> Standing:
    given = {
        "unsteered": 0.0,
        "frame_bytes_down": 100.0,
        "wire_bytes": 400.0,
        "tokens_per_s": 8.0,
        "agreement": Interval(1.0, 1.0, 1.0),
        "kl_nats": Interval(0.0, 0.0, 0.0),
        "changed": 0,
        "rouge_l": 0.6,
        "fact_recall": 1.0,
        "profile_recall": 1.0,
    }
    return Standing(arm, **(given | changes))  # type: ignore[arg-type]  # by name


def test_a_study_of_two_texts(tmp_path: Path) -> None:
    found = study(2, 8, NoProgress())
    plain, *gated, lossy = found.standings
    assert plain.arm == "costeer"
    assert (plain.unsteered, plain.changed) == (0.0, 0)
    assert plain.kl_nats == Interval(0.0, 0.0, 0.0)
    assert len(gated) == len(GATES)
    assert lossy.arm == "specsteer"
    assert lossy.kl_nats.mean > 0
    for one in gated:
        assert (one.unsteered > 0) == (one.wire_bytes < plain.wire_bytes)
        assert (one.kl_nats.mean > 0) <= (one.unsteered > 0)
    folder = write_study(found, tmp_path)
    assert json.loads((folder / "gate.json").read_text())["prompts"] == 2
    assert "adacosteer, 3 below 0.1, for good" in (folder / "gate.md").read_text()


def test_it_says_what_was_saved_against_costeer() -> None:
    found = PausingStudy(
        4,
        (
            standing("costeer"),
            standing("adacosteer", wire_bytes=300.0, tokens_per_s=10.0, changed=1),
        ),
    )
    (said,) = sentences(found)
    assert said == (
        "adacosteer: 25 % of the bytes on the wire saved, 10.0 instead of 8.0 tokens/s, 1 of 4"
        " texts are not CoSteer's."
    )
    assert "4 held-out prompts" in table(found)


def test_the_lossy_rule_lies_between_steering_and_the_small_model() -> None:
    models = load_scenario("demo", []).models
    reader = PairReader(models.hosted_cloud("a test"), models.edge, vocab_size_of(models))
    text = Text(tuple(range(20, 40)), tuple(range(50, 80)), tuple(range(100, 112)))
    drafted = np.zeros(len(text.chosen), bool)
    c = 1.0
    far = reader.distances(text, c, {0: (method_named("slm_with"), 0.0)})[0].kl_nats
    # No draft passes: all is steered. Every draft passes: the small model has written the text.
    assert reader.taken(text, c, 1e30, drafted).kl_nats == pytest.approx(0.0, abs=1e-6)
    assert reader.taken(text, c, 1e-30, drafted).kl_nats == pytest.approx(far, rel=1e-4)
    assert 0 < reader.taken(text, c, 0.5, drafted).kl_nats < far
    assert reader.taken(text, c, 0.5, ~drafted).kl_nats == 0.0
