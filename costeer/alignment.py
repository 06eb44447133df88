"""Two vocabularies: how Δ, known over the small model's tokens, becomes Δ over the large one's.

Theory of operation
-------------------
A pair need not share its tokens. What tokens are made of, bytes, is common, so tokens come here as
byte strings (None: a special token, which is no text). The cloud's row and everything that crosses
the network stay in the cloud's ids; only Δ is carried over, and the certificate asks nothing of Δ
but that it is finite and known for every id. So law 3 holds for any alignment.

* ``Intersection``: ids whose byte strings are equal keep their Δ, all others have Δ = 0: they can
  be chosen, and nothing steers them. (The CoSteer authors' release forbids the others instead, and
  normalises within what is shared, which leaves the large model no word that the small one lacks.)
* ``Bytes``: every cloud token a is scored by the probability that the small model goes on with its
  bytes, as far as is known:

      m(a) = Π p(u_i | s u_1 … u_{i−1}), over a's own tokens u_1 … u_n in the small vocabulary,
             where the last counts with all tokens that begin with it,
           + Σ p(v | s), where n > 1, over its tokens v that are longer than a and begin with a,

  and Δ(a) = log m_pers(a) − log m_base(a). One forward knows p(· | s) alone: the product ends after
  u_1, so cloud tokens with the same u_1 share a Δ. Each *expanded* prefix, one more forward of a
  row, carries it further.

In both, the ids that end a text share one Δ: that of all the small model's end tokens together.

Limits. Only a token's own tokenisation counts, not every way to cut its bytes; a byte-exact
measure (arXiv 2410.09303, 2506.14123) sums over those too. The text so far is cut as the small
model's tokenizer cuts it, so where a cloud token begins inside one of the small model's words, the
continuation is one that its training has rarely seen, and Δ there is mostly noise.

Legend: V the cloud's vocabulary, W the small model's own, N pairs, M prefixes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from costeer.errors import ConfigError
from costeer.steering import log_softmax

F64: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Bytes: TypeAlias = Sequence[bytes | None]
"""Byte strings of tokens, by id; None for a special token."""

ROOT = 0
"""The prefix of no token: the text so far."""

_LEAST = np.finfo(np.float64).tiny


@dataclass(frozen=True, slots=True)
class Vocabularies:
    """What is known of a pair's tokens.

    Args:
        cloud: of the large model.
        own: of the small one.
        cloud_ends: ids that end a text of the large model.
        own_ends: ids that end a text of the small one.
    """

    cloud: Bytes
    own: Bytes
    cloud_ends: tuple[int, ...]
    own_ends: tuple[int, ...]

    def shared(self) -> tuple[Ints, Ints]:
        """Return the cloud's ids whose bytes are a token of both, and their ids in the other.

        Of two tokens with the same bytes the lower id counts.

        Raises:
            ConfigError: no token is shared.
        """
        place = places(self.own)
        pairs = [
            (token, place[data])
            for token, data in enumerate(self.cloud)
            if data and data in place and token not in self.cloud_ends
        ]
        if not pairs:
            raise ConfigError(
                "models.alignment: the two vocabularies share no token; choose kind: bytes, or"
                " another pair"
            )
        cloud_N, own_N = np.array(pairs, dtype=np.int64).T
        return cloud_N, own_N


class Intersection:
    """Δ of the tokens that both vocabularies have; 0 for the cloud's others."""

    def __init__(self, tokens: Vocabularies) -> None:
        """Find the shared tokens.

        Raises:
            ConfigError: there are none.
        """
        self._tokens = tokens
        self._cloud_N, self._own_N = tokens.shared()

    def delta(self, base_W: F64, pers_W: F64) -> F64:
        """Return Δ over the cloud's vocabulary from the small model's two rows of logits."""
        base_W, pers_W = log_softmax(base_W), log_softmax(pers_W)
        delta_V = np.zeros(len(self._tokens.cloud))
        delta_V[self._cloud_N] = pers_W[self._own_N] - base_W[self._own_N]
        return _with_ends(delta_V, self._tokens, np.exp(base_W), np.exp(pers_W))


class ByBytes:
    """Δ of every token of the cloud, by the bytes that it stands for."""

    def __init__(self, tokens: Vocabularies, paths: Sequence[tuple[int, ...]]) -> None:
        """Prepare the sums.

        Args:
            tokens: the pair's.
            paths: each cloud token in the small model's own ids; empty where it has none.

        Raises:
            ConfigError: no cloud token can be written in the small model's.
        """
        self._tokens = tokens
        self._tree = _Tree(paths)
        self._longer_V = _Covers(tokens.cloud, tokens.own, strict=True)
        self._longer_W = _Covers(tokens.own, tokens.own, strict=False)

    def delta(self, rows: Mapping[int, tuple[F64, F64]]) -> F64:
        """Return Δ over the cloud's vocabulary.

        Args:
            rows: the small model's logits without and with the context behind each expanded prefix;
                ``ROOT`` is one of them, and no prefix is without the one before it.
        """
        base, pers = (
            {node: np.exp(log_softmax(pair[side])) for node, pair in rows.items()}
            for side in (0, 1)
        )
        base_V, pers_V = self._mass(base), self._mass(pers)
        delta_V: F64 = np.log(np.maximum(pers_V, _LEAST)) - np.log(np.maximum(base_V, _LEAST))
        return _with_ends(delta_V, self._tokens, base[ROOT], pers[ROOT])

    def frontier(self, rows: Mapping[int, tuple[F64, F64]], count: int, least: float) -> list[int]:
        """Return the prefixes that are worth a look ahead: the likeliest that is not expanded yet.

        Args:
            rows: as for ``delta``.
            count: at most so many.
            least: probability, with or without the context, below which it is not worth it.
        """
        base, pers = (
            self._tree.reached({n: np.exp(log_softmax(pair[side])) for n, pair in rows.items()})
            for side in (0, 1)
        )
        open_M = np.isin(self._tree.parent_M, list(rows))
        open_M[list(rows)] = False
        worth_M = np.where(open_M, np.maximum(base, pers), 0.0)
        order = np.argsort(-worth_M, kind="stable")[:count]
        return [int(node) for node in order if open_M[node] and worth_M[node] >= least]

    def path(self, node: int) -> tuple[int, ...]:
        """Return a prefix in the small model's ids."""
        return self._tree.path(node)

    def _mass(self, rows: Mapping[int, F64]) -> F64:
        """m(a) of every cloud token."""
        tree = self._tree
        mass_V = tree.reached(rows)[tree.before_V]
        for node, p_W in rows.items():
            ends = tree.tokens_behind(node)
            covered_W = self._longer_W.sums(p_W)
            mass_V[ends] *= covered_W[tree.last_V[ends]]
        mass_V[tree.without_V] = 0.0
        longer_V = self._longer_V.sums(rows[ROOT])
        # A token that both vocabularies have counts with the longer ones already.
        longer_V[(tree.before_V == ROOT) & ~tree.without_V] = 0.0
        total_V: F64 = mass_V + longer_V
        return total_V


class _Tree:
    """All proper prefixes of the cloud tokens' paths; a parent comes before its children."""

    def __init__(self, paths: Sequence[tuple[int, ...]]) -> None:
        nodes: dict[tuple[int, ...], int] = {(): ROOT}
        parent, token = [-1], [-1]
        before, last, without = [], [], []
        for path in paths:
            for length in range(1, len(path)):
                if path[:length] not in nodes:
                    nodes[path[:length]] = len(parent)
                    parent.append(nodes[path[: length - 1]])
                    token.append(path[length - 1])
            before.append(nodes[path[:-1]])
            last.append(path[-1] if path else 0)
            without.append(not path)
        if all(without):
            raise ConfigError(
                "models.alignment: no token of the large model can be written in those of the small"
                " one; choose another pair"
            )
        self.parent_M = np.array(parent, dtype=np.int64)
        self.before_V = np.array(before, dtype=np.int64)
        self.last_V = np.array(last, dtype=np.int64)
        self.without_V = np.array(without, dtype=np.bool_)
        self._token_M = np.array(token, dtype=np.int64)
        self._by_node = np.argsort(self.before_V, kind="stable")
        self._first_M1 = np.searchsorted(
            self.before_V[self._by_node], np.arange(len(parent) + 1, dtype=np.int64)
        )
        self._depth_M = np.zeros(len(parent), dtype=np.int64)
        for node in range(1, len(parent)):
            self._depth_M[node] = self._depth_M[parent[node]] + 1
        deepest = int(self._depth_M.max())
        self._levels = [np.flatnonzero(self._depth_M == d) for d in range(1, deepest + 1)]

    def reached(self, rows: Mapping[int, F64]) -> F64:
        """Probability of every prefix, as far as rows tell: its last known part's otherwise."""
        reached_M = np.ones(len(self.parent_M))
        for nodes in self._levels:
            parents = self.parent_M[nodes]
            reached_M[nodes] = reached_M[parents]
            for node in rows:
                children = nodes[parents == node]
                if children.size:
                    reached_M[children] *= rows[node][self._token_M[children]]
        return reached_M

    def tokens_behind(self, node: int) -> Ints:
        """Cloud tokens of which all own tokens but the last are this prefix."""
        return self._by_node[self._first_M1[node] : self._first_M1[node + 1]]

    def path(self, node: int) -> tuple[int, ...]:
        """A prefix's tokens."""
        path: list[int] = []
        while node != ROOT:
            path.append(int(self._token_M[node]))
            node = int(self.parent_M[node])
        return tuple(reversed(path))


class _Covers:
    """For each token of one vocabulary, those of another whose bytes begin with its own."""

    def __init__(self, of: Bytes, among: Bytes, *, strict: bool) -> None:
        ids: dict[bytes, list[int]] = {}
        for token, data in enumerate(of):
            if data:
                ids.setdefault(data, []).append(token)
        covered, covering = [], []
        for token, data in enumerate(among):
            for length in range(1, len(data or b"") + (not strict)):
                for short in ids.get((data or b"")[:length], ()):
                    covered.append(short)
                    covering.append(token)
        self._size = len(of)
        self._covered_N = np.array(covered, dtype=np.int64)
        self._covering_N = np.array(covering, dtype=np.int64)

    def sums(self, p_W: F64) -> F64:
        """Σ of what covers each token."""
        sums = np.bincount(self._covered_N, p_W[self._covering_N], minlength=self._size)
        return sums.astype(np.float64)


def places(tokens: Bytes) -> dict[bytes, int]:
    """Return the lowest id of each byte string."""
    place: dict[bytes, int] = {}
    for token, data in enumerate(tokens):
        if data:
            place.setdefault(data, token)
    return place


def _with_ends(delta_V: F64, tokens: Vocabularies, base_W: F64, pers_W: F64) -> F64:
    """Δ with that of the tokens that end a text; no other special token is steered."""
    special = [token for token, data in enumerate(tokens.cloud) if not data]
    delta_V[special] = 0.0
    if tokens.own_ends:
        ends = list(tokens.own_ends)
        mass = (float(pers_W[ends].sum()), float(base_W[ends].sum()))
        pers, base = np.log(np.maximum(mass, _LEAST))
        delta_V[list(tokens.cloud_ends)] = pers - base
    return delta_V


def longest_match(data: bytes, place: Mapping[bytes, int], longest: int) -> tuple[int, ...]:
    """Write bytes in a vocabulary from left to right, the longest token first.

    For what a tokenizer does not take: bytes that are no text. Empty where a byte has no token.

    Args:
        data: what to write.
        place: the vocabulary's ids (``places``).
        longest: bytes of its longest token.
    """
    written: list[int] = []
    at = 0
    while at < len(data):
        sizes = range(min(longest, len(data) - at), 0, -1)
        size = next((size for size in sizes if data[at : at + size] in place), 0)
        if not size:
            return ()
        written.append(place[data[at : at + size]])
        at += size
    return tuple(written)


def rewritten(before: Sequence[int], after: Sequence[int]) -> int:
    """Return how many tokens of a sequence stay when it becomes another one.

    At least one token of the other is new, unless nothing changes: a model has to read it.
    """
    same = 0
    for one, other in zip(before, after, strict=False):
        if one != other:
            break
        same += 1
    if len(before) == len(after) == same:
        return same
    return min(same, max(len(after) - 1, 0))
