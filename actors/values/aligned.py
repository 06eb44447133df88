"""The small model in its own tokens, in a session whose text is in the large model's.

Rules
-----
* A session's text so far is bytes. Each chosen token adds its own; the whole is then written again
  in the small model's tokens, and its sequences keep what stays the same: the cache is cut to it
  and reads the rest. The prompt, in the small model's ids from the start, is never cut.
* The logits of a session's last forward stand for its text until the text changes.
* Looking ahead reads likely prefixes in copies of a session's sequences, which are then given back;
  the sequences themselves never hold what was not chosen.

Legend: V the cloud's vocabulary, W the small model's own, B rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from actors.models.forward import HostedModel
from actors.models.token_bytes import TokenBytes
from actors.models.tokenizer import eos_ids
from costeer.alignment import ROOT, ByBytes, Intersection, Vocabularies, rewritten
from costeer.errors import LocalProtocolError
from costeer.machine import EdgeForward

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


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
class _Text:
    """A session's text: its prompts' lengths, its bytes, and its tokens in the model's own ids."""

    prompts: tuple[int, ...]
    data: bytearray = field(default_factory=bytearray)
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
        self._texts: dict[int, _Text] = {}

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

    def own_forward(self, op: EdgeForward) -> EdgeForward | None:
        """Return a forward in the small model's ids; None where its sequences stay as they are.

        Raises:
            LocalProtocolError: the session has had no prompt.
        """
        if op.prompts:
            self._texts[op.session] = _Text(op.prompts)
        text = self._texts.get(op.session)
        if text is None:
            raise LocalProtocolError(f"session {op.session}: chosen tokens before a prompt")
        skipped = op.prompts or (0,) * len(op.tokens)
        for token in op.tokens[0][skipped[0] :]:
            text.data += self._cloud[token] or b""
        before, text.own = text.own, self._edge.written(bytes(text.data))
        kept = rewritten(before, text.own)
        new = text.own[kept:]
        if op.prompts:
            runs = tuple(
                run[:length] + text.own for run, length in zip(op.tokens, op.prompts, strict=True)
            )
            return EdgeForward(op.session, runs, (0,) * len(runs))
        if not new:
            return None
        starts = tuple(length + kept for length in text.prompts)
        return EdgeForward(op.session, (new,) * len(starts), starts)

    def delta(self, model: HostedModel, slots: list[int], base_W: F32, pers_W: F32) -> F64:
        """Return Δ over the cloud's vocabulary from a session's rows, looking ahead as asked.

        Args:
            model: the small one.
            slots: of the session's two sequences.
            base_W: logits without the context.
            pers_W: logits with it.
        """
        root = (base_W.astype(np.float64), pers_W.astype(np.float64))
        if self._intersection is not None:
            return self._intersection.delta(*root)
        by_bytes = self._by_bytes
        if by_bytes is None:
            raise LocalProtocolError("aligner: no alignment was made")
        rows = {ROOT: root}
        for _ in range(self._spec.depth):
            nodes = by_bytes.frontier(rows, self._spec.width, self._spec.least)
            if not nodes:
                break
            rows |= _ahead(model, slots, by_bytes, nodes)
        return by_bytes.delta(rows)


def _ahead(
    model: HostedModel, slots: list[int], by_bytes: ByBytes, nodes: list[int]
) -> dict[int, tuple[F64, F64]]:
    """Logits behind some prefixes, in copies of a session's two sequences."""
    runs = [by_bytes.path(node) for node in nodes]
    cache = model.cache
    copies = [cache.fork(slot) for _ in runs for slot in slots]
    starts = [cache.length(slot) for _ in runs for slot in slots]
    logits_BW = model.forward(copies, starts, [run for run in runs for _ in slots])
    for copy in copies:
        cache.free(copy)
    pairs = logits_BW.astype(np.float64).reshape(len(nodes), len(slots), -1)
    return {node: (pair[0], pair[1]) for node, pair in zip(nodes, pairs, strict=True)}
