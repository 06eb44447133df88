"""A recorded run's payloads under another codec, where their bytes follow from what was recorded.

Theory of operation: a certified token is that of the whole row as its codec rounds it (law 3). So
two codecs that round alike choose the same tokens wherever both are certain, and only the bytes
that say so differ. How many these are follows from the recorded run in two cases:

* Dense without an entropy stage: one payload, no MORE, a word for every token of the vocabulary.
* The same ranks and the same words in another order of bytes (layout ``naive`` or ``planar``, no
  entropy stage): as many rounds as were recorded, and a round weighs the same whatever it says.

Everything else (other ranks, packed ids, zstd) depends on logits, which no run keeps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from actors.values.profile_file import ProfiledSession
from costeer.codec.config import (
    CodecConfig,
    DenseConfig,
    NoEntropyConfig,
    TopKConfig,
)
from costeer.codec.core import build_codec
from costeer.errors import ConfigError
from costeer.refinement import Ladder, RefineConfig
from experiments.scenario import ArmConfig

_PLAIN_LAYOUTS = {"naive", "planar"}


@dataclass(frozen=True, slots=True)
class Recoding:
    """What payloads of an arm weigh under another codec.

    Args:
        arm: the arm with it.
        round_bytes: size of each round's payload.
        dense: whether the first sends all, so that there is no other and every choice is certain.
    """

    arm: ArmConfig
    round_bytes: tuple[int, ...]
    dense: bool

    def session(self, recorded: ProfiledSession) -> ProfiledSession:
        """Return a session as this codec would have brought it."""
        tokens = len(recorded.tokens)
        if self.dense:
            return replace(
                recorded,
                rounds=[0] * tokens,
                payload_bytes=[self.round_bytes[0]] * tokens,
                certified=[True] * tokens,
            )
        sizes = [size for last in recorded.rounds for size in self.round_bytes[: last + 1]]
        return replace(recorded, payload_bytes=sizes)


def recoding(recorded: ArmConfig, asked: ArmConfig, vocab_size: int, *, unproved: int) -> Recoding:
    """Return what an arm's payloads weigh under another codec.

    Args:
        recorded: the arm that was run.
        asked: the same with another codec.
        vocab_size: V.
        unproved: its recorded tokens that were chosen without a certificate.

    Raises:
        ConfigError: its tokens may be others, or its bytes are not known: why.
    """
    was, now = recorded.codec, asked.codec
    if not isinstance(was, CodecConfig) or not isinstance(now, CodecConfig):
        raise ConfigError("what a codec of one's own sends is not known here")
    if recorded.speculation is not None or recorded.gate is not None:
        raise ConfigError("drafts and gates look at what was sent, and would decide otherwise")
    if _same_ranks(was, now):
        refine = asked.refine or RefineConfig()
        return Recoding(asked, _round_bytes(now, refine, vocab_size), dense=False)
    if _rounding(was) != _rounding(now):
        raise ConfigError(
            f"{_named(now, vocab_size)} rounds logits otherwise than {_named(was, vocab_size)} and"
            " may choose other tokens"
        )
    if not isinstance(now.select, DenseConfig) or not isinstance(now.entropy, NoEntropyConfig):
        raise ConfigError(
            f"the tokens would stay, but how many bytes and rounds {_named(now, vocab_size)} takes"
            " depends on logits, which are not recorded (known are dense codecs without an entropy"
            " stage, and the recorded ranks in layout naive or planar)"
        )
    if now.reference != "rounded" and now.values != "fp32":
        raise ConfigError(f"{_named(now, vocab_size)} leaves choices unproved that differ by row")
    if unproved:
        raise ConfigError(
            f"{unproved:,} recorded tokens were chosen without a proof, and the whole row may"
            " choose others"
        )
    size = len(build_codec(now, vocab_size).encode(np.zeros(vocab_size, np.float32)))
    return Recoding(asked, (size,), dense=True)


def _same_ranks(was: CodecConfig, now: CodecConfig) -> bool:
    """Whether one only orders the bytes of the other's ranks, so that rounds weigh as they do."""
    return (
        isinstance(now.select, TopKConfig)
        and (was.select, was.values, was.reference) == (now.select, now.values, now.reference)
        and now.layout in _PLAIN_LAYOUTS
        and isinstance(now.entropy, NoEntropyConfig)
    )


def _round_bytes(codec: CodecConfig, refine: RefineConfig, vocab_size: int) -> tuple[int, ...]:
    """Size of each round's payload, of any row: its length does not depend on it."""
    made = build_codec(codec, vocab_size)
    ladder = Ladder(made.first_k, vocab_size, refine)
    row_V = np.zeros(vocab_size, np.float32)
    rounds = [0, *(each for each in range(1, refine.max_rounds + 1) if ladder.has(each))]
    return tuple(len(made.encode(row_V, *ladder.ranks(each))) for each in rounds)


def _rounding(codec: CodecConfig) -> Any:  # noqa: ANN401 - compared, nothing else
    """What a certified token is that of: the row itself, or the row in a number format."""
    return "fp32" if codec.reference == "exact" else codec.values


def _named(codec: CodecConfig, vocab_size: int) -> str:
    return build_codec(codec, vocab_size).name
