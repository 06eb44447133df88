"""`costeer validate` and `costeer expand`: look at a scenario without running it."""

from __future__ import annotations

import argparse

from experiments.commands.options import AddCommand, add_scenario, read_scenario


def register(add: AddCommand) -> None:
    """Add both commands."""
    validate = add("validate", "check a scenario and its prompts without running it")
    add_scenario(validate)
    validate.set_defaults(execute=execute_validate)
    expand = add("expand", "print a scenario with every default written out")
    add_scenario(expand)
    expand.set_defaults(execute=execute_expand)


def execute_validate(arguments: argparse.Namespace) -> int:
    """Check everything that a run finds out before its hosts start."""
    scenario = read_scenario(arguments)
    from experiments.host_makers import host_makers
    from experiments.planning import check_plan
    from experiments.texts import TextBook

    workload = check_plan(scenario)
    host_makers(scenario)
    TextBook(scenario, workload)
    told = [
        f"{scenario.fleet.devices} devices in {len(scenario.fleet.classes)} classes",
        f"{len(scenario.arms)} arms",
    ]
    if scenario.values == "models":
        told.append(f"{len(workload.rows)} prompt rows")
    print(f"{scenario.name}: valid ({', '.join(told)}; {scenario.way}, {scenario.values})")
    return 0


def execute_expand(arguments: argparse.Namespace) -> int:
    """Print the resolved scenario."""
    scenario = read_scenario(arguments)
    from experiments.scenario import dump_scenario

    print(dump_scenario(scenario), end="")
    return 0
