"""A language model, a codec and a steering rule so small that a whole fleet runs in a test.

Everything is in integers and a pure function of the token prefix, so that a session can be decoded
without any protocol: ``expected`` is what the machines are held to.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING
from zlib import crc32

from costeer.certificate import Choice
from costeer.errors import CodecError
from costeer.machine import (
    CloudForward,
    CloudOp,
    EdgeChoose,
    EdgeDecode,
    EdgeForward,
    EdgeOp,
    EdgeSteer,
    Selected,
)
from costeer.methods import CloudRole

if TYPE_CHECKING:
    from costeer.session import SessionSpec

VOCAB = 40
PRIVATE = range(32, VOCAB)
"""Ids of private contexts; no model ever chooses one."""
EOS = frozenset({0})
FINGERPRINT = 0xC0DEC
LLM, SLM = 1, 2

Prefix = tuple[int, ...]
_ENTRY = struct.Struct("<Bi")


@lru_cache(maxsize=20_000)
def logits(prefix: Prefix, model: int) -> tuple[int, ...]:
    """What a model says after a prefix; ties are frequent."""
    random = Random(crc32(bytes(prefix), model))
    row = random.choices(range(60), k=VOCAB)
    return tuple(value - 10**6 * (token in PRIVATE) for token, value in enumerate(row))


def ranked(row: tuple[int, ...]) -> list[int]:
    """Ids by falling logit, the lower id first among equals."""
    return sorted(range(VOCAB), key=lambda token: (-row[token], token))


def delta(public: Prefix, personal: Prefix) -> list[int]:
    """What the private context changes."""
    pairs = zip(logits(personal, SLM), logits(public, SLM), strict=True)
    return [mine - theirs for mine, theirs in pairs]


def decide(known: dict[int, int], delta_V: list[int]) -> Choice:
    """Steer, choose and certify; an equal bound is not enough."""
    token = min(known, key=lambda one: (-known[one] - delta_V[one], one))
    score = known[token] + delta_V[token]
    unsent = [delta_V[one] for one in range(VOCAB) if one not in known]
    margin = score - (min(known.values()) + max(unsent)) if unsent else 1
    return Choice(token, certified=margin > 0, margin=float(margin))


@dataclass(frozen=True)
class Expected:
    """Tokens of a session and how many MOREs each of them took."""

    tokens: tuple[int, ...]
    rounds: tuple[int, ...]


def expected(spec: SessionSpec) -> Expected:
    """Decode a session from its start without any protocol."""
    method = spec.method
    tokens: list[int] = []
    rounds: list[int] = []
    while len(tokens) < spec.max_new_tokens and not EOS.intersection(tokens):
        chosen = tuple(tokens)
        round_ = 0
        if method.cloud is CloudRole.LOGITS:
            row = logits(spec.public + chosen, LLM)
            delta_V = delta(spec.public + chosen, spec.personal + chosen)
            while True:
                sent = ranked(row)[: spec.ladder.ranks(round_)[1]]
                choice = decide({token: row[token] for token in sent}, delta_V)
                if choice.certified or not spec.ladder.has(round_ + 1):
                    break
                round_ += 1
            token = choice.token
        elif method.cloud is CloudRole.STREAM:
            assert method.cloud_prompt is not None
            token = ranked(logits(spec.prompt(method.cloud_prompt) + chosen, LLM))[0]
        else:
            token = ranked(logits(spec.prompt(method.edge_branches[0]) + chosen, SLM))[0]
        tokens.append(token)
        rounds.append(round_)
    return Expected(tuple(tokens), tuple(rounds))


class ToyCloud:
    """The large model's host: one cache per session, checked at every row."""

    def __init__(self) -> None:
        self.caches: dict[int, list[int]] = {}
        self.seen: dict[int, set[int]] = {}

    def execute(self, op: CloudOp) -> object:
        if isinstance(op, CloudForward):
            assert len({row.session for row in op.rows}) == len(op.rows)
            for row in op.rows:
                cache = self.caches.setdefault(row.session, [])
                assert row.start == len(cache), f"{row} on a cache of {len(cache)}"
                cache.extend(row.tokens)
                self.seen.setdefault(row.session, set()).update(row.tokens)
            return None
        payloads = tuple(
            self._encode(item.session, item.first_rank, item.last_rank) for item in op.encode
        )
        return Selected(payloads, tuple(ranked(self._row(session))[0] for session, _ in op.choose))

    def release(self, session: int) -> None:
        self.caches.pop(session, None)

    def _row(self, session: int) -> tuple[int, ...]:
        return logits(tuple(self.caches[session]), LLM)

    def _encode(self, session: int, first: int, last: int) -> bytes:
        row = self._row(session)
        return b"".join(_ENTRY.pack(token, row[token]) for token in ranked(row)[first:last])


class ToyEdge:
    """The small model's host: the branches of every device, checked at every forward."""

    def __init__(self) -> None:
        self.branches: dict[int, list[list[int]]] = {}
        self._known: dict[int, tuple[int, int, dict[int, int]]] = {}
        self._broken: dict[int, CodecError] = {}

    def execute(self, op: EdgeOp) -> object:
        if isinstance(op, EdgeForward):
            branches = self.branches.setdefault(op.session, [[] for _ in op.tokens])
            assert op.starts == tuple(map(len, branches))
            for branch, run in zip(branches, op.tokens, strict=True):
                branch.extend(run)
            return None
        if isinstance(op, EdgeDecode):
            self._decode(op)
            return None
        if isinstance(op, EdgeChoose):
            row = logits(tuple(self.branches[op.session][0]), SLM)
            return Choice(ranked(row)[0], certified=True, margin=1.0)
        assert isinstance(op, EdgeSteer)
        position, round_, known = self._known[op.session]
        assert (position, round_) == (op.position, op.round)
        public, personal = self.branches[op.session]
        return self._broken.get(op.session) or decide(known, delta(tuple(public), tuple(personal)))

    def release(self, session: int) -> None:
        self.branches.pop(session, None)
        self._known.pop(session, None)
        self._broken.pop(session, None)

    def _decode(self, op: EdgeDecode) -> None:
        known: dict[int, int] = {}
        if op.round:
            position, round_, known = self._known[op.session]
            assert (position, round_ + 1) == (op.position, op.round)
        if len(op.payload) % _ENTRY.size:
            self._broken[op.session] = CodecError(f"payload of {len(op.payload)} bytes")
        else:
            more = dict(_ENTRY.iter_unpack(op.payload))
            assert not known.keys() & more.keys()
            known = known | more
        self._known[op.session] = (op.position, op.round, known)
