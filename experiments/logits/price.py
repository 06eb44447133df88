"""What an exact token costs on recorded rows: every step encoded, steered, certified, refined.

Payload bytes and one frame's header and checksum per round; no link, no time. Greedy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from actors.values.steering_host import sampling_noise
from costeer.certificate import decide
from costeer.codec import Codec, CodecConfig, SparseLogits, build_codec, merge
from costeer.messages import Frame, FrameKind, encode_frame
from costeer.refinement import Ladder, RefineConfig
from costeer.sampling import Sampling
from experiments.logits.statistics import F32, Steps

CODECS = (
    "dense-fp16",
    "dense-fp16-naive-zstd",
    "top64-bf16-naive-zstd",
    "top64-bf16-packed",
    "top16-bf16-packed",
)
_REFINE = RefineConfig()


@dataclass(frozen=True, slots=True)
class Price:
    """What one codec costs.

    Args:
        codec: its name.
        frame_bytes: mean over tokens, refinement and dense fallbacks included.
        first_certified_share: tokens that the first frame proves, 0 to 1.
        rounds: mean MORE requests.
    """

    codec: str
    frame_bytes: float
    first_certified_share: float
    rounds: float


def prices(
    rows: Steps, steps: Sequence[tuple[int, int]], vocab_size: int, strength: float
) -> list[Price]:
    """Return the price of an exact token under each of ``CODECS``; ValueError for no steps."""
    if not steps:
        raise ValueError("no steps to price: name at least one")
    codecs = [build_codec(CodecConfig.model_validate(name), vocab_size) for name in CODECS]
    spent = np.array(
        [
            [_spend(codec, rows.logits(*step), rows.delta(*step), strength) for codec in codecs]
            for step in steps
        ],
        dtype=np.float64,
    )
    return [
        Price(codec.name, *(float(mean) for mean in spent[:, index].mean(axis=0)))
        for index, codec in enumerate(codecs)
    ]


def _spend(codec: Codec, row_V: F32, delta_V: F32, strength: float) -> tuple[int, bool, int]:
    """Frame bytes, whether the first frame was enough, and rounds, of one exact token."""
    ladder = Ladder(codec.first_k, codec.vocab_size, _REFINE)
    known: SparseLogits | None = None
    spent_bytes = round_ = 0
    while True:
        first, last = ladder.ranks(round_)
        payload = codec.encode(row_V, first, last)
        spent_bytes += len(encode_frame(Frame(FrameKind.LOGITS, 0, 0, 0, round_, payload)))
        more = codec.decode(payload, known)
        known = more if known is None else merge(known, more)
        choice = decide(known, delta_V, strength, Sampling(), sampling_noise(0, 0, 0))
        if choice.certified or known.dense or not ladder.has(round_ + 1):
            return spent_bytes, round_ == 0, round_
        round_ += 1
