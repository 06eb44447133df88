"""A cell of a compiled fleet, planned where it runs: from the scenario and the cell's number."""

from __future__ import annotations

from actors.fleet.cell import CellPlan
from experiments.planning.members import Compiler, as_it_is, plan_together
from experiments.planning.sizes import plan_sizes
from experiments.planning.standing import replicas_of_cells
from experiments.planning.timing import plan_timing
from experiments.scenario import Scenario

_NS = 1e9


def plan_cell(scenario: Scenario, cell: int, compiler: Compiler = as_it_is) -> CellPlan:
    """Return one cell of a fleet whose values no text and no model makes.

    Args:
        scenario: the fleet.
        cell: which of its cells.
        compiler: of the rule that deals devices out.

    Raises:
        ConfigError: a trace cannot be read.
    """
    replicas = replicas_of_cells(scenario)[cell]
    members, replica_D = plan_together(scenario, replicas, compiler)
    timing = plan_timing(scenario, members.device_D)
    sizes = plan_sizes(scenario, members.device_D[timing.owner_S], timing.request_S)
    return CellPlan(
        cell=cell,
        replicas=replicas,
        replica_D=replica_D,
        classes=members.classes,
        device_D=members.device_D,
        class_D=members.class_D,
        figures=members.figures,
        radio_D=members.radio_D,
        first_session_D1=timing.first_session_D1,
        due_ns_S=timing.due_ns_S,
        opened=timing.opened,
        public_S=sizes.public_S,
        personal_S=sizes.personal_S,
        public_bytes_S=sizes.public_bytes_S,
        personal_bytes_S=sizes.personal_bytes_S,
        new_tokens_S=sizes.new_tokens_S,
        until_ns=round((scenario.workload.duration_s or 0.0) * _NS),
        warmup_ns=round(scenario.workload.warmup_s * _NS),
    )
