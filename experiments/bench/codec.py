"""Steering and codecs at a full vocabulary: how long, how many bytes.

Rows are synthetic: a power law over ranks, −g·ln(rank) with g lognormal(ln 2.1, 0.45) clipped to
1.1–6 and a maximum uniform in 18–30, ids in random order, rounded to bf16 as a bf16 head gives
them. Times are medians on one thread of the present machine; bytes are of encoded payloads.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from costeer.certificate import certify_greedy
from costeer.codec import CodecConfig, build_codec
from costeer.codec.values import Bf16
from costeer.steering import PAPER, decision_scores, log_softmax, steer, steer_loop, strength

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from costeer.codec import Codec

VOCAB_SIZE = 151_936
CODECS = (
    "dense-fp32",
    "dense-fp16",
    "dense-fp16-naive-zstd3",
    "dense-fp16-planar-zstd3",
    *(
        f"top{k}-{stages}"
        for k in (64, 256, 1024)
        for stages in (
            "fp32-naive",
            "fp32-naive-zstd3",
            "bf16-naive-zstd3",
            "bf16-planar-zstd3",
            "bf16-packed",
            "bf16-packed-zstd3",
        )
    ),
)


def synthetic_row(rng: np.random.Generator, vocab_size: int) -> npt.NDArray[np.float32]:
    """One row of logits as the module describes, float32 on the bf16 grid."""
    fall = np.clip(rng.lognormal(np.log(2.1), 0.45), 1.1, 6.0)
    ranked_V = rng.uniform(18.0, 30.0) - fall * np.log(np.arange(1, vocab_size + 1))
    return Bf16().round(rng.permutation(ranked_V).astype(np.float32))


def run(repeats: int = 20, vocab_size: int = VOCAB_SIZE, seed: int = 7) -> list[dict[str, Any]]:
    """Rows of `bench`, `case`, `repeats`, `median_s` and, for codecs, mean `payload_bytes`."""
    rng = np.random.default_rng(seed)
    rows_BV = [synthetic_row(rng, vocab_size) for _ in range(min(repeats, 16))]
    delta_V = rng.normal(0.0, 1.0, vocab_size)
    return [*_steering(rows_BV[0], delta_V, repeats), *_codecs(rows_BV, delta_V, repeats)]


def _median_s(repeats: int, call: Callable[[int], object]) -> float:
    call(0)
    times_ns = []
    for i in range(repeats):
        start_ns = time.perf_counter_ns()
        call(i)
        times_ns.append(time.perf_counter_ns() - start_ns)
    return statistics.median(times_ns) * 1e-9


def _steering(
    logits_V: npt.NDArray[np.float32], delta_V: npt.NDArray[np.float64], repeats: int
) -> list[dict[str, Any]]:
    import torch  # noqa: PLC0415 - heavy, and only this measurement needs it

    c = strength(**PAPER)
    log_pi0_V = log_softmax(logits_V.astype(np.float64))
    single_V, single_delta_V = torch.tensor(log_pi0_V).float(), torch.tensor(delta_V).float()
    cases: dict[str, Callable[[int], object]] = {
        "steer scalar numpy fp64": lambda _: steer(log_pi0_V, delta_V, c),
        "steer loop T=20 numpy fp64": lambda _: steer_loop(log_pi0_V, delta_V, **PAPER),
        "steer scalar torch fp32": lambda _: steer(single_V, single_delta_V, c),
        "steer loop T=20 torch fp32": lambda _: steer_loop(single_V, single_delta_V, **PAPER),
        "decision scores fp64 + argmax": lambda _: decision_scores(logits_V, delta_V, c).argmax(),
    }
    return [
        {
            "bench": "steering",
            "case": case,
            "repeats": repeats,
            "median_s": _median_s(repeats, call),
        }
        for case, call in cases.items()
    ]


def _codecs(
    rows_BV: list[npt.NDArray[np.float32]], delta_V: npt.NDArray[np.float64], repeats: int
) -> list[dict[str, Any]]:
    return [
        row
        for name in CODECS
        for row in _codec(
            build_codec(CodecConfig.model_validate(name), delta_V.size), rows_BV, delta_V, repeats
        )
    ]


def _codec(
    codec: Codec,
    rows_BV: list[npt.NDArray[np.float32]],
    delta_V: npt.NDArray[np.float64],
    repeats: int,
) -> Iterator[dict[str, Any]]:
    c, batch = strength(**PAPER), len(rows_BV)
    payloads = [codec.encode(row_V) for row_V in rows_BV]
    known = [codec.decode(payload) for payload in payloads]

    def certify(i: int) -> None:
        sent = known[i % batch]
        certify_greedy(sent.ids_K, sent.logits_K, sent.floor, delta_V, c)

    calls: dict[str, Callable[[int], object]] = {
        "encode": lambda i: codec.encode(rows_BV[i % batch]),
        "decode": lambda i: codec.decode(payloads[i % batch]),
        "certify": certify,
    }
    for stage, call in calls.items():
        yield {
            "bench": f"codec {stage}",
            "case": codec.name,
            "repeats": repeats,
            "median_s": _median_s(repeats, call),
            "payload_bytes": statistics.fmean(map(len, payloads)),
        }
