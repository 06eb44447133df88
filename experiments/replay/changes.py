"""Which changes of a scenario leave a recorded run's tokens as they are, and which do not.

A token follows from logits, Δ and the device's own noise. Links, hardware, memory, batching, prices
and times of asking decide when it comes, not which it is; so a recorded run can be timed anew under
others. Whatever decides what is said, or how many bytes say it, cannot be changed without the
logits, and these are not kept: such changes are refused by name, with the way to a real run. A
codec may be changed where both its tokens and its bytes follow from what was recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from costeer.codec.config import is_adaptive
from costeer.errors import ConfigError
from experiments.planning import plan_workload
from experiments.profile.recode import Recoding, recoding
from experiments.results.run import load
from experiments.scenario import Scenario

_TIMING = ("name", "way", "fleet", "cloud", "timing", "prices")
"""Sections that decide when, not what."""

_OF_CLASSES = ("link", "hardware", "throttled")
_OF_STEERED = ("codec", "strength", "refine", "padding")
"""What a short name stands for: the key of every device class, or of every steered arm."""

_REASONS = {
    "strength": "another strength chooses other tokens",
    "sampling": "other sampling chooses other tokens",
    "method": "another method says something else",
    "refine": "another ladder sends other bytes, and one that ends without a proof other tokens",
    "models": "other models say something else",
    "generated": "other logits say something else",
    "recorded": "other logits say something else",
    "values": "other values say something else",
    "workload": "other prompts and limits bring other texts",
    "seed": "another seed draws other noise, and other logits where they are generated",
}


def widen(overrides: Sequence[str], scenario: Scenario) -> list[str]:
    """Return the overrides with `link=…`, `hardware=…` and `codec=…` written out for all of them.

    Args:
        overrides: as given to ``--set``.
        scenario: the recorded one.
    """
    steered = [i for i, arm in enumerate(scenario.arms) if arm.settings.steered]
    wide: list[str] = []
    for given in overrides:
        head = given.partition("=")[0].partition(".")[0]
        if head in _OF_CLASSES:
            wide += [f"fleet.classes.{i}.{given}" for i in range(len(scenario.fleet.classes))]
        elif head in _OF_STEERED:
            wide += [f"arms.{i}.{given}" for i in steered]
        else:
            wide.append(given)
    return wide


def check_same_tokens(recorded: Scenario, asked: Scenario) -> None:
    """Refuse what would change a token, or the bytes that it takes.

    Raises:
        ConfigError: which change, why, and the way out.
    """
    if recorded.way == "live" and any(_learns(scenario) for scenario in (recorded, asked)):
        raise ConfigError("replay: a live run that learnt its k cannot be timed anew; run it again")
    for path in _differing(recorded.model_dump(mode="json"), asked.model_dump(mode="json")):
        section = path[0]
        if section in _TIMING:
            continue
        if section == "arms":
            _check_arm(recorded, asked, path)
            continue
        _refuse(".".join(map(str, path)), _REASONS.get(str(section), "it may change tokens"))
    if recorded.fleet != asked.fleet or recorded.cloud != asked.cloud:
        for index, arm in enumerate(asked.arms):
            if is_adaptive(arm.codec):
                _refuse(
                    f"arms.{index}.codec.select",
                    "k is learnt from what the link at hand asks for, so that other links send"
                    " other bytes",
                )


def _check_arm(recorded: Scenario, asked: Scenario, path: Sequence[str | int]) -> None:
    if len(recorded.arms) != len(asked.arms):
        _refuse("arms", "an arm that was not recorded has no tokens")
    key = str(path[2]) if len(path) > 2 else "arms"  # noqa: PLR2004 - arms, index, key
    if key in {"padding", "codec"}:
        return  # codecs have to be looked at with the rows
    where = ".".join(map(str, path))
    _refuse(where, _REASONS.get(key, "it may change tokens"))


def recodings_of(run_dir: Path, recorded: Scenario, asked: Scenario) -> dict[int, Recoding]:
    """Return what payloads weigh in each arm that has another codec now.

    Args:
        run_dir: the recorded run.
        recorded: its scenario.
        asked: another one with the same arms, but for codecs and padding.

    Raises:
        ConfigError: a codec whose tokens may be others, or whose bytes are not known.
    """
    changed = [
        index
        for index, (one, other) in enumerate(zip(recorded.arms, asked.arms, strict=True))
        if one.codec != other.codec
    ]
    if not changed:
        return {}
    tokens, found = load(run_dir).tokens, {}
    vocab_size = plan_workload(recorded).vocab_size
    for index in changed:
        unproved = int((~tokens[tokens["arm"] == index]["certified"].astype(bool)).sum())
        one, other = recorded.arms[index], asked.arms[index]
        try:
            found[index] = recoding(one, other, vocab_size, unproved=unproved)
        except ConfigError as error:
            _refuse(f"arms.{index}.codec", str(error))
    return found


def _refuse(key: str, reason: str) -> NoReturn:
    raise ConfigError(
        f"replay: {key}: {reason}; that takes a real run: `costeer run RUN_DIR/scenario.yaml --set"
        f" {key}=…`"
    )


def _learns(scenario: Scenario) -> bool:
    return any(is_adaptive(arm.codec) for arm in scenario.arms)


def _differing(
    one: object, other: object, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[str | int, ...]]:
    """Paths of plain data at which two scenarios differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            yield from _differing(one.get(key), other.get(key), (*path, key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            yield from _differing(mine, theirs, (*path, index))
    elif one != other:
        yield path
