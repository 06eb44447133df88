"""A judge is asked over HTTP, in both orders, and what it said is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from costeer.errors import ConfigError
from experiments.scoring.judge import (
    OVERALL,
    PERSONAL,
    Judge,
    JudgeSettings,
    Question,
    cost,
    points_of,
    swayed_by_place,
)
from tests.experiments.scoring.judge_server import RuleJudge, judging

ASKED = Question("Name: Ada", "Invite them.", "Come to us at eight")


def test_ratings_are_read_and_kept(tmp_path: Path) -> None:
    kept = tmp_path / "verdicts.jsonl"
    server = RuleJudge()
    with judging(server) as url:
        judge = Judge(JudgeSettings(url), kept)
        assert judge.rate(OVERALL, ASKED).value == 5
        assert judge.rate(PERSONAL, ASKED).value == 5
        assert [prompt.count("Name: Ada") for prompt in server.prompts] == [1, 1]
        assert server.prompts[0] != server.prompts[1]
        # Another judge over the same file asks nothing twice.
        again = Judge(JudgeSettings(url), kept)
        assert again.rate(OVERALL, ASKED) == judge.rate(OVERALL, ASKED)
        assert not again.asked
    assert len(server.prompts) == 2
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [line["rubric"] for line in lines] == [OVERALL, PERSONAL]
    assert lines[0]["said"] == "It has words. Rating: [[5]]"


def test_comparisons_are_asked_in_both_orders(tmp_path: Path) -> None:
    with judging(RuleJudge()) as url:
        judge = Judge(JudgeSettings(url), tmp_path / "fair.jsonl")
        for theirs, points in (("Come", 1.0), ("Please do come to us at eight", 0.0)):
            verdicts = judge.prefer(ASKED, theirs)
            assert points_of(*verdicts) == points
            assert not swayed_by_place(*verdicts)
        even = judge.prefer(ASKED, "five words are in here")
        assert points_of(*even) == 0.5
        assert not swayed_by_place(*even)
    with judging(RuleJudge(likes_first=True)) as url:
        verdicts = Judge(JudgeSettings(url), tmp_path / "unfair.jsonl").prefer(ASKED, "Come")
        assert points_of(*verdicts) == 0.5
        assert swayed_by_place(*verdicts)


def test_what_cannot_be_read_is_no_rating(tmp_path: Path) -> None:
    with judging(RuleJudge(mumbles=True)) as url:
        judge = Judge(JudgeSettings(url), tmp_path / "verdicts.jsonl")
        assert judge.rate(OVERALL, ASKED).value is None
        verdicts = judge.prefer(ASKED, "Come")
        assert points_of(*verdicts) is None
        assert not swayed_by_place(*verdicts)


def test_cost_counts_tokens_of_both_kinds(tmp_path: Path) -> None:
    with judging(RuleJudge()) as url:
        judge = Judge(JudgeSettings(url), tmp_path / "verdicts.jsonl")
        verdict = judge.rate(OVERALL, ASKED)
    expected = (verdict.prompt_tokens * 2.5 + 5 * 10.0) / 1e6
    assert verdict.prompt_tokens > 100
    assert cost(judge.asked, 2.5, 10.0) == pytest.approx(expected)


def test_prompts_may_be_ones_own(tmp_path: Path) -> None:
    server = RuleJudge(mumbles=True)
    for name in ("overall", "personal"):
        (tmp_path / f"{name}.txt").write_text("{context}|{question}|{answer}")
    with judging(server) as url:
        settings = JudgeSettings(url, prompts=tmp_path)
        with pytest.raises(ConfigError, match=r"pairwise\.txt: no such file"):
            Judge(settings, tmp_path / "verdicts.jsonl")
        (tmp_path / "pairwise.txt").write_text("{context}{question}{answer_a}")
        with pytest.raises(ConfigError, match=r"has no \{answer_b\}"):
            Judge(settings, tmp_path / "verdicts.jsonl")
        (tmp_path / "pairwise.txt").write_text("{context}{question}{answer_a}{answer_b}")
        Judge(settings, tmp_path / "verdicts.jsonl").rate(OVERALL, ASKED)
    assert server.prompts == ["Name: Ada|Invite them.|Come to us at eight"]


def test_a_judge_that_is_not_there_is_named(tmp_path: Path) -> None:
    with judging(RuleJudge()) as url, pytest.raises(ConfigError, match="has rule, not gpt"):
        Judge(JudgeSettings(url, "gpt"), tmp_path / "v.jsonl")
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_text("{}\n")
    with judging(RuleJudge()) as url, pytest.raises(ConfigError, match=r"damaged\.jsonl:1: is no"):
        Judge(JudgeSettings(url), damaged)
