"""All cells of an ablation: those that are missing are run, then everything is shown.

A cell that fails is told of and the others go on. Ctrl-C stops; what is finished is kept, and
`--resume` goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from actors.sink import write_atomically
from experiments.ablation.config import AblationConfig
from experiments.ablation.execution import run_cell
from experiments.ablation.expansion import Cell, Expansion
from experiments.ablation.report import write_ablation_report
from experiments.ablation.store import CONFIG, Failure, Store
from experiments.hosting import NO_CLUSTER
from experiments.manifest import command_line
from experiments.progress import Progress

_LONG = 400
"""Characters of a reason: compilers and remote tracebacks tell pages."""


@dataclass(frozen=True, slots=True)
class AblationOutcome:
    """What an ablation left behind.

    Args:
        path: its directory.
        report: ``ablation.html``; None where no cell is finished.
        finished: cells that are finished, earlier ones included.
        failures: the others, with their reasons.
    """

    path: Path
    report: Path | None
    finished: int
    failures: tuple[Failure, ...]


def run_ablation(
    ablation: AblationConfig,
    expansion: Expansion,
    store: Store,
    address: str,
    jobs: int | None,
    progress: Progress,
) -> AblationOutcome:
    """Run the cells that are missing, and write tables, figures and the report.

    Args:
        ablation: what is varied.
        expansion: its cells.
        store: where they are kept.
        address: ``none``, ``local``, ``auto`` or HOST:PORT.
        jobs: cells at the same time; None for as many as there are CPUs.
        progress: told of each cell.

    Raises:
        ConfigError: the cluster cannot be entered.
        KeyboardInterrupt: finished cells are kept.
    """
    cells = expansion.cells
    missing = [cell for cell in cells if not store.has(cell)]
    about = {
        "name": ablation.name,
        "title": ablation.title or ablation.name,
        "argv": command_line(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    failures: list[Failure] = []
    text = yaml.safe_dump(ablation.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_atomically(store.path / CONFIG, text)
    store.write_index(about, cells, failures)
    if len(missing) < len(cells):
        progress.note(f"{len(cells) - len(missing)} of {len(cells)} cells are finished already")
    try:
        for number, (index, made) in enumerate(_map(missing, address, jobs), start=1):
            cell = missing[index]
            if isinstance(made, Exception):
                failures.append(Failure(cell.id, cell.title, _reason(made)))
                told = f"failed: {failures[-1].reason}"
            else:
                store.keep(cell, made)
                told = "done"
            progress.note(f"[{number}/{len(missing)}] {cell.title}: {told}")
    finally:
        store.write_index(about, cells, failures)
    done = [cell for cell in cells if store.has(cell)]
    report = write_ablation_report(store.path) if done else None
    return AblationOutcome(store.path, report, len(done), tuple(failures))


def _map(
    cells: Sequence[Cell], address: str, jobs: int | None
) -> Iterator[tuple[int, dict[str, bytes] | Exception]]:
    if not cells:
        return
    if address != NO_CLUSTER:
        from cluster.cells import map_cells  # noqa: PLC0415 - Ray takes a second to import

        yield from map_cells(run_cell, cells, address=address, jobs=jobs)
        return
    for index, cell in enumerate(cells):
        try:
            made: dict[str, bytes] | Exception = run_cell(cell)
        except Exception as failure:  # noqa: BLE001 - a cell's failure is its result
            made = failure
        yield index, made


def _reason(failure: Exception) -> str:
    told = " ".join(str(failure).split())
    told = told if len(told) <= _LONG else f"{told[:_LONG]}…"
    return told if type(failure).__name__ == "ConfigError" else f"{type(failure).__name__}: {told}"
