"""What the sessions of a compiled fleet say: constants, or a profile's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from actors.fleet.ladder_tables import ladders_to_learn
from actors.fleet.outcomes import Outcomes
from actors.plan import ArmPlan, codec_terms
from experiments.host_makers import null_config, null_sizes
from experiments.scenario import Scenario

Integers = npt.NDArray[np.int64]


def outcomes_of(scenario: Scenario, plan: ArmPlan) -> Outcomes:
    """Return the outcomes of an arm's sessions, in the order of devices and their requests.

    Raises:
        ConfigError: the profile cannot be read, or has no such arm or session.
    """
    asked = [
        (device.device, number, plan.new_tokens(request))
        for device in plan.devices
        for number, request in enumerate(device.requests)
    ]
    device_S, request_S, limit_S = np.array(asked, np.int64).reshape(-1, 3).T
    return outcomes_for(scenario, plan, device_S, request_S, limit_S)


def outcomes_for(
    scenario: Scenario, plan: ArmPlan, device_S: Integers, request_S: Integers, limit_S: Integers
) -> Outcomes:
    """Return the outcomes of sessions that are given as columns.

    Args:
        scenario: says where values come from.
        plan: the arm; its devices do not matter.
        device_S: number, in the whole fleet, of the device of each session.
        request_S: which of that device's sessions it is.
        limit_S: the most tokens of each.

    Raises:
        ConfigError: the profile cannot be read, or has no such arm or session.
    """
    if scenario.values != "profile":
        codec = plan.arm.codec if plan.arm.method.steered else None
        alone = plan.retry is not None and plan.retry.falls_back and plan.arm.method.steered
        drafting = plan.arm.seed if plan.speculation is not None or alone else None
        constants = null_config(scenario, codec)
        terms = codec_terms(plan, constants.vocab_size)
        ladders = ladders_to_learn(plan, terms)
        if constants.needs_ranks and plan.arm.method.steered:
            ladders = ladders or (terms.ladder,)
        return Outcomes.constant(
            constants,
            limit_S,
            plan.eos,
            drafting=drafting,
            pausing=plan.gate is not None,
            guessing=plan.cloud_drafts is not None,
            ladders=ladders,
            size_of=null_sizes(scenario, plan.arm.codec),
        )
    from experiments.profile.replay import (  # noqa: PLC0415 - brings pyarrow in
        open_profile,
        order_of,
        replay_spec,
    )

    profile = open_profile(scenario)
    replayed = replay_spec(scenario, profile).of(plan.arm)
    session_S = profile.sessions_of(order_of(scenario), plan.arm.seed, device_S, request_S)
    parts = [
        Outcomes.replayed(
            profile.parts[part],
            session_S,
            limit_S,
            to_the_limit=not plan.eos,
            drafting=profile.origin.vocab_size if plan.speculation is not None else None,
            pausing=plan.gate is not None,
            guessing=plan.cloud_drafts is not None,
            beside=plan.arm.beside,
        )
        for part in replayed.parts
    ]
    return Outcomes.learnt(parts) if replayed.starts else parts[0]
