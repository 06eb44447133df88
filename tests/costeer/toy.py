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
from costeer.gate import GateConfig
from costeer.machine import (
    CloudForward,
    CloudOp,
    CloudRow,
    Doubt,
    EdgeChoose,
    EdgeDecode,
    EdgeDelta,
    EdgeForward,
    EdgeOp,
    EdgeSteer,
    EncodeItem,
    Selected,
)
from costeer.proposal import CloudDraft, DraftItem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from costeer.session import SessionSpec

VOCAB = 40
PRIVATE = range(32, VOCAB)
"""Ids of private contexts; no model ever chooses one."""
EOS = frozenset({0})
FINGERPRINT = 0xC0DEC
LLM, SLM = 1, 2
GATE = GateConfig(sure=0.3, after=2, unsure=0.6)

Prefix = tuple[int, ...]
_ENTRY = struct.Struct("<Bi")


@lru_cache(maxsize=20_000)
def logits(prefix: Prefix, model: int) -> tuple[int, ...]:
    """What a model says after a prefix; ties are frequent, and models agree now and then."""
    own = Random(crc32(bytes(prefix), model)).choices(range(40), k=VOCAB)
    common = Random(crc32(bytes(prefix[-2:]))).choices(range(40), k=VOCAB)
    return tuple(
        mine + shared - 10**6 * (token in PRIVATE)
        for token, (mine, shared) in enumerate(zip(own, common, strict=True))
    )


def ranked(row: tuple[int, ...]) -> list[int]:
    """Ids by falling logit, the lower id first among equals."""
    return sorted(range(VOCAB), key=lambda token: (-row[token], token))


def delta(public: Prefix, personal: Prefix) -> list[int]:
    """What the private context changes."""
    pairs = zip(logits(personal, SLM), logits(public, SLM), strict=True)
    return [mine - theirs for mine, theirs in pairs]


def decide(ranks: dict[int, int], delta_V: list[int], outlier: dict[int, int]) -> Choice:
    """Steer, choose and certify; an equal bound is not enough."""
    known = ranks | outlier
    token = min(known, key=lambda one: (-known[one] - delta_V[one], one))
    score = known[token] + delta_V[token]
    unsent = [delta_V[one] for one in range(VOCAB) if one not in known]
    margin = score - (min(ranks.values()) + max(unsent)) if unsent else 1
    return Choice(token, certified=margin > 0, margin=float(margin))


def doubt(row: tuple[int, ...]) -> float:
    """How little the best token is ahead of the next."""
    first, second = (row[token] for token in ranked(row)[:2])
    return 1 / (1 + first - second)


def own_tokens(public: Prefix, chosen: Sequence[int]) -> list[bool]:
    """Which of the chosen tokens are the cloud's own: by the gate's rule, from what is public.

    One more than there are tokens: whether it would choose the next.
    """
    found = []
    closed, run = False, 0
    for position in range(len(chosen) + 1):
        here = doubt(logits(public + tuple(chosen[:position]), LLM))
        found.append(closed and here < GATE.unsure)
        closed = found[-1]
        run = run + 1 if here < GATE.sure else 0
        closed = closed or run >= GATE.after
    return found


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
        own = method.gated and own_tokens(spec.public, chosen)[-1]
        if method.steered and not own:
            row = logits(spec.public + chosen, LLM)
            delta_V = delta(spec.public + chosen, spec.personal + chosen)
            while True:
                sent = ranked(row)[: spec.ladder.ranks(round_)[1]]
                choice = decide({token: row[token] for token in sent}, delta_V, {})
                if choice.certified or not spec.ladder.has(round_ + 1):
                    break
                round_ += 1
            token = choice.token
        elif method.streamed or method.verified or own:
            assert method.cloud_prompt is not None
            row = logits(spec.prompt(method.cloud_prompt) + chosen, LLM)
            if method.guide is not None:
                row = guided(row, logits(spec.prompt(method.guide) + chosen, LLM))
            token = ranked(row)[0]
        else:
            token = ranked(logits(spec.prompt(method.edge_branches[0]) + chosen, SLM))[0]
        tokens.append(token)
        rounds.append(round_)
    return Expected(tuple(tokens), tuple(rounds))


def guided(row: tuple[int, ...], without: tuple[int, ...]) -> tuple[int, ...]:
    """Twice what the context says, less what is said without it."""
    return tuple(2 * one - other for one, other in zip(row, without, strict=True))


class ToyCloud:
    """The large model's host: one cache per session, checked at every row."""

    def __init__(self) -> None:
        self.caches: dict[int, list[int]] = {}
        self.seen: dict[int, set[int]] = {}
        self.guides: dict[int, list[int]] = {}
        self._rows: dict[int, dict[int, tuple[int, ...]]] = {}

    def execute(self, op: CloudOp) -> object:
        if isinstance(op, CloudForward):
            assert len({row.session for row in op.rows}) == len(op.rows)
            for row in op.rows:
                self._run(row)
            return None
        if isinstance(op, CloudDraft):
            return tuple(self._guess(item) for item in op.items)
        doubts = tuple(self._doubt(item) for item in op.encode)
        payloads = tuple(
            b"" if seen is not None and seen.token is not None else self._encode(item)
            for item, seen in zip(op.encode, doubts, strict=True)
        )
        logits_of_drafts = tuple(self._draft_logit(item) for item in op.encode)
        chosen = tuple(ranked(self._row(*asked))[0] for asked in op.choose)
        return Selected(payloads, chosen, logits_of_drafts, doubts)

    def release(self, session: int) -> None:
        self.caches.pop(session, None)
        self.guides.pop(session, None)
        self._rows.pop(session, None)

    def _run(self, row: CloudRow) -> None:
        cache = self.caches.setdefault(row.session, [])
        self.seen.setdefault(row.session, set()).update(row.tokens)
        if row.span is None:
            assert row.start == len(cache), f"{row} on a cache of {len(cache)}"
            cache.extend(row.tokens)
            if row.guide:
                guide = self.guides.setdefault(row.session, [])
                assert row.guide_start == len(guide), f"{row} on a second cache of {len(guide)}"
                guide.extend(row.guide)
            return
        assert row.start <= len(cache), f"{row} on a cache of {len(cache)}"
        cache[row.start :] = row.tokens
        rows = self._rows.setdefault(row.session, {})
        for position in [position for position in rows if position < row.span.oldest]:
            del rows[position]
        for index in range(row.span.count):
            length = len(cache) - row.span.count + 1 + index
            rows[row.span.first + index] = logits(tuple(cache[:length]), LLM)

    def _newest(self, session: int) -> tuple[int, ...]:
        row = logits(tuple(self.caches[session]), LLM)
        if session not in self.guides:
            return row
        return guided(row, logits(tuple(self.guides[session]), LLM))

    def _row(self, session: int, position: int) -> tuple[int, ...]:
        rows = self._rows.get(session)
        return rows[position] if rows is not None else self._newest(session)

    def _guess(self, item: DraftItem) -> tuple[int, ...]:
        """Guess as the small model would, and nothing after every third token."""
        text = item.tokens
        for _ in range(item.count if len(text) % 3 else 0):
            text += (ranked(logits(text, SLM))[0],)
        return text[len(item.tokens) :]

    def _encode(self, item: EncodeItem) -> bytes:
        row = self._row(item.session, item.position)
        sent = ranked(row)[item.first_rank : item.last_rank]
        return b"".join(_ENTRY.pack(token, row[token]) for token in sent)

    def _doubt(self, item: EncodeItem) -> Doubt | None:
        if item.unless is None:
            return None
        row = self._row(item.session, item.position)
        here = doubt(row)
        return Doubt(here, ranked(row)[0] if here < item.unless else None)

    def _draft_logit(self, item: EncodeItem) -> float | None:
        row = self._row(item.session, item.position)
        if item.draft is None or item.draft in ranked(row)[: item.last_rank]:
            return None
        return float(row[item.draft])


class ToyEdge:
    """The small model's host: the branches of every device, checked at every forward."""

    def __init__(self) -> None:
        self.branches: dict[int, list[list[int]]] = {}
        self._known: dict[int, dict[int, tuple[int, dict[int, int]]]] = {}
        self._outliers: dict[tuple[int, int], dict[int, int]] = {}
        self._deltas: dict[int, dict[int, list[int]]] = {}
        self._broken: dict[int, CodecError] = {}
        self._prepared: dict[int, tuple[int, bool]] = {}

    def execute(self, op: EdgeOp) -> object:
        if isinstance(op, EdgeForward):
            self._run(op)
            return None
        if isinstance(op, EdgeDecode):
            self._decode(op)
            return None
        if isinstance(op, EdgeChoose):
            row = logits(tuple(self.branches[op.session][op.branch]), SLM)
            return Choice(ranked(row)[0], certified=True, margin=1.0)
        if isinstance(op, EdgeDelta):
            self._prepared[op.session] = (op.position, op.sorted)
            return None
        assert isinstance(op, EdgeSteer)
        if op.prepared:
            assert self._prepared[op.session] == (op.position, op.sparse)
        round_, known = self._known[op.session][op.position]
        assert round_ == op.round
        outlier = self._outliers.get((op.session, op.position), {})
        return self._broken.get(op.session) or decide(known, self._delta(op), outlier)

    def release(self, session: int) -> None:
        self.branches.pop(session, None)
        self._known.pop(session, None)
        self._deltas.pop(session, None)
        self._broken.pop(session, None)
        for key in [key for key in self._outliers if key[0] == session]:
            del self._outliers[key]

    def _run(self, op: EdgeForward) -> None:
        branches = self.branches.setdefault(op.session, [[] for _ in op.tokens])
        lengths = tuple(map(len, branches))
        if op.span is None:
            assert op.starts == lengths
        assert all(start <= length for start, length in zip(op.starts, lengths, strict=True))
        for branch, start, run in zip(branches, op.starts, op.tokens, strict=True):
            branch[start:] = run
        if op.span is not None and len(branches) > 1:
            public, personal = branches
            deltas = self._deltas.setdefault(op.session, {})
            deltas[op.span.first] = delta(tuple(public), tuple(personal))
            for position in [position for position in deltas if position < op.span.oldest]:
                del deltas[position]

    def _delta(self, op: EdgeSteer) -> list[int]:
        deltas = self._deltas.get(op.session)
        if deltas is not None:
            return deltas[op.position]
        public, personal = self.branches[op.session]
        return delta(tuple(public), tuple(personal))

    def _decode(self, op: EdgeDecode) -> None:
        rows = self._known.setdefault(op.session, {})
        oldest = op.position if op.oldest is None else op.oldest
        for position in [position for position in rows if position < oldest]:
            del rows[position]
        known: dict[int, int] = {}
        if op.round:
            round_, known = rows[op.position]
            assert round_ + 1 == op.round
        else:
            outlier = {} if op.draft is None else {op.draft[0]: int(op.draft[1])}
            self._outliers[op.session, op.position] = outlier
        if len(op.payload) % _ENTRY.size:
            self._broken[op.session] = CodecError(f"payload of {len(op.payload)} bytes")
        else:
            more = dict(_ENTRY.iter_unpack(op.payload))
            assert not known.keys() & more.keys()
            known = known | more
        rows[op.position] = (op.round, known)
