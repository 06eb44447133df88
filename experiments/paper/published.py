"""What the paper reports (arXiv 2507.04756v1, Tables 1, 2, 3 and 5), read from one file.

Word metrics are shares here, where the paper prints percentages; rewards and ratings are as it
prints them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from importlib.resources import files

FIRST_PAIR = "qwen2.5-7b-1.5b"
"""The pair of the paper's Tables 2 and 3 and of its Figure 2."""

Key = tuple[str, str, str]
"""(setting, task, metric)."""


def published(table: str, pair: str) -> Mapping[Key, float]:
    """Return a table's figures for a pair; empty where the paper has none."""
    text = (files("experiments.paper") / "published.csv").read_text(encoding="utf-8")
    return {
        (row["setting"], row["task"], row["metric"]): float(row["value"])
        for row in csv.DictReader(text.splitlines())
        if row["table"] == table and row["pair"] == pair
    }
