"""A shard's line to one life of a cloud: what goes up at its instants, what comes down.

Two threads. The sender hands each frame over when its access link has carried it, at the absolute
instant; the receiver waits for what the cloud sends. When the cloud dies both end and say so: its
successor gets a line of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from threading import Condition, Thread

from actors.live.frames import DownFrame, LineId, UpFrame
from actors.port import Handle, HostDiedError, Pending
from costeer.errors import LocalProtocolError

_OUTSTANDING = 8
"""Messages to the cloud that may be unanswered."""


@dataclass(frozen=True, slots=True)
class LineHooks:
    """What a line needs of its shard.

    Args:
        now_ns: the shard's clock.
        stopping: whether everything ends at once.
        over: whether nothing comes any more but what has been sent already.
        deliver: takes what the cloud sent.
        note_late: takes how late frames were handed over.
        lost: told that the cloud died.
        failed: told of any other failure.
    """

    now_ns: Callable[[], int]
    stopping: Callable[[], bool]
    over: Callable[[], bool]
    deliver: Callable[[Sequence[DownFrame]], None]
    note_late: Callable[[int], None]
    lost: Callable[[], None]
    failed: Callable[[BaseException], None]


class CloudLine:
    """Carries frames between a shard and its cloud until one of them ends."""

    def __init__(self, cloud: Handle, name: LineId, hooks: LineHooks) -> None:
        """Make a line that takes frames; ``start`` carries them."""
        self._cloud = cloud
        self._name = name
        self._hooks = hooks
        self._changed = Condition()
        self._order = count()
        self._outgoing: list[tuple[int, int, UpFrame]] = []
        self._closed = False
        self._threads = [
            Thread(target=self._guarded, args=(loop,), name=f"live{loop.__name__}", daemon=True)
            for loop in (self._send_loop, self._receive_loop)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def send(self, due_ns: int, frame: UpFrame) -> None:
        """Hand a frame over at an instant; where the cloud has died it is lost."""
        with self._changed:
            heappush(self._outgoing, (due_ns, next(self._order), frame))
            self._changed.notify_all()

    def wake(self) -> None:
        """Look again whether anything is over."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """End the threads: another line takes over."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self, limit_s: float) -> None:
        """Wait for the threads' ends; those of a cloud that does not answer are left behind."""
        for thread in self._threads:
            thread.join(limit_s)

    # ------------------------------------------------------------------ threads

    def _guarded(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except HostDiedError:
            if not self._closed:
                self.close()
                self._hooks.lost()
        except BaseException as failure:  # noqa: BLE001 - told to whoever polls, who raises it
            self._hooks.failed(failure)

    def _ends(self) -> bool:
        return self._closed or self._hooks.stopping()

    def _send_loop(self) -> None:
        sequence = 0
        pending: list[Pending] = []
        while True:
            frames = self._due_frames()
            if frames is None:
                break
            pending.append(self._cloud.submit("push", self._name, sequence, frames))
            sequence += 1
            if len(pending) == _OUTSTANDING:
                pending.pop(0).result()
        for one in pending:
            one.result()

    def _due_frames(self) -> list[UpFrame] | None:
        """Wait for frames that are due; None when none will come."""
        with self._changed:
            while True:
                # The last CLOSE frames still go up when all requests have ended.
                if self._ends() or (self._hooks.over() and not self._outgoing):
                    return None
                now_ns = self._hooks.now_ns()
                frames = []
                while self._outgoing and self._outgoing[0][0] <= now_ns:
                    due_ns, _, frame = heappop(self._outgoing)
                    self._hooks.note_late(now_ns - due_ns)
                    frames.append(frame)
                if frames:
                    return frames
                until_ns = self._outgoing[0][0] - now_ns if self._outgoing else None
                self._changed.wait(None if until_ns is None else until_ns / 1e9)

    def _receive_loop(self) -> None:
        while not (self._ends() or self._hooks.over()):
            frames = self._cloud.call("pull", self._name)
            if not isinstance(frames, list):
                raise LocalProtocolError(f"live: pull returned {frames!r}")
            self._hooks.deliver(frames)
