"""The corpus: splits that share no persona, facts common to all, words credited once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.evaluation.quality import contains, recall
from experiments.pair import lexicon, wording
from experiments.pair.corpus import (
    FACT_POOLS,
    PERSONA_POOLS,
    RESIDUES,
    SPLIT_RESIDUES,
    SPLIT_ROWS,
    THINGS,
    Corpus,
    Split,
    persona_residue,
    rows,
    second_references,
)

CORPUS = Corpus()
SPLITS: list[Split] = ["train", "dev", "test", "test_templates"]
HELD_OUT: list[Split] = ["dev", "test", "test_templates"]
split_st = st.sampled_from(SPLITS)
index_st = st.integers(0, 10**9)


def test_residues_give_every_persona_to_exactly_one_split() -> None:
    owned = [residue for split in SPLITS for residue in SPLIT_RESIDUES[split]]
    assert sorted(owned) == list(range(RESIDUES))


@given(split_st, index_st)
def test_a_persona_belongs_to_its_split_so_splits_share_none(split: Split, index: int) -> None:
    persona = CORPUS.subject(split, index).persona
    assert persona_residue(persona) in SPLIT_RESIDUES[split]
    assert set(persona) == set(PERSONA_POOLS)


@settings(max_examples=50)
@given(split_st, index_st)
def test_rows_are_a_pure_function_of_seed_split_and_index(split: Split, index: int) -> None:
    assert CORPUS.row(split, index) == Corpus().row(split, index)
    assert CORPUS.row(split, index) != Corpus(seed=1).row(split, index)


@given(split_st, index_st, st.integers(0, 3))
def test_a_text_uses_all_facts_whatever_its_wording(split: Split, index: int, ref: int) -> None:
    row = CORPUS.row(split, index)
    text = CORPUS.text(split, index, ref)
    assert recall(text, row.profile_facts) == 1.0
    assert recall(text, row.thing_facts) == 1.0
    assert contains(text, CORPUS.subject(split, index).thing)


@given(split_st, index_st)
def test_the_profile_stands_in_the_personalized_prompt_alone(split: Split, index: int) -> None:
    row = CORPUS.row(split, index)
    subject = CORPUS.subject(split, index)
    assert recall(row.personalized_input, [*row.profile_facts, subject.tone]) == 1.0
    assert row.personalized_input.endswith(row.input)
    assert recall(row.input, row.profile_facts) == 0.0
    assert recall(row.input, row.thing_facts) == 0.0


def test_a_thing_has_the_same_facts_in_every_split() -> None:
    facts = dict(CORPUS.things)
    assert len(facts) == THINGS
    for split in SPLITS:
        for index in range(50):
            subject = CORPUS.subject(split, index)
            assert subject.facts == facts[subject.thing]


def test_words_are_credited_once() -> None:
    pools = [
        *(pool for key, pool in PERSONA_POOLS.items() if key != "sign_off"),
        *FACT_POOLS.values(),
        lexicon.SIGN_OFF_STARTS,
        lexicon.SIGN_OFF_ENDS,
        lexicon.THING_ADJECTIVES,
        lexicon.THING_NOUNS,
        wording.TONES,
    ]
    words = [word.lower() for pool in pools for word in pool]
    assert len(words) == len(set(words))
    sentences = [
        *(sentence for options in wording.OPENINGS.values() for sentence in options),
        *(sentence for options in wording.PARTS.values() for sentence in options),
        *(sentence for options in wording.REQUESTS.values() for sentence in options),
    ]
    fact_words = [w for pool in (*PERSONA_POOLS.values(), *FACT_POOLS.values()) for w in pool]
    assert [w for w in fact_words for s in sentences if contains(s, w)] == []


def test_held_out_wordings_are_new() -> None:
    cells = [*wording.OPENINGS.values(), *wording.PARTS.values(), *wording.REQUESTS.values()]
    for options in [*cells, wording.PROFILES]:
        assert len(options) == len(set(options)) == wording.TRAINED + 2
        held_out = {option.lower() for option in options[wording.TRAINED :]}
        assert held_out.isdisjoint(option.lower() for option in options[: wording.TRAINED])
    trained = {row.input for row in rows("train", 300)} | {row.input for row in rows("dev")}
    assert trained.isdisjoint(row.input for row in rows("test_templates"))


@pytest.mark.parametrize("split", HELD_OUT)
def test_limits_take_the_first_rows(split: Split) -> None:
    assert len(rows(split)) == SPLIT_ROWS[split]
    assert rows(split, 3) == rows(split)[:3]
    assert len(second_references(split, 3)) == 3
    assert len({row.id for row in rows(split)}) == SPLIT_ROWS[split]


def test_test_sets_are_large_and_train_needs_a_limit() -> None:
    assert SPLIT_ROWS["test"] >= 300
    assert SPLIT_ROWS["test_templates"] >= 300
    with pytest.raises(ValueError, match="limit"):
        rows("train")


def test_references_of_one_row_are_alike_and_of_different_rows_far_apart() -> None:
    from experiments.evaluation.quality import rouge_l

    references = [row.output for row in rows("dev", 100)]
    ceiling = rouge_l(second_references("dev", 100), references).mean()
    floor = rouge_l([*references[1:], references[0]], references).mean()
    assert floor <= ceiling / 2
    assert ceiling < 0.8
