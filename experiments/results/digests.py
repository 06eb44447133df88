"""Two fingerprints of a run: one that every way of running must agree on, one for simulated ways.

Computed from the rows themselves, before any table: records in canonical order (device, request,
position), each packed as little-endian signed 64-bit integers, through SHA-256. Session ids are
left out: how a driver numbers its sessions is its own business.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence

from actors.records import ArmRun, RequestRow, TokenRow
from actors.run_tables import METER_COLUMNS


def output_digest(tokens: Sequence[TokenRow]) -> str:
    """Return the digest of what was said: device, request, position and token of each row."""
    sha = hashlib.sha256(b"costeer output 1")
    for row in _ordered(tokens):
        sha.update(_pack((row.device, row.request, row.record.position, row.record.token)))
    return sha.hexdigest()


def digest(run: ArmRun) -> str:
    """Return the digest of what was said, what it weighed and when: tokens, bytes, times in ns.

    Everything that a simulated run decides enters it, floating-point margins excepted. Live times
    are measured and never repeat, so it says nothing about a live run.
    """
    sha = hashlib.sha256(b"costeer run 2")
    for token in _ordered(run.tokens):
        record = token.record
        sha.update(
            _pack(
                (
                    token.device,
                    token.request,
                    record.position,
                    record.token,
                    token.chosen_at_ns,
                    record.latency_ns,
                    *record.stages_ns,
                    record.busy_edge_ns,
                    record.rounds,
                    int(record.certified),
                    int(record.drafted),
                    len(record.refuted),
                    record.unsent,
                    *(getattr(token.moved, name) for name in METER_COLUMNS),
                )
            )
        )
    sha.update(b"requests")
    for request in sorted(run.requests, key=lambda row: (row.device, row.request)):
        sha.update(_pack(_integers(request)))
        sha.update(_pack(request.tokens))
        for text in (request.prompt_id, request.link_class, request.device_class, request.reason):
            data = text.encode()
            sha.update(_pack((len(data),)) + data)
    return sha.hexdigest()


def joined_digest(parts: Iterable[str]) -> str:
    """Return one digest of several arms' digests, in the arms' order."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _integers(row: RequestRow) -> tuple[int, ...]:
    return (
        row.device,
        row.request,
        row.arrival_ns,
        row.finished_ns,
        int(row.failed),
        len(row.tokens),
        *(getattr(row.moved, name) for name in METER_COLUMNS),
    )


def _ordered(tokens: Sequence[TokenRow]) -> list[TokenRow]:
    return sorted(tokens, key=lambda row: (row.device, row.request, row.record.position))


def _pack(values: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)
