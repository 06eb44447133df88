"""What a host does with logits once it has them, wherever they come from.

The cloud's part (``Selector``) encodes ranks and chooses streamed tokens; the device's part
(``Steerer``) decodes, merges, steers, certifies and chooses. Model hosts and generated hosts share
both, so that a payload, a certificate and a choice mean the same for either.

Noise for sampling is a pure function of (seed, session, position, id): the same token is drawn
whoever draws it, in whatever order, and whatever method is compared.

Legend: V vocabulary, B rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from actors.values.deciding import decide_as
from actors.values.port import ArmSpec
from actors.values.shadow import Shadow
from actors.values.witness import Witness
from costeer.certificate import Choice, decide, leading
from costeer.codec import Codec, CodecConfig, SparseLogits, build_codec, merge, with_outlier
from costeer.errors import CodecError, LocalProtocolError
from costeer.machine import (
    CloudSelect,
    Doubt,
    EdgeDecode,
    EdgeDelta,
    EdgeSteer,
    EncodeItem,
    Selected,
)
from costeer.sampling import Ids, Noise
from costeer.steering import log_softmax
from costeer.tail import assumed_logits
from netsim.random import Stream, gumbel_array

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

_POSITION_STRIDE = 1 << 32
"""Counters per position: more than any vocabulary has ids."""
LEADING = 1_024
"""Of Δ's greatest entries so many are sorted out: more than a first frame holds."""


def sampling_noise(seed: int, session: int, position: int) -> Noise:
    """Return the Gumbel variates of one step, by token id."""

    def noise(ids_K: Ids) -> F64:
        counters_K = position * _POSITION_STRIDE + ids_K.astype(np.int64)
        return gumbel_array(seed, Stream.SAMPLING, session, counters_K)

    return noise


def whole_row(logits_V: F32) -> SparseLogits:
    """Return a row of which everything is known."""
    vocab_size = len(logits_V)
    ids_V = np.arange(vocab_size, dtype=np.int32)
    return SparseLogits(ids_V, logits_V, float("-inf"), 0.0, vocab_size)


class DenseChooser:
    """Chooses from whole rows of logits: nothing is unsent, so every choice is certified."""

    def __init__(self, arm: ArmSpec, vocab_size: int) -> None:
        """Choose as the arm's sampling says, among ``vocab_size`` tokens."""
        self._arm = arm
        self._ids_V: Ids = np.arange(vocab_size, dtype=np.int32)
        self._zeros_V: F64 = np.zeros(vocab_size)

    def choose(self, session: int, position: int, logits_V: F32) -> Choice:
        """Choose the token of one step."""
        whole = SparseLogits(self._ids_V, logits_V, float("-inf"), 0.0, len(self._ids_V))
        return decide(
            whole,
            self._zeros_V,
            0.0,
            self._arm.sampling,
            sampling_noise(self._arm.seed, session, position),
        )


def unsteered(known: SparseLogits, base_V: F32, draft: int, theta: float) -> Choice | None:
    """Return a draft as SpecSteer takes it; None where it does not.

    It does while p_llm(d) > θ · p_base(d). The margin is by how much, in nats; nothing is proved.
    """
    at = int(np.searchsorted(known.ids_K, draft))
    if at == known.ids_K.size or int(known.ids_K[at]) != draft:
        return None
    log_p_llm = float(known.logits_K[at]) - known.logsumexp
    log_p_base = float(log_softmax(base_V.astype(np.float64))[draft])
    margin = log_p_llm - log_p_base - math.log(theta)
    return Choice(draft, certified=False, margin=margin, final=True) if margin > 0 else None


class Selector:
    """The cloud's part: what a ``CloudSelect`` asks for, from the rows that it names."""

    def __init__(self, arm: ArmSpec, vocab_size: int, shadow: Shadow | None = None) -> None:
        """Build the arm's codec for ``vocab_size`` tokens; a shadow is shown every encoded row.

        Raises:
            ConfigError: the codec cannot be built.
        """
        self._arm = arm
        self._codec = build_codec(arm.codec, vocab_size)
        self._chooser = DenseChooser(arm, vocab_size)
        self._shadow = shadow

    @property
    def codec(self) -> Codec:
        """The arm's codec."""
        return self._codec

    def select(self, op: CloudSelect, row_of: Callable[[int, int], F32]) -> Selected:
        """Encode and choose; ``row_of(session, position)`` gives the logits of a position."""
        doubts = self._doubts(op, row_of)
        own = {at for at, each in enumerate(doubts) if each is not None and each.token is not None}
        if own:
            kept = tuple(item for at, item in enumerate(op.encode) if at not in own)
            rest = iter(self.select(replace(op, encode=kept, choose=()), row_of).payloads)
            payloads = [b"" if at in own else next(rest) for at in range(len(op.encode))]
        else:
            payloads = self._encoded(op, row_of)
        tokens = [
            self._chooser.choose(session, position, row_of(session, position)).token
            for session, position in op.choose
        ]
        return Selected(tuple(payloads), tuple(tokens), self.draft_logits(op, row_of), doubts)

    def _doubts(
        self, op: CloudSelect, row_of: Callable[[int, int], F32]
    ) -> tuple[Doubt | None, ...]:
        """Return how sure the rows are, of which that is asked; see ``Selected``."""
        if all(item.unless is None for item in op.encode):
            return ()
        return tuple(
            None if item.unless is None else self._doubt(item, row_of, item.unless)
            for item in op.encode
        )

    def _doubt(self, item: EncodeItem, row_of: Callable[[int, int], F32], unless: float) -> Doubt:
        row_V = row_of(item.session, item.position)
        doubt = 1.0 - 1.0 / float(np.exp(row_V - row_V.max(), dtype=np.float64).sum())
        if doubt >= unless:
            return Doubt(doubt)
        return Doubt(doubt, self._chooser.choose(item.session, item.position, row_V).token)

    def _encoded(self, op: CloudSelect, row_of: Callable[[int, int], F32]) -> list[bytes]:
        payloads: list[bytes] = []
        if op.encode:
            logits_BV = np.stack([row_of(item.session, item.position) for item in op.encode])
            ranges = [
                self._ranks(item.first_rank, item.last_rank, row_V)
                for item, row_V in zip(op.encode, logits_BV, strict=True)
            ]
            payloads = self._codec.encode_batch(logits_BV, ranges)
            if self._shadow is not None:
                for item in op.encode:
                    row_V = row_of(item.session, item.position)
                    self._shadow.show_row(item.session, item.position, row_V)
        return payloads

    def choose(self, session: int, position: int, row_V: F32) -> int:
        """Return the token of a streamed session's row."""
        return self._chooser.choose(session, position, row_V).token

    def draft_logits(
        self, op: CloudSelect, row_of: Callable[[int, int], F32]
    ) -> tuple[float | None, ...]:
        """Logits of the drafts that ``op`` names and its ranks do not hold; see ``Selected``."""
        if all(item.draft is None for item in op.encode):
            return ()
        return tuple(
            None
            if item.draft is None
            else self._draft_logit(row_of(item.session, item.position), item, item.draft)
            for item in op.encode
        )

    def _draft_logit(self, row_V: F32, item: EncodeItem, draft: int) -> float | None:
        # Where the reference is the row before rounding, a lone logit has no bound to its error.
        if isinstance(self._arm.codec, CodecConfig) and self._arm.codec.reference == "exact":
            return None
        _, last = self._ranks(item.first_rank, item.last_rank, row_V)
        rounded_V = self._codec.rounded(row_V)
        logit = rounded_V[draft]
        rank = int((rounded_V > logit).sum() + (rounded_V[:draft] == logit).sum())
        sent = self._codec.first_count(row_V) if last is None else last
        return None if rank < sent else float(logit)

    def _ranks(self, first: int, last: int, row_V: F32) -> tuple[int, int | None]:
        """The ladder's ranks, for a codec that looks at the row to say how many come first."""
        if first == 0 and last == self._codec.first_k:
            return 0, None
        return (self._codec.first_count(row_V) if first == self._codec.first_k else first), last


class Steerer:
    """The device's part: what is known of each session's open rows, and the choices from them."""

    def __init__(self, arm: ArmSpec, vocab_size: int, shadow: Shadow | None = None) -> None:
        """Build the arm's codec for ``vocab_size`` tokens; a shadow checks every choice.

        Raises:
            ConfigError: the codec cannot be built.
        """
        self._arm = arm
        self._shadow = shadow
        self._codec = build_codec(arm.codec, vocab_size)
        self._chooser = DenseChooser(arm, vocab_size)
        self._known: dict[int, dict[int, SparseLogits | CodecError]] = {}
        self._drafts: dict[int, dict[int, tuple[int, float]]] = {}
        self._leading: dict[int, tuple[int, Ids]] = {}
        self.witness = Witness(arm.witnessed)
        """Keeps the steps of the arm's witnessed sessions."""

    def decode(self, op: EdgeDecode) -> None:
        """Decode a payload and merge it with the position's earlier rounds.

        A payload that cannot be decoded is remembered: ``steer`` returns its error.

        Raises:
            LocalProtocolError: a later round without the earlier ones.
        """
        rows = self._known.setdefault(op.session, {})
        drafts = self._drafts.setdefault(op.session, {})
        oldest = op.position if op.oldest is None else op.oldest
        for position in [position for position in rows if position < oldest]:
            del rows[position]
            drafts.pop(position, None)
        if op.oldest is None:
            for position in [position for position in rows if position != op.position]:
                del rows[position]
        earlier = rows.get(op.position)
        if op.round and earlier is None:
            raise LocalProtocolError(
                f"session {op.session}: round {op.round} of position {op.position} without round 0"
            )
        if op.round and isinstance(earlier, CodecError):
            return
        if self._shadow is not None:
            self._shadow.show_payload(op.session, op.position, op.round, len(op.payload))
        try:
            if op.round and isinstance(earlier, SparseLogits):
                rows[op.position] = merge(earlier, self._codec.decode(op.payload, earlier))
            else:
                rows[op.position] = self._codec.decode(op.payload)
                drafts.pop(op.position, None)
        except CodecError as error:
            rows[op.position] = error
        if op.draft is not None:
            drafts[op.position] = op.draft

    def prepare(self, op: EdgeDelta, delta_V: F64 | F32) -> None:
        """Sort out the greatest entries of Δ, if that is asked for."""
        if op.sorted:
            self._leading[op.session] = (op.position, leading(delta_V, LEADING))

    def steer(
        self, op: EdgeSteer, delta_V: F64 | F32, base_V: F32 | None = None
    ) -> Choice | CodecError:
        """Steer what is known with Δ, certify and choose; a payload's error is the value instead.

        Args:
            op: names the position, and a draft where one may be taken unsteered.
            delta_V: Δ there.
            base_V: the small model's logits there without the context, for such a draft.

        Raises:
            LocalProtocolError: nothing was decoded for this position.
        """
        known = self._known.get(op.session, {}).get(op.position)
        if known is None:
            raise LocalProtocolError(
                f"session {op.session}: nothing was decoded for position {op.position}"
            )
        if isinstance(known, CodecError):
            return known
        noise = sampling_noise(self._arm.seed, op.session, op.position)
        if self._shadow is not None:
            self._shadow.check(self._arm, op.session, op.position, known, delta_V, noise)
        draft = self._drafts.get(op.session, {}).get(op.position)
        try:
            candidates = known if draft is None else with_outlier(known, *draft)
        except CodecError as error:
            return error
        if op.take is not None and base_V is not None:
            taken = unsteered(candidates, base_V, *op.take)
            if taken is not None:
                return taken
        # A host that was made anew has sorted nothing: the pass over the vocabulary says the same.
        position, leading_M = self._leading.get(op.session, (-1, None))
        if not op.sparse or position != op.position:
            leading_M = None
        arm = self._arm
        choice = decide_as(arm, candidates, delta_V, noise, leading_M)
        if not choice.certified and self._arm.sampling.tail != "renormalised":
            choice = self._guess(choice, known, delta_V, noise)
        step = (op.session, op.position)
        if self.witness.watches(*step):
            self.witness.see(step, known, delta_V, arm.strength, arm.sampling, noise, choice)
        return replace(choice, final=True) if known.dense else choice

    def _guess(
        self, choice: Choice, known: SparseLogits, delta_V: F64 | F32, noise: Noise
    ) -> Choice:
        """Choose among all tokens, the unsent ones filled in as the arm assumes."""
        sampling = self._arm.sampling
        filled_V = assumed_logits(known, sampling.tail).astype(np.float32)
        ids_V = np.arange(known.vocab_size, dtype=np.int32)
        whole = SparseLogits(ids_V, filled_V, float("-inf"), 0.0, known.vocab_size)
        guess = decide_as(self._arm, whole, delta_V, noise)
        return replace(choice, token=guess.token, margin=guess.margin)

    def choose(self, session: int, position: int, logits_V: F32) -> Choice:
        """Choose from the small model's own row."""
        return self._chooser.choose(session, position, logits_V)

    def forget(self, session: int) -> None:
        """Drop what is known of a session's rows."""
        self._known.pop(session, None)
        self._drafts.pop(session, None)
        self._leading.pop(session, None)
