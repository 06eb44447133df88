"""What the cells of a fleet come to: the rows of ``summary.json``, without a row of a token.

The rules are those of ``summary``; what differs:

* Means, sums and extremes are exact, percentiles are of the nearest rank and at most 0.8 % off:
  they are read from histograms (``actors.fleet.histogram``), since nobody keeps 10^8 rows.
* TPOT, E2E and stall time leave out requests that failed or were censored.
* ``classes`` has a row for each kind of device (link and hardware), where ``arms`` has one for each
  link.
* Figures of the cloud are of all replicas together; shares are of all replicas' time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import pandas as pd

from actors.failures import Incident
from actors.fleet.histogram import NONE_YET, Histogram
from actors.fleet.result import HISTOGRAMS, SERIES, CellResult
from actors.run_tables import METER_COLUMNS, SCHEMA_VERSION
from costeer.token_record import STAGES
from experiments.cost_facts import CostFacts
from experiments.results.cost import Usage, cost_of
from experiments.results.digests import joined_digest
from experiments.results.incidents import incident_rows
from experiments.results.summary import ALL, READING_SPEED_TOKENS_PER_S

_NS = 1e9
_S_PER_HOUR = 3600.0
_EDGE_STAGES = ("decode", "edge_wait", "steer")
"""What a device works in sight of its user; ``busy_edge_ns`` is what it works behind the rest."""
_SHOWN = (("mean", None), ("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


@dataclass(frozen=True, slots=True)
class FleetArm:
    """One arm of a fleet.

    Args:
        index: its number in the run.
        keys: what distinguishes it: method, codec, way, values, ...
        origins: figure group -> origin.
        result: what its cells came to, merged.
        kinds: link class and device class of each class of the result.
        kv_tokens: of each replica.
        facts: what it is charged with.
        complete: whether every cell ran to its end.
        incidents: what failed in the model, in order.
        growth_per_hour: by so many requests an hour the backlogs of stopped cells grew, in all.
    """

    index: int
    keys: Mapping[str, str]
    origins: Mapping[str, str]
    result: CellResult
    kinds: Sequence[tuple[str, str]]
    kv_tokens: int
    facts: CostFacts
    complete: bool
    incidents: Sequence[Incident] = ()
    growth_per_hour: int = 0

    @property
    def links(self) -> list[str]:
        """The link classes, sorted."""
        return sorted({link for link, _ in self.kinds})


@dataclass(frozen=True, slots=True)
class _Part:
    """Some classes of an arm."""

    result: CellResult
    classes: Sequence[int] = field(default_factory=tuple)

    def sum(self, name: str) -> int:
        """Sum of a figure; see ``CLASS_FIGURES``."""
        return sum(self.result.figure(name, each) for each in self.classes)

    def histogram(self, name: str) -> Histogram:
        """Histogram of a figure; see ``HISTOGRAMS``."""
        return reduce(
            Histogram.merged, (self.result.histogram(name, each) for each in self.classes)
        )


def summarise_cells(
    arms: Sequence[FleetArm],
    *,
    reading_speed_tokens_per_s: float = READING_SPEED_TOKENS_PER_S,
    warmup_s: float = 0.0,
) -> dict[str, Any]:
    """Return ``summary.json`` of a fleet.

    Args:
        arms: its arms.
        reading_speed_tokens_per_s: of the reader whose stalls were counted.
        warmup_s: what was cut off.
    """
    events = [row for arm in arms for row in incident_rows(arm.index, arm.keys, arm.incidents)]
    return {
        "schema_version": SCHEMA_VERSION,
        "reading_speed_tokens_per_s": reading_speed_tokens_per_s,
        "warmup_s": warmup_s,
        "percentiles": "nearest rank, from histograms, at most 0.8 % off",
        "intervals": "none: requests of a fleet share queues",
        "output_digest": joined_digest(arm.result.output_digest for arm in arms),
        "digest": joined_digest(arm.result.digest for arm in arms),
        "arms": [row for arm in arms for row in _rows(arm, warmup_s)],
        "classes": [row for arm in arms for row in _class_rows(arm, warmup_s)],
        **({"events": events} if events else {}),
    }


def _rows(arm: FleetArm, warmup_s: float) -> Iterator[dict[str, Any]]:
    whole = _Part(arm.result, range(len(arm.kinds)))
    makespan_s = _makespan_s(arm.result, warmup_s)
    # The cloud's figures begin with the run, warm or not.
    cloud_s = arm.result.end_ns / _NS if warmup_s else makespan_s
    yield {**_row(arm, whole, makespan_s, warmup_s, link_class=ALL), **_cloud(arm, cloud_s)}
    for link in arm.links:
        part = _Part(arm.result, [at for at, (name, _) in enumerate(arm.kinds) if name == link])
        yield _row(arm, part, makespan_s, warmup_s, link_class=link)


def _class_rows(arm: FleetArm, warmup_s: float) -> Iterator[dict[str, Any]]:
    makespan_s = _makespan_s(arm.result, warmup_s)
    for at, (link, hardware) in enumerate(arm.kinds):
        row = _row(arm, _Part(arm.result, [at]), makespan_s, warmup_s, link_class=link)
        yield {"device_class": hardware, **row}


def _row(
    arm: FleetArm, part: _Part, makespan_s: float | None, warmup_s: float, *, link_class: str
) -> dict[str, Any]:
    tokens, delivered = part.sum("tokens"), part.sum("delivered")
    latency, itl, ttft = (part.histogram(name) for name in ("latency", "itl", "ttft"))
    stages = {stage: part.histogram(stage).total for stage in STAGES}
    later = {stage: stages[stage] - part.sum(f"first_{stage}_ns") for stage in STAGES}
    return {
        "arm": arm.index,
        **arm.keys,
        "link_class": link_class,
        "complete": arm.complete,
        "tokens": tokens,
        "delivered_tokens": delivered,
        "requests": part.sum("arrived"),
        "requests_failed": part.sum("failed"),
        "requests_censored": part.sum("censored"),
        "requests_stalled": part.sum("stalled"),
        "makespan_s": makespan_s,
        "tokens_per_second": _ratio(tokens, latency.total / _NS),
        "system_tokens_per_second": _ratio(delivered, makespan_s),
        "latency_s": _spread(latency),
        "ttft_s": _spread(ttft),
        "itl_s": _spread(itl),
        "tpot_s": _spread(part.histogram("tpot")),
        "e2e_s": _spread(part.histogram("e2e")),
        "stall_s": _spread(part.histogram("stall")),
        # Nothing that a codec made goes up: frames carry tokens there.
        "payload_bytes_up_per_token": 0.0 if tokens else None,
        **{f"{name}_per_token": _ratio(part.sum(name), tokens) for name in METER_COLUMNS},
        "breakdown_s": {stage: _ratio(stages[stage] / _NS, tokens) for stage in STAGES},
        "itl_breakdown_s": {stage: _ratio(later[stage] / _NS, itl.count) for stage in STAGES},
        "busy_s": {"edge": _ratio(part.sum("busy_edge_ns") / _NS, tokens)},
        "certified_share": _ratio(part.sum("certified"), tokens),
        "rounds_mean": _ratio(part.sum("rounds"), tokens),
        "refined_share": _ratio(part.sum("refined"), tokens),
        "draft_acceptance": _ratio(
            part.sum("drafted"), part.sum("drafted") + part.sum("corrected")
        ),
        "drafts_refuted_per_token": _ratio(part.sum("refuted_drafts"), tokens),
        "drafts_unsent_per_token": _ratio(part.sum("unsent_drafts"), tokens),
        "fallback_tokens": part.sum("fallback_tokens"),
        "fallback_requests": part.sum("fallback_requests"),
        "repeated_frames": part.sum("repeated_frames"),
        "quality": {},
        "cost": _cost(arm, part, makespan_s, warmup_s, whole=link_class == ALL),
        "origins": dict(arm.origins),
        "output_digest": arm.result.output_digest,
        "digest": arm.result.digest,
    }


def _cost(
    arm: FleetArm, part: _Part, makespan_s: float | None, warmup_s: float, *, whole: bool
) -> dict[str, Any]:
    result = arm.result
    gpu_s = (result.cloud("forward_ns") + result.cloud("select_ns")) / _NS
    if warmup_s and makespan_s:
        # Of the whole run, warm or not: so much of it falls to what is counted.
        gpu_s *= makespan_s / (result.end_ns / _NS)
    work_ns: dict[str, int] = {}
    rounds: dict[str, int] = {}
    for at in part.classes:
        _, hardware = arm.kinds[at]
        spent_ns = result.figure("busy_edge_ns", at)
        spent_ns += sum(result.histogram(stage, at).total for stage in _EDGE_STAGES)
        work_ns[hardware] = work_ns.get(hardware, 0) + spent_ns
        rounds[hardware] = rounds.get(hardware, 0) + result.figure("rounds", at)
    return cost_of(
        arm.facts,
        Usage(
            tokens=part.sum("tokens"),
            delivered=part.sum("delivered"),
            requests=part.sum("arrived"),
            wire_bytes_down=part.sum("wire_bytes_down"),
            wire_bytes_up=part.sum("wire_bytes_up"),
            makespan_s=makespan_s,
            gpu_busy_s=gpu_s if whole else None,
            edge_work_ns=work_ns,
            edge_rounds=rounds,
        ),
    )


def _cloud(arm: FleetArm, cloud_s: float | None) -> dict[str, Any]:
    """What is known of the replicas and of no single link class."""
    result = arm.result
    replicas_s = cloud_s * result.replicas if cloud_s else None
    busy_ns = result.cloud("forward_ns") + result.cloud("select_ns")
    return {
        "replicas": result.replicas,
        "kv_tokens": arm.kv_tokens,
        "forwards": result.cloud("forwards"),
        "rows_per_forward_mean": _ratio(result.cloud("rows"), result.cloud("forwards")),
        "forward_s_per_token": _ratio(result.cloud("forward_ns") / _NS, result.tokens),
        "wasted_tokens": result.cloud("wasted_tokens"),
        "cloud_draft_acceptance": _ratio(
            result.cloud("right_drafts"),
            result.cloud("right_drafts") + result.cloud("wrong_drafts"),
        ),
        "dropped_frames": result.cloud("dropped_frames"),
        "refused_sessions": result.cloud("refused_sessions"),
        "timed_out_sessions": result.cloud("timed_out_sessions"),
        "preempted_sessions": result.cloud("preempted_sessions"),
        "recomputed_tokens": result.cloud("recomputed_tokens"),
        "waited_sessions": result.cloud("waited_sessions"),
        "backlog": result.cloud("backlog"),
        "overloaded_replicas": result.overloaded,
        "backlog_growth_per_s": arm.growth_per_hour / _S_PER_HOUR,
        "egress_busy_share": _ratio(result.cloud("egress_busy_ns") / _NS, replicas_s),
        "gpu_busy_share": _ratio(busy_ns / _NS, replicas_s) if busy_ns else None,
        "gpu_select_share": _ratio(result.cloud("select_ns"), busy_ns),
        "kv_peak_share": _ratio(result.peak("kv_tokens"), arm.kv_tokens * result.replicas),
        "lateness_s": dict.fromkeys(("mean", "p50", "p95", "p99")),
    }


def _makespan_s(result: CellResult, warmup_s: float) -> float | None:
    first_ns = int(result.first_arrival_ns_C.min(initial=NONE_YET))
    if warmup_s:
        # Whoever came before is still being served.
        first_ns = round(warmup_s * _NS)
    last_ns = int(result.last_token_ns_C.max(initial=0))
    return (last_ns - first_ns) / _NS if first_ns < last_ns else None


def _ratio(value: float, of: float | None) -> float | None:
    return value / of if of else None


def _spread(histogram: Histogram) -> dict[str, float | None]:
    """Mean and percentiles in seconds; each None where there is nothing to average."""
    values = {
        name: histogram.mean if share is None else histogram.quantile(share)
        for name, share in _SHOWN
    }
    return {name: None if math.isnan(value) else value / _NS for name, value in values.items()}


# --------------------------------------------------------------------------- tables


def histograms_frame(arms: Sequence[FleetArm]) -> pd.DataFrame:
    """Return all histograms: a row per arm, class, figure and bucket that holds something."""
    from actors.fleet.histogram import middle_of  # noqa: PLC0415 - of whoever writes tables

    tables = []
    for arm in arms:
        for at, (link, hardware) in enumerate(arm.kinds):
            for name in HISTOGRAMS:
                counts_B = arm.result.histogram(name, at).counts_B
                filled = counts_B.nonzero()[0]
                tables.append(
                    pd.DataFrame(
                        {
                            "arm": arm.index,
                            "link_class": link,
                            "device_class": hardware,
                            "figure": name,
                            "middle_ns": [middle_of(int(bucket)) for bucket in filled],
                            "count": counts_B[filled],
                        }
                    ).astype({"middle_ns": "int64", "count": "int64"})
                )
    return pd.concat(tables, ignore_index=True)


def series_frame(arms: Sequence[FleetArm]) -> pd.DataFrame:
    """Return what happened when: a row per arm and bin of simulated time; see ``SERIES``."""
    tables = []
    for arm in arms:
        series = arm.result.series
        bins = len(series.sums_NK)
        tables.append(
            pd.DataFrame(
                {
                    "arm": arm.index,
                    "start_ns": [at * series.bin_ns for at in range(bins)],
                    "bin_ns": series.bin_ns,
                    **{name: series.figure(name) for name in SERIES},
                }
            )
        )
    return pd.concat(tables, ignore_index=True)
