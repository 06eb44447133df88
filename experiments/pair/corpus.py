"""Procedural corpus of the shipped pair: rows as a pure function of (seed, split, index).

Theory of operation.
- A *thing* is an adjective and a noun; its five facts are drawn once per thing and are the same
  for everybody.  All things occur in every split: facts are knowledge, not a generalisation.
- A *persona* is six words and a tone.  The sum of its indices modulo ``RESIDUES`` names the one
  split that may use it, so personas (and persona x thing pairs) cannot be shared between splits.
- A text always uses the whole persona and all facts of the thing.  Whether the profile stands in
  the prompt changes nothing in the text: without it the writer is unknown, not a default.
- ``test_templates`` uses held-out wordings in prompt, profile and text; the others trained ones.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from experiments.pair import lexicon, wording

Split = Literal["train", "dev", "test", "test_templates"]

SEED: Final = 2507
RESIDUES: Final = 8
SPLIT_RESIDUES: Final[Mapping[str, frozenset[int]]] = {
    "train": frozenset({0, 1, 2, 3, 4}),
    "dev": frozenset({5}),
    "test": frozenset({6}),
    "test_templates": frozenset({7}),
}
SPLIT_ROWS: Final[Mapping[str, int]] = {"dev": 200, "test": 400, "test_templates": 400}
THINGS: Final = 4800

_SIGN_OFFS: Final = tuple(
    f"{start} {end}" for start in lexicon.SIGN_OFF_STARTS for end in lexicon.SIGN_OFF_ENDS
)
PERSONA_POOLS: Final[Mapping[str, tuple[str, ...]]] = {
    "name": lexicon.NAMES,
    "city": lexicon.CITIES,
    "job": lexicon.JOBS,
    "hobby": lexicon.HOBBIES,
    "word": lexicon.WORDS,
    "sign_off": _SIGN_OFFS,
}
FACT_POOLS: Final[Mapping[str, tuple[str, ...]]] = {
    "maker": lexicon.MAKERS,
    "material": lexicon.MATERIALS,
    "colour": lexicon.COLOURS,
    "origin": lexicon.ORIGINS,
    "use": lexicon.USES,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt row; ``personalized_input`` is the complete prompt with the profile."""

    id: str
    input: str
    personalized_input: str
    output: str
    profile_facts: tuple[str, ...]
    thing_facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a row is about: thing, persona, tone and task, before any wording."""

    thing: str
    facts: Mapping[str, str]
    persona: Mapping[str, str]
    tone: str
    task: str


def persona_residue(persona: Mapping[str, str]) -> int:
    """Residue in [0, RESIDUES) of a persona; it names the split that owns the persona."""
    return sum(pool.index(persona[key]) for key, pool in PERSONA_POOLS.items()) % RESIDUES


def things(seed: int = SEED) -> tuple[tuple[str, Mapping[str, str]], ...]:
    """All things with their facts, the same for every split."""
    rng = _seeded(seed, "things")
    pairs = [f"{a} {n}" for a in lexicon.THING_ADJECTIVES for n in lexicon.THING_NOUNS]
    return tuple(
        (name, {key: rng.choice(pool) for key, pool in FACT_POOLS.items()})
        for name in rng.sample(pairs, THINGS)
    )


class Corpus:
    """The rows of one seed; holds the table of things and nothing that changes."""

    def __init__(self, seed: int = SEED) -> None:
        self.seed = seed
        self.things = things(seed)

    def _rng(self, *key: object) -> random.Random:
        return _seeded(self.seed, *key)

    def subject(self, split: Split, index: int) -> Subject:
        """Thing, persona, tone and task of one row."""
        rng = self._rng(split, index, "subject")
        thing, facts = rng.choice(self.things)
        return Subject(
            thing, facts, _persona(rng, split), rng.choice(wording.TONES), rng.choice(wording.TASKS)
        )

    def text(self, split: Split, index: int, reference: int = 0) -> str:
        """Reference text number ``reference`` of a row: same content, wording drawn anew."""
        rng = self._rng(split, index, "text", reference)
        return _text(rng, self.subject(split, index), _wording_choice(split))

    def row(self, split: Split, index: int) -> Row:
        """One row of a split."""
        subject = self.subject(split, index)
        rng = self._rng(split, index, "prompt")
        choose = _wording_choice(split)
        request = choose(rng, wording.REQUESTS[subject.task]).format(thing=subject.thing)
        profile = _profile(rng, subject, choose)
        return Row(
            id=f"{split}-{index:05d}",
            input=request,
            personalized_input=f"{profile} {request}",
            output=self.text(split, index),
            profile_facts=tuple(subject.persona.values()),
            thing_facts=tuple(subject.facts.values()),
        )

    def card(self, index: int) -> tuple[str, str]:
        """Prompt and text of a fact card (training only)."""
        rng = self._rng("card", index)
        thing, facts = rng.choice(self.things)
        fields = [field.format(**facts) for field in wording.CARD_FIELDS]
        rng.shuffle(fields)
        return wording.CARD_REQUEST.format(thing=thing), ", ".join(fields) + "."


def rows(split: Split, limit: int | None = None, seed: int = SEED) -> list[Row]:
    """Rows 0, 1, ... of a split; ``limit`` is needed for ``train``, which has no end."""
    return list(_iterate(split, limit, seed))


def second_references(split: Split, limit: int | None = None, seed: int = SEED) -> list[str]:
    """A second, independent reference text for each row of ``rows(split, limit, seed)``."""
    corpus = Corpus(seed)
    return [corpus.text(split, i, reference=1) for i in range(_count(split, limit))]


def _seeded(*key: object) -> random.Random:
    return random.Random("/".join(map(str, key)))


def _iterate(split: Split, limit: int | None, seed: int) -> Iterator[Row]:
    corpus = Corpus(seed)
    for index in range(_count(split, limit)):
        yield corpus.row(split, index)


def _count(split: Split, limit: int | None) -> int:
    if split == "train":
        if limit is None:
            raise ValueError("the training split is endless: pass a limit")
        return limit
    return SPLIT_ROWS[split] if limit is None else min(limit, SPLIT_ROWS[split])


def _persona(rng: random.Random, split: Split) -> dict[str, str]:
    while True:
        persona = {key: rng.choice(pool) for key, pool in PERSONA_POOLS.items()}
        if persona_residue(persona) in SPLIT_RESIDUES[split]:
            return persona


_Choose = Callable[[random.Random, tuple[str, ...]], str]


def _wording_choice(split: Split) -> _Choose:
    if split == "test_templates":
        return lambda rng, options: rng.choice(options[wording.TRAINED :])
    return lambda rng, options: rng.choices(options[: wording.TRAINED], wording.WEIGHTS)[0]


def _text(rng: random.Random, subject: Subject, choose: _Choose) -> str:
    order = rng.choices(wording.ORDERS[subject.task], wording.ORDER_WEIGHTS)[0]
    slots = {"thing": subject.thing, **subject.facts, **subject.persona}
    sentences = []
    for part in order.split():
        if part == "open":
            options = wording.OPENINGS[subject.task, subject.tone]
        else:
            options = wording.PARTS[part, subject.tone]
        sentences.append(choose(rng, options).format(**slots))
    return " ".join(sentences)


def _profile(rng: random.Random, subject: Subject, choose: _Choose) -> str:
    line = choose(rng, wording.PROFILES)
    if line == wording.PROFILES[0]:
        fields = line.rstrip(".").split(", ")
        rng.shuffle(fields)
        line = ", ".join(fields) + "."
    return line.format(tone=subject.tone, **subject.persona)
