"""The numbers that the figures of a report draw, as CSV: a row per mark."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from costeer.token_record import STAGES
from experiments.results.labels import Row, arm_labels, whole_arms
from experiments.results.summary import QUALITY

_MS = 1e3


def stages_csv(rows: Sequence[Row], which: str = "itl_breakdown_s") -> str:
    """Return what ``stages_figure`` draws: mean milliseconds of each arm and stage."""
    return _csv(
        ["arm", "stage", "mean_ms"],
        [
            (label, stage, (row[which][stage] or 0.0) * _MS)
            for row, label in _arms(rows)
            for stage in STAGES
        ],
    )


def bytes_csv(rows: Sequence[Row]) -> str:
    """Return what ``bytes_figure`` draws: bytes per token of each arm, direction and kind."""
    return _csv(
        ["arm", "direction", "kind", "bytes_per_token"],
        [
            (label, way, kind, row[f"{kind}_bytes_{way}_per_token"])
            for row, label in _arms(rows)
            for way in ("down", "up")
            for kind in ("frame", "wire")
        ],
    )


def quality_csv(rows: Sequence[Row]) -> str:
    """Return what ``quality_figure`` draws: means with the ends of their 95 % intervals."""
    return _csv(
        ["arm", "figure", "mean", "low95", "high95", "requests"],
        [
            (label, key, item["mean"], item["low"], item["high"], item["n"])
            for row, label in _arms(rows)
            for key in QUALITY
            if (item := row["quality"].get(key))
        ],
    )


def _arms(rows: Sequence[Row]) -> list[tuple[Row, str]]:
    arms = whole_arms(rows)
    return list(zip(arms, arm_labels(arms), strict=True))


def _csv(columns: list[str], rows: list[tuple[object, ...]]) -> str:
    return str(pd.DataFrame(rows, columns=columns).to_csv(index=False, float_format="%.6g"))
