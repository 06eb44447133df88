"""The comparison of vocabularies: the reference agrees with itself, others with their own texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.progress import NoProgress
from experiments.scenario import Scenario, load_scenario
from experiments.tokenizers import study
from experiments.tokenizers.shown import tokenizers_text


def short() -> Scenario:
    given = load_scenario("demo").model_dump(mode="json")
    given["workload"]["max_new_tokens"] = 6
    given["fleet"] |= {"devices": 1, "shards": 1}
    return Scenario.model_validate(given)


def test_one_vocabulary_agrees_with_itself_and_another_is_compared_along_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same, *_, by_bytes = study.WAYS
    monkeypatch.setattr(study, "WAYS", (same, by_bytes))
    found = study.compare_tokenizers(short(), 1, tmp_path, NoProgress())
    assert [each.method for each in found] == [*same.methods, *by_bytes.methods]
    steered = [each for each in found if each.agreement is not None]
    for each in steered:
        assert each.agreement is not None
        assert each.kl_nats is not None
        if each.way == same.title:
            assert each.agreement.mean == 1.0
            assert each.kl_nats.mean == 0.0
        else:
            assert each.kl_nats.mean > 0.0
        assert each.bytes_down > 0
        assert each.certified == 1.0
    assert {each.method for each in found} - {each.method for each in steered} == {
        "slm_with",
        "llm_without",
        "llm_with",
    }
    text = tokenizers_text(found, 1)
    assert "one vocabulary" in text
    assert "–" in text
