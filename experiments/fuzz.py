"""Hostile bytes in quantity: `python -m experiments.fuzz --frames N --seed S`.

Each frame starts from one that an encoder wrote (first rounds and refinements, every layout, number
format and entropy stage, a full vocabulary) and is damaged: bits flipped, bytes changed, cut,
extended, spliced with another, numbers in it blown up. Three in four are damaged inside and given a
fresh checksum (for zstd: compressed again), so that they reach the body decoder; the others are
damaged from outside.

What must hold, or the run ends with exit code 1 and the frame that broke it: no exception but the
frame's and the codec's; what is accepted is a valid support; a decode takes at most 5 ms of thread
CPU time (the best of four, for the first may pay for a page fault or an interrupt); memory traced
during a sampled decode stays within a few rows of the vocabulary, and the process does not grow.
Control frames (OPEN, TOKEN, ERROR) have bodies of up to 16 KB here: a decoder of prompts reads ids
one by one, and its time grows with their number, not with what they say.
"""

from __future__ import annotations

import argparse
import math
import random
import resource
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from actors.values.generated import GeneratedConfig, RowSource
from costeer.codec import Codec, CodecConfig, SparseLogits, build_codec, merge
from costeer.codec.entropy import Zstd
from costeer.errors import CodecError, FrameError
from costeer.messages import (
    Frame,
    FrameKind,
    decode_error,
    decode_frame,
    decode_open,
    decode_token,
    encode_frame,
)

VOCAB_SIZE = 151_936
LIMIT_NS = 5_000_000
ROW_BYTES = 8 * VOCAB_SIZE
TRACED_ROWS = 8
"""Rows of int64 that a decode may hold at a time: a dense row, its copies and its checks."""
GROWTH_BYTES = 96 * 2**20
_TRACE_SHARE, _TRACE_SHARE_DENSE = 0.002, 0.1
_WARM_UP = 2_000
_CONTROL_BYTES = 16_384
_SPARSE = (
    "top64-bf16-packed",
    "top1024-bf16-packed",
    "top64-fp32-packed",
    "top64-bf16-naive",
    "top64-bf16-planar",
    "top64-bf16-packed-zstd3",
    "top256-bf16-naive-zstd3",
    "top64-step0.25-packed-exact",
    "top64-int8-packed-exact",
    "topp0.95-fp16-planar-zstd3",
    "floor0.001-bf16-packed",
)
_DENSE = ("dense-fp16-naive", "dense-bf16-planar-zstd3", "dense-int8-packed")
_DENSE_SHARE = 0.005


@dataclass(frozen=True, slots=True)
class Target:
    """A codec, bodies that it wrote with what was known before them, and its entropy stage."""

    codec: Codec
    bodies: list[tuple[bytes, SparseLogits | None]]
    pack: Callable[[bytes], bytes]


@dataclass(slots=True)
class Findings:
    """What a run saw."""

    frames: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_ns: int = 0
    slowest: str = ""
    most_traced_bytes: int = 0
    faults: list[str] = field(default_factory=list)


def targets(seed: int) -> tuple[list[Target], list[Target]]:
    """Sparse and dense codecs with bodies to start from."""
    source = RowSource(GeneratedConfig(vocab_size=VOCAB_SIZE), seed)
    return [_target(name, source) for name in _SPARSE], [_target(name, source) for name in _DENSE]


def _target(name: str, source: RowSource) -> Target:
    config = CodecConfig.model_validate(name)
    plain = build_codec(config.model_copy(update={"entropy": CodecConfig().entropy}), VOCAB_SIZE)
    bodies: list[tuple[bytes, SparseLogits | None]] = []
    for position in range(2 if plain.first_k == VOCAB_SIZE else 6):
        row_V = source.logits(0, position)
        first = plain.encode(row_V)
        known = plain.decode(first)
        bodies.append((first, None))
        if not known.dense:
            sent = known.ids_K.size
            bodies.append((plain.encode(row_V, sent, 4 * sent), known))
    pack = Zstd(3).pack if "zstd" in name else bytes
    return Target(build_codec(config, VOCAB_SIZE), bodies, pack)


def damaged(rng: random.Random, body: bytes, other: bytes) -> bytes:
    """A body that no encoder wrote (or, rarely, the same)."""
    out = bytearray(body)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        # Most of what a decoder believes stands at the front.
        near = rng.random() < 0.5  # noqa: PLR2004 - an even chance
        at = rng.randrange(min(len(out), 16) if near else len(out)) if out else 0
        kind = rng.randrange(8)
        if kind <= 2 and out:  # noqa: PLR2004 - flips are three kinds of eight
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 3 and out:  # noqa: PLR2004
            out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 4:  # noqa: PLR2004
            del out[at:]
        elif kind == 5:  # noqa: PLR2004
            out += rng.randbytes(rng.choice((1, 4, 300)))
        elif kind == 6:  # noqa: PLR2004
            out[at:] = other[at:]
        else:
            out[at : at + rng.randrange(5)] = rng.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x80")
            )
    return bytes(out)


def _read(data: bytes, target: Target, known: SparseLogits | None) -> str:
    """Decode as a device or the cloud would; says how far the bytes came."""
    try:
        frame = decode_frame(data)
    except FrameError:
        return "frame refused"
    try:
        if frame.kind is FrameKind.LOGITS:
            sent = target.codec.decode(frame.body, known)
            if known is not None:
                sent = merge(known, sent)
        elif frame.kind is FrameKind.OPEN:
            decode_open(frame.body)
        elif frame.kind in {FrameKind.TOKEN, FrameKind.STREAM}:
            decode_token(frame.body)
        else:
            decode_error(frame.body)
    except FrameError:
        return "control body refused"
    except CodecError:
        return "body refused"
    if frame.kind is not FrameKind.LOGITS:
        return "control body accepted"
    _check(sent)
    return "body accepted"


def _check(sent: SparseLogits) -> None:
    """Raise AssertionError for what is no support of a row."""
    whole = sent.ids_K.size == sent.logits_K.size > 0
    inside = int(sent.ids_K[0]) >= 0 and int(sent.ids_K[-1]) < VOCAB_SIZE
    if not (whole and inside and math.isfinite(sent.floor) and sent.logsumexp >= sent.floor):
        raise AssertionError(f"accepted {sent}")


def fuzz(frames: int, seed: int) -> Findings:
    """Damage, decode and judge `frames` frames."""
    sparse, dense = targets(seed)
    rng = random.Random(seed)  # noqa: S311 - damage is drawn with a seed
    found = Findings()
    start_bytes = 0
    for index in range(frames):
        large = rng.random() < _DENSE_SHARE
        target = rng.choice(dense if large else sparse)
        body, known = rng.choice(target.bodies)
        data = _frame(rng, target, body)
        trace = rng.random() < (_TRACE_SHARE_DENSE if large else _TRACE_SHARE)
        _judge(found, data, target, known, trace=trace)
        if index == _WARM_UP:
            start_bytes = _peak_bytes()
        if len(found.faults) >= 10:  # noqa: PLR2004 - enough to look at
            break
    growth_bytes = _peak_bytes() - start_bytes if start_bytes else 0
    if growth_bytes > GROWTH_BYTES:
        found.faults.append(f"the process grew by {growth_bytes} bytes")
    return found


def _frame(rng: random.Random, target: Target, body: bytes) -> bytes:
    other = rng.choice(target.bodies)[0]
    inside = rng.random() < 0.75  # noqa: PLR2004 - three in four
    if inside:
        body = damaged(rng, body, other)
    payload = target.pack(body) if body else b""
    kind = rng.choice((FrameKind.OPEN, FrameKind.TOKEN, FrameKind.ERROR))
    control = rng.random() < 0.05 and len(body) < _CONTROL_BYTES  # noqa: PLR2004 - one in twenty
    kind = kind if control else FrameKind.LOGITS
    data = encode_frame(
        Frame(kind, rng.getrandbits(32), rng.getrandbits(8), rng.getrandbits(12), 0, payload)
    )
    return data if inside else damaged(rng, data, other)


def _judge(
    found: Findings, data: bytes, target: Target, known: SparseLogits | None, *, trace: bool
) -> None:
    found.frames += 1
    if trace:
        tracemalloc.start()
    start_ns = time.thread_time_ns()
    try:
        outcome = _read(data, target, known)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        outcome = "fault"
        found.faults.append(f"{target.codec.name}: {error!r} for frame {data[:600].hex()}")
    spent_ns = time.thread_time_ns() - start_ns
    if trace:
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        found.most_traced_bytes = max(found.most_traced_bytes, peak_bytes)
        if peak_bytes > TRACED_ROWS * ROW_BYTES:
            found.faults.append(f"{target.codec.name}: {peak_bytes} bytes for {data[:600].hex()}")
    found.outcomes[outcome] += 1
    if found.frames < _WARM_UP or trace or outcome == "fault":
        return
    for _ in range(3):
        if spent_ns <= LIMIT_NS // 5:  # far from the limit: not worth another look
            break
        start_ns = time.thread_time_ns()
        _read(data, target, known)
        spent_ns = min(spent_ns, time.thread_time_ns() - start_ns)
    if spent_ns > found.slowest_ns:
        found.slowest_ns, found.slowest = spent_ns, f"{target.codec.name}, {len(data)} bytes"
    if spent_ns > LIMIT_NS:
        found.faults.append(f"{target.codec.name}: {spent_ns} ns for {data[:600].hex()}")


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 if anything broke."""
    parser = argparse.ArgumentParser(prog="python -m experiments.fuzz", description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000, help="how many (default: 10^6)")
    parser.add_argument("--seed", type=int, default=7, help="of rows and damage (default: 7)")
    given = parser.parse_args(arguments)
    start_s = time.process_time()
    found = fuzz(given.frames, given.seed)
    lines = [
        f"{found.frames:,} frames, seed {given.seed}, {time.process_time() - start_s:.0f} s CPU"
    ]
    lines += [
        f"  {outcome:24}{count:>12,}  {count / found.frames:6.1%}"
        for outcome, count in found.outcomes.most_common()
    ]
    lines.append(f"  slowest decode {found.slowest_ns / 1e6:.2f} ms of CPU time ({found.slowest})")
    lines.append(f"  most memory traced in a decode {found.most_traced_bytes / 2**20:.1f} MiB")
    lines += [f"FAULT {fault}" for fault in found.faults]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
