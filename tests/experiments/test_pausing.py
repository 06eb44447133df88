"""What pausing saves and costs: a small study, and its words."""

from __future__ import annotations

import json
from pathlib import Path

from experiments.evaluation.bootstrap import Interval
from experiments.pausing.shown import sentences, table, write_study
from experiments.pausing.study import GATES, PausingStudy, Standing, study
from experiments.progress import NoProgress


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
    assert lossy.kl_nats is None
    for one in gated:
        assert (one.unsteered > 0) == (one.wire_bytes < plain.wire_bytes)
        assert one.kl_nats is not None
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
