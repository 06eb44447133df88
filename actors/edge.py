"""The actor of one edge shard: many devices with one small model between them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from actors.calibrate import EdgePoints, Grid, measure_choice, measure_edge, settled_ns
from actors.live.edge import LiveShard
from actors.live.frames import Clouds
from actors.live.sessions import ShardNews
from actors.plan import ArmPlan, CodecTerms
from actors.port import Handle
from actors.progress import Resumption
from actors.values.port import ArmSpec, EdgeHost
from actors.values.witness import Witnessed, Witnessing
from costeer.errors import LocalProtocolError
from costeer.machine import EdgeOp, Release


class EdgeActor:
    """Hosts a shard's small model."""

    def __init__(self, make_host: Callable[..., EdgeHost], *args: object) -> None:
        """Make the host in the process that this actor lives in."""
        self._host = make_host(*args)
        self._live: LiveShard | None = None

    def begin_arm(self, arm: ArmSpec) -> int:
        """Forget every session, take the arm's codec; return the vocabulary's size."""
        return self._host.begin_arm(arm)

    def execute(self, ops: Sequence[EdgeOp | Release]) -> list[object]:
        """Values of the operations, in order."""
        return self._host.execute(ops)

    def take_witnessed(self) -> list[Witnessed]:
        """Return what was kept of the arm's witnessed sessions, and forget it."""
        return self._host.take_witnessed() if isinstance(self._host, Witnessing) else []

    def calibrate(self, grid: Grid, payloads: Mapping[int, bytes]) -> EdgePoints:
        """Measure the host on this machine."""
        return measure_edge(self._host, grid, payloads, settled_ns)

    def calibrate_choice(self, repeats: int) -> int:
        """Measure the host's choice of a token in a one-branch arm, ns."""
        return measure_choice(self._host, repeats, settled_ns)

    def live_begin(
        self,
        plan: ArmPlan,
        terms: CodecTerms,
        shard: int,
        clouds: Clouds,
        resumption: Resumption | None = None,
    ) -> None:
        """Run this shard's devices on the wall's clock.

        Args:
            plan: the arm, with this shard's devices alone.
            terms: the arm's codec.
            shard: this shard's number.
            clouds: the cloud actors.
            resumption: how far the devices have come; None for a run that begins.
        """
        clock_ns = time.monotonic_ns
        self._live = LiveShard(self._host, plan, terms, shard, clouds, clock_ns, resumption)

    def live_lose(self, replica: int) -> None:
        """Go on without a replica whose host has died."""
        self._running().lose(replica)

    def live_gain(self, replica: int, cloud: Handle) -> None:
        """Go on with a replica whose host was made again, and knows no session."""
        self._running().gain(replica, cloud)

    def live_poll(self) -> ShardNews:
        """Return what happened since the last call."""
        return self._running().poll()

    def live_end(self) -> ShardNews:
        """Stop; return what was left."""
        live = self._running()
        self._live = None
        return live.stop()

    def _running(self) -> LiveShard:
        if self._live is None:
            raise LocalProtocolError("edge actor: no live run has begun")
        return self._live
