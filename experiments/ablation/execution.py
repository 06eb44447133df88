"""One cell, carried out in this process: a run directory's files, and what a dense shadow saw.

The same function runs here and in a Ray task on another machine, so it takes and returns values:
the cell in, the contents of its files out.
"""

from __future__ import annotations

import io
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import yaml

from actors.port import LocalPort
from actors.values.port import ArmSpec
from actors.values.shadow import DenseShadow, ShadowStep
from experiments.ablation.expansion import Cell
from experiments.hosting import Laboratory, start_hosts
from experiments.planning import plan_workload
from experiments.progress import NoProgress
from experiments.run import run_in
from experiments.scenario import Scenario

SHADOW_FILE = "shadow.parquet"


@dataclass(frozen=True, slots=True)
class _ShadowedLaboratory(Laboratory):
    """Hosts that share a shadow, whose steps are put aside arm by arm."""

    shadow: DenseShadow
    before: list[list[ShadowStep]]

    def begin_arm(self, arm: ArmSpec) -> int:
        """Put the steps until now aside, then prepare the hosts."""
        self.before.append(self.shadow.take())
        # Slots make the class anew, and a bare super() would look for the old one.
        return Laboratory.begin_arm(self, arm)

    def steps(self) -> list[list[ShadowStep]]:
        """Return the steps of every arm."""
        return [*self.before[1:], self.shadow.take()]


def run_cell(cell: Cell) -> dict[str, bytes]:
    """Run a cell; return its files by name: those of a run directory, and the shadow's table.

    Raises:
        ConfigError: something in the scenario cannot be had.
        KeyboardInterrupt: Ctrl-C.
    """
    scenario = Scenario.model_validate(yaml.safe_load(cell.scenario))
    port = LocalPort()
    workload = plan_workload(scenario)
    shadow = DenseShadow(ranks=cell.shadow == "ranks", tails=cell.shadow == "tails")
    hosts = start_hosts(scenario, port, None if cell.shadow == "none" else shadow)
    laboratory = _ShadowedLaboratory(
        hosts.clouds, hosts.shards, hosts.cloud_name, hosts.edge_name, port, shadow, []
    )
    with tempfile.TemporaryDirectory(prefix="costeer-cell-") as folder:
        out_dir = Path(folder) / "run"
        try:
            run_in(laboratory, scenario, workload, out_dir, NoProgress())
        finally:
            port.close()
        found = {file.name: file.read_bytes() for file in out_dir.iterdir() if file.is_file()}
    found[SHADOW_FILE] = _parquet(_shadow_table(laboratory.steps()))
    return found


def _shadow_table(arms: list[list[ShadowStep]]) -> pd.DataFrame:
    rows = [{"arm": arm, **asdict(step)} for arm, steps in enumerate(arms) for step in steps]
    columns = ["arm", *ShadowStep.__dataclass_fields__]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype({"arm": "int64", "session": "int64", "position": "int64"}).astype(
        {"dense_token": "int64", "ranks_needed": "Int64"}
    )


def _parquet(frame: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.to_parquet(out, index=False)
    return out.getvalue()
