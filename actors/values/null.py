"""Constant values, to measure what everything but the values costs.

A payload has a given size and no meaning; the chosen token depends on the position alone and is
never an end token as long as those lie outside ``[first_token, first_token + period)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from actors.values.doubts import doubts_of, drawn_sure
from actors.values.drafts import drafted_token
from actors.values.port import ArmSpec
from costeer.certificate import Choice
from costeer.codec.config import AnyCodecConfig, is_adaptive
from costeer.errors import ConfigError
from costeer.machine import (
    CloudOp,
    CloudSelect,
    EdgeChoose,
    EdgeDecode,
    EdgeOp,
    EdgeSteer,
    EncodeItem,
    Release,
    Selected,
)
from costeer.proposal import CloudDraft, DraftItem

_CHOICES = (EdgeSteer, EdgeChoose)
RANKS_BYTES = 4
"""Of a payload that tells a device's host how many ranks are known with it."""

Weigh = Callable[[AnyCodecConfig, tuple[int, int] | None], int]
"""Says what a payload weighs under a codec, with these ranks or those that it sends first."""


@dataclass(frozen=True, slots=True)
class NullConfig:
    """What the constants are.

    Args:
        payload_bytes: size of a LOGITS payload.
        vocab_size: what the hosts say they have.
        first_token: token of position 0.
        period: positions after which the tokens repeat.
        acceptance: how often a draft is the token of its position.
        sure: how often the cloud is sure of a token.
        needs_ranks: a choice is certified once so many ranks are known; 0: always.
    """

    payload_bytes: int = 165
    vocab_size: int = 151_936
    first_token: int = 1_000
    period: int = 1_000
    acceptance: float = 0.8
    sure: float = 0.8
    needs_ranks: int = 0

    def __post_init__(self) -> None:
        if self.payload_bytes < 0 or self.period < 1 or self.first_token < 0:
            raise ConfigError(
                "null values: payload_bytes and first_token must not be negative, period at least 1"
            )
        if self.first_token + self.period > self.vocab_size:
            raise ConfigError(
                f"null values: tokens up to {self.first_token + self.period - 1} do not fit a "
                f"vocabulary of {self.vocab_size}; lower first_token or period"
            )


def sent_ranks(codec: AnyCodecConfig, ranks: tuple[int, int]) -> tuple[int, int] | None:
    """Return the ranks of a payload; None where the codec decides which ones it sends first."""
    return ranks if ranks[0] or is_adaptive(codec) else None


class NullCloudHost:
    """A large model that costs nothing.

    Args:
        config: what the constants are.
        weigh: says what a payload weighs under an arm's codec; None for what the constants say.
    """

    def __init__(self, config: NullConfig, weigh: Weigh | None = None) -> None:
        self._config = config
        self._weigh = weigh
        self._payload = bytes(config.payload_bytes)
        self._codec: AnyCodecConfig | None = None
        self._of_ranks: dict[tuple[int, int], bytes] = {}
        self._seed = 0

    def begin_arm(self, arm: ArmSpec) -> int:
        """Weigh the arm's payloads; return the vocabulary's size."""
        self._seed = arm.seed
        self._codec = None
        self._of_ranks.clear()
        if self._weigh is not None and arm.method.steered:
            self._payload = bytes(self._weigh(arm.codec, None))
            self._codec = arm.codec
        return self._config.vocab_size

    def execute(self, ops: Sequence[CloudOp | Release]) -> list[object]:
        """Values of the operations, in order."""
        return [
            tuple(self._drafts(item) for item in op.items)
            if isinstance(op, CloudDraft)
            else self._selected(op)
            if isinstance(op, CloudSelect)
            else None
            for op in ops
        ]

    def _selected(self, op: CloudSelect) -> Selected:
        first, period = self._config.first_token, self._config.period
        tokens = tuple([first + position % period for _, position in op.choose])
        doubts = doubts_of(op.encode, self._is_sure, self._token)
        if self._config.needs_ranks or is_adaptive(self._codec):
            payloads = tuple(map(self._ranked, op.encode))
            return Selected(payloads, tokens, (), doubts)
        return Selected((self._payload,) * len(op.encode), tokens, (), doubts)

    def _ranked(self, item: EncodeItem) -> bytes:
        """Return a payload that weighs what its ranks do, and tells how many are known with it."""
        ranks = item.first_rank, item.last_rank
        known = self._of_ranks.get(ranks)
        if known is None:
            size = len(self._payload)
            if self._weigh is not None and self._codec is not None:
                size = self._weigh(self._codec, sent_ranks(self._codec, ranks))
            told = item.last_rank.to_bytes(RANKS_BYTES, "little")
            known = self._of_ranks[ranks] = told.ljust(size, b"\0")[:size]
        return known

    def _token(self, session: int, position: int) -> int:  # noqa: ARG002 - all say the same
        return self._config.first_token + position % self._config.period

    def _is_sure(self, session: int, position: int) -> bool:
        share = self._config.sure
        return drawn_sure(share, seed=self._seed, session=session, position=position)

    def _drafts(self, item: DraftItem) -> tuple[int, ...]:
        config = self._config
        return tuple(
            drafted_token(
                config.first_token + at % config.period,
                config.acceptance,
                seed=self._seed,
                session=item.session,
                position=at,
                vocab_size=config.vocab_size,
            )
            for at in range(item.position, item.position + item.count)
        )


class NullEdgeHost:
    """A small model that costs nothing.

    Args:
        config: what the constants are.
    """

    def __init__(self, config: NullConfig) -> None:
        self._config = config
        self._choices = [
            Choice(config.first_token + index, certified=True, margin=1.0)
            for index in range(config.period)
        ]
        self._seed = 0
        self._drafting = False
        self._known: dict[int, dict[int, int]] = {}

    def begin_arm(self, arm: ArmSpec) -> int:
        """Take the arm's seed; return the vocabulary's size."""
        self._seed = arm.seed
        self._known.clear()
        self._drafting = arm.method.steered or arm.method.verified
        return self._config.vocab_size

    def execute(self, ops: Sequence[EdgeOp | Release]) -> list[object]:
        """Values of the operations, in order."""
        choices, period = self._choices, self._config.period
        if self._config.needs_ranks:
            return [self._ranked(op) for op in ops]
        return [
            self._draft(op)
            if self._drafting and isinstance(op, EdgeChoose)
            else choices[op.position % period]
            if isinstance(op, _CHOICES)
            else None
            for op in ops
        ]

    def _ranked(self, op: EdgeOp | Release) -> object:
        if isinstance(op, Release):
            self._known.pop(op.session, None)
        elif isinstance(op, EdgeDecode):
            known = int.from_bytes(op.payload[:RANKS_BYTES], "little")
            self._known.setdefault(op.session, {})[op.position] = known
        elif isinstance(op, EdgeSteer):
            choice = self._choices[op.position % self._config.period]
            enough = self._known[op.session][op.position] >= self._config.needs_ranks
            return replace(choice, certified=enough)
        elif isinstance(op, EdgeChoose):
            alone = self._choices[op.position % self._config.period]
            return self._draft(op) if self._drafting else alone
        return None

    def _draft(self, op: EdgeChoose) -> Choice:
        config = self._config
        token = drafted_token(
            config.first_token + op.position % config.period,
            config.acceptance,
            seed=self._seed,
            session=op.session,
            position=op.position,
            vocab_size=config.vocab_size,
        )
        return Choice(token, certified=True, margin=1.0)
