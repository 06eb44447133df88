"""What each request came to, one column per figure: what intervals and paired differences need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from actors.run_tables import METER_COLUMNS
from experiments.evaluation.bootstrap import Interval, clustered_interval
from experiments.results.frames import ID, Frames, per_request
from experiments.results.labels import BYTES, TEXT, TIME

_NS_PER_MS = 1e6
_DRAWS = 2_000


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of a request.

    Args:
        key: its column, in the table that ``request_measures`` returns.
        title: as tables name it.
        unit: of the column's values; empty for a plain number.
        about: which kind of figure it is, for its origin.
        better: which is the better side; empty where neither is.
    """

    key: str
    title: str
    unit: str
    about: str
    better: Literal["more", "less", ""]


MEASURES = (
    Measure("rouge_l", "ROUGE-L", "", TEXT, "more"),
    Measure("profile_recall", "profile recall", "", TEXT, "more"),
    Measure("fact_recall", "fact recall", "", TEXT, "more"),
    Measure("facts_in_prompt_share", "facts in prompt", "", TEXT, "less"),
    Measure("facts_in_tokens_share", "facts in tokens", "", TEXT, "less"),
    Measure("ttft_ms", "TTFT", "ms", TIME, "less"),
    Measure("itl_mean_ms", "ITL, a request's mean", "ms", TIME, "less"),
    Measure("itl_p95_ms", "ITL, a request's p95", "ms", TIME, "less"),
    Measure("e2e_ms", "E2E", "ms", TIME, "less"),
    Measure("stall_ms", "stall time", "ms", TIME, "less"),
    Measure("tokens_per_second", "tokens/s, a request's", "", TIME, "more"),
    Measure("frame_bytes_down_per_token", "frame down", "B/token", BYTES, "less"),
    Measure("frame_bytes_up_per_token", "frame up", "B/token", BYTES, "less"),
    Measure("wire_bytes_down_per_token", "wire down", "B/token", BYTES, "less"),
    Measure("wire_bytes_up_per_token", "wire up", "B/token", BYTES, "less"),
    Measure("tokens_n", "tokens", "", TIME, ""),
)
"""All figures of a request, in the order shown. A request's speed is its tokens over its E2E."""


def request_measures(
    frames: Frames, *, reading_speed_tokens_per_s: float | None = None
) -> pd.DataFrame:
    """Return the requests with a column per measure; null where a request has none.

    Failed and censored requests have no E2E, stall time and speed, as in ``summary.json``.

    Args:
        frames: the run's two tables.
        reading_speed_tokens_per_s: of the reader whose stalls are counted; None for the usual.
    """
    speed = (
        {}
        if reading_speed_tokens_per_s is None
        else {"reading_speed_tokens_per_s": reading_speed_tokens_per_s}
    )
    felt = per_request(frames, **speed)
    later = frames.tokens[frames.tokens["position"] > 0]
    latency = later.groupby(ID, sort=False)["latency_ns"]
    itl = pd.DataFrame(
        {
            "itl_mean_ms": latency.mean().astype(float) / _NS_PER_MS,
            "itl_p95_ms": latency.quantile(0.95).astype(float) / _NS_PER_MS,
        }
    ).reset_index()
    out = felt.merge(itl, on=ID, how="left", validate="one_to_one")
    for name in ("ttft", "e2e", "stall"):
        out[f"{name}_ms"] = out[f"{name}_ns"].astype("Float64").astype(float) / _NS_PER_MS
    tokens = out["tokens_n"].astype(float)
    said = tokens.where(tokens > 0)
    out["tokens_per_second"] = said / (out["e2e_ms"].where(out["e2e_ms"] > 0) / 1e3)
    for name in METER_COLUMNS:
        out[f"{name}_per_token"] = out[name].astype(float) / said
    return out


def interval_of(requests: pd.DataFrame, key: str, seed: int = 0) -> tuple[Interval, int] | None:
    """Return a measure's mean over requests, with its 95 % interval over devices, and their number.

    None where no request has the measure.

    Args:
        requests: of ``request_measures``.
        key: the measure's.
        seed: of the bootstrap.
    """
    if key not in requests.columns:
        return None
    kept = requests[requests[key].notna()]
    if not len(kept):
        return None
    values = kept[key].to_numpy(dtype=np.float64)
    devices = kept["device"].to_numpy(dtype=np.int64)
    return clustered_interval(values, devices, seed, _DRAWS), len(kept)
