"""What a person writes to have a scenario varied, and how it is read.

```yaml
name: codecs-and-links
title: Codecs on three links
scenario: tiny                      # shipped name or path; a path is relative to this file
set: {workload.max_new_tokens: 16}  # in every cell; keys as in `--set`
axes:                               # every combination of these
  arms.0.codec: [dense-fp16, top64-bf16-packed]
  variant:                          # a choice that sets several keys has a name and labels
    - {label: exact, set: {arms.0.refine: {max_rounds: 3, at_cap: dense}}}
    - {label: first frame, set: {arms.0.refine: {max_rounds: 0}}}
blocks: []                          # further (set, axes), each combined with the above; optional
repeats: 3                          # seeds: the scenario's, and the ones after it
shadow: agreement                   # none | agreement | ranks | tails
```
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from costeer.errors import ConfigError
from experiments.problems import describe

_SUFFIXES = {".yaml", ".yml"}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Choice(_Section):
    """One value of an axis that sets several keys."""

    label: str = Field(min_length=1)
    """What tables call it."""
    set: dict[str, JsonValue] = Field(min_length=1)
    """Scenario keys and their values."""


Axis: TypeAlias = Annotated[list[JsonValue], Field(min_length=1)]
"""Values of one scenario key, or ``{label, set}`` each."""


class Block(_Section):
    """A part of the matrix, combined with the axes of all of it."""

    set: dict[str, JsonValue] = {}
    """Scenario keys of every cell of the block."""
    axes: dict[str, Axis] = {}
    """Every combination of these."""


class AblationConfig(_Section):
    """A scenario and what is varied in it."""

    name: str = Field(min_length=1, pattern=r"^[\w.-]+$")
    """Names the directory."""
    title: str = ""
    """Heading of its report."""
    scenario: str = Field(min_length=1)
    """Name of a shipped scenario, or a path."""
    set: dict[str, JsonValue] = {}
    """Scenario keys of every cell."""
    axes: dict[str, Axis] = {}
    """Scenario key, or a name of one's own where the values are ``{label, set}`` -> values."""
    blocks: tuple[Block, ...] = ()
    """Parts with axes of their own; the cells are those of all parts together."""
    repeats: int = Field(default=1, ge=1, le=1000)
    """Seeds per cell."""
    shadow: Literal["none", "agreement", "ranks", "tails"] = "agreement"
    """`agreement` compares every choice with that from the whole row (a pass over the vocabulary
    per token); `ranks` also finds how many ranks it needed (a sort per token);
    `tails` how far each assumption of the unsent tail is off (four more passes)."""


def shipped_ablations() -> list[str]:
    """Names of the ablations that come with the project."""
    folder = files("experiments") / "ablations"
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_ablation(name_or_path: str) -> AblationConfig:
    """Read and check an ablation; a scenario's path is made relative to the file.

    Raises:
        ConfigError: what is wrong, where, and the way out, on one line.
    """
    where, text, folder = _read(name_or_path)
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: holds no keys; an ablation needs name, scenario and axes")
    try:
        config = AblationConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(describe(error, AblationConfig, data, where)) from None
    beside = folder / config.scenario if folder is not None else None
    if beside is not None and beside.suffix in _SUFFIXES and beside.exists():
        return config.model_copy(update={"scenario": str(beside)})
    return config


def _read(name_or_path: str) -> tuple[str, str, Path | None]:
    shipped = shipped_ablations()
    if name_or_path in shipped:
        where = f"{name_or_path}.yaml"
        text = (files("experiments") / "ablations" / where).read_text(encoding="utf-8")
        return where, text, None
    path = Path(name_or_path)
    if not path.exists() and path.suffix not in _SUFFIXES and path.name == name_or_path:
        near = get_close_matches(name_or_path, shipped, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"shipped are {', '.join(shipped)}"
        raise ConfigError(f"ablation {name_or_path!r}: neither shipped nor a file; {hint}")
    try:
        return name_or_path, path.read_text(encoding="utf-8"), path.parent
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise ConfigError(f"{name_or_path}: {reason}; give an ablation's file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name_or_path}: not UTF-8 text at byte {error.start}") from error


def settings_of(name: str, value: Any) -> tuple[str, Mapping[str, JsonValue]]:  # noqa: ANN401 - JSON
    """Return the label of an axis value, and the scenario keys that it sets.

    Raises:
        ConfigError: a choice without a label or without keys.
    """
    if isinstance(value, dict) and set(value) & {"label", "set"}:
        try:
            choice = Choice.model_validate(value)
        except ValidationError as error:
            raise ConfigError(describe(error, Choice, value, f"axes.{name}")) from None
        return choice.label, choice.set
    return _label(value), {name: value}


def _label(value: object) -> str:
    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True, width=1_000).split("\n...")[0].strip()
