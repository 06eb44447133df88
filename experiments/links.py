"""The links of a scenario's classes, with the recordings or models that their rates follow."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

from costeer.errors import ConfigError
from experiments.scenario import FleetConfig
from netsim.errors import NetsimError
from netsim.markov import RateModel
from netsim.profiles import LinkProfile
from netsim.trace import RateTrace
from netsim.trace_text import parse_trace

_LOOP_S = 3600.0
"""Length of a generated loop; each device begins elsewhere in it."""


def shipped_rates() -> list[str]:
    """Names of the rate models that come with the project."""
    folder = files("experiments") / "rates"
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".json"))


def shipped_model(name: str) -> RateModel:
    """Return one of ``shipped_rates``."""
    text = (files("experiments") / "rates" / f"{name}.json").read_text(encoding="utf-8")
    return RateModel.from_json(text, name)


def class_links(fleet: FleetConfig, seed: int) -> list[LinkProfile]:
    """The profile of each class, traces read; a file that several name is read once.

    Args:
        fleet: the classes.
        seed: of the run; names what rate models generate.

    Raises:
        ConfigError: a file cannot be read or is no trace; its key is named.
    """
    read = cache(read_rates)
    links = []
    for index, each in enumerate(fleet.classes):
        profile, config = each.link.resolve(), each.link.trace
        if config is not None:
            key = f"fleet.classes.{index}.link.trace"
            down, up = (
                _rates(read, f"{key}.{direction}", getattr(config, direction), seed, number)
                for number, direction in enumerate(("down", "up"), 2 * index)
            )
            offset_s, max_wait_ns = config.offset_s, round(config.max_wait_s * 1e9)
            profile = profile.following(
                down and down.waiting_at_most(max_wait_ns),
                up and up.waiting_at_most(max_wait_ns),
                None if offset_s is None else round(offset_s * 1e9),
            )
        links.append(profile)
    return links


def _rates(
    read: Callable[[str], RateTrace | RateModel], key: str, name: str | None, seed: int, number: int
) -> RateTrace | None:
    """What one direction's rate follows; a model is made into the loop of that number."""
    if name is None:
        return None
    try:
        found = read(name)
        if isinstance(found, RateModel):
            found = found.generate(seed, number, max(2, round(_LOOP_S / found.step_s)))
    except (ConfigError, NetsimError) as error:
        raise ConfigError(f"{key}: {error}") from error
    return found


def read_rates(name: str) -> RateTrace | RateModel:
    """Read a recording or a model: one that is shipped, or a file of `costeer fit-trace`.

    Raises:
        ConfigError: it cannot be read.
        NetsimError: it is neither.
    """
    if name in shipped_rates():
        return shipped_model(name)
    path = Path(name)
    text = _text(path)
    if text.lstrip().startswith("{"):
        return RateModel.from_json(text, path.name)
    return parse_trace(text, path.name)


def read_trace(path: Path) -> RateTrace:
    """Read a recording.

    Raises:
        ConfigError: it cannot be read.
        NetsimError: it is no trace.
    """
    return parse_trace(_text(path), path.name)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise ConfigError(
            f"{path}: {reason}; give a trace's file, or one of {', '.join(shipped_rates())}"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not text at byte {error.start}; give a trace") from error
