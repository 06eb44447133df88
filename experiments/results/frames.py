"""From rows to data frames, and from tokens to what a request felt like.

Frames have the columns of the run directory (``actors.run_tables``): integer nanoseconds, bytes,
and the arm's keys. All functions are pure; none changes the frame that it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from actors.failures import Incident
from actors.records import ArmRun, ReplicaRun
from actors.run_tables import REQUEST_COLUMNS, TOKEN_COLUMNS, request_columns, token_columns
from experiments.cost_facts import CostFacts
from experiments.results.digests import digest, output_digest

ID = ["arm", "device", "request"]
"""What names a request in both tables."""

SIMULATED_WAYS = ("virtual", "fleet")
"""Ways whose times repeat exactly, so that they have a ``digest``."""


@dataclass(frozen=True, slots=True)
class Arm:
    """What a summary needs to know of an arm beyond its rows.

    Args:
        index: its number in the run; the ``arm`` column.
        keys: what distinguishes it: method, codec, way, values, strength, ...
        origins: figure group -> measured | calibrated | roofline | declared | synthetic.
        output_digest: see ``digests``.
        digest: see ``digests``; None for live runs.
        replicas: what each replica did.
        incidents: what failed in the model.
        lateness_ns: live only: how late each frame was handed over.
        complete: whether the arm reached its end.
        kv_capacity_tokens: what the replica's memory holds; 0 where that is not known.
        facts: prices, power and memory; None where a run says nothing of them.
        end_ns: the arm's last instant, from its beginning.
    """

    index: int
    keys: Mapping[str, str]
    origins: Mapping[str, str] = field(default_factory=dict)
    output_digest: str | None = None
    digest: str | None = None
    replicas: tuple[ReplicaRun, ...] = ()
    incidents: tuple[Incident, ...] = ()
    lateness_ns: tuple[int, ...] = ()
    complete: bool = True
    kv_capacity_tokens: int = 0
    facts: CostFacts | None = None
    end_ns: int = 0


def arm_of(
    index: int,
    keys: Mapping[str, str],
    run: ArmRun,
    origins: Mapping[str, str] | None = None,
    *,
    kv_capacity_tokens: int = 0,
    facts: CostFacts | None = None,
) -> Arm:
    """Return the description of a finished arm, digests included.

    Args:
        index: its number in the run.
        keys: what distinguishes it; ``way`` decides whether it has a ``digest``.
        run: its rows.
        origins: figure group -> origin.
        kv_capacity_tokens: what the replica's memory holds.
        facts: prices, power and memory.
    """
    simulated = keys.get("way") in SIMULATED_WAYS
    return Arm(
        index=index,
        keys=dict(keys),
        origins=dict(origins or {}),
        output_digest=output_digest(run.tokens),
        digest=digest(run) if simulated else None,
        replicas=tuple(run.replicas),
        incidents=tuple(run.incidents),
        lateness_ns=tuple(run.lateness_ns),
        complete=run.complete,
        kv_capacity_tokens=kv_capacity_tokens,
        facts=facts,
        end_ns=run.end_ns,
    )


@dataclass(frozen=True, slots=True)
class Frames:
    """The two tables of a run."""

    tokens: pd.DataFrame
    """One row per generated token."""
    requests: pd.DataFrame
    """One row per request."""


def frames_of(
    arms: Sequence[tuple[Mapping[str, str], ArmRun, Mapping[int, Mapping[str, Any]] | None]],
) -> Frames:
    """Return the tables of arms that are still in memory.

    Args:
        arms: per arm its keys, its rows and its further request columns by session, in the run's
            order.
    """
    tokens = [pd.DataFrame(token_columns(i, keys, run.tokens)) for i, (keys, run, _) in _all(arms)]
    requests = [
        pd.DataFrame(request_columns(i, keys, run.requests, extra))
        for i, (keys, run, extra) in _all(arms)
    ]
    return Frames(_stack(tokens, TOKEN_COLUMNS), _stack(requests, REQUEST_COLUMNS))


def _all(arms: Sequence[Any]) -> list[tuple[int, Any]]:
    return list(enumerate(arms))


def _stack(frames: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        return pd.DataFrame({name: [] for name in columns})
    return pd.concat(filled, ignore_index=True)


def arms_in(frames: Frames) -> list[Arm]:
    """Return the arms that the tables tell of; without origins and digests.

    For a run that was stopped before anything but its rows was written.
    """
    arms = []
    for index in sorted(set(frames.tokens["arm"]) | set(frames.requests["arm"])):
        keys: dict[str, str] = {}
        for frame, fixed in ((frames.requests, REQUEST_COLUMNS), (frames.tokens, TOKEN_COLUMNS)):
            rows = frame[frame["arm"] == index]
            if len(rows):
                first = rows.iloc[0]
                keys = {
                    name: first[name]
                    for name in frames.tokens.columns
                    if name not in fixed and name in first.index and isinstance(first[name], str)
                }
        arms.append(Arm(index=int(index), keys=keys, complete=False))
    return arms


def per_request(frames: Frames, *, reading_speed_tokens_per_s: float = 5.0) -> pd.DataFrame:
    """Return the requests with what their users felt, at the device, in integer nanoseconds.

    Adds ``tokens_n``; ``ttft_ns`` (intended arrival to first token); ``e2e_ns`` (intended arrival
    to last token; null where the request failed or was censored); ``tpot_ns`` (first to last token
    over the tokens after the first; null likewise and below two tokens); ``stall_ns`` (how long a
    reader who takes a token every 1/speed seconds, from the first on, stands waiting).

    Args:
        frames: the tables.
        reading_speed_tokens_per_s: the reader's speed.
    """
    step_ns = round(1e9 / reading_speed_tokens_per_s)
    tokens = frames.tokens
    # The reader's delay is the largest lead that any token's instant has over steady reading.
    lead = tokens["chosen_at_ns"] - tokens["position"] * step_ns
    felt = (
        tokens.assign(lead_ns=lead)
        .groupby(ID, sort=False)
        .agg(
            tokens_n=("position", "size"),
            first_ns=("chosen_at_ns", "min"),
            last_ns=("chosen_at_ns", "max"),
            lead_ns=("lead_ns", "max"),
        )
        .reset_index()
    )
    out = frames.requests.merge(felt, on=ID, how="left", validate="one_to_one")
    whole = ~(out["failed"].astype(bool) | out["censored"].astype(bool))
    integer = "Int64"
    first, last = out["first_ns"].astype(integer), out["last_ns"].astype(integer)
    after_first = out["tokens_n"].astype(integer) - 1
    out["tokens_n"] = out["tokens_n"].fillna(0).astype("int64")
    out["ttft_ns"] = first - out["arrival_ns"]
    out["e2e_ns"] = (last - out["arrival_ns"]).where(whole)
    out["tpot_ns"] = ((last - first) // after_first.where(after_first > 0)).where(whole)
    out["stall_ns"] = (out["lead_ns"].astype(integer) - first).where(whole)
    return out.drop(columns=["first_ns", "last_ns", "lead_ns"])
