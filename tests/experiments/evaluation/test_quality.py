"""Text metrics: what counts as a found fact, and ROUGE-L at its ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.evaluation.quality import contains, quality, recall, rouge_l


@pytest.mark.parametrize(
    ("text", "fact", "found"),
    [
        ("Ada lives in Oslo.", "oslo", True),
        ("made of tin", "tin", True),
        ("a tiny tint of satin", "tin", False),
        ("with warm  regards, Ada", "warm regards", True),
        ("warm and kind regards", "warm regards", False),
        ("x.y", "x.y", True),
        ("xzy", "x.y", False),
    ],
)
def test_a_fact_is_found_whole_and_in_any_case(text: str, fact: str, found: bool) -> None:
    assert contains(text, fact) is found


def test_recall_is_the_share_of_facts_found() -> None:
    assert recall("Ada the baker", ["Ada", "Oslo", "baker", "chess"]) == 0.5
    assert recall("anything", []) == 1.0


@given(st.lists(st.from_regex(r"[a-z]{1,6}", fullmatch=True), min_size=1, max_size=8))
def test_a_text_recalls_each_of_its_own_words(words: list[str]) -> None:
    assert recall(" ".join(words), words) == 1.0


def test_rouge_l_is_one_for_equal_texts_and_zero_for_disjoint_ones() -> None:
    assert rouge_l(["the red fox", "abc"], ["the red fox", "xyz"]).tolist() == [1.0, 0.0]


def test_rouge_l_counts_the_longest_common_subsequence() -> None:
    # LCS "a c" of 2 words; precision 2/2, recall 2/4.
    assert rouge_l(["a c"], ["a b c d"])[0] == pytest.approx(2 / 3)


def test_quality_scores_row_by_row() -> None:
    scores = quality(
        ["Ada likes tin", ""], ["Ada likes tin", "x"], [["Ada"], ["Bo"]], [["tin"]] * 2
    )
    np.testing.assert_array_equal(scores.profile_recall, [1.0, 0.0])
    np.testing.assert_array_equal(scores.fact_recall, [1.0, 0.0])
    np.testing.assert_array_equal(scores.rouge_l, [1.0, 0.0])
