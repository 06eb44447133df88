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

*Choices.* Where the small model itself proposes or chooses a cloud token (drafts, an answer that it
finishes alone), the question is not whether its text goes on with a's bytes, as it does for every
prefix of a word, but whether a is what the large model's tokenizer would cut from it. Taken as the
longest token that fits:

      q(a) = k(a) − Σ k(b), over the cloud tokens b that continue a, with none between,

  where k is m with what was not looked at counted as 0: a word whose rest is not known is cut
  where knowledge ends. By intersection q is p itself, of what both have.

Limits. Only a token's own tokenisation counts, not every way to cut its bytes; a byte-exact
measure (arXiv 2410.09303, 2506.14123) sums over those too. The text so far is cut as the small
model's tokenizer cuts it, so where a cloud token begins inside one of the small model's words, the
continuation is one that its training has rarely seen, and Δ there is mostly noise.

Legend: V the cloud's vocabulary, W the small model's own, N pairs, M prefixes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from costeer.errors import ConfigError
from costeer.steering import log_softmax
from costeer.vocabularies import REPEATED, Bytes, Ints, Vocabularies, stems

F64: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = Mapping[int, F64]
"""One branch's rows by prefix."""

ROOT = 0
"""The prefix of no token: the text so far."""

_LEAST = np.finfo(np.float64).tiny


class Intersection:
    """Δ of the tokens that both vocabularies have; 0 for the cloud's others. Choices among them."""

    def __init__(self, tokens: Vocabularies) -> None:
        """Find the shared tokens.

        Raises:
            ConfigError: there are none.
        """
        self._tokens = tokens
        self._specials = tokens.specials()
        self._cloud_N, self._own_N = tokens.shared()

    def delta(self, base_W: F64, pers_W: F64) -> F64:
        """Return Δ over the cloud's vocabulary from the small model's two rows of logits."""
        base_W, pers_W = log_softmax(base_W), log_softmax(pers_W)
        delta_V = np.zeros(len(self._tokens.cloud))
        delta_V[self._cloud_N] = pers_W[self._own_N] - base_W[self._own_N]
        delta_V[self._specials] = 0.0
        return _with_ends(delta_V, self._tokens, np.exp(base_W), np.exp(pers_W))

    def choices(self, own_W: F64) -> F64:
        """Return log q over the cloud's vocabulary from one row of the small model's logits."""
        p_W = np.exp(log_softmax(own_W))
        q_V = np.zeros(len(self._tokens.cloud))
        q_V[self._cloud_N] = p_W[self._own_N]
        q_V[self._specials] = 0.0
        return _scores(q_V, self._tokens, p_W)


class ByBytes:
    """Δ and choices of every token of the cloud, by the bytes that it stands for.

    ``rows`` are the small model's logits behind each expanded prefix; ``ROOT`` is one of them, and
    no prefix is without the one before it.
    """

    def __init__(self, tokens: Vocabularies, paths: Sequence[tuple[int, ...]]) -> None:
        """Prepare the sums.

        Args:
            tokens: the pair's.
            paths: each cloud token in the small model's own ids; empty where it has none.

        Raises:
            ConfigError: no cloud token can be written in the small model's.
        """
        self._tokens = tokens
        self._specials = tokens.specials()
        self._tree = _Tree(paths)
        self._longer_V = _Covers(tokens.cloud, tokens.own, strict=True)
        self._longer_W = _Covers(tokens.own, tokens.own, strict=False)
        self._stem_V = stems(tokens.cloud)

    def delta(self, base: Rows, pers: Rows) -> F64:
        """Return Δ over the cloud's vocabulary.

        Args:
            base: rows without the context.
            pers: rows with it, behind the same prefixes.
        """
        delta_V = self.log_mass(pers) - self.log_mass(base)
        delta_V[self._specials] = 0.0
        ends = (np.exp(log_softmax(rows[ROOT])) for rows in (base, pers))
        return _with_ends(delta_V, self._tokens, *ends)

    def log_mass(self, rows: Rows) -> F64:
        """Return log m over the cloud's vocabulary; of special tokens the least there is."""
        mass_V = np.maximum(self._mass(_probabilities(rows)), _LEAST)
        log_mass_V: F64 = np.log(mass_V)
        return log_mass_V

    def choices(self, rows: Rows) -> F64:
        """Return log q over the cloud's vocabulary."""
        p = _probabilities(rows)
        known_V = self._mass(p, known=True)
        continues_V = self._stem_V >= 0
        taken_V = np.bincount(
            self._stem_V[continues_V], known_V[continues_V], minlength=len(known_V)
        )
        # Of two tokens with the same bytes a tokenizer writes one: the lower id counts.
        q_V = np.where(self._stem_V == REPEATED, 0.0, np.maximum(known_V - taken_V, 0.0))
        q_V[self._specials] = 0.0
        return _scores(q_V, self._tokens, p[ROOT])

    def frontier(self, branches: Sequence[Rows], count: int, least: float) -> list[int]:
        """Return the prefixes that are worth a look ahead: the likeliest that is not expanded yet.

        Args:
            branches: rows behind the same prefixes, of each branch.
            count: at most so many.
            least: probability, in every branch, below which it is not worth it.
        """
        expanded = list(branches[0])
        reached = [self._tree.reached(_probabilities(rows)) for rows in branches]
        open_M = np.isin(self._tree.parent_M, expanded)
        open_M[expanded] = False
        worth_M = np.where(open_M, np.max(reached, axis=0), 0.0)
        order = np.argsort(-worth_M, kind="stable")[:count]
        return [int(node) for node in order if open_M[node] and worth_M[node] >= least]

    def path(self, node: int) -> tuple[int, ...]:
        """Return a prefix in the small model's ids."""
        return self._tree.path(node)

    def _mass(self, rows: Rows, *, known: bool = False) -> F64:
        """m(a) of every cloud token, or k(a), from probabilities."""
        tree = self._tree
        mass_V = tree.reached(rows)[tree.before_V]
        if known:
            mass_V[~np.isin(tree.before_V, list(rows))] = 0.0
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


def _probabilities(rows: Rows) -> dict[int, F64]:
    return {node: np.exp(log_softmax(row)) for node, row in rows.items()}


def _scores(q_V: F64, tokens: Vocabularies, p_W: F64) -> F64:
    """Log q, with all own ends at the first of the cloud's."""
    if tokens.own_ends and tokens.cloud_ends:
        q_V[min(tokens.cloud_ends)] = p_W[list(tokens.own_ends)].sum()
    scores_V: F64 = np.log(np.maximum(q_V, _LEAST))
    return scores_V


def _with_ends(delta_V: F64, tokens: Vocabularies, base_W: F64, pers_W: F64) -> F64:
    """Δ with that of the tokens that end a text."""
    if tokens.own_ends:
        ends = list(tokens.own_ends)
        mass = (float(pers_W[ends].sum()), float(base_W[ends].sum()))
        pers, base = np.log(np.maximum(mass, _LEAST))
        delta_V[list(tokens.cloud_ends)] = pers - base
    return delta_V
