"""What a device knows of a row after decoding: some ids, their logits, a bound on the rest.

Rules
-----
1. `ids_K` are strictly ascending, `logits_K` finite, both read-only.
2. The ranked part of the support is an upper set under (logit descending, id ascending): no unsent
   token has a logit above `floor`, and one that equals it has a higher id than every ranked token
   with that logit.
3. Ranks and bounds refer to the row as the codec's values round it (`Codec.rounded`): those are
   "the" logits on both sides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from costeer.errors import CodecError

F32: TypeAlias = npt.NDArray[np.float32]
F64: TypeAlias = npt.NDArray[np.float64]
Ids: TypeAlias = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class SparseLogits:
    """Known logits of a row: K of V tokens, their floor, the row's logsumexp (nats).

    `floor` bounds every unsent logit from above. `logsumexp` is the full row's, so that
    exp(logit − logsumexp) is the true probability and 1 − Σ the unsent mass. With `errors_K` the
    reference is the row before rounding: each logit is known to ± its error, and no unsent one
    exceeds floor + `floor_error`.
    """

    ids_K: Ids
    logits_K: F32
    floor: float
    logsumexp: float
    vocab_size: int
    errors_K: F64 | None = None
    floor_error: float = 0.0

    @property
    def dense(self) -> bool:
        """Whether every token of the vocabulary is known."""
        return self.ids_K.size == self.vocab_size

    @property
    def unsent_mass(self) -> float:
        """Probability of the tokens that were not sent, at least 0."""
        sent = np.exp(self.logits_K.astype(np.float64) - self.logsumexp).sum()
        return 0.0 if self.dense else max(0.0, 1.0 - float(sent))


def checked(ids_K: Ids, logits_K: F32, logsumexp: float, vocab_size: int) -> SparseLogits:
    """SparseLogits from what a peer sent, all of it ranked. Raises CodecError."""
    if not 0 < ids_K.size <= vocab_size or ids_K.shape != logits_K.shape:
        raise CodecError(f"payload holds {ids_K.size} tokens of a vocabulary of {vocab_size}")
    from costeer.codec import kernels  # noqa: PLC0415 - numba takes half a second to import

    ascending, negative_zero, low, high = kernels.survey(ids_K, logits_K)
    if not ascending or int(ids_K[0]) < 0 or int(ids_K[-1]) >= vocab_size:
        raise CodecError(f"payload ids are not ascending within a vocabulary of {vocab_size}")
    if not (math.isfinite(low) and math.isfinite(high) and math.isfinite(logsumexp)):
        raise CodecError("payload holds a logit or logsumexp that is not finite")
    if negative_zero:
        raise CodecError("payload holds a negative zero, which no encoder writes")
    if logsumexp < high:
        raise CodecError(f"payload logsumexp {logsumexp} is below its largest logit {high}")
    ids_K.flags.writeable = False
    logits_K.flags.writeable = False
    return SparseLogits(ids_K, logits_K, low, logsumexp, vocab_size)


def merge(known: SparseLogits, more: SparseLogits) -> SparseLogits:
    """What is known after a refinement round: `more` holds the ranks that follow those of `known`.

    A dense `more` replaces `known`. Raises CodecError if the two cannot come from one row.
    """
    if known.vocab_size != more.vocab_size or known.logsumexp != more.logsumexp:
        raise CodecError("refinement is of another row: vocabulary or logsumexp differ")
    if more.dense:
        if not np.array_equal(more.logits_K[known.ids_K], known.logits_K):
            raise CodecError("refinement contradicts logits that were already sent")
        return more
    ids_M = np.concatenate((known.ids_K, more.ids_K))
    order = np.argsort(ids_M, kind="stable")
    ids_M = ids_M[order]
    if np.any(ids_M[1:] == ids_M[:-1]):
        raise CodecError("refinement repeats ids that were already sent")
    if float(more.logits_K.max()) > known.floor:
        raise CodecError("refinement holds a logit above those that were already sent")
    at_floor = known.ids_K[known.logits_K == known.floor]
    tied = more.ids_K[more.logits_K == known.floor]
    if at_floor.size and tied.size and tied[0] < at_floor[-1]:
        raise CodecError("refinement breaks the tie rule: lowest id first")
    logits_M = np.concatenate((known.logits_K, more.logits_K))[order]
    ids_M.flags.writeable = False
    logits_M.flags.writeable = False
    errors_M = None
    if known.errors_K is not None and more.errors_K is not None:
        errors_M = np.concatenate((known.errors_K, more.errors_K))[order]
        errors_M.flags.writeable = False
    return SparseLogits(
        ids_M,
        logits_M,
        more.floor,
        known.logsumexp,
        known.vocab_size,
        errors_M,
        more.floor_error,
    )


def within(sent: SparseLogits, errors_K: F64, floor_error: float) -> SparseLogits:
    """The same, each logit known to ± its error."""
    errors_K.flags.writeable = False
    return replace(sent, errors_K=errors_K, floor_error=floor_error)


def with_outlier(known: SparseLogits, token: int, logit: float) -> SparseLogits:
    """The same and one more token, which was sent out of rank: it does not move the floor.

    Raises CodecError if its logit cannot be that of a token without a rank.
    """
    if not 0 <= token < known.vocab_size or known.errors_K is not None:
        raise CodecError(f"token {token} cannot be sent out of rank")
    at = int(np.searchsorted(known.ids_K, token))
    if at < known.ids_K.size and int(known.ids_K[at]) == token:
        return known
    if not logit <= known.floor:
        raise CodecError(f"logit {logit} of token {token} is above those that have a rank")
    ids_K = np.insert(known.ids_K, at, token)
    logits_K = np.insert(known.logits_K, at, np.float32(logit))
    ids_K.flags.writeable = False
    logits_K.flags.writeable = False
    return replace(known, ids_K=ids_K, logits_K=logits_K)


def unsent_indices(ids_K: Ids, sent_ids_S: Ids) -> Ids:
    """Indices of unsent ids among all unsent ones; both ascending and disjoint."""
    return (ids_K - np.searchsorted(sent_ids_S, ids_K)).astype(np.int32)


def unsent_ids(indices_K: Ids, known: SparseLogits) -> Ids:
    """Ids of indices among the unsent: the inverse of `unsent_indices`. Raises CodecError."""
    sent = known.ids_K.size
    if indices_K.size and int(indices_K.max()) >= known.vocab_size - sent:
        raise CodecError(f"refinement names more than {known.vocab_size - sent} unsent tokens")
    # How many unsent tokens precede each sent one; non-decreasing.
    before_S = known.ids_K - np.arange(sent, dtype=np.int32)
    return (indices_K + np.searchsorted(before_S, indices_K, side="right")).astype(np.int32)
