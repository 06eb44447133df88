"""What Prometheus records and alerts on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.dashboards.panels import CLOCKS

ITL_SLO_S = 0.5
"""An inter-token latency below which a text reads fluently; a bound of the exported buckets."""
ITL_GOAL = 0.95
"""Share of tokens that are to stay below it."""


@dataclass(frozen=True, slots=True)
class Recording:
    """An expression whose value Prometheus keeps.

    Args:
        record: its name, ``level:metric:operation``.
        expr: the expression.
    """

    record: str
    expr: str


@dataclass(frozen=True, slots=True)
class Alert:
    """What somebody should be told.

    Args:
        name: of the alert.
        expr: the figure.
        threshold: how it compares when something is wrong, e.g. ``> 2``.
        lasts: for how long.
        summary: one line.
        description: what to do.
    """

    name: str
    expr: str
    threshold: str
    lasts: str
    summary: str
    description: str


def _slow_share(prefix: str, window: str) -> str:
    name = f"{prefix}inter_token_latency_seconds"
    return (
        f'1 - sum by (method) (rate({name}_bucket{{le="{ITL_SLO_S}"}}[{window}]))'
        f" / sum by (method) (rate({name}_count[{window}]))"
    )


RECORDINGS = (
    Recording("method:costeer_tokens:rate1m", "sum by (method) (rate(costeer_tokens_total[1m]))"),
    *(
        Recording(f"method:{prefix}itl_slow:ratio_rate5m", _slow_share(prefix, "5m"))
        for prefix in CLOCKS.values()
    ),
)
"""For dashboards of one's own, and for the burn of the ITL goal."""

ALERTS = (
    *(
        Alert(
            f"CoSteer{name.capitalize()}InterTokenLatencyBurn",
            f"method:{prefix}itl_slow:ratio_rate5m / {1 - ITL_GOAL:g}",
            "> 2",
            "1m",
            f"{{{{ $labels.method }}}}: tokens above {ITL_SLO_S:g} s ({name} time)"
            " use up their budget",
            f"More than twice the allowed {1 - ITL_GOAL:.0%} of tokens are slow. The stages'"
            " dashboard says where their time goes.",
        )
        for name, prefix in CLOCKS.items()
    ),
    Alert(
        "CoSteerQueueGrowth",
        "deriv(costeer_num_requests_waiting[5m])",
        "> 0",
        "2m",
        "sessions wait for KV memory, and they become more",
        "The cloud is beyond its capacity: raise cloud.kv_bytes or lower the load.",
    ),
    Alert(
        "CoSteerDriverLate",
        "histogram_quantile(0.95, sum by (le) (rate(costeer_driver_lateness_seconds_bucket[1m])))",
        "> 0.025",
        "1m",
        "the live driver hands frames over more than 25 ms late",
        "The machine is too small for the fleet: latencies are not those of the links any more.",
    ),
    Alert(
        "CoSteerHostsRestart",
        "sum by (role) (increase(costeer_host_restarts_total[5m]))",
        "> 0",
        "0m",
        "{{ $labels.role }} hosts died and were made again",
        "The run's log.jsonl says which and why; a host that dies again and again ends the run.",
    ),
    Alert(
        "CoSteerRequestsFail",
        'sum(increase(costeer_requests_total{finished_reason!~"eos|length"}[5m])) or vector(0)',
        "> 0",
        "0m",
        "requests fail or are cut off",
        "The run's requests.parquet names the reasons.",
    ),
    *(
        Alert(
            f"CoSteer{name.capitalize()}EgressSaturated",
            f"sum(rate({prefix}egress_busy_seconds_total[1m]))"
            f" / sum(rate({prefix}clock_seconds_total[1m]))",
            "> 0.9",
            "2m",
            f"the cloud's egress is busy more than 90 % of the ({name}) time",
            "Frames queue behind each other: choose a smaller codec or raise the egress.",
        )
        for name, prefix in CLOCKS.items()
    ),
)
"""What is worth a look while it runs."""


def rules_yaml(recordings: Sequence[Recording], alerts: Sequence[Alert]) -> dict[str, Any]:
    """Return what Prometheus reads as a rules file."""
    return {
        "groups": [
            {
                "name": "costeer-recordings",
                "rules": [{"record": each.record, "expr": each.expr} for each in recordings],
            },
            {"name": "costeer-alerts", "rules": [_alert(each) for each in alerts]},
        ]
    }


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": f"({alert.expr}) {alert.threshold}",
        "for": alert.lasts,
        "labels": {"severity": "warning"},
        "annotations": {"summary": alert.summary, "description": alert.description},
    }
