"""The study as people read it: a table, a figure, sentences written from the numbers, a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from actors.sink import write_atomically
from experiments.privacy.study import (
    CLOUD,
    GENERIC,
    PADDED,
    PERSONAL,
    SIZES,
    PrivacyStudy,
    Sighting,
)
from experiments.report.pages import environment
from experiments.report.plots import svg
from experiments.report.style import BLUE, GREEN, GREY, ORANGE, SKY, VERMILLION
from experiments.results.grid import Column, number, text_table

_HEIGHT_IN = 2.7
_ASIDE = 0.09
"""Steps of strength between observers."""
_LOOKS = (
    (CLOUD, VERMILLION, "s"),
    (PERSONAL, ORANGE, "^"),
    (GENERIC, GREEN, "v"),
    (SIZES, BLUE, "o"),
    (PADDED, SKY, "D"),
)


def study_columns(found: PrivacyStudy) -> list[Column]:
    """Return one line per observer and strength."""
    rows = sorted(found.sightings, key=lambda one: (one.observer, one.strength))
    return [
        Column("observer", tuple(one.observer for one in rows), left=True),
        Column("c", tuple(f"{one.strength:g}" for one in rows)),
        Column("right", tuple(_percent(one.accuracy.mean) for one in rows), unit="%"),
        Column(
            "95 % interval",
            tuple(f"{_percent(one.accuracy.low)}–{_percent(one.accuracy.high)}" for one in rows),
            unit="%",
        ),
        Column("sessions", tuple(str(one.sessions) for one in rows)),
    ]


def sentences(found: PrivacyStudy) -> list[str]:
    """Return what was found, in words."""
    chance = _percent(1 / found.candidates)
    by = {name: _of(found, name) for name, *_ in _LOOKS}
    strongest = by[CLOUD][-1]
    sizes = max(by[SIZES], key=lambda one: one.accuracy.mean)
    (down, up), (padded_down, padded_up) = found.frame_bytes
    output = (
        f"Of {found.candidates} candidates the cloud names the right one in "
        f"{_percent(strongest.accuracy.mean)} % of sessions at c = {strongest.strength:g}, by the "
        f"tokens alone; chance is {chance} %. That is what steering reveals by its very output."
    )
    seen = (
        f"Who sees sizes, counts and times names the right one in at most "
        f"{_percent(sizes.accuracy.mean)} % (c = {sizes.strength:g})."
    )
    cost = (
        f"Padding costs {number(padded_down - down, 0)} B a token down and "
        f"{number(padded_up - up, 0)} B up at c = {by[PADDED][0].strength:g}, and leaves that "
        f"observer {_percent(by[PADDED][0].accuracy.mean)} %: counts and times still speak."
    )
    return [output, seen, cost, _on_drafts(found, by)]


def _on_drafts(found: PrivacyStudy, by: Mapping[str, Sequence[Sighting]]) -> str:
    """Say what drafts tell the cloud where steering tells little, and generic ones do not."""
    weakest, generic = by[PERSONAL][0], by[GENERIC][0]
    mine, theirs = found.refuted_per_token
    return (
        f"Drafts made with the context tell the cloud more than the text does: at"
        f" c = {weakest.strength:g} it names the right one in"
        f" {_percent(weakest.accuracy.mean)} % of sessions where devices draft, and in"
        f" {_percent(generic.accuracy.mean)} % where the branch without context drafts;"
        f" {number(mine, 2)} and {number(theirs, 2)} refuted drafts a token"
        f" go up at c = {by[PERSONAL][-1].strength:g}."
    )


def figure(found: PrivacyStudy) -> str:
    """Return accuracy over strength as SVG, chance as a line.

    Strengths stand at equal distances, since what happens does so among the smallest; observers
    side by side, since several are always right.
    """
    strengths = sorted({one.strength for one in found.sightings})
    middle = (len(_LOOKS) - 1) / 2

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for at, (name, colour, marker) in enumerate(_LOOKS):
            line = _of(found, name)
            aside = _ASIDE * (at - middle)
            x = [strengths.index(one.strength) + aside for one in line]
            mean = np.array([100 * one.accuracy.mean for one in line])
            low = np.array([100 * one.accuracy.low for one in line])
            high = np.array([100 * one.accuracy.high for one in line])
            axes.errorbar(
                x, mean, yerr=(mean - low, high - mean), color=colour, marker=marker, ms=4.5,
                capsize=2.5, elinewidth=0.9, lw=0.9, label=name,
            )  # fmt: skip
        chance = 100 / found.candidates
        axes.axhline(chance, color=GREY, ls=(0, (4, 1.5)), lw=1.0, label="chance")
        axes.set_ylim(0, 105)
        axes.set_xticks(range(len(strengths)), [f"{each:g}" for each in strengths])
        axes.set_xlabel("strength c of Δ")
        axes.set_ylabel(f"right one of {found.candidates} named, %")
        figure.legend(loc="outside right upper")

    return svg(draw, _HEIGHT_IN)


def table(found: PrivacyStudy) -> str:
    """Return table and sentences as text."""
    return "\n\n".join([text_table(study_columns(found)), *sentences(found)])


def write_page(found: PrivacyStudy, folder: Path) -> Path:
    """Write ``privacy.html``, ``privacy.svg`` and ``privacy.csv``; return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = figure(found)
    write_atomically(folder / "privacy.svg", drawn)
    write_atomically(folder / "privacy.csv", _csv(found))
    pages = environment("experiments.privacy")
    page = pages.get_template("privacy.html.j2").render(
        sentences=sentences(found),
        columns=study_columns(found),
        figure=Markup(drawn[drawn.index("<svg") :]),  # noqa: S704 - made by this project
        csv_name="privacy.csv",
    )
    return write_atomically(folder / "privacy.html", page)


def _csv(found: PrivacyStudy) -> str:
    lines = ["observer,strength,accuracy,low95,high95,sessions,chance"]
    lines += [
        f'"{one.observer}",{one.strength:g},{one.accuracy.mean:.4f},{one.accuracy.low:.4f},'
        f"{one.accuracy.high:.4f},{one.sessions},{1 / found.candidates:.4f}"
        for one in found.sightings
    ]
    return "\n".join(lines) + "\n"


def _of(found: PrivacyStudy, observer: str) -> Sequence[Sighting]:
    mine = [one for one in found.sightings if one.observer == observer]
    return sorted(mine, key=lambda one: one.strength)


def _percent(share: float) -> str:
    return number(100 * share, 1)
