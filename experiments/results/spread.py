"""How times are summed up: mean and percentiles."""

from __future__ import annotations

import numpy as np
import pandas as pd

_NS = 1e9


def spread(values_ns: pd.Series) -> dict[str, float | None]:
    """Mean and percentiles in seconds; each None where there is nothing to average."""
    values = values_ns.dropna().to_numpy(dtype=np.float64) / _NS
    if not len(values):
        return dict.fromkeys(("mean", "p50", "p95", "p99"))
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return {"mean": float(values.mean()), "p50": float(p50), "p95": float(p95), "p99": float(p99)}
