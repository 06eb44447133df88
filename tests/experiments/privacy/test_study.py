"""A small study: the control is at chance, strong steering is not, padding costs bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import cli
from experiments.privacy.shown import sentences, table, write_page
from experiments.privacy.study import (
    CLOUD,
    GENERIC,
    PADDED,
    PERSONAL,
    SIZES,
    PrivacyStudy,
    study,
)
from experiments.progress import NoProgress


@pytest.fixture(scope="module")
def found() -> PrivacyStudy:
    return study(3, 4, (0.0, 1.783), NoProgress(), (0.0,), max_new_tokens=24)


def accuracy(found: PrivacyStudy, observer: str, strength: float) -> float:
    (one,) = [
        each for each in found.sightings if (each.observer, each.strength) == (observer, strength)
    ]
    assert one.sessions == 6
    return one.accuracy.mean


def test_the_cloud_knows_nothing_without_steering_and_much_with_it(found: PrivacyStudy) -> None:
    assert accuracy(found, CLOUD, 0.0) == pytest.approx(1 / 3)
    assert accuracy(found, CLOUD, 1.783) == 1.0


def test_drafts_with_the_context_tell_what_the_text_does_not(found: PrivacyStudy) -> None:
    assert accuracy(found, PERSONAL, 0.0) > 0.9
    assert accuracy(found, GENERIC, 0.0) == pytest.approx(1 / 3)
    assert min(found.refuted_per_token) > 0


def test_padding_fills_frames_and_says_what_it_costs(found: PrivacyStudy) -> None:
    (down, up), (padded_down, padded_up) = found.frame_bytes
    assert padded_down > down
    assert padded_up > up
    assert 0 <= accuracy(found, PADDED, 1.783) <= 1
    assert 0 <= accuracy(found, SIZES, 0.0) <= 1


def test_it_is_shown(found: PrivacyStudy, tmp_path: Path) -> None:
    page = write_page(found, tmp_path / "out").read_text(encoding="utf-8")
    assert "<svg" in page
    assert all(sentence.split(" %")[0] in table(found) for sentence in sentences(found))
    lines = (tmp_path / "out" / "privacy.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + len(found.sightings)


def test_too_few_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "privacy", "--candidates", "1"]) == 2
    assert "at least 2" in capsys.readouterr().err
