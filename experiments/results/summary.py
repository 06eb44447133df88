"""What a run's rows come to: the rows of ``summary.json``.

Rules
-----
* Everything is seen from the device, and latency counts from the intended arrival.
* ITL is the latency of every token after a request's first one. TPOT, E2E and stall time are per
  request and leave out those that failed or were censored; TTFT leaves out those that never saw a
  token. How many were left out stands in ``requests_failed`` and ``requests_censored``.
* Percentiles interpolate linearly between the two nearest values.
* ``tokens_per_second`` is per stream: all tokens over the sum of the times in which their requests
  were being served (intended arrival to last token). ``system_tokens_per_second`` is
  ``delivered_tokens`` over the arm's makespan (first intended arrival to last token of the arm),
  also in the row of one link class, so that classes add up.
* Bytes per token are the totals of the requests (OPEN, MORE and CLOSE included) over their tokens.
* ``breakdown_s`` is the mean over all tokens and sums to ``latency_s.mean``; ``itl_breakdown_s``
  is the mean over tokens after the first and sums to ``itl_s.mean``.
* ``draft_acceptance`` is the share of right ones among the drafts that the cloud was told and a
  choice was compared with; those behind a wrong one were never compared. All that were dropped are
  in ``drafts_refuted_per_token``, those that never went up in ``drafts_unsent_per_token``.
* ``fallback_tokens`` are those that a device chose without its cloud, after that had not answered;
  ``fallback_requests`` have at least one. ``requests_stalled``, part of ``requests_failed``, ended
  because there was nothing to fall back on. ``repeated_frames`` are those of tokens that came.
* Figures of the cloud are of all replicas together, shares are of all replicas' time;
  ``forward_s_per_token`` is their time in forwards over all tokens that came of them, both from the
  run's beginning on, warm or not. Where there are several, ``replicas`` has a row for each: tokens
  stand with the replica that they came from, requests with the one that served them last.
  ``events`` says what failed when, in the model.
* Warm-up: requests whose intended arrival lies within ``warmup_s`` of the arm's beginning are cut
  off with all their tokens. What the system delivers is another question: ``delivered_tokens`` are
  all that came after the warm-up, whatever request they belong to, and the makespan then begins
  with its end. (Beyond saturation those that asked after it may all still wait.) GPU-seconds and
  their price are over these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from actors.run_tables import METER_COLUMNS, SCHEMA_VERSION, STAGE_COLUMNS
from costeer.patience import STALLED
from costeer.serving import merged
from costeer.token_record import STAGES
from experiments.evaluation.bootstrap import mean_interval
from experiments.results.cost import Usage, cost_of
from experiments.results.digests import joined_digest
from experiments.results.frames import ID, Arm, Frames, per_request
from experiments.results.incidents import incident_rows
from experiments.results.replicas import cloud_figures, replica_rows
from experiments.results.spread import spread

READING_SPEED_TOKENS_PER_S = 5.0
"""Tokens that a reader takes in a second: about 230 English words a minute."""

ALL = "all"
"""``link_class`` of the row over every class."""

QUALITY = (
    "rouge_l",
    "profile_recall",
    "fact_recall",
    "facts_in_prompt_share",
    "facts_in_tokens_share",
)
"""Request columns that a caller may add; each becomes a mean with its 95 % interval."""

_EDGE_WORK = ("stage_decode_ns", "stage_edge_wait_ns", "stage_steer_ns", "busy_edge_ns")
"""Token columns that add up to what the device worked, further rounds left out."""

_BOOTSTRAP_DRAWS = 2_000
_NS = 1e9


def summarise(
    frames: Frames,
    arms: Sequence[Arm],
    *,
    reading_speed_tokens_per_s: float = READING_SPEED_TOKENS_PER_S,
    warmup_s: float = 0.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Return ``summary.json``: per arm one row for all links and one per link class, and replicas.

    Args:
        frames: the run's two tables.
        arms: its arms.
        reading_speed_tokens_per_s: the reader whose stalls are counted.
        warmup_s: see the module's rules.
        seed: of the bootstrap.
    """
    felt = per_request(frames, reading_speed_tokens_per_s=reading_speed_tokens_per_s)
    rows, replicas, events = [], list[dict[str, Any]](), list[dict[str, Any]]()
    for arm in arms:
        asked = felt[felt["arm"] == arm.index]
        said = frames.tokens[frames.tokens["arm"] == arm.index]
        said = said.merge(asked[[*ID, "link_class", "device_class"]], on=ID, how="left")
        requests, classed = _after_warmup(asked, said, warmup_s)
        delivered = said[said["chosen_at_ns"] >= round(warmup_s * _NS)]
        makespan_s = _makespan_s(requests, delivered, warmup_s)
        common: dict[str, Any] = {"makespan_s": makespan_s, "warmup_s": warmup_s, "seed": seed}
        whole = _row(
            arm, ALL, requests=requests, tokens=classed, delivered=len(delivered), **common
        )
        # The cloud's figures begin with the run, warm or not.
        cloud_s = arm.end_ns / _NS if warmup_s else makespan_s
        rows.append(whole | cloud_figures(arm, arm.replicas, cloud_s, len(said)))
        replicas += replica_rows(arm, requests, classed, said, cloud_s)
        events += incident_rows(arm.index, arm.keys, arm.incidents)
        for name in sorted(asked["link_class"].unique()):
            part, theirs, count = (
                frame[frame["link_class"] == name] for frame in (requests, classed, delivered)
            )
            rows.append(
                _row(arm, name, requests=part, tokens=theirs, delivered=len(count), **common)
            )
    return {
        "schema_version": SCHEMA_VERSION,
        "reading_speed_tokens_per_s": reading_speed_tokens_per_s,
        "warmup_s": warmup_s,
        "percentiles": "linear interpolation",
        "intervals": f"95 %, percentile bootstrap over requests, {_BOOTSTRAP_DRAWS} draws",
        "output_digest": _joined([arm.output_digest for arm in arms]),
        "digest": _joined([arm.digest for arm in arms]),
        "arms": rows,
        **({"replicas": replicas} if replicas else {}),
        **({"events": events} if events else {}),
    }


def _joined(digests: list[str | None]) -> str | None:
    known = [item for item in digests if item is not None]
    return joined_digest(known) if known and len(known) == len(digests) else None


def _after_warmup(
    requests: pd.DataFrame, tokens: pd.DataFrame, warmup_s: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    if warmup_s <= 0 or not len(requests):
        return requests, tokens
    kept = requests[requests["arrival_ns"] >= round(warmup_s * _NS)]
    return kept, tokens.merge(kept[ID], on=ID, how="inner")


def _makespan_s(requests: pd.DataFrame, delivered: pd.DataFrame, warmup_s: float) -> float | None:
    if not len(delivered):
        return None
    # After a warm-up, whoever came before is still being served.
    first_ns = round(warmup_s * _NS) if warmup_s else requests["arrival_ns"].min()
    spent_ns = float(delivered["chosen_at_ns"].max() - first_ns)
    return spent_ns / _NS if spent_ns > 0 else None


def _row(
    arm: Arm,
    link_class: str,
    *,
    requests: pd.DataFrame,
    tokens: pd.DataFrame,
    delivered: int,
    makespan_s: float | None,
    warmup_s: float,
    seed: int,
) -> dict[str, Any]:
    n = len(tokens)
    later = tokens[tokens["position"] > 0]
    return {
        "arm": arm.index,
        **arm.keys,
        "link_class": link_class,
        "complete": arm.complete,
        "tokens": n,
        "delivered_tokens": delivered,
        "requests": len(requests),
        "requests_failed": int(requests["failed"].sum()),
        "requests_censored": int(requests["censored"].sum()),
        "requests_stalled": int(requests["reason"].astype(str).str.startswith(STALLED).sum()),
        "makespan_s": makespan_s,
        "tokens_per_second": _per_stream(requests, tokens),
        "system_tokens_per_second": delivered / makespan_s if makespan_s else None,
        "latency_s": spread(tokens["latency_ns"]),
        "ttft_s": spread(requests["ttft_ns"]),
        "itl_s": spread(later["latency_ns"]),
        "tpot_s": spread(requests["tpot_ns"]),
        "e2e_s": spread(requests["e2e_ns"]),
        "stall_s": spread(requests["stall_ns"]),
        **_bytes(requests, n),
        "breakdown_s": _breakdown(tokens),
        "itl_breakdown_s": _breakdown(later),
        "busy_s": {"edge": _mean(tokens["busy_edge_ns"], _NS)},
        "certified_share": _mean(tokens["certified"]),
        "rounds_mean": _mean(tokens["rounds"]),
        "refined_share": _mean(tokens["rounds"] > 0),
        **_drafts(tokens),
        "fallback_tokens": int(tokens["fallback"].sum()),
        "fallback_requests": len(tokens[tokens["fallback"] > 0][ID].drop_duplicates()),
        "repeated_frames": int(tokens["repeats"].sum()),
        "quality": _quality(requests, seed),
        "cost": _cost(arm, link_class, requests, tokens, delivered, makespan_s, warmup_s),
        "origins": dict(arm.origins),
        "output_digest": arm.output_digest,
        "digest": arm.digest,
    }


def _per_stream(requests: pd.DataFrame, tokens: pd.DataFrame) -> float | None:
    """Tokens over the sum of the times from intended arrival to last token."""
    if not len(requests) or not len(tokens):
        return None
    last = tokens.groupby(ID)["chosen_at_ns"].max()
    arrival = requests.set_index(ID)["arrival_ns"].reindex(last.index)
    served_s = float((last - arrival).sum()) / _NS
    return len(tokens) / served_s if served_s > 0 else None


def _bytes(requests: pd.DataFrame, tokens: int) -> dict[str, float | None]:
    # Nothing that a codec made goes up: frames carry tokens there.
    totals = {"payload_bytes_up": 0} | {name: int(requests[name].sum()) for name in METER_COLUMNS}
    return {
        f"{name}_per_token": total / tokens if tokens else None for name, total in totals.items()
    }


def _breakdown(tokens: pd.DataFrame) -> dict[str, float | None]:
    pairs = zip(STAGES, STAGE_COLUMNS, strict=True)
    return {stage: _mean(tokens[column], _NS) for stage, column in pairs}


def _drafts(tokens: pd.DataFrame) -> dict[str, float | None]:
    """What became of drafts; of those that were judged, one may be right or wrong."""
    right, wrong = int(tokens["drafted"].sum()), int((tokens["refuted_drafts"] > 0).sum())
    refuted, unsent = (float(tokens[f"{kind}_drafts"].sum()) for kind in ("refuted", "unsent"))
    n = len(tokens)
    return {
        "draft_acceptance": right / (right + wrong) if right + wrong else None,
        "drafts_refuted_per_token": refuted / n if n else None,
        "drafts_unsent_per_token": unsent / n if n else None,
    }


def _quality(requests: pd.DataFrame, seed: int) -> dict[str, dict[str, float | int]]:
    whole = requests[~(requests["failed"].astype(bool) | requests["censored"].astype(bool))]
    out: dict[str, dict[str, float | int]] = {}
    for name in QUALITY:
        if name not in whole.columns:
            continue
        values = whole[name].dropna().to_numpy(dtype=np.float64)
        if len(values):
            interval = mean_interval(values, seed, _BOOTSTRAP_DRAWS)
            out[name] = {
                "mean": interval.mean,
                "low": interval.low,
                "high": interval.high,
                "n": len(values),
            }
    return out


def _cost(
    arm: Arm,
    link_class: str,
    requests: pd.DataFrame,
    tokens: pd.DataFrame,
    delivered: int,
    makespan_s: float | None,
    warmup_s: float,
) -> dict[str, Any] | None:
    if arm.facts is None:
        return None
    work = tokens[list(_EDGE_WORK)].sum(axis=1).groupby(tokens["device_class"]).sum()
    rounds = tokens["rounds"].groupby(tokens["device_class"]).sum()
    engine = merged([each.engine for each in arm.replicas])
    gpu_s = (engine.forward_ns + engine.select_ns) / _NS
    if warmup_s and makespan_s:
        gpu_s *= makespan_s / (arm.end_ns / _NS)
    usage = Usage(
        tokens=len(tokens),
        delivered=delivered,
        requests=len(requests),
        wire_bytes_down=int(requests["wire_bytes_down"].sum()),
        wire_bytes_up=int(requests["wire_bytes_up"].sum()),
        makespan_s=makespan_s,
        gpu_busy_s=gpu_s if link_class == ALL else None,
        edge_work_ns={str(name): int(ns) for name, ns in work.items()},
        edge_rounds={str(name): int(count) for name, count in rounds.items()},
    )
    return cost_of(arm.facts, usage)


def _mean(values: pd.Series, unit: float = 1.0) -> float | None:
    return float(values.mean()) / unit if len(values) else None
