"""From a file and ``--set`` overrides to a checked scenario, with one-line errors.

Theory of operation: the YAML file becomes plain data (repeated keys are refused: the last one
would win in silence), the overrides are written into the data, pydantic checks the whole, and its
first complaint is told in the words of ``problems``. What is loaded is complete: defaults stand
in it, so that ``dump_scenario`` writes down exactly what ran.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from costeer.errors import ConfigError
from experiments.problems import describe
from experiments.profile.shipped import profile_path
from experiments.scenario.fleet import TraceArrivals
from experiments.scenario.model import Scenario
from experiments.scenario.models import HfModel
from experiments.splits import SPLITS

_SUFFIXES = {".yaml", ".yml"}


def shipped_scenarios() -> list[str]:
    """Names of the scenarios that come with the project."""
    folder = files("experiments") / "scenarios"
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_scenario(
    name_or_path: str, overrides: Sequence[str] = (), seed: int | None = None
) -> Scenario:
    """Read, override, check and complete a scenario.

    Args:
        name_or_path: name of a shipped scenario, or path of a YAML file.
        overrides: ``a.b=c`` each; list items by index (``arms.0.codec.select.k=32``); values are
            YAML.
        seed: replaces the scenario's.

    Raises:
        ConfigError: what is wrong, where, and the way out, on one line.
    """
    where, text = _read(name_or_path)
    data = _parse(where, text)
    blamed = {tuple(path): f"--set {given}" for given, path in _override(data, overrides)}
    if seed is not None:
        data["seed"] = seed
        blamed["seed",] = f"--seed {seed}"
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as error:
        raise ConfigError(describe(error, Scenario, data, where, blamed)) from None
    _check_files(scenario, where)
    return scenario


def dump_scenario(scenario: Scenario) -> str:
    """The scenario as YAML with every default written out; reading it gives the same scenario."""
    return yaml.safe_dump(scenario.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read(name_or_path: str) -> tuple[str, str]:
    path = Path(name_or_path)
    shipped = shipped_scenarios()
    if name_or_path in shipped:
        where = f"{name_or_path}.yaml"
        return where, (files("experiments") / "scenarios" / where).read_text(encoding="utf-8")
    if not path.exists() and path.suffix not in _SUFFIXES and path.name == name_or_path:
        near = get_close_matches(name_or_path, shipped, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"shipped are {', '.join(shipped)}"
        raise ConfigError(f"scenario {name_or_path!r}: neither shipped nor a file; {hint}")
    try:
        return name_or_path, path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise ConfigError(f"{name_or_path}: {reason.lower()}; give a scenario's file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name_or_path}: not UTF-8 text at byte {error.start}") from error


def _check_files(scenario: Scenario, where: str) -> None:
    """Refuse what cannot be there; whether a hub has a model is found out when it is loaded."""
    named: list[tuple[str, str | Path | None]] = [
        ("timing.calibration", scenario.timing.calibration)
    ]
    if scenario.values == "profile" and scenario.profile is not None:
        named.append(("profile.path", profile_path(scenario.profile.path)))
    if isinstance(scenario.fleet.arrivals, TraceArrivals):
        named.append(("fleet.arrivals.path", scenario.fleet.arrivals.path))
    if scenario.values == "models":
        if scenario.workload.prompts not in SPLITS:
            named.append(("workload.prompts", scenario.workload.prompts))
        for party in ("cloud", "edge"):
            model = getattr(scenario.models, party)
            if not isinstance(model, HfModel):
                continue
            place = model.location
            if place.startswith((".", "/", "~", "pair/")) or place.count("/") != 1:
                named.append((f"models.{party}.path", place))
    for key, path in named:
        if path is not None and not Path(path).exists():
            raise ConfigError(f"{where}: {key}: there is no {path}; give a path that exists")


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML in which a repeated key is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping, refusing a key that is there already."""
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                problem = f"key {key!r} stands here twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _parse(where: str, text: str) -> dict[str, Any]:
    try:
        data = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - derives from SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f" line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{where}:{line} {error.problem or 'not YAML'}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: holds no keys; see a shipped one with `costeer expand tiny`")
    return data


def _override(data: dict[str, Any], overrides: Sequence[str]) -> list[tuple[str, list[str | int]]]:
    """Write the overrides into the data; return each with its path."""
    done = []
    for given in overrides:
        name, equals, value = given.partition("=")
        if not equals or not all(name.split(".")):
            raise ConfigError(f"--set {given}: write it as key.key=value")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {given}: the value is not YAML; quote it") from error
        done.append((given, _assign(data, name.split("."), parsed, given)))
    return done


def _assign(data: dict[str, Any], keys: list[str], value: object, given: str) -> list[str | int]:
    at: Any = data
    path: list[str | int] = []
    for depth, key in enumerate(keys[:-1]):
        path.append(_step(at, key, ".".join(keys[:depth]), given))
        if isinstance(at, dict) and at.get(key) is None:
            at[key] = {}
        at = at[path[-1]]
    path.append(_step(at, keys[-1], ".".join(keys[:-1]), given))
    at[path[-1]] = value
    return path


def _step(at: object, key: str, parent: str, given: str) -> str | int:
    if isinstance(at, dict):
        return key
    if not isinstance(at, list):
        raise ConfigError(
            f"--set {given}: {parent} is the value {at!r}, it has no {key!r} below it"
        )
    if not key.isdecimal() or int(key) >= len(at):
        last = len(at) - 1
        raise ConfigError(f"--set {given}: {parent} is a list; give an index from 0 to {last}")
    return int(key)
