"""What sizes are like along a text: spread, and how the next token's hang on this one's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from actors.values.profile import Profile, ProfilePart

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SizeStatistics:
    """Of the payload bytes of a token, all its rounds together.

    Args:
        mean_bytes: per token.
        p99_bytes: exceeded by one token in a hundred.
        lag1: correlation of a token's bytes with those of the one before it in its session; 0
            where all are the same.
        certified: share of tokens that are proven to be the full-vocabulary ones.
        refined: share of tokens that needed a MORE.
        length: mean tokens of a session.
        right: share of drafts that are right; None where nothing is drafted.
        unsteered: share of tokens that were the cloud's own; None where steering never pauses.
        looked_up: tokens that a cloud could have looked up and that stand, per token; None where
            nobody says.
    """

    mean_bytes: float
    p99_bytes: float
    lag1: float
    certified: float
    refined: float
    length: float
    right: float | None
    unsteered: float | None = None
    looked_up: float | None = None


def lag1(sessions: Sequence[npt.NDArray[np.number]]) -> float:
    """Return the correlation of neighbours within sessions, about the mean of all.

    0 where nothing varies, or no session has two tokens.
    """
    everything = np.concatenate([np.asarray(each, np.float64) for each in sessions])
    mean, variance = everything.mean(), everything.var()
    pairs = [(each[:-1] - mean) * (each[1:] - mean) for each in sessions if len(each) > 1]
    if not pairs or variance == 0:
        return 0.0
    return float(np.concatenate(pairs).mean() / variance)


def size_statistics(part: ProfilePart) -> SizeStatistics:
    """Return what an arm's sizes are like."""
    bytes_R = part.total_bytes_R
    sessions = np.split(bytes_R, part.first_row_S1[1:-1])
    return SizeStatistics(
        mean_bytes=float(bytes_R.mean()),
        p99_bytes=float(np.percentile(bytes_R, 99)),
        lag1=lag1(sessions),
        certified=float(part.certified_R.mean()),
        refined=float((part.rounds_R > 0).mean()),
        length=float(np.diff(part.first_row_S1).mean()),
        right=_mean(part.right_R),
        unsteered=_mean(part.own_R),
        looked_up=_mean(part.followed_R),
    )


def _mean(values_R: npt.NDArray[Any] | None) -> float | None:
    return None if values_R is None else float(values_R.mean())


def profile_table(profile: Profile) -> str:
    """Return what a profile holds, arm by arm, for a terminal."""
    from experiments.profile.replay import arm_words  # noqa: PLC0415 - heavy with scenarios
    from experiments.results.grid import Column, number, text_table  # noqa: PLC0415 - likewise

    found = [size_statistics(part) for part in profile.parts]
    right = [None if one.right is None else 100 * one.right for one in found]
    own = [None if one.unsteered is None else 100 * one.unsteered for one in found]
    return text_table(
        [
            Column("arm", tuple(arm_words(profile)), left=True),
            Column("payload", tuple(number(one.mean_bytes, 1) for one in found), unit="B/token"),
            Column("p99", tuple(number(one.p99_bytes, 0) for one in found), unit="B"),
            Column("lag 1", tuple(number(one.lag1, 2) for one in found)),
            Column("certified", tuple(number(100 * one.certified, 1) for one in found), unit="%"),
            Column("refined", tuple(number(100 * one.refined, 1) for one in found), unit="%"),
            Column("drafts right", tuple(number(each, 1) for each in right), unit="%"),
            Column("unsteered", tuple(number(each, 1) for each in own), unit="%"),
            Column("looked up", tuple(number(one.looked_up, 2) for one in found), unit="a token"),
            Column("length", tuple(number(one.length, 1) for one in found), unit="tokens"),
        ]
    )
