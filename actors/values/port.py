"""What a driver asks of a host, whatever its values come from.

A host executes operations in the order given and returns one value per operation. Operations of
different sessions are independent, so a host batches them as it likes; those of one session are
carried out in order. The result of an operation never depends on who else was in the batch (the
batch invariance of ``actors.models``): hence the deferred batching of ``virtual`` and the digests
that do not depend on the number of shards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from costeer.codec.config import AnyCodecConfig
from costeer.machine import CloudOp, EdgeOp, Release
from costeer.methods import Method
from costeer.overlap import OverlapConfig
from costeer.sampling import Sampling


@dataclass(frozen=True, slots=True)
class ArmSpec:
    """What all sessions of one arm share.

    Args:
        method: who sees what, who chooses.
        strength: c of ``log π_0 + c·Δ``; 0 where the method does not steer.
        codec: how logits go down.
        sampling: greedy, or a temperature and a nucleus.
        seed: of the run; noise is a pure function of it.
        witnessed: sessions whose steps a steered arm's devices keep for people to look at.
        overlap: what devices do while they wait; None: Δ is there with the forward.
        beside: whether a small model drafts at the cloud for what that streams.
    """

    method: Method
    strength: float
    codec: AnyCodecConfig
    sampling: Sampling
    seed: int
    witnessed: frozenset[int] = frozenset()
    overlap: OverlapConfig | None = None
    beside: bool = False


class CloudHost(Protocol):
    """The large model's side."""

    def begin_arm(self, arm: ArmSpec) -> int:
        """Forget every session, take the arm's codec; return the vocabulary's size."""
        ...

    def execute(self, ops: Sequence[CloudOp | Release]) -> list[object]:
        """Values of the operations, in order (None where there is none)."""
        ...


class EdgeHost(Protocol):
    """The small model's side, for all the devices of a shard."""

    def begin_arm(self, arm: ArmSpec) -> int:
        """Forget every session, take the arm's codec; return the vocabulary's size."""
        ...

    def execute(self, ops: Sequence[EdgeOp | Release]) -> list[object]:
        """Values of the operations, in order (None where there is none)."""
        ...
