"""The reference of all metrics, as a page: written from the families, never by hand.

``python -m experiments.dashboards.reference > docs/metrics.md`` writes it; a test holds the two
together.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from actors.metrics import FAMILIES, MOST_VALUES, NODE_FAMILIES, Family
from experiments.results.grid import Column, markdown_table

_CLOCK = "`costeer_[sim_]{}`"
_PLAIN = "`costeer_{}`"


def reference_page() -> str:
    """Return the page as Markdown."""
    clocked = [family for family in FAMILIES if family.timed]
    rest = [family for family in FAMILIES if not family.timed]
    return f"""# Reference of the metrics

Made by `python -m experiments.dashboards.reference > docs/metrics.md`. Seconds, bytes and ratios
throughout; a label has at most {MOST_VALUES} values, and `other`. How they are served:
[Metrics, dashboards and alerts](monitoring.md).

## On the run's own clock

Named `costeer_sim_…` in a simulated run and `costeer_…` in a live one.

{_table(clocked, _CLOCK)}

## Of a run

{_table(rest, _PLAIN)}

## Of one node of a cluster

{_table(NODE_FAMILIES, _PLAIN)}
"""


def _table(families: Sequence[Family], form: str) -> str:
    return markdown_table(
        [
            Column(
                "metric", tuple(form.format(each.full_name("")) for each in families), left=True
            ),
            Column("type", tuple(each.kind for each in families), left=True),
            Column("labels", tuple(", ".join(each.labels) for each in families), left=True),
            Column("what", tuple(each.help for each in families), left=True),
        ]
    )


if __name__ == "__main__":
    sys.stdout.write(reference_page())
