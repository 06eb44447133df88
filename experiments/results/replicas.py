"""What the replicas of the large model did: all of them together, and each alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from actors.records import ReplicaRun
from costeer.serving import merged
from experiments.results.frames import Arm
from experiments.results.spread import spread

_NS = 1e9


def cloud_figures(
    arm: Arm, replicas: Sequence[ReplicaRun], cloud_s: float | None, tokens: int
) -> dict[str, Any]:
    """Return what is known of replicas and of no single link class.

    Args:
        arm: whose they are.
        replicas: whose figures are asked for.
        cloud_s: how long they ran.
        tokens: that came of them since the run began, as what they counted did.
    """
    engine = merged([each.engine for each in replicas])
    egress_ns = sum(each.egress_busy_ns for each in replicas)
    judged = engine.right_drafts + engine.wrong_drafts
    gpu_ns = engine.forward_ns + engine.select_ns
    capacity = arm.kv_capacity_tokens * len(replicas)
    replicas_ns = cloud_s * _NS * len(replicas) if cloud_s else None
    return {
        "replicas": len(replicas),
        "forwards": len(engine.batches),
        "rows_per_forward_mean": float(np.mean(engine.batches)) if engine.batches else None,
        "forward_s_per_token": engine.forward_ns / _NS / tokens if tokens else None,
        "wasted_tokens": engine.wasted_tokens,
        "cloud_draft_acceptance": engine.right_drafts / judged if judged else None,
        "dropped_frames": engine.dropped_frames,
        "refused_sessions": engine.refused_sessions,
        "timed_out_sessions": engine.timed_out_sessions,
        "egress_busy_share": egress_ns / replicas_ns if replicas_ns else None,
        "gpu_busy_share": gpu_ns / replicas_ns if replicas_ns and gpu_ns else None,
        "gpu_select_share": engine.select_ns / gpu_ns if gpu_ns else None,
        "kv_peak_share": engine.peak_kv_tokens / capacity if capacity else None,
        "waited_sessions": engine.waited_sessions,
        "preempted_sessions": engine.preempted_sessions,
        "recomputed_tokens": engine.recomputed_tokens,
        "lateness_s": spread(pd.Series(arm.lateness_ns, dtype="int64")),
    }


def replica_rows(
    arm: Arm,
    requests: pd.DataFrame,
    tokens: pd.DataFrame,
    all_tokens: pd.DataFrame,
    cloud_s: float | None,
) -> list[dict[str, Any]]:
    """Return a row for each replica of an arm; none where there is one or none.

    Args:
        arm: whose they are.
        requests: that are counted.
        tokens: theirs.
        all_tokens: those of the warm-up's requests included.
        cloud_s: how long the replicas ran.
    """
    if len(arm.replicas) < 2:  # noqa: PLR2004 - one replica is the arm's own row
        return []
    rows = []
    for number_, replica in enumerate(arm.replicas):
        served = requests[requests["replica"] == number_]
        said = tokens[tokens["replica"] == number_]
        figures = cloud_figures(
            arm, [replica], cloud_s, int((all_tokens["replica"] == number_).sum())
        )
        del figures["replicas"], figures["lateness_s"]
        row = {
            "arm": arm.index,
            **arm.keys,
            "replica": number_,
            "devices": int(served["device"].nunique()),
            "requests": len(served),
            "tokens": len(said),
            "ttft_s": spread(served["ttft_ns"]),
            "itl_s": spread(said[said["position"] > 0]["latency_ns"]),
        }
        rows.append(row | figures)
    return rows
