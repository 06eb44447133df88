"""What travels between a shard and the cloud in a live run: frames and the side channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from actors.port import Handle
from costeer.machine import CloudTrace


@dataclass(frozen=True, slots=True)
class Clouds:
    """What a shard knows of the replicas.

    Args:
        handles: one for each; empty for methods without a cloud.
        own: device -> the replica that it belongs to, for the whole fleet.
        dead: those whose hosts have died, and are not there again.
    """

    handles: tuple[Handle, ...] = ()
    own: Mapping[int, int] = field(default_factory=dict)
    dead: frozenset[int] = frozenset()


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
        life: how often the replica has come back from a failure of the model, as its sender knows.
    """

    session: int
    frame: bytes
    transit_ns: int
    life: int = 0


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
