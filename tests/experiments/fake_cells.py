"""Results of cells made of rows: what the compiled way's sums and histograms have to come to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actors.fleet.histogram import BUCKETS, NONE_YET, Histogram
from actors.fleet.result import (
    CLASS_FIGURES,
    CLOUD_FIGURES,
    CLOUD_PEAKS,
    HISTOGRAMS,
    SERIES,
    CellResult,
    Sample,
    Series,
)
from actors.records import CENSORED, ArmRun, RequestRow, TokenRow
from actors.run_tables import METER_COLUMNS
from costeer.token_record import STAGES

Kind = tuple[str, str]
BIN_NS = 100_000_000
STEP_NS = 200_000_000
"""A token of a reader who takes five a second."""


class _Class:
    """Counts one class's figures and histograms."""

    def __init__(self) -> None:
        self.figures = dict.fromkeys(CLASS_FIGURES, 0)
        self.values: dict[str, list[int]] = {name: [] for name in HISTOGRAMS}
        self.first_ns, self.last_ns = NONE_YET, 0

    def token(self, row: TokenRow) -> None:
        record, figures = row.record, self.figures
        figures["tokens"] += 1
        figures["delivered"] += 1
        figures["certified"] += record.certified
        figures["refined"] += record.rounds > 0
        figures["rounds"] += record.rounds
        figures["busy_edge_ns"] += record.busy_edge_ns
        self.values["latency"].append(record.latency_ns)
        self.values["ttft" if record.position == 0 else "itl"].append(record.latency_ns)
        for stage, value in zip(STAGES, record.stages_ns, strict=True):
            self.values[stage].append(value)
            if record.position == 0:
                figures[f"first_{stage}_ns"] += value
        self.last_ns = max(self.last_ns, row.chosen_at_ns)

    def request(self, row: RequestRow, chosen_ns: Sequence[int]) -> None:
        self.figures["arrived"] += 1
        self.first_ns = min(self.first_ns, row.arrival_ns)
        for name in METER_COLUMNS:
            self.figures[name] += getattr(row.moved, name)
        if row.reason == CENSORED or row.failed:
            self.figures["censored" if row.reason == CENSORED else "failed"] += 1
            return
        self.figures["finished"] += 1
        self.values["e2e"].append(chosen_ns[-1] - row.arrival_ns)
        if len(chosen_ns) > 1:
            self.values["tpot"].append((chosen_ns[-1] - chosen_ns[0]) // (len(chosen_ns) - 1))
        lead_ns = max(at_ns - index * STEP_NS for index, at_ns in enumerate(chosen_ns))
        self.values["stall"].append(lead_ns - chosen_ns[0])


def cell_of_rows(run: ArmRun, kinds: Sequence[Kind]) -> CellResult:
    """Return what a cell comes to that wrote these rows.

    Args:
        run: the rows.
        kinds: link and device class of each class.
    """
    classes = [_Class() for _ in kinds]
    of = {
        (row.device, row.request): classes[kinds.index((row.link_class, row.device_class))]
        for row in run.requests
    }
    chosen_ns: dict[tuple[int, int], list[int]] = {key: [] for key in of}
    bins = np.zeros((run.end_ns // BIN_NS + 1, len(SERIES)), np.int64)
    for token in run.tokens:
        of[token.device, token.request].token(token)
        chosen_ns[token.device, token.request].append(token.chosen_at_ns)
        bins[token.chosen_at_ns // BIN_NS, SERIES.index("tokens")] += 1
    for row in run.requests:
        of[row.device, row.request].request(row, chosen_ns[row.device, row.request])
        bins[row.arrival_ns // BIN_NS, SERIES.index("arrived")] += 1
        bins[row.finished_ns // BIN_NS, SERIES.index("finished")] += 1
    rows = run.engine.batches
    for name, each in (("forwards", 1), ("rows", 3), ("kv_tokens", 500), ("forward_ns", BIN_NS)):
        bins[:, SERIES.index(name)] = each
    cloud = dict.fromkeys(CLOUD_FIGURES, 0) | {
        "forwards": len(rows),
        "rows": sum(rows),
        "forward_ns": run.engine.forward_ns,
        "select_ns": run.engine.select_ns,
        "egress_busy_ns": run.egress_busy_ns,
    }
    histograms = [[Histogram.of(each.values[name]) for name in HISTOGRAMS] for each in classes]
    return CellResult(
        cells=1,
        replicas=1,
        end_ns=run.end_ns,
        complete=run.complete,
        overloaded=0,
        tokens=len(run.tokens),
        devices_done=len({row.device for row in run.requests}),
        by_class_CK=np.array([[each.figures[name] for name in CLASS_FIGURES] for each in classes]),
        first_arrival_ns_C=np.array([each.first_ns for each in classes]),
        last_token_ns_C=np.array([each.last_ns for each in classes]),
        counts_CHB=np.array([[one.counts_B for one in mine] for mine in histograms]).reshape(
            len(classes), len(HISTOGRAMS), BUCKETS
        ),
        totals_CH=np.array([[one.total for one in mine] for mine in histograms]),
        least_CH=np.array([[one.least for one in mine] for mine in histograms]),
        most_CH=np.array([[one.most for one in mine] for mine in histograms]),
        cloud_K=np.array([cloud[name] for name in CLOUD_FIGURES]),
        peaks_K=np.array([run.engine.peak_kv_tokens, 0, 0][: len(CLOUD_PEAKS)]),
        batches=Histogram.of(rows),
        series=Series(BIN_NS, bins),
        sample=Sample(np.zeros((0, 1), np.int64), np.zeros((0, 1), np.int64)),
        output_word=len(run.tokens),
        digest_word=sum(token.chosen_at_ns for token in run.tokens) % 2**64,
    )


def half(run: ArmRun, side: int) -> ArmRun:
    """Return the rows of every other device."""
    return ArmRun(
        tokens=[row for row in run.tokens if row.device % 2 == side],
        requests=[row for row in run.requests if row.device % 2 == side],
        end_ns=run.end_ns,
    )


def kinds_of(run: ArmRun) -> list[Kind]:
    """Return the classes of a run's devices."""
    return sorted({(row.link_class, row.device_class) for row in run.requests})
