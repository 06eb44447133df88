"""A whole study: every arm on every mix of links, what limits it, and how sure that is.

Theory of operation: a first wave finds the capacity of every arm on every mix, with the scenario's
seed. The second wave starts from there: the same with other seeds, with each resource relieved,
with every cost 20 % lower and higher, and a curve over fleets of all sizes. Each is a chain that
knows nothing of the others, so they run side by side and a study that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from costeer.errors import ConfigError
from experiments.ablation.collection import half_width
from experiments.capacity.chain import Chain, run_chain
from experiments.capacity.changes import (
    COSTS,
    RESOURCES,
    link_mixes,
    one_arm,
    one_replica,
    with_cost,
)
from experiments.capacity.slo import Slo
from experiments.capacity.store import Store
from experiments.capacity.verdict import guess, reliefs, verified
from experiments.hosting import NO_CLUSTER
from experiments.progress import Progress
from experiments.results.labels import KEYS, arm_labels
from experiments.scenario import Scenario, dump_scenario

CHEAPER, DEARER = 0.8, 1.2
_CURVE = (0.125, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)
_BASELINE = 0.125
_NEAR, _NEAREST = 1.1, 1.02
_WIDE = 2.0


@dataclass(frozen=True, slots=True)
class Question:
    """What a study is asked.

    Args:
        scenario: its arms are compared; its number of devices is where searches begin.
        slos: what a fleet has to keep.
        limit: the largest fleet per replica that is tried.
        repeats: seeds.
        mixes: ``all``, ``scenario`` or ``each``: the scenario's mix of links, each class alone.
        sensitivity: whether every cost is varied by 20 %.
    """

    scenario: Scenario
    slos: tuple[Slo, ...]
    limit: int
    repeats: int = 3
    mixes: str = "all"
    sensitivity: bool = True


@dataclass(frozen=True, slots=True)
class _Case:
    """One arm on one mix of links."""

    arm: int
    mix: str
    scenario: Scenario

    def chain(self, question: Question, title: str, scenario: Scenario, **given: Any) -> Chain:  # noqa: ANN401 - fields of Chain
        return Chain(
            title=f"arm {self.arm + 1} · {self.mix}: {title}",
            scenario=dump_scenario(scenario),
            slos=question.slos,
            limit=question.limit,
            **given,
        )


def run_study(
    question: Question, store: Store, address: str, jobs: int | None, progress: Progress
) -> dict[str, Any]:
    """Carry out what is missing; return and write what the study came to.

    Args:
        question: what is asked.
        store: keeps finished chains.
        address: ``none``, ``local``, ``auto`` or HOST:PORT.
        jobs: chains at the same time; None for as many as there are CPUs.
        progress: told of each chain.

    Raises:
        ConfigError: a fleet cannot be run, or the cluster cannot be entered.
        KeyboardInterrupt: finished chains are kept.
    """
    cases = _cases(question)
    begin = max(1, min(cases[0].scenario.fleet.devices, question.limit))
    small = max(1, round(begin * _BASELINE))
    first = {
        case: case.chain(question, "capacity", case.scenario, first=begin, baseline=small)
        for case in cases
    }
    found = _carry_out(list(first.values()), store, address, jobs, progress)
    second = {case: _second_wave(question, case, found[first[case].id]) for case in cases}
    chains = [chain for wave in second.values() for chain in wave.values()]
    found |= _carry_out(chains, store, address, jobs, progress)
    results = [
        _result(question, case, found[first[case].id],
                {name: found[chain.id] for name, chain in second[case].items()})
        for case in cases
    ]  # fmt: skip
    result = {
        "scenario": question.scenario.name,
        "slo": {slo.name: slo.limit_s for slo in question.slos},
        "limit": question.limit,
        "repeats": question.repeats,
        "complete": True,
        "results": _labelled(results),
    }
    store.write_result(result)
    return result


def _cases(question: Question) -> list[_Case]:
    whole = one_replica(question.scenario)
    mixes = link_mixes(whole)
    names = list(mixes)
    if question.mixes == "scenario":
        names = names[:1]
    elif question.mixes == "each" and len(names) > 1:
        names = names[1:]
    return [
        _Case(arm, name, one_arm(mixes[name], arm))
        for arm in range(len(whole.arms))
        for name in names
    ]


def _second_wave(question: Question, case: _Case, base: dict[str, Any]) -> dict[str, Chain]:
    """What is asked once the capacity is known, by name."""
    devices, scenario = base["devices"], case.scenario
    chains: dict[str, Chain] = {}
    near = {"first": max(1, devices), "stride": _step(base)}
    for repeat in range(1, question.repeats):
        other = scenario.model_copy(update={"seed": scenario.seed + repeat})
        chains[f"seed:{repeat}"] = case.chain(question, f"seed {other.seed}", other, **near)
    sizes = sorted({min(question.limit, max(1, round(devices * part))) for part in _CURVE})
    chains["curve"] = case.chain(question, "curve", scenario, fleets=tuple(sizes))
    if base["beyond"] is None:
        return chains
    bare = _without_rows(scenario)
    for resource in RESOURCES:
        try:
            relieved = with_cost(bare, resource, 0.5)
        except ConfigError:
            continue  # a traced link has no rate to relieve
        given = {"first": max(1, devices), "stride": _WIDE if devices else 2.0}
        chains[f"relief:{resource.key}"] = case.chain(question, resource.relief, relieved, **given)
    for resource in COSTS if question.sensitivity else ():
        for factor in (CHEAPER, DEARER):
            try:
                other = with_cost(bare, resource, factor)
            except ConfigError:
                continue
            title = f"{resource.title} × {factor:g}"
            small = max(1, round(devices * _BASELINE))
            chains[f"cost:{resource.key}:{factor:g}"] = case.chain(
                question, title, other, baseline=small, **near
            )
    return chains


def _step(base: dict[str, Any]) -> float:
    """Return the first step of a search that begins at a known answer.

    It leads to the other end of the answer's bracket, so two fleets confirm an answer that stands.
    """
    devices, beyond = base["devices"], base["beyond"]
    return max(_NEAREST, beyond / devices) if devices and beyond else _NEAR


def _without_rows(scenario: Scenario) -> Scenario:
    """Return the scenario writing down no rows, where only percentiles are looked at."""
    if scenario.way != "fleet":
        return scenario
    fleet = scenario.fleet.model_copy(update={"sample": 0})
    return scenario.model_copy(update={"fleet": fleet})


def _carry_out(
    chains: Sequence[Chain], store: Store, address: str, jobs: int | None, progress: Progress
) -> dict[str, dict[str, Any]]:
    """Run the chains that are not kept already; return what all found, by id."""
    unique = {chain.id: chain for chain in chains}
    found: dict[str, dict[str, Any]] = {}
    for chain in unique.values():
        kept = store.get(chain)
        if kept is not None:
            found[chain.id] = kept
    missing = [chain for chain in unique.values() if chain.id not in found]
    if found and missing:
        progress.note(f"{len(found)} of {len(unique)} searches are finished already")
    for number, (index, made) in enumerate(_map(missing, address, jobs), start=1):
        chain = missing[index]
        if isinstance(made, Exception):
            raise made
        store.keep(chain, made)
        found[chain.id] = made
        progress.note(f"[{number}/{len(missing)}] {chain.title}: {_told(made)}")
    return found


def _told(made: dict[str, Any]) -> str:
    fleets = f"{len(made['points'])} fleets, {made['wall_s']:.0f} s"
    if made["devices"] is None:
        return f"({fleets})"
    unbroken = " or more" if made["beyond"] is None else ""
    return f"{made['devices']:,} devices{unbroken} ({fleets})"


def _map(
    chains: Sequence[Chain], address: str, jobs: int | None
) -> Iterator[tuple[int, dict[str, Any] | Exception]]:
    if not chains:
        return
    if address != NO_CLUSTER:
        from cluster.cells import map_cells  # noqa: PLC0415 - Ray takes a second to import

        yield from map_cells(run_chain, chains, address=address, jobs=jobs)
        return
    for index, chain in enumerate(chains):
        yield index, run_chain(chain)


def _result(
    question: Question, case: _Case, base: dict[str, Any], more: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Everything that is known of one arm on one mix."""
    seeds = [base, *(more[name] for name in more if name.startswith("seed:"))]
    counts = [float(each["devices"]) for each in seeds]
    mean = sum(counts) / len(counts)
    half = half_width(counts)
    guessed = guess(base["points"], case.scenario)
    relieved = {
        name.removeprefix("relief:"): more[name] for name in more if name.startswith("relief:")
    }
    gains = reliefs(base["devices"], relieved, question.limit)
    limiting = verified(gains)
    last = base["points"][0] if not base["devices"] else _at(base, base["devices"])
    return {
        "arm": case.arm,
        "mix": case.mix,
        **{key: last.get(key, "") for key in ("method", "codec")},
        "strength": _strength(case.scenario),
        "devices": mean,
        "devices_low": None if half is None else max(0.0, mean - half),
        "devices_high": None if half is None else mean + half,
        "devices_by_seed": [each["devices"] for each in seeds],
        "unbroken": any(each["beyond"] is None for each in seeds),
        "at_capacity": last,
        "beyond": next((point for point in base["points"] if not point["met"]), None),
        "guess": None
        if guessed is None
        else {"resource": guessed.resource.key, "reason": guessed.reason},
        "limit": None if limiting is None else limiting.key,
        "reliefs": [
            {
                "resource": each.resource.key,
                "devices": each.devices,
                "gain": each.gain if each.gain != float("inf") else None,
            }
            for each in gains
        ],
        "sensitivity": _sensitivity(case, base, more, guessed.resource.key if guessed else None),
        "curve": _curve(
            more["curve"]["points"], [point for each in seeds for point in each["points"]]
        ),
    }


def _sensitivity(
    case: _Case, base: dict[str, Any], more: dict[str, dict[str, Any]], guessed: str | None
) -> list[dict[str, Any]]:
    rows = []
    for resource in COSTS:
        found = {
            factor: more.get(f"cost:{resource.key}:{factor:g}") for factor in (CHEAPER, DEARER)
        }
        if None in found.values():
            continue
        row: dict[str, Any] = {"cost": resource.key, "title": resource.title}
        for word, factor in (("cheaper", CHEAPER), ("dearer", DEARER)):
            each = found[factor] or {}
            says = guess(each["points"], case.scenario)
            row[f"devices_{word}"] = each["devices"]
            row[f"change_{word}"] = (
                each["devices"] / base["devices"] - 1 if base["devices"] else None
            )
            row[f"limit_{word}"] = None if says is None else says.resource.key
        row["holds"] = guessed == row["limit_cheaper"] == row["limit_dearer"]
        rows.append(row)
    return rows


def _curve(curve: list[dict[str, Any]], others: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All fleets that were measured as the scenario is, by size, each once per seed."""
    points = {(point["devices"], point["seed"]): point for point in [*others, *curve]}
    return [points[key] for key in sorted(points)]


def _at(base: dict[str, Any], devices: int) -> dict[str, Any]:
    point: dict[str, Any] = next(each for each in base["points"] if each["devices"] == devices)
    return point


def _strength(scenario: Scenario) -> str:
    strength = scenario.arms[0].strength
    return "" if strength is None else f"{strength.c:.4g}"


def _labelled(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add each arm's short name: what tells it from the others."""
    by_arm = {result["arm"]: result for result in results}
    rows = [{key: each.get(key, "") for key in KEYS} | {"arm": arm} for arm, each in by_arm.items()]
    labels = dict(zip(by_arm, arm_labels(rows), strict=True))
    return [{**result, "label": labels[result["arm"]]} for result in results]
