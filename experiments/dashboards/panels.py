"""What a Grafana dashboard is made of, and its JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
CLOCKS = {"simulated": "costeer_sim_", "wall": "costeer_"}
"""Prefixes of what is measured on the run's clock; the variable ``$clock`` is one of them."""

RATE = "[$__rate_interval]"
"""Window of a rate: Grafana makes it wide enough for a few scrapes."""
RANGE = "[$__range]"
"""Window of all that is shown."""

_SELECTOR = re.compile(r"((?:\$\{clock\}|costeer_|ray_)[a-z0-9_]+)(?:\{([^}]*)\})?")
_FILTER = 'job=~"$job", instance=~"$instance"'
_SCHEMA = 39
_PANEL_W, _PANEL_H, _BOARD_W = 12, 8, 24


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression of a panel.

    Args:
        expr: the expression; ``$clock`` stands for the prefix of the run's clock.
        legend: of its series.
    """

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph.

    Args:
        title: at its head.
        description: what it shows, and how to read it.
        unit: Grafana's name of it.
        queries: what it draws.
        stacked: whether series are put on each other.
    """

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard.

    Args:
        uid: its file's name, and its address in Grafana.
        title: at its head.
        description: what it answers.
        panels: in reading order, two a row.
        clocked: whether it has queries with ``$clock``.
    """

    uid: str
    title: str
    description: str
    panels: tuple[Panel, ...]
    clocked: bool = True


def dashboard_json(board: Board, boards: Sequence[Board]) -> dict[str, Any]:
    """Return what Grafana imports.

    Args:
        board: the dashboard.
        boards: all of them; the others are linked.
    """
    first = _first_metric(board)
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.description,
        "tags": ["costeer"],
        "schemaVersion": _SCHEMA,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "5s",
        "timezone": "browser",
        "time": {"from": "now-15m", "to": "now"},
        "annotations": {"list": []},
        "templating": {
            "list": [
                _datasource(),
                _filter("job", "Job", first),
                _filter("instance", "Instance", first, '{job=~"$job"}'),
                *([_clock()] if board.clocked else []),
            ]
        },
        "links": [_link(other) for other in boards if other.uid != board.uid],
        "panels": [_panel(index, panel) for index, panel in enumerate(board.panels)],
    }


def _datasource() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
    }


def _first_metric(board: Board) -> str:
    """Return a metric that every exporter of the board's has, to ask for its labels."""
    found = _SELECTOR.search(board.panels[0].queries[0].expr)
    name = found[1] if found else "up"
    return "costeer_run_info" if name.startswith("${") else name


def _filter(name: str, label: str, metric: str, among: str = "") -> dict[str, Any]:
    """Return a variable that narrows every query to some of a label's values; all at first."""
    query = f"label_values({metric}{among}, {name})"
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": f"{name}-values"},
        "definition": query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": "All", "value": "$__all"},
        "sort": 1,
        "hide": 0,
    }


def filtered(expr: str) -> str:
    """Return an expression, each of its selectors narrowed to the chosen jobs and instances."""
    return _SELECTOR.sub(
        lambda match: f"{match[1]}{{{', '.join(part for part in (match[2], _FILTER) if part)}}}",
        expr,
    )


def _clock() -> dict[str, Any]:
    options = [
        {"text": name, "value": prefix, "selected": name == "simulated"}
        for name, prefix in CLOCKS.items()
    ]
    return {
        "name": "clock",
        "label": "Clock",
        "description": "Whose seconds: a simulated run's, or the wall's.",
        "type": "custom",
        "query": ",".join(f"{name} : {prefix}" for name, prefix in CLOCKS.items()),
        "options": options,
        "current": options[0],
        "hide": 0,
    }


def _link(board: Board) -> dict[str, Any]:
    return {
        "title": board.title,
        "type": "link",
        "url": f"/d/{board.uid}",
        "keepTime": True,
        "includeVars": True,
        "targetBlank": False,
    }


def _panel(index: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(index, _BOARD_W // _PANEL_W)
    drawn: dict[str, Any] = {"lineWidth": 2, "fillOpacity": 0, "showPoints": "never"}
    if panel.stacked:
        drawn |= {"fillOpacity": 60, "stacking": {"mode": "normal", "group": "A"}}
    return {
        "id": index + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": {
            "x": column * _PANEL_W,
            "y": row * _PANEL_H,
            "w": _PANEL_W,
            "h": _PANEL_H,
        },
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": drawn},
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": DATASOURCE,
                "expr": filtered(query.expr),
                "legendFormat": query.legend,
            }
            for number, query in enumerate(panel.queries)
        ],
    }
