"""Hosts that say what a profile's sessions said, and send payloads of the sizes that theirs had.

A payload is zeros of the right length: what it would have decoded to was decided when the profile
was measured. Everything between (frames, links, batches, refinement) happens as with real values.

Legend: see ``actors.values.profile``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actors.plan import device_and_request
from actors.values.doubts import doubts_of
from actors.values.drafts import draft_for
from actors.values.order import ReplayOrder
from actors.values.port import ArmSpec
from actors.values.profile import Profile
from costeer.certificate import Choice
from costeer.errors import LocalProtocolError
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


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one arm replays.

    Args:
        parts: of the profile: one, or where k is learnt one for each that may be chosen.
        starts: those k, ascending; empty where k is fixed.
    """

    parts: tuple[int, ...]
    starts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplaySpec:
    """What is replayed.

    Args:
        path: of the profile.
        order: which session a session replays.
        arms: what each of them replays.
    """

    path: str
    order: ReplayOrder
    arms: tuple[tuple[ArmSpec, Replayed], ...]

    def of(self, arm: ArmSpec) -> Replayed:
        """Return what an arm replays.

        Raises:
            LocalProtocolError: nothing was planned for it.
        """
        for known, replayed in self.arms:
            if known == arm:
                return replayed
        raise LocalProtocolError(f"replay: no part of the profile was planned for {arm}")


class _Replay:
    """The rows that the sessions of one arm read."""

    def __init__(self, profile: Profile, spec: ReplaySpec, arm: ArmSpec) -> None:
        replayed = spec.of(arm)
        self.starts = replayed.starts
        self._beside = arm.beside
        self._profile = profile
        self._order = spec.order
        self._parts = [profile.parts[part] for part in replayed.parts]
        # All parts say the same: they differ in what was sent, and in what that proved.
        self._part = self._parts[0]
        self._seed = arm.seed

    def row(self, session: int, position: int) -> int:
        owner = device_and_request(session)
        of = self._profile.session_of(self._order, self._seed, *owner)
        return int(self._part.first_row_S1[of] + position) % len(self._part.token_R)

    def token(self, session: int, position: int) -> int:
        return int(self._part.token_R[self.row(session, position)])

    def payload_bytes(self, session: int, position: int, round_: int, start: int) -> int:
        part, row = self._parts[start], self.row(session, position)
        first, end = part.first_payload_R1[row : row + 2]
        if round_ >= end - first:
            raise LocalProtocolError(
                f"session {session}, position {position}: the profile has no round {round_}"
            )
        return int(part.payload_bytes_P[first + round_])

    def is_sure(self, session: int, position: int) -> bool:
        sure_R = self._part.sure_R
        if sure_R is None:
            raise LocalProtocolError(f"session {session}: the profile says nothing of doubts")
        return bool(sure_R[self.row(session, position)])

    def proposed(self, item: DraftItem) -> tuple[int, ...]:
        """What a cloud drafts: by the small model beside it, which drafts what devices would."""
        if self._beside:
            places = range(item.position, item.position + item.count)
            return tuple(self.draft(item.session, at).token for at in places)
        return self._looked_up(item)

    def _looked_up(self, item: DraftItem) -> tuple[int, ...]:
        found_R, followed_R = self._part.found_R, self._part.followed_R
        if found_R is None or followed_R is None:
            raise LocalProtocolError(
                f"session {item.session}: the profile says nothing of the cloud's drafts"
            )
        row, vocab_size = self.row(item.session, item.position), self._profile.origin.vocab_size
        return tuple(
            draft_for(
                self.token(item.session, item.position + ahead),
                vocab_size,
                right=ahead < int(followed_R[row]),
            )
            for ahead in range(min(item.count, int(found_R[row])))
        )

    def draft(self, session: int, position: int) -> Choice:
        right_R, row = self._part.right_R, self.row(session, position)
        if right_R is None:
            raise LocalProtocolError(f"session {session}: the profile says nothing of drafts")
        token, vocab_size = int(self._part.token_R[row]), self._profile.origin.vocab_size
        return Choice(
            draft_for(token, vocab_size, right=bool(right_R[row])), certified=True, margin=0.0
        )

    def choice(self, session: int, position: int, round_: int, start: int = 0) -> Choice:
        row, part = self.row(session, position), self._parts[start]
        if round_ < part.first_payload_R1[row + 1] - part.first_payload_R1[row] - 1:
            return Choice(int(part.token_R[row]), certified=False, margin=0.0)
        certified, margin = bool(part.certified_R[row]), float(part.margin_R[row])
        return Choice(int(part.token_R[row]), certified=certified, margin=margin, final=True)


class _Host:
    """Opens the profile once, and a part of it for each arm."""

    def __init__(self, spec: ReplaySpec) -> None:
        self._spec = spec
        self._profile = Profile(spec.path)
        self._replay: _Replay | None = None
        self._drafts = False

    def begin_arm(self, arm: ArmSpec) -> int:
        """Take the arm's part of the profile; return the vocabulary's size."""
        self._drafts = arm.method.steered or arm.method.verified
        self._replay = _Replay(self._profile, self._spec, arm)
        return self._profile.origin.vocab_size

    @property
    def replay(self) -> _Replay:
        """The arm's rows."""
        if self._replay is None:
            raise LocalProtocolError("replay: an operation before begin_arm")
        return self._replay


class ReplayCloudHost(_Host):
    """A large model whose sizes and choices were measured before.

    Args:
        spec: what is replayed.
    """

    def __init__(self, spec: ReplaySpec) -> None:
        super().__init__(spec)
        self._rounds: dict[int, dict[int, tuple[int, int]]] = {}

    def begin_arm(self, arm: ArmSpec) -> int:
        """Forget every session, take the arm's part; return the vocabulary's size."""
        self._rounds.clear()
        return super().begin_arm(arm)

    def execute(self, ops: Sequence[CloudOp | Release]) -> list[object]:
        """Values of the operations, in order."""
        return [self._execute(op) for op in ops]

    def _execute(self, op: CloudOp | Release) -> object:
        if isinstance(op, CloudSelect):
            replay = self.replay
            return Selected(
                tuple(self._payload(item) for item in op.encode),
                tuple(replay.token(*asked) for asked in op.choose),
                (),
                doubts_of(op.encode, replay.is_sure, replay.token),
            )
        if isinstance(op, CloudDraft):
            return tuple(map(self.replay.proposed, op.items))
        if isinstance(op, Release) and op.over:
            self._rounds.pop(op.session, None)
        return None

    def _payload(self, item: EncodeItem) -> bytes:
        """Return the next round's payload: an item names ranks, not its round.

        Where k is learnt, its first byte tells the device's host which of them it began with.
        """
        rounds, starts = self._rounds.setdefault(item.session, {}), self.replay.starts
        if item.first_rank:
            round_, start = rounds.get(item.position, (-1, 0))
            round_ += 1
        else:
            round_, start = 0, starts.index(item.last_rank) if starts else 0
        rounds[item.position] = round_, start
        size = self.replay.payload_bytes(item.session, item.position, round_, start)
        return bytes([start]).ljust(size, b"\0")[:size]


class ReplayEdgeHost(_Host):
    """A small model, and the steering on top of it, whose choices were measured before.

    Args:
        spec: what is replayed.
    """

    def __init__(self, spec: ReplaySpec) -> None:
        super().__init__(spec)
        self._starts: dict[int, dict[int, int]] = {}

    def begin_arm(self, arm: ArmSpec) -> int:
        """Forget every session, take the arm's part; return the vocabulary's size."""
        self._starts.clear()
        return super().begin_arm(arm)

    def execute(self, ops: Sequence[EdgeOp | Release]) -> list[object]:
        """Values of the operations, in order."""
        return [self._execute(op) for op in ops]

    def _execute(self, op: EdgeOp | Release) -> object:
        if isinstance(op, EdgeDecode) and self.replay.starts:
            self._starts.setdefault(op.session, {})[op.position] = op.payload[0]
        if isinstance(op, Release) and op.over:
            self._starts.pop(op.session, None)
        if isinstance(op, EdgeSteer):
            start = self._starts[op.session][op.position] if self.replay.starts else 0
            return self.replay.choice(op.session, op.position, op.round, start)
        if isinstance(op, EdgeChoose) and self._drafts:
            return self.replay.draft(op.session, op.position)
        if isinstance(op, EdgeChoose):
            return self.replay.choice(op.session, op.position, 0)
        return None
