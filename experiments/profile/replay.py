"""Which part of a profile each arm of a scenario replays, and what its users then ask."""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.plan import learner_spec
from actors.values.order import ReplayOrder
from actors.values.port import ArmSpec
from actors.values.profile import Profile, ProfilePart
from actors.values.replayed import Replayed, ReplaySpec
from costeer.codec.config import CodecConfig, TopKConfig
from costeer.codec.core import build_codec
from costeer.errors import ConfigError, LocalProtocolError
from costeer.learning import ladders_of
from costeer.lookup import CloudDraftsConfig
from costeer.methods import method_named
from costeer.refinement import RefineConfig
from experiments.planning.arms import arm_spec
from experiments.planning.sizes import Sizes
from experiments.profile.shipped import profile_path
from experiments.scenario import ArmConfig, Scenario
from netsim.random import Integers


def open_profile(scenario: Scenario) -> Profile:
    """Read the profile that a scenario replays.

    Raises:
        ConfigError: it cannot be read or is none.
    """
    if scenario.profile is None:
        raise LocalProtocolError(f"{scenario.name}: values are {scenario.values}, not a profile's")
    return Profile(profile_path(scenario.profile.path))


def order_of(scenario: Scenario) -> ReplayOrder:
    """Return which session a session of a scenario replays."""
    return ReplayOrder.DRAWN if scenario.profile is None else scenario.profile.order


def replay_spec(scenario: Scenario, profile: Profile | None = None) -> ReplaySpec:
    """Return which part of its profile each arm of a scenario replays.

    Args:
        scenario: its arms have to be arms of the run that was measured, but for their padding.
        profile: of the scenario, if it has been read.

    Raises:
        ConfigError: the profile has no such arm, or two arms cannot be told apart.
    """
    profile = profile or open_profile(scenario)
    found_by: list[tuple[ArmSpec, tuple[int, ...], list[list[int]]]] = []
    for index, config in enumerate(scenario.arms):
        starts = starts_of(config, profile.origin.vocab_size)
        fixed = [_at(config, start) for start in starts] or [config]
        found = [_parts_for(index, each, profile, starts) for each in fixed]
        found_by.append((arm_spec(scenario, config), starts, found))
    arms = []
    for index, (spec, starts, found) in enumerate(found_by):
        parts = []
        for place, each in enumerate(found):
            # Arms that differ in how they draft alone share a part: one with drafts serves all.
            both = [set(other[place]) for same, _, other in found_by if same == spec]
            shared = sorted(set(each).intersection(*both))
            if not shared:
                raise ConfigError(
                    f"arms.{index}: differs from another arm in refinement or in the drafting"
                    " branch alone, which a replay cannot tell apart; run them as two scenarios"
                )
            parts.append(shared[0])
        _check_same(index, [profile.parts[each] for each in parts])
        arms.append((spec, Replayed(tuple(parts), starts)))
    return ReplaySpec(str(profile.path), order_of(scenario), tuple(arms))


def _check_same(index: int, parts: list[ProfilePart]) -> None:
    """Raise a ConfigError unless all parts say the same."""
    first = parts[0]
    for each in parts[1:]:
        if not np.array_equal(each.token_R, first.token_R):
            raise ConfigError(
                f"arms.{index}.codec: the profile says something else at another k, so a learnt k"
                " cannot be replayed; record arms whose `refine` proves every token (the default)"
            )


def starts_of(config: ArmConfig, vocab_size: int) -> tuple[int, ...]:
    """Return every k that an arm may begin with, ascending; empty where it does not learn k."""
    if config.codec is None or not method_named(config.method).steered:
        return ()
    spec = learner_spec(config.codec, config.refine or RefineConfig(), vocab_size)
    return () if spec is None else tuple(ladder.first_k for ladder in ladders_of(spec))


def _at(config: ArmConfig, start: int) -> ArmConfig:
    """Return the arm that always begins with this k."""
    if not isinstance(config.codec, CodecConfig):
        raise LocalProtocolError(f"{config.codec}: no codec whose k is learnt")
    codec = config.codec.model_copy(update={"select": TopKConfig(k=start)})
    return config.model_copy(update={"codec": codec})


def _parts_for(
    index: int, config: ArmConfig, profile: Profile, starts: tuple[int, ...]
) -> list[int]:
    """Return the parts that say what an arm of a fixed k says.

    Args:
        index: of the arm, for messages.
        config: the arm.
        profile: what was measured.
        starts: each k that it may begin with, where it is learnt.

    Raises:
        ConfigError: there is none.
    """
    measured = [ArmConfig.model_validate(arm) for arm in profile.origin.arms]
    found = [part for part, arm in enumerate(measured) if _serves(arm, config)]
    if config.cloud_drafts is not None:
        found = _that_draft(index, config.cloud_drafts, found, profile)
    if found:
        return found
    _check_drafts(index, config, measured)
    held = "; ".join(dict.fromkeys(arm_words(profile)))
    way_out = "Choose one of these, or record a run that has it"
    if starts:
        way_out = (
            "A learnt k needs an arm for each k that it may choose; record a run with top_k of"
            f" k = {', '.join(map(str, starts))}"
        )
    raise ConfigError(
        f"arms.{index}: profile {profile.path} has no {_words(config, profile)};"
        f" it has {held}. {way_out}"
    )


def replayed_sizes(scenario: Scenario, device_S: Integers, request_S: Integers) -> Sizes:
    """Return how long the sessions' prompts are, what they weigh, and how long answers may be.

    Args:
        scenario: replays a profile.
        device_S: number of each session's device in the fleet.
        request_S: which of its device's sessions each is.
    """
    profile, most = open_profile(scenario), scenario.workload.max_new_tokens
    of_S = profile.sessions_of(order_of(scenario), scenario.seed, device_S, request_S)
    limit_S = np.minimum(profile.limit_S[of_S], most)
    if scenario.workload.ignore_eos:
        limit_S = np.full(len(of_S), most, np.int64)
    return Sizes(
        profile.public_S[of_S],
        profile.personal_S[of_S],
        limit_S,
        profile.public_bytes_S[of_S],
        profile.personal_bytes_S[of_S],
    )


def replayed_vocab_size(scenario: Scenario) -> int:
    """Return V of the profile that a scenario replays."""
    return open_profile(scenario).origin.vocab_size


def _serves(measured: ArmConfig, asked: ArmConfig) -> bool:
    """Whether what one arm said is what another one says, drafts included if it drafts."""
    if outcome_key(measured) != outcome_key(asked):
        return False
    drafts, wanted = measured.speculation, asked.speculation
    if any(each is not None and each.theta is not None for each in (drafts, wanted)):
        return drafts == wanted  # drafts decide what is said
    return wanted is None or (drafts is not None and drafts.draft == wanted.draft)


def _that_draft(
    index: int, drafts: CloudDraftsConfig, found: list[int], profile: Profile
) -> list[int]:
    """Return those of some parts that say what the cloud would draft.

    Raises:
        ConfigError: there are parts, and none says it.
    """
    parts = profile.parts
    if drafts.by_model:
        known = [part for part in found if parts[part].right_R is not None]
        way_out = "record a run that has `token_speculation` with {drafts: 1, ahead: 24} beside it"
    else:
        known = [part for part in found if parts[part].found_R is not None]
        way_out = "record a run of models anew"
    if found and not known:
        raise ConfigError(
            f"arms.{index}.cloud_drafts: profile {profile.path} does not say what the cloud would"
            f" draft ({drafts.kind}); leave it out, or {way_out}"
        )
    return known


def _check_drafts(index: int, config: ArmConfig, measured: list[ArmConfig]) -> None:
    if config.speculation is None:
        return
    where = f"arms.{index}.speculation"
    if config.speculation.theta is not None:
        raise ConfigError(
            f"{where}.theta: what is said then depends on how devices draft, so a profile serves"
            " the very same `speculation` alone; record a run that has it"
        )
    if any(outcome_key(arm) == outcome_key(config) for arm in measured):
        raise ConfigError(
            f"{where}: the profile does not know what a device would draft"
            f" ({config.speculation.draft}); leave it out, or record a run that has this arm with"
            " and without `speculation: {drafts: 1, ahead: 24}`"
        )


def outcome_key(config: ArmConfig) -> dict[str, Any]:
    """Return what an arm's outcomes depend on: not on frames' filling, overlap or drafts."""
    aside = {"padding", "strength", "overlap", "speculation", "cloud_drafts"}
    key = config.model_dump(exclude=aside)
    return key | {"c": round(config.strength.c, 9) if config.strength is not None else None}


def arm_words(profile: Profile) -> list[str]:
    """Return each of a profile's arms in a few words."""
    return [_words(ArmConfig.model_validate(arm), profile) for arm in profile.origin.arms]


def _words(config: ArmConfig, profile: Profile) -> str:
    words = [config.method]
    if config.strength is not None:
        words.append(f"c = {config.strength.c:.4g}")
    if config.codec is not None:
        words.append(build_codec(config.codec, profile.origin.vocab_size).name)
    if config.refine is not None and config.refine != RefineConfig():
        refine = config.refine
        words.append(f"refined x{refine.growth}, {refine.max_rounds} rounds, {refine.at_cap}")
    if config.sampling.temperature:
        words.append(f"temperature {config.sampling.temperature:g}")
    if config.speculation is not None:
        words.append(f"{config.speculation.draft} drafts")
    if config.gate is not None:
        words.append(f"paused after {config.gate.label}")
    return ", ".join(words)
