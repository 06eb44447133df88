"""The small model in its own tokens, in a session whose text is in the large model's.

Rules
-----
* A session's text so far is bytes. Each chosen token adds its own; the whole is then written again
  in the small model's tokens, and its sequences keep what stays the same: the cache is cut to it
  and reads the rest. The prompt, in the small model's ids from the start, is never cut.
* The logits of a session's last forward stand for its text until the text changes.
* A forward that starts earlier takes chosen tokens back: drafts that were refuted. Each branch has
  its own text: the public one stands still where an answer is finished alone.
* Looking ahead reads likely prefixes in copies of a session's sequences, which are then given back;
  the sequences themselves hold what was chosen or drafted, and nothing else.

Legend: V the cloud's vocabulary, W the small model's own, B branches, N prefixes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from actors.models.forward import HostedModel
from actors.models.token_bytes import TokenBytes
from actors.models.tokenizer import eos_ids
from costeer.alignment import ROOT, ByBytes, Intersection
from costeer.errors import LocalProtocolError
from costeer.machine import EdgeForward
from costeer.vocabularies import Vocabularies, rewritten

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Looked: TypeAlias = dict[int, F64]
"""One branch's rows by prefix (``costeer.alignment``): behind its text, and looked ahead at."""


@dataclass(frozen=True, slots=True)
class AlignmentSpec:
    """How two vocabularies are brought together.

    Args:
        by_bytes: whether by bytes; else by the tokens that both have.
        cloud_path: folder or hub name of the large model's tokenizer.
        cloud_size: ids of the large model's vocabulary.
        cloud_ends: those that end a text.
        depth: how many own tokens the device looks ahead; 0 for none.
        width: prefixes read at each depth.
        least: probability of a prefix below which it is not worth a look.
    """

    by_bytes: bool
    cloud_path: str
    cloud_size: int
    cloud_ends: tuple[int, ...]
    depth: int = 0
    width: int = 0
    least: float = 0.0


@dataclass(slots=True)
class _Branch:
    """One sequence of a session: its prompt, and the text behind it in both vocabularies.

    Args:
        prompt: tokens of the prompt, in the model's own ids.
        last: the last of them.
        chosen: tokens behind it, in the cloud's ids.
        own: the same text in the model's own.
    """

    prompt: int
    last: int
    chosen: list[int] = field(default_factory=list)
    own: tuple[int, ...] = ()


class Aligner:
    """Both vocabularies of a pair, and every session's text in the small model's."""

    def __init__(self, spec: AlignmentSpec, edge_path: str, edge_size: int) -> None:
        """Load both tokenizers.

        Args:
            spec: how to bring them together.
            edge_path: folder or hub name of the small model.
            edge_size: ids of its vocabulary.

        Raises:
            ConfigError: a tokenizer is missing, its tokens' bytes are not known, or the two have
                nothing in common.
        """
        self._spec = spec
        self._edge = TokenBytes(edge_path, edge_size)
        self._cloud = TokenBytes(spec.cloud_path, spec.cloud_size).tokens
        tokens = Vocabularies(self._cloud, self._edge.tokens, spec.cloud_ends, eos_ids(edge_path))
        self._by_bytes: ByBytes | None = None
        self._intersection: Intersection | None = None
        if spec.by_bytes:
            self._by_bytes = ByBytes(tokens, self._edge.all_written(self._cloud))
        else:
            self._intersection = Intersection(tokens)
        self._texts: dict[int, list[_Branch]] = {}

    @property
    def vocab_size(self) -> int:
        """V."""
        return self._spec.cloud_size

    def forget(self, session: int) -> None:
        """Drop a session's text."""
        self._texts.pop(session, None)

    def forget_all(self) -> None:
        """Drop all texts."""
        self._texts.clear()

    def own_forward(self, op: EdgeForward) -> EdgeForward:
        """Return a forward in the small model's ids, of no tokens where a sequence stays as it is.

        Raises:
            LocalProtocolError: the session has had no prompt.
        """
        if op.prompts:
            self._texts[op.session] = [
                _Branch(length, run[length - 1] if run else 0)
                for run, length in zip(op.tokens, op.prompts, strict=True)
            ]
        branches = self._texts.get(op.session)
        if branches is None:
            raise LocalProtocolError(f"session {op.session}: chosen tokens before a prompt")
        runs, starts = [], []
        for branch, run, start in zip(branches, op.tokens, op.starts, strict=True):
            own_run, own_start = self._rewrite(branch, run, start, opens=bool(op.prompts))
            runs.append(own_run)
            starts.append(own_start)
        return EdgeForward(op.session, tuple(runs), tuple(starts), op.span)

    def _rewrite(
        self, branch: _Branch, run: tuple[int, ...], start: int, *, opens: bool
    ) -> tuple[tuple[int, ...], int]:
        """Bring one sequence's text to where a run leaves it; return what to read, and where."""
        if not run:
            return (), start
        chosen = run[branch.prompt :] if opens else run
        if not opens:
            del branch.chosen[start - branch.prompt :]
        branch.chosen.extend(chosen)
        data = b"".join(self._cloud[token] or b"" for token in branch.chosen)
        before, branch.own = branch.own, self._edge.written(data)
        if opens:
            return run[: branch.prompt] + branch.own, 0
        kept = rewritten(before, branch.own)
        new = branch.own[kept:]
        if before and not branch.own:
            # Nothing is left of the text: the logits wanted are those of the prompt.
            return (branch.last,), branch.prompt - 1
        return new, branch.prompt + kept

    def look(self, model: HostedModel, slots: Sequence[int], rows: Sequence[F32]) -> list[Looked]:
        """Return the rows of some of a session's branches, and those of a look ahead as asked.

        Args:
            model: the small one.
            slots: of the branches' sequences.
            rows: their newest logits.
        """
        branches: list[Looked] = [{ROOT: row_W.astype(np.float64)} for row_W in rows]
        if self._by_bytes is None:
            return branches
        for _ in range(self._spec.depth):
            nodes = self._by_bytes.frontier(branches, self._spec.width, self._spec.least)
            if not nodes:
                break
            ahead = _ahead(model, slots, [self._by_bytes.path(node) for node in nodes])
            for branch, found_NW in zip(branches, ahead, strict=True):
                branch.update(zip(nodes, found_NW, strict=True))
        return branches

    def delta(self, base: Looked, pers: Looked) -> F64:
        """Return Δ over the cloud's vocabulary from a session's rows without and with context."""
        if self._by_bytes is not None:
            return self._by_bytes.delta(base, pers)
        return self._shared.delta(base[ROOT], pers[ROOT])

    def choices(self, rows: Looked) -> F64:
        """Return the logits of the small model's own choice, over the cloud's vocabulary."""
        if self._by_bytes is not None:
            return self._by_bytes.choices(rows)
        return self._shared.choices(rows[ROOT])

    def against(self, rows: Looked) -> F64:
        """Return −log of the small model's probability of every cloud token's bytes.

        Raises:
            LocalProtocolError: the vocabularies are not aligned by bytes: of what they do not share
                the small model says nothing.
        """
        if self._by_bytes is None:
            raise LocalProtocolError("a contrast is with every token: align the pair by bytes")
        against_V: F64 = -self._by_bytes.log_mass(rows)
        return against_V

    @property
    def _shared(self) -> Intersection:
        if self._intersection is None:
            raise LocalProtocolError("aligner: no alignment was made")
        return self._intersection


def _ahead(
    model: HostedModel, slots: Sequence[int], paths: Sequence[tuple[int, ...]]
) -> npt.NDArray[np.float64]:
    """Logits_BNW behind some prefixes, in copies of a session's sequences."""
    cache = model.cache
    copies = [cache.fork(slot) for slot in slots for _ in paths]
    starts = [cache.length(slot) for slot in slots for _ in paths]
    logits = model.forward(copies, starts, [path for _ in slots for path in paths])
    for copy in copies:
        cache.free(copy)
    return logits.astype(np.float64).reshape(len(slots), len(paths), -1)
