"""The actor of one model replica: computes for the simulated driver, serves in a live run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from actors.calibrate import CloudPoints, Grid, measure_cloud, sample_payload, settled_ns
from actors.failures import ReplicaFailure
from actors.live.cloud import STOP_S, LiveCloud
from actors.live.cloud_books import CloudNews
from actors.live.frames import DownFrame, LineId, UpFrame
from actors.stalls import Stall
from actors.values.port import ArmSpec, CloudHost
from costeer.cloud import EngineSpec
from costeer.errors import LocalProtocolError, StalledHostError
from costeer.machine import CloudOp, Release


class CloudActor:
    """Hosts the large model."""

    def __init__(self, make_host: Callable[..., CloudHost], *args: object) -> None:
        """Make the host in the process that this actor lives in."""
        self._host = make_host(*args)
        self._live: LiveCloud | None = None
        self._ended: LiveCloud | None = None

    def begin_arm(self, arm: ArmSpec) -> int:
        """Forget every session, take the arm's codec; return the vocabulary's size.

        Raises:
            StalledHostError: the model is still at an operation of the arm before.
        """
        if self._ended is not None and self._ended.stuck:
            raise StalledHostError(
                "the large model's host has not come back from an operation of the arm before;"
                " run the arms that are left anew"
            )
        return self._host.begin_arm(arm)

    def execute(self, ops: Sequence[CloudOp | Release]) -> list[object]:
        """Values of the operations, in order."""
        return self._host.execute(ops)

    def sample_payload(self, ranks: int) -> bytes:
        """Return one LOGITS payload, for the calibration of an edge."""
        return sample_payload(self._host, ranks)

    def calibrate(self, grid: Grid, ranks: tuple[int, int]) -> CloudPoints:
        """Measure the host on this machine."""
        return measure_cloud(self._host, grid, ranks, settled_ns)

    def live_begin(
        self,
        spec: EngineSpec,
        egress_bps: int,
        stalls: Sequence[Stall] = (),
        now_ns: int = 0,
        failures: Sequence[ReplicaFailure] = (),
    ) -> None:
        """Serve the arm that was begun, on the wall's clock.

        Args:
            spec: what the engine serves.
            egress_bps: the way out; 0 for no limit.
            stalls: when it is to do nothing.
            now_ns: the run's clock.
            failures: when it is to forget all, and not to be there.
        """
        clock_ns = time.monotonic_ns
        self._live = LiveCloud(self._host, spec, egress_bps, clock_ns, stalls, now_ns, failures)

    def push(self, line: LineId, sequence: int, frames: Sequence[UpFrame]) -> None:
        """Take frames from a shard."""
        self._serving().push(line, sequence, frames)

    def pull(self, line: LineId) -> list[DownFrame]:
        """Wait a moment for frames for a shard."""
        return self._serving().pull(line)

    def live_news(self, batches: int = 0, lateness: int = 0) -> CloudNews:
        """Return what was done so far; lists without the items that are known already."""
        return self._serving().news(batches, lateness)

    def live_end(self, batches: int = 0, lateness: int = 0, limit_s: float = STOP_S) -> CloudNews:
        """Stop serving and say what was done; a model at an operation is waited for so long."""
        live = self._serving()
        self._live, self._ended = None, live
        return live.stop(batches, lateness, limit_s)

    def _serving(self) -> LiveCloud:
        if self._live is None:
            raise LocalProtocolError("cloud actor: no live run has begun")
        return self._live
