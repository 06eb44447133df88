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
    """Check the scenario and read its prompt rows."""
    scenario = read_scenario(arguments)
    told = [
        f"{scenario.fleet.devices} devices in {len(scenario.fleet.classes)} classes",
        f"{len(scenario.arms)} arms",
    ]
    if scenario.values == "models":
        from experiments.workload import load_rows

        rows = load_rows(scenario.workload.prompts, scenario.workload.limit)
        told.append(f"{len(rows)} prompt rows")
    print(f"{scenario.name}: valid ({', '.join(told)}; {scenario.way}, {scenario.values})")
    return 0


def execute_expand(arguments: argparse.Namespace) -> int:
    """Print the resolved scenario."""
    scenario = read_scenario(arguments)
    from experiments.scenario import dump_scenario

    print(dump_scenario(scenario), end="")
    return 0
