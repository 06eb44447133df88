"""Synonyms from WordNet's own database files, for METEOR.

Debian's `wordnet-base` puts them into /usr/share/wordnet; so does unpacking WordNet's `dict`
folder. A word's base forms are looked for as WordNet's `morphy` does: exceptions first, then
endings cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from costeer.errors import ConfigError

DEFAULT_FOLDER = Path("/usr/share/wordnet")

_PARTS = ("noun", "verb", "adj", "adv")
_ENDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "noun": (
        ("s", ""),
        ("ses", "s"),
        ("xes", "x"),
        ("zes", "z"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("men", "man"),
        ("ies", "y"),
    ),
    "verb": (
        ("s", ""),
        ("ies", "y"),
        ("es", "e"),
        ("es", ""),
        ("ed", "e"),
        ("ed", ""),
        ("ing", "e"),
        ("ing", ""),
    ),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}


@dataclass(frozen=True, slots=True)
class Lemma:
    """One word of a synset."""

    text: str

    def name(self) -> str:
        """Return the word, underscores between its parts."""
        return self.text


@dataclass(frozen=True, slots=True)
class Synset:
    """Words of one meaning."""

    words: tuple[str, ...]

    def lemmas(self) -> list[Lemma]:
        """Return its words."""
        return [Lemma(word) for word in self.words]


class WordNet:
    """The database, as far as METEOR asks: the synsets of a word.

    Args:
        folder: holds `index.noun`, `data.noun`, `noun.exc` and so on.

    Raises:
        ConfigError: a file is missing.
    """

    def __init__(self, folder: Path) -> None:
        for part in _PARTS:
            for name in (f"index.{part}", f"data.{part}"):
                if not (folder / name).is_file():
                    raise ConfigError(
                        f"--wordnet {folder}: has no {name}; give WordNet's database folder"
                        " (Debian: apt install wordnet-base), or leave --wordnet out: METEOR then"
                        " matches words and stems alone"
                    )
        self._data = {part: (folder / f"data.{part}").read_bytes() for part in _PARTS}
        self._offsets = {part: dict(_index(folder / f"index.{part}")) for part in _PARTS}
        self._exceptions = {part: dict(_exceptions(folder / f"{part}.exc")) for part in _PARTS}

    def synsets(self, word: str) -> list[Synset]:
        """Return every meaning of a word and of its base forms."""
        return [
            self._synset(part, offset)
            for part in _PARTS
            for form in self._forms(word.lower(), part)
            for offset in self._offsets[part].get(form, ())
        ]

    def _forms(self, word: str, part: str) -> list[str]:
        found = [word, *self._exceptions[part].get(word, ())]
        if word not in self._exceptions[part]:
            found += [
                word.removesuffix(end) + start
                for end, start in _ENDINGS[part]
                if word.endswith(end) and len(word) > len(end)
            ]
        return list(dict.fromkeys(found))

    def _synset(self, part: str, offset: int) -> Synset:
        data = self._data[part]
        fields = data[offset : data.index(b"\n", offset)].decode("utf-8").split(" ")
        count = int(fields[3], 16)
        words = (fields[4 + 2 * index] for index in range(count))
        # Adjectives carry their position in brackets.
        return Synset(tuple(word.split("(")[0] for word in words))


class NoWordNet:
    """A database without a word: METEOR then matches words and stems alone."""

    def synsets(self, _: str) -> list[Synset]:
        """Return nothing."""
        return []


def _index(path: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(" "):
            fields = line.split()
            yield fields[0], tuple(int(each) for each in fields[-int(fields[2]) :])


def _exceptions(path: Path) -> Iterator[tuple[str, list[str]]]:
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            word, *bases = line.split()
            yield word, bases
