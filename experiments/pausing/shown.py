"""The study as people read it: a table, and sentences written from the numbers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from actors.sink import write_atomically
from experiments.pausing.study import REFERENCE, PausingStudy
from experiments.results.grid import Column, markdown_table, number, text_table
from experiments.results.intervals import interval_cell


def columns(found: PausingStudy) -> list[Column]:
    """Return one line per arm."""
    rows = found.standings
    return [
        Column("arm", tuple(one.arm for one in rows), left=True),
        Column("unsteered", tuple(number(100 * one.unsteered, 1) for one in rows), unit="%"),
        Column("frame", tuple(number(one.frame_bytes_down, 0) for one in rows), "B", "per token"),
        Column("wire", tuple(number(one.wire_bytes, 0) for one in rows), "B", "per token"),
        Column("tokens/s", tuple(number(one.tokens_per_s, 1) for one in rows), "stream"),
        Column("same token", tuple(interval_cell(one.agreement) for one in rows), "share", "full"),
        Column("KL", tuple(interval_cell(one.kl_nats) for one in rows), "nats", "full"),
        Column("changed", tuple(f"{one.changed}" for one in rows), "texts", "CoSteer's text"),
        Column("ROUGE-L", tuple(number(one.rouge_l, 3) for one in rows)),
        Column("fact", tuple(number(one.fact_recall, 2) for one in rows), "recall"),
        Column("profile", tuple(number(one.profile_recall, 2) for one in rows), "recall"),
    ]


def sentences(found: PausingStudy) -> list[str]:
    """Return what pausing saves and costs, in words."""
    plain = next(one for one in found.standings if one.arm == REFERENCE)
    told = []
    for one in found.standings:
        if one is plain:
            continue
        saved = 1 - one.wire_bytes / plain.wire_bytes
        told.append(
            f"{one.arm}: {number(100 * saved, 0)} % of the bytes on the wire saved,"
            f" {number(one.tokens_per_s, 1)} instead of {number(plain.tokens_per_s, 1)} tokens/s,"
            f" {one.changed} of {found.prompts} texts are not CoSteer's."
        )
    return told


def table(found: PausingStudy) -> str:
    """Return table and sentences as text."""
    how = (
        f"{found.prompts} held-out prompts, shipped pair, 4g-eu, orin-agx, simulated time. Same"
        " token and KL: against full CoSteer behind the same prefix."
    )
    return "\n\n".join([text_table(columns(found)), how, *sentences(found)])


def write_study(found: PausingStudy, folder: Path) -> Path:
    """Write table and data; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "gate.md", markdown_table(columns(found)) + "\n")
    write_atomically(folder / "gate.json", json.dumps(asdict(found), indent=1))
    return folder
