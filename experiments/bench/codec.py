"""Steering and codecs at a full vocabulary: how long, how many bytes, how many there could be.

Rows are those of the generated values at their default shape and seed 7 (`actors.values.generated`:
V = 151,936, on the bf16 grid), 64 for sizes and 16 of them for times. Codec times are medians of
CPU time of one thread; steering, which torch may spread over threads, of wall time. Beside the
payload stand the frame (header and checksum included), the ids' share of it with its bound,
log2 C(V, k), and what an ideal adaptive entropy coder would make of the same numbers
(`costeer.codec.bound`). `python -m experiments.bench.codec` prints codecs alone.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.values.generated import GeneratedConfig, RowSource
from costeer.certificate import certify_greedy
from costeer.codec import CodecConfig, build_codec, kernels
from costeer.codec.bound import adaptive_bits, gaps, ids_bits, steps
from costeer.codec.config import ZstdConfig
from costeer.codec.entropy import train_dictionary
from costeer.codec.values import Bf16
from costeer.messages import Frame, FrameKind, encode_frame
from costeer.steering import PAPER, decision_scores, log_softmax, steer, steer_loop, strength

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from costeer.codec import Codec, SparseLogits

SEED = 7
SIZE_ROWS, TIME_ROWS = 64, 16
CODECS = (
    "dense-fp32",
    "dense-fp16",
    "dense-fp16-naive-zstd3",
    "dense-fp16-planar-zstd3",
    "dense-int8-planar-zstd3",
    *(
        f"top{k}-{stages}"
        for k in (64, 256, 1024)
        for stages in (
            "bf16-naive",
            "bf16-naive-zstd3",
            "bf16-planar-zstd3",
            "bf16-packed",
            "bf16-packed-zstd3",
            "step0.25-packed",
            "int8-packed",
        )
    ),
    "topp0.95-bf16-packed",
    "floor0.001-bf16-packed",
)
TRAINED = ("top64-bf16-naive", "top64-bf16-planar", "top64-bf16-packed", "top256-bf16-naive")
TRAINING_ROWS, DICTIONARY_BYTES = 200, 8_192


def run(repeats: int = 20, vocab_size: int = 151_936, seed: int = SEED) -> list[dict[str, Any]]:
    """Rows of `bench`, `case`, `repeats`, `median_s` and, for codecs, mean sizes in bytes.

    `payload_bytes` and `frame_bytes` for all; where ids are packed also `ids_bytes` and
    `ids_bound_bytes`; for sparse codecs `entropy_coder_bytes`, a whole frame under the yardstick.
    """
    source = RowSource(GeneratedConfig(vocab_size=vocab_size), seed)
    rows_BV = [source.logits(0, position) for position in range(SIZE_ROWS)]
    delta_V = source.delta(0, 0).astype(np.float64)
    return [*_steering(rows_BV[0], delta_V, repeats), *codecs(source, rows_BV, delta_V, repeats)]


def median_s(repeats: int, call: Callable[[int], object], clock: Callable[[], int]) -> float:
    """Return the median time of a call, s; it is given its number, and called once before."""
    call(0)
    times_ns = []
    for i in range(repeats):
        start_ns = clock()
        call(i)
        times_ns.append(clock() - start_ns)
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
            "median_s": median_s(repeats, call, time.perf_counter_ns),
        }
        for case, call in cases.items()
    ]


def codecs(
    source: RowSource,
    rows_BV: list[npt.NDArray[np.float32]],
    delta_V: npt.NDArray[np.float64],
    repeats: int,
) -> list[dict[str, Any]]:
    """Three rows for each codec: encode (with selection), decode, certify."""
    configs = [CodecConfig.model_validate(name) for name in CODECS]
    # Of another session, so that no dictionary has seen the rows that it is measured on.
    others_BV = [source.logits(1, position) for position in range(TRAINING_ROWS)]
    configs += [_with_dictionary(name, others_BV) for name in TRAINED]
    return [
        row
        for config in configs
        for row in _codec(build_codec(config, delta_V.size), rows_BV, delta_V, repeats)
    ]


def _with_dictionary(name: str, rows_BV: list[npt.NDArray[np.float32]]) -> CodecConfig:
    """Zstd with a dictionary trained on the bodies of these rows."""
    config = CodecConfig.model_validate(name)
    codec = build_codec(config, rows_BV[0].size)
    trained = train_dictionary([codec.encode(row_V) for row_V in rows_BV], DICTIONARY_BYTES)
    return config.model_copy(update={"entropy": ZstdConfig(dictionary=trained)})


def _codec(
    codec: Codec,
    rows_BV: list[npt.NDArray[np.float32]],
    delta_V: npt.NDArray[np.float64],
    repeats: int,
) -> Iterator[dict[str, Any]]:
    sized = rows_BV if codec.first_k < codec.vocab_size else rows_BV[:TIME_ROWS]
    payloads = [codec.encode(row_V) for row_V in sized]
    known = [codec.decode(payload) for payload in payloads]
    sizes = _sizes(codec, payloads, known)
    c = strength(**PAPER)

    def certify(i: int) -> None:
        sent = known[i % TIME_ROWS]
        certify_greedy(sent.ids_K, sent.logits_K, sent.floor, delta_V, c)

    calls: dict[str, Callable[[int], object]] = {
        "encode": lambda i: codec.encode(rows_BV[i % TIME_ROWS]),
        "decode": lambda i: codec.decode(payloads[i % TIME_ROWS]),
        "certify": certify,
    }
    for stage, call in calls.items():
        yield {
            "bench": f"codec {stage}",
            "case": codec.name,
            "repeats": repeats,
            "median_s": median_s(repeats, call, time.thread_time_ns),
            **sizes,
        }


def _sizes(codec: Codec, payloads: list[bytes], known: list[SparseLogits]) -> dict[str, float]:
    """Mean bytes of payloads and frames, and of the bounds where ids are sent."""
    session, epoch, position = 1000, 1, 100  # two bytes, one, one: as in a run of some size
    frames = [
        encode_frame(Frame(FrameKind.LOGITS, session, epoch, position, 0, payload))
        for payload in payloads
    ]
    sizes = {
        "payload_bytes": statistics.fmean(map(len, payloads)),
        "frame_bytes": statistics.fmean(map(len, frames)),
    }
    if known[0].dense:
        return sizes
    sizes["ids_bound_bytes"] = statistics.fmean(
        ids_bits(sent.vocab_size, sent.ids_K.size) / 8 for sent in known
    )
    if "packed" in codec.name:
        gaps_BK = [gaps(sent) for sent in known]
        sizes["ids_bytes"] = statistics.fmean(
            kernels.rice_bits(gaps_K, kernels.rice_parameter(gaps_K)) / 8 for gaps_K in gaps_BK
        )
    if "bf16" in codec.name:
        # What an entropy coder cannot avoid either: header, checksum, prefix, count and floor.
        fixed_bytes = sizes["frame_bytes"] - sizes["payload_bytes"] + 5 + 2 + 2
        grid = Bf16()
        sizes["entropy_coder_bytes"] = fixed_bytes + statistics.fmean(
            (adaptive_bits(gaps(sent)) + adaptive_bits(steps(grid.words(sent.logits_K)))) / 8
            for sent in known
        )
    return sizes


def main() -> None:
    """Print sizes, times and bounds side by side."""
    source = RowSource(GeneratedConfig(), SEED)
    rows_BV = [source.logits(0, position) for position in range(SIZE_ROWS)]
    measured = codecs(source, rows_BV, source.delta(0, 0).astype(np.float64), 100)
    by_name: dict[str, dict[str, Any]] = {}
    for row in measured:
        by_name.setdefault(row["case"], dict(row))[row["bench"]] = row["median_s"]
    keys = ("payload_bytes", "frame_bytes", "entropy_coder_bytes", "ids_bytes", "ids_bound_bytes")
    stages = ("codec encode", "codec decode", "codec certify")
    titles = ("payload", "frame", "coder", "ids", "bound", "encode", "decode", "certify")
    lines = [f"{'bytes; µs of CPU time':38}" + "".join(f"{title:>11}" for title in titles)]
    for name, row in by_name.items():
        figures = [row.get(key) for key in keys] + [row[stage] * 1e6 for stage in stages]
        cells = ("" if figure is None else f"{figure:,.1f}" for figure in figures)
        lines.append(f"{name:38}" + "".join(f"{cell:>11}" for cell in cells))
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
