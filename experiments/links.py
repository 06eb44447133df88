"""The links of a scenario's classes, with the recordings that their rates follow."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from costeer.errors import ConfigError
from experiments.scenario import FleetConfig
from netsim.errors import NetsimError
from netsim.profiles import LinkProfile
from netsim.trace import RateTrace
from netsim.trace_text import parse_trace


def class_links(fleet: FleetConfig) -> list[LinkProfile]:
    """The profile of each class, traces read; a file that several name is read once.

    Raises:
        ConfigError: a file cannot be read or is no trace; its key is named.
    """
    read = cache(read_trace)
    links = []
    for index, each in enumerate(fleet.classes):
        profile, config = each.link.resolve(), each.link.trace
        if config is not None:
            key = f"fleet.classes.{index}.link.trace"
            max_wait_ns = round(config.max_wait_s * 1e9)
            profile = profile.following(
                _limited(read, f"{key}.down", config.down, max_wait_ns),
                _limited(read, f"{key}.up", config.up, max_wait_ns),
                None if config.offset_s is None else round(config.offset_s * 1e9),
            )
        links.append(profile)
    return links


def _limited(
    read: Callable[[str], RateTrace], key: str, file: str | None, max_wait_ns: int
) -> RateTrace | None:
    if file is None:
        return None
    try:
        return read(file).waiting_at_most(max_wait_ns)
    except (ConfigError, NetsimError) as error:
        raise ConfigError(f"{key}: {error}") from error


def read_trace(file: str) -> RateTrace:
    """Read a trace from a file.

    Raises:
        ConfigError: it cannot be read.
        NetsimError: it is no trace.
    """
    path = Path(file)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise ConfigError(f"{file}: {reason}; give a trace's file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not text at byte {error.start}; give a trace") from error
    return parse_trace(text, path.name)
