"""What was not the same in two runs, beyond what they were meant to compare.

A key of the scenario that differs is either the question (another codec, other hardware) or spoils
the answer (other prompts, another seed). The second kind is a warning, the first a remark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from experiments.results.labels import whole_arms
from experiments.results.run import Run

_SPOILING = {
    "seed": "devices, links and draws are others",
    "values": "what the models say comes from elsewhere",
    "workload": "the tasks are others",
    "models": "the texts are other models'",
    "generated": "the logits are of another kind",
    "recorded": "the logits are other recordings'",
    "fleet.devices": "the load is another, and not every device has a partner",
    "fleet.arrivals": "requests come at other times",
    "fleet.classes": "devices have other links or hardware, and may have changed places",
}
"""Key, or section, of a scenario -> why figures of the two cannot be laid at the arms' door."""

_ABSENT = "–"
_VERSIONS = ("costeer-lab", "torch", "transformers", "numpy")


@dataclass(frozen=True, slots=True)
class Circumstance:
    """Something that was not the same.

    Args:
        what: what, and how it differs.
        why: why it matters; empty for a remark.
    """

    what: str
    why: str = ""

    @property
    def spoils(self) -> bool:
        """Whether the two runs are not comparable because of it."""
        return bool(self.why)


def circumstances(ours: Run, theirs: Run) -> list[Circumstance]:
    """Return what differs between two runs besides their arms, warnings first.

    Args:
        ours: the run compared.
        theirs: the one that it is compared with.
    """
    found = [*_of_scenarios(ours, theirs), *_of_runs(ours, theirs)]
    return sorted(found, key=lambda each: not each.spoils)


def _of_scenarios(ours: Run, theirs: Run) -> Iterator[Circumstance]:
    mine, other = (dict(_flat(run.scenario)) for run in (ours, theirs))
    for key in dict.fromkeys((*other, *mine)):
        if key == "name" or key.startswith("arms."):
            continue
        a, b = other.get(key, _ABSENT), mine.get(key, _ABSENT)
        if a != b:
            why = next((why for part, why in _SPOILING.items() if _within(key, part)), "")
            yield Circumstance(f"{key}: {a} → {b}", why)


def _within(key: str, part: str) -> bool:
    return key == part or key.startswith(f"{part}.")


def _flat(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _flat(inner, f"{prefix}.{index}")
    else:
        yield prefix, value


def _of_runs(ours: Run, theirs: Run) -> Iterator[Circumstance]:
    for run in (theirs, ours):
        if not run.complete:
            yield Circumstance(
                f"{run.path}: incomplete", "it holds only what was written until then"
            )
    for key in ("warmup_s", "reading_speed_tokens_per_s"):
        a, b = theirs.summary.get(key), ours.summary.get(key)
        if a != b:
            yield Circumstance(f"{key}: {a} → {b}", "figures are cut off or counted differently")
    for group, (a, b) in _origins(ours, theirs).items():
        yield Circumstance(
            f"origin of {group}: {a} → {b}", "a difference may be one of how it was found out"
        )
    a, b = (run.manifest.get("git_commit") for run in (theirs, ours))
    if a and b and a != b:
        yield Circumstance(f"code: commit {a[:12]} → {b[:12]}")
    for name in _VERSIONS:
        a, b = (run.manifest.get("versions", {}).get(name) for run in (theirs, ours))
        if a and b and a != b:
            yield Circumstance(f"{name}: {a} → {b}")


def _origins(ours: Run, theirs: Run) -> dict[str, tuple[str, str]]:
    mine, other = (_all_origins(run) for run in (ours, theirs))
    return {
        group: (other[group], mine[group])
        for group in other
        if group in mine and mine[group] != other[group]
    }


def _all_origins(run: Run) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for row in whole_arms(run.arms):
        for group, origin in row.get("origins", {}).items():
            found.setdefault(group, set()).add(origin)
    return {group: ", ".join(sorted(origins)) for group, origins in found.items()}
