"""What became of each token's draft in a measured run, for the profile that is made of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from costeer.errors import ConfigError
from costeer.methods import CloudRole, Prompt
from experiments.profile.replay import outcome_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from actors.values.profile_file import ProfiledSession
    from experiments.scenario import ArmConfig, Scenario

_MOST_UNDRAFTED = 0.05
"""Share of tokens without a draft that a profile overlooks."""


def said_by(scenario: Scenario, index: int) -> int:
    """Return the arm that says what an arm says, one exchange a token: sizes are per position.

    Raises:
        ConfigError: no arm does, or what is drafted in each token's place is not known.
    """
    arm = scenario.arms[index]
    if arm.speculation is None:
        return index
    where = f"arms.{index}.speculation"
    if arm.speculation.theta is not None:
        return index  # what it says depends on what was drafted
    if arm.speculation.ahead == 0 and arm.speculation.drafts != "adaptive":
        raise ConfigError(
            f"{where}: one draft after the other leaves tokens without any; record"
            " {drafts: 1, ahead: 24}, whose profile serves every way of drafting"
        )
    if arm.settings.verified:
        return index  # what comes down is the token itself
    for other, plain in enumerate(scenario.arms):
        if plain.speculation is None and outcome_key(plain) == outcome_key(arm):
            return other
    raise ConfigError(
        f"{where}: a frame of several positions does not tell the size of each; record the same"
        " arm without speculation beside it"
    )


def drafted(
    session: ProfiledSession, rows: Mapping[str, Any] | None, theta: float | None
) -> ProfiledSession:
    """Return a session with what became of the drafts of an arm that said the same.

    Raises:
        ConfigError: it said something else.
    """
    if rows is None:
        return session
    if theta is not None:
        # Of what was not drafted nobody knows; whoever drafts alike does not draft it either.
        return replace(session, right=rows["drafted"].tolist())
    if rows["token"].tolist() != list(session.tokens):
        raise ConfigError(
            f"device {session.device}, request {session.request}: with drafts another text than"
            " without (see `certified_share`); such a run makes no profile"
        )
    # Where drafts run ahead, each token has one; what refuted none was one that was right.
    wrong = (rows["refuted_drafts"] > 0) | (rows["unsent_drafts"] > 0)
    return replace(session, right=(~wrong).tolist())


def check_drafted(scenario: Scenario, arm: int, rows: pd.DataFrame) -> None:
    """Check that nearly every token had a draft.

    Behind the first position a draft that runs ahead is told at once. So what was neither told nor
    wrong was not drafted: the cloud's answer was there before. The last one of a text never is.

    Raises:
        ConfigError: too many had none, and what would have been drafted is not known.
    """
    drafts = scenario.arms[arm].speculation
    if drafts is None or drafts.theta is not None:
        return
    wrong = (rows["refuted_drafts"] > 0) | (rows["unsent_drafts"] > 0)
    last = rows["position"] == rows.groupby(["device", "request"])["position"].transform("max")
    judged = (rows["position"] > 0) & ~last
    undrafted = float((judged & ~wrong & ~rows["drafted"]).sum() / max(1, judged.sum()))
    if undrafted > _MOST_UNDRAFTED:
        raise ConfigError(
            f"arms.{arm}.speculation: {undrafted:.0%} of the tokens came before their devices had"
            " drafted them, so nobody knows what would have been drafted; record on links with a"
            " longer round trip, or on faster devices"
        )


def _drafts_beside(scenario: Scenario, streamed: ArmConfig) -> int | None:
    """Return the arm whose devices drafted what a small model beside the cloud would have."""
    method = streamed.settings
    if method.cloud is not CloudRole.STREAM or method.cloud_prompt is not Prompt.PUBLIC:
        return None
    for index, arm in enumerate(scenario.arms):
        if arm.settings.verified and arm.sampling == streamed.sampling:
            return index
    return None


def with_drafts_beside(
    scenario: Scenario, arm: int, parts: Sequence[list[ProfiledSession]]
) -> list[ProfiledSession]:
    """Return an arm's sessions, with what another arm drafted for the same texts, if they are."""
    drafting = _drafts_beside(scenario, scenario.arms[arm])
    if drafting is None:
        return parts[arm]
    pairs = list(zip(parts[arm], parts[drafting], strict=True))
    if any(list(one.tokens) != list(other.tokens) for one, other in pairs):
        return parts[arm]
    return [replace(one, right=other.right) for one, other in pairs]
