"""What a fleet's sessions say and how much it weighs: values without hosts.

Where a k is learnt, what a token weighs and takes depends on the k that it begins with: it has a
row for each of them, one after the other.

Legend: S sessions, T tokens, R rows, one per token that is described and starting k, P payloads,
one per round of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from actors.values.drafts import drafted_token
from costeer.errors import LocalProtocolError
from costeer.speculation import MOST_DRAFTS

if TYPE_CHECKING:
    from actors.values.null import NullConfig
    from actors.values.profile import ProfilePart
    from costeer.refinement import Ladder

    Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one token.

    Args:
        token: its id.
        payload_bytes: what the codec made, per round; one of 0 B where nothing is steered.
        certified: whether it is proven to be the full-vocabulary token.
        margin: nats between the best and the second-best candidate.
    """

    token: int
    payload_bytes: tuple[int, ...] = (0,)
    certified: bool = True
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class Drafts:
    """What is drafted: right as often as somebody says, or what was recorded.

    Args:
        seed: of the run, which drafts are drawn with.
        vocab_size: V.
        acceptance: how often a draft is right.
        token_R: of each row, what was drafted in its place; None where that is drawn.
    """

    seed: int
    vocab_size: int
    acceptance: float = 0.0
    token_R: Integers | None = None


@dataclass(frozen=True, slots=True)
class Doubts:
    """Of which tokens the cloud is sure: as often as somebody says, or of those recorded.

    Args:
        share: how often.
        sure_R: of each row, whether it is; None where that is drawn.
    """

    share: float = 0.0
    sure_R: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Guesses:
    """What the cloud drafts for what it streams: right as often as somebody says, or as recorded.

    Args:
        acceptance: how often; as many are drafted as are asked for.
        found_R: of each row, how many drafts there are to be found that begin there; None where
            that is drawn.
        followed_R: how many of them are right, from the first; None likewise.
    """

    acceptance: float = 0.0
    found_R: Integers | None = None
    followed_R: Integers | None = None


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The outcomes of all sessions; sessions may share rows.

    Args:
        token_R: ids.
        first_payload_R1: where each row's payloads begin, and behind the last.
        payload_bytes_P: sizes.
        certified_R: whether proven to be the full-vocabulary token.
        margin_R: nats between the best and the second-best candidate.
        first_rows: (S,) which token each session begins with, in the order of devices and their
            requests.
        lengths: (S,) how many tokens each session has.
        drafts: what is drafted; None where nothing is. There are rows up to each session's limit
            then, for texts that run on in a draft.
        doubts: of which tokens the cloud is sure; None where nobody asks.
        guesses: what the cloud drafts; None where it does not.
        ladders: rows of a token: starting values of k, 1 where it is fixed.
    """

    token_R: Integers
    first_payload_R1: Integers
    payload_bytes_P: Integers
    certified_R: npt.NDArray[np.bool_]
    margin_R: npt.NDArray[np.float64]
    first_rows: Integers
    lengths: Integers
    drafts: Drafts | None = None
    doubts: Doubts | None = None
    guesses: Guesses | None = None
    ladders: int = 1

    def __getitem__(self, row: int) -> Outcome:
        """Return one row."""
        first, end = self.first_payload_R1[row : row + 2]
        return Outcome(
            int(self.token_R[row]),
            tuple(self.payload_bytes_P[first:end].tolist()),
            bool(self.certified_R[row]),
            float(self.margin_R[row]),
        )

    def drafted(self, row: int, session: int, position: int, ahead: int) -> int:
        """Return what a session drafts so far behind a row; ``position`` is the row's."""
        drafts = self.drafts
        if drafts is None:
            raise LocalProtocolError(f"outcomes: session {session} drafts nothing")
        if drafts.token_R is not None:
            return int(drafts.token_R[row + ahead * self.ladders])
        return drafted_token(
            int(self.token_R[row + ahead * self.ladders]),
            drafts.acceptance,
            seed=drafts.seed,
            session=session,
            position=position + ahead,
            vocab_size=drafts.vocab_size,
        )

    @property
    def most_rounds(self) -> int:
        """The most payloads of a row; 1 where there are none."""
        return int(np.diff(self.first_payload_R1).max(initial=1))

    @classmethod
    def of_rows(cls, rows: Sequence[Outcome], first_rows: Integers, lengths: Integers) -> Outcomes:
        """Return what sessions say that share given rows."""
        sizes = [len(row.payload_bytes) for row in rows]
        return cls(
            token_R=np.array([row.token for row in rows], np.int64),
            first_payload_R1=np.cumsum([0, *sizes], dtype=np.int64),
            payload_bytes_P=np.array(
                [size for row in rows for size in row.payload_bytes], np.int64
            ),
            certified_R=np.array([row.certified for row in rows], np.bool_),
            margin_R=np.array([row.margin for row in rows], np.float64),
            first_rows=first_rows,
            lengths=lengths,
        )

    @classmethod
    def of_sessions(cls, sessions: Sequence[Sequence[Outcome]]) -> Outcomes:
        """Return what so many sessions say, each of its own."""
        lengths = np.array([len(each) for each in sessions], np.int64)
        first = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)[:-1]))
        return cls.of_rows([row for each in sessions for row in each], first, lengths)

    @classmethod
    def learnt(cls, parts: Sequence[Outcomes]) -> Outcomes:
        """Return what sessions say whose k is learnt.

        Args:
            parts: what they say at each k that may be chosen, in ascending order.

        Raises:
            LocalProtocolError: they do not say the same.
        """
        first, count = parts[0], len(parts)
        for each in parts:
            if not np.array_equal(each.token_R, first.token_R) or not np.array_equal(
                each.first_rows, first.first_rows
            ):
                raise LocalProtocolError("outcomes: another k says something else")
        sizes_RK = np.stack([np.diff(each.first_payload_R1) for each in parts], axis=1)
        starts_RK = np.stack([each.first_payload_R1[:-1] for each in parts], axis=1)
        offsets_K = np.cumsum([0, *(len(each.payload_bytes_P) for each in parts[:-1])])
        first_payload = np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes_RK.reshape(-1))))
        begun = np.repeat((starts_RK + offsets_K).reshape(-1) - first_payload[:-1], sizes_RK.flat)
        at_P = begun + np.arange(first_payload[-1])
        drafts, doubts = first.drafts, first.doubts
        if drafts is not None and drafts.token_R is not None:
            drafts = replace(drafts, token_R=np.repeat(drafts.token_R, count))
        if doubts is not None and doubts.sure_R is not None:
            doubts = replace(doubts, sure_R=np.repeat(doubts.sure_R, count))
        return cls(
            token_R=np.repeat(first.token_R, count),
            first_payload_R1=first_payload,
            payload_bytes_P=np.concatenate([each.payload_bytes_P for each in parts])[at_P],
            certified_R=np.stack([each.certified_R for each in parts], axis=1).reshape(-1),
            margin_R=np.stack([each.margin_R for each in parts], axis=1).reshape(-1),
            first_rows=first.first_rows,
            lengths=first.lengths,
            drafts=drafts,
            doubts=doubts,
            ladders=count,
        )

    @classmethod
    def constant(
        cls,
        config: NullConfig,
        limit_S: Integers,
        eos: frozenset[int],
        *,
        drafting: int | None = None,
        pausing: bool = False,
        guessing: bool = False,
        ladders: Sequence[Ladder] = (),
        size_of: Callable[[tuple[int, int]], int] | None = None,
    ) -> Outcomes:
        """Return what `null` values say: the same in every session, up to its limit.

        Args:
            config: the constants.
            limit_S: the most tokens of each session.
            eos: ids that end a text.
            drafting: the run's seed, where devices draft.
            pausing: whether somebody asks how sure the cloud is.
            guessing: whether the cloud drafts for what it streams.
            ladders: ranks per round, by the k that a token begins with; none where no choice needs
                more than what is sent first, whatever that is.
            size_of: what ranks weigh; None for what the constants say.
        """
        said = [_constant(config, ladder, size_of) for ladder in ladders]
        said = said or [Outcome(0, (config.payload_bytes,), certified=True, margin=1.0)]
        rows = []
        natural = most = int(limit_S.max(initial=0))
        for position in range(most):
            token = config.first_token + position % config.period
            rows += [replace(each, token=token) for each in said]
            if token in eos:
                natural = min(natural, position + 1)
                if drafting is None:
                    break
        found = cls.of_rows(rows, np.zeros(len(limit_S), np.int64), np.minimum(limit_S, natural))
        found = replace(found, ladders=len(said))
        if pausing:
            found = replace(found, doubts=Doubts(config.sure))
        if guessing:
            found = replace(found, guesses=Guesses(config.acceptance))
        if drafting is None:
            return found
        return replace(found, drafts=Drafts(drafting, config.vocab_size, config.acceptance))

    @classmethod
    def replayed(
        cls,
        part: ProfilePart,
        session_S: Integers,
        limit_S: Integers,
        *,
        to_the_limit: bool,
        drafting: int | None = None,
        pausing: bool = False,
        guessing: bool = False,
        beside: bool = False,
    ) -> Outcomes:
        """Return what sessions say that replay a profile.

        Args:
            part: the arm's part of it.
            session_S: the profiled session that each one begins with.
            limit_S: the most tokens of each.
            to_the_limit: whether a session reads on where the profiled one ends; else it ends
                there.
            drafting: V, where devices draft.
            pausing: whether somebody asks how sure the cloud is.
            guessing: whether the cloud drafts for what it streams.
            beside: whether by a small model, which drafts what devices would; else looked up.

        Raises:
            LocalProtocolError: they, or the cloud, draft, and the profile says nothing of drafts;
                or it is asked for doubts, and says nothing of them.
        """
        first_S = part.first_row_S1[session_S]
        natural_S = part.first_row_S1[session_S + 1] - first_S
        lengths = limit_S if to_the_limit else np.minimum(natural_S, limit_S)
        # Round and round: behind the last row come the first ones again.
        rows = len(part.token_R)
        ends_S = first_S + (lengths if drafting is None and not guessing else limit_S)
        more = max(0, int(ends_S.max(initial=0)) - rows)
        again_R = np.arange(rows + more) % rows
        counts_R = np.diff(part.first_payload_R1)[again_R]
        first_payload_R1 = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts_R)))
        drafts = None
        if drafting is not None:
            if part.right_R is None:
                raise LocalProtocolError("profile: this part says nothing of drafts")
            wrong_R = (part.token_R + 1) % drafting
            drafted_R = np.where(part.right_R, part.token_R, wrong_R)
            drafts = Drafts(0, drafting, token_R=drafted_R[again_R])
        doubts = None
        if pausing:
            if part.sure_R is None:
                raise LocalProtocolError("profile: this part says nothing of doubts")
            doubts = Doubts(sure_R=part.sure_R[again_R])
        guesses = None
        if guessing and beside and part.right_R is not None:
            followed_R = _runs(part.right_R[again_R])
            guesses = Guesses(0.0, np.full_like(followed_R, MOST_DRAFTS), followed_R)
        elif guessing and part.found_R is not None and part.followed_R is not None:
            guesses = Guesses(0.0, part.found_R[again_R], part.followed_R[again_R])
        elif guessing:
            raise LocalProtocolError("profile: this part says nothing of the cloud's drafts")
        payloads = len(part.payload_bytes_P)
        again_P = np.arange(first_payload_R1[-1]) % payloads
        return cls(
            token_R=part.token_R[again_R],
            first_payload_R1=first_payload_R1,
            payload_bytes_P=part.payload_bytes_P[again_P],
            certified_R=part.certified_R[again_R],
            margin_R=part.margin_R[again_R],
            first_rows=first_S,
            lengths=lengths.astype(np.int64),
            drafts=drafts,
            doubts=doubts,
            guesses=guesses,
        )


def _constant(
    config: NullConfig, ladder: Ladder, size_of: Callable[[tuple[int, int]], int] | None
) -> Outcome:
    """Return what becomes of every token that begins with a ladder's first ranks."""
    rounds = 0
    while ladder.ranks(rounds)[1] < config.needs_ranks and ladder.has(rounds + 1):
        rounds += 1
    ranks = [ladder.ranks(each) for each in range(rounds + 1)]
    sizes = tuple(config.payload_bytes if size_of is None else size_of(each) for each in ranks)
    return Outcome(0, sizes, certified=ranks[-1][1] >= config.needs_ranks, margin=1.0)


def _runs(right_R: npt.NDArray[np.bool_]) -> Integers:
    """Return how many rows in a row are right, from each one on."""
    wrong = np.append(np.flatnonzero(~right_R), len(right_R))
    rows_R = np.arange(len(right_R))
    found: Integers = wrong[np.searchsorted(wrong, rows_R)] - rows_R
    return found
