"""Calibrations of made-up points."""

from __future__ import annotations

from collections.abc import Iterable

from netsim.hardware.calibrated import Calibrated, Linear


def made_of(
    points: Iterable[tuple[int, int, int, int]],
    rest: Linear,
    *,
    kv_bytes_per_token: int = 1,
    kv_tokens: int = 1,
    forward_variation: tuple[int, ...] = (),
) -> Calibrated:
    """Costs of forwards through (batch, new tokens, context, ns), of all else along one line."""
    return Calibrated.from_points(
        points,
        model="made",
        host="up",
        date="2026-01-01",
        select=rest,
        encode=rest,
        decode=rest,
        steer=rest,
        choose=rest,
        kv_bytes_per_token=kv_bytes_per_token,
        kv_tokens=kv_tokens,
        forward_variation=forward_variation,
    )
