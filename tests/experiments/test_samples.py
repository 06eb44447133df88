"""Texts that are shown token by token: they are the run's own, and looking changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.results import load
from experiments.results.samples import marked_texts
from tests.experiments.small_runs import digests, random_pair, run, scenario


def test_a_few_steered_texts_are_kept_token_by_token(tmp_path: Path) -> None:
    given = scenario(
        values="models", models=random_pair(), workload={"max_new_tokens": 5, "limit": 3}
    )
    outcome = run(given, tmp_path / "run")
    marked = marked_texts(outcome.run_dir)
    requests = load(outcome.run_dir).requests
    texts = requests[requests["method"] == "costeer"].drop_duplicates("prompt_id")
    assert {name for name, _ in marked} == {"costeer"}
    assert {prompt for _, prompt in marked} == set(texts["prompt_id"])
    for _, row in texts.iterrows():
        tokens = marked["costeer", row["prompt_id"]]
        assert "".join(token.text for token in tokens).strip() == row["text"]
        assert all(token.steered is not None and token.before for token in tokens)


def test_looking_on_changes_no_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = scenario(
        values="models", models=random_pair(), workload={"max_new_tokens": 4, "limit": 3}
    )
    seen = digests(run(given, tmp_path / "seen"))
    monkeypatch.setattr("experiments.planning.arms._WITNESSED", 0)
    unseen = run(given, tmp_path / "unseen")
    assert digests(unseen) == seen
    assert marked_texts(unseen.run_dir) == {}
