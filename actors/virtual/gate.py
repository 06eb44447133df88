"""What stands between a replica and the events of a simulated run: a stall holds them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from actors.lanes import Handler
from actors.stalls import Stall, Stalls
from netsim.heap import EventHeap


class Gate:
    """The heap of a simulated run, as far as a cloud's own events are concerned."""

    def __init__(self, heap: EventHeap[Handler], stalls: Sequence[Stall]) -> None:
        """Stand between a cloud and its events."""
        self._heap = heap
        self._stalls = Stalls(stalls)

    def loses(self, at_ns: int) -> bool:
        """Whether a frame that comes at an instant is lost."""
        stall = self._stalls.at(at_ns)
        return stall is not None and stall.loses

    def push(
        self, at_ns: int, kind: int, device: int, position: int, round_: int, handler: Handler
    ) -> None:
        """Have something happen at the cloud: at an instant, or when it goes on after that."""
        key = (kind, device, position, round_)
        self._heap.push(at_ns, *key, partial(self._pass, key, handler))

    def _pass(self, key: tuple[int, int, int, int], handler: Handler, now_ns: int) -> None:
        stall = self._stalls.at(now_ns)
        if stall is None:
            handler(now_ns)
        else:
            self.push(stall.until_ns, *key, handler)
