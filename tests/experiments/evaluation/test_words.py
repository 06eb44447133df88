"""Metrics of words: held to published examples, to another reading of WordNet, and to laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.translate.meteor_score import single_meteor_score

from costeer.errors import ConfigError
from experiments.evaluation.wordnet import DEFAULT_FOLDER, NoWordNet, WordNet
from experiments.evaluation.words import distinct, meteor, rouge, tokens

HEADER = "  1 A licence stands here.\n"
DATA_NOUN = (
    f"{HEADER}00000031 05 n 02 dog 0 hound 0 000 | an animal  \n"
    "00000090 05 n 03 big_cat 0 cat 0 feline(a) 0 000 | another  "
)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Two synsets in WordNet's own format, at their real byte offsets."""
    dog, cat = DATA_NOUN.index("00000031"), DATA_NOUN.index("00000090")
    index = [
        f"dog n 1 0 1 0 {dog:08d}  ",
        f"hound n 1 0 1 0 {dog:08d}  ",
        f"cat n 1 0 1 0 {cat:08d}  ",
        f"mouse n 1 0 1 0 {cat:08d}  ",
    ]
    for part in ("noun", "verb", "adj", "adv"):
        noun = part == "noun"
        (tmp_path / f"data.{part}").write_text(DATA_NOUN + "\n" if noun else HEADER)
        (tmp_path / f"index.{part}").write_text(HEADER + ("\n".join(index) + "\n" if noun else ""))
    (tmp_path / "noun.exc").write_text("mice mouse\n")
    return tmp_path


def synonyms(wordnet: WordNet, word: str) -> set[str]:
    return {lemma.name() for synset in wordnet.synsets(word) for lemma in synset.lemmas()}


def test_wordnet_is_read_from_its_own_files(database: Path) -> None:
    wordnet = WordNet(database)
    assert synonyms(wordnet, "Hounds") == {"dog", "hound"}
    assert synonyms(wordnet, "mice") == {"big_cat", "cat", "feline"}
    assert not synonyms(wordnet, "zebra")


def test_synonyms_match_in_meteor(database: Path) -> None:
    text, reference = ["the hound ran"], ["the dog ran"]
    assert meteor(text, reference, WordNet(database))[0] > meteor(text, reference, NoWordNet())[0]


def test_a_folder_without_wordnet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no index\.noun; give WordNet's database folder"):
        WordNet(tmp_path)


@pytest.mark.skipif(
    not (DEFAULT_FOLDER / "index.noun").is_file(), reason="Debian's wordnet-base is not installed"
)
def test_the_real_wordnet_knows_irregular_words() -> None:
    wordnet = WordNet(DEFAULT_FOLDER)
    assert "goose" in synonyms(wordnet, "geese")
    assert {"buy", "purchase"} <= synonyms(wordnet, "bought")


def test_meteor_by_hand() -> None:
    # 3 of 4 words match in 1 chunk: P = R = 3/4, F = 3/4, penalty 0.5 · (1/3)³.
    found = meteor(["a cat sat here"], ["a cat sat there"], NoWordNet())[0]
    assert found == pytest.approx(0.75 * (1 - 0.5 / 27))


WORDS = st.lists(st.sampled_from(["owl", "owls", "runs", "running", "a", "."]), min_size=1)


@given(WORDS, WORDS)
def test_meteor_stays_within_its_bounds(first: list[str], second: list[str]) -> None:
    text, reference = " ".join(first), " ".join(second)
    found = meteor([text], [reference], NoWordNet())[0]
    assert 0 <= found <= 1
    assert found == single_meteor_score(tokens(reference), tokens(text), wordnet=NoWordNet())


def test_rouge_by_hand() -> None:
    text, reference = ["the cat sat"], ["sat the cat down"]
    assert rouge("rouge1", text, reference)[0] == pytest.approx(2 * 1 * 0.75 / 1.75)
    assert rouge("rougeL", text, reference)[0] == pytest.approx(2 * (2 / 3) * 0.5 / (2 / 3 + 0.5))


def test_distinct_counts_differing_runs_of_words() -> None:
    found = distinct(["a b a b", "A a", ""], 2)
    np.testing.assert_array_equal(found, [2 / 3, 1.0, np.nan])
    assert distinct(["A a"], 1)[0] == 0.5
