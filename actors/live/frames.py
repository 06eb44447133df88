"""What travels between a shard and the cloud in a live run: frames and the side channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from costeer.machine import CloudTrace


class LineId(NamedTuple):
    """Who talks to a cloud: a shard, in one of its lives.

    Args:
        shard: its number.
        epoch: of the sessions that it opens; a shard that was made again has a higher one.
    """

    shard: int
    epoch: int


@dataclass(frozen=True, slots=True)
class UpFrame:
    """A frame on its way up.

    Args:
        session: whose it is (routing; the frame says so too).
        frame: its bytes.
        transit_ns: what its access link took.
    """

    session: int
    frame: bytes
    transit_ns: int


@dataclass(frozen=True, slots=True)
class DownFrame:
    """A frame on its way down.

    Args:
        session: whose it is.
        frame: its bytes.
        payload_bytes: the codec's part.
        transit_ns: what the cloud's egress took; the access link adds its own.
        trace: how long the cloud's part took.
    """

    session: int
    frame: bytes
    payload_bytes: int
    transit_ns: int
    trace: CloudTrace | None
