"""The event heap: a total order that no driver can influence.

Theory of operation. Events are ordered by the key (time_ns, kind, device, position, round)
alone. There is no insertion counter: a counter would make the order depend on how a driver
happens to push, and two drivers that replay the same protocol would differ. So the key has to
be unique among the events that wait; two different events under one key are our bug and raise
at the push that caused it. (The same event pushed twice, for example a duplicated frame, is
delivered twice: equal payloads have no order that could matter.)

Payloads live in a dictionary beside the heap, so that heapq never compares them.
"""

from enum import IntEnum
from heapq import heappop, heappush
from typing import Generic, TypeAlias, TypeVar

from netsim.errors import NetsimError

Payload = TypeVar("Payload")
Key: TypeAlias = tuple[int, int, int, int, int]


class EventKind(IntEnum):
    """What happens first among events of the same nanosecond: the smaller value.

    Arrivals come before batch starts, so that a batch takes every frame that has arrived by
    its start. The values leave a gap: a driver that has several sorts of one kind at the same
    key (a frame for the cloud, a frame for the device) adds a lane of 0 to 15 to the kind;
    `kind >> 4 << 4` gives the kind back.
    """

    ARRIVAL = 0x00
    """A frame or a request arrives."""
    COMPUTE_DONE = 0x10
    """A computation finishes."""
    TIMER = 0x20
    """A timer that a machine set fires."""
    BATCH_START = 0x30
    """The cloud gathers what is ready and starts a forward."""


class EventHeap(Generic[Payload]):
    """Events in the order (time_ns, kind, device, position, round).

    `now_ns` is the time of the event popped last; nothing may be pushed before it.
    """

    __slots__ = ("_heap", "_payloads", "now_ns")

    def __init__(self) -> None:
        self._heap: list[Key] = []
        self._payloads: dict[Key, Payload] = {}
        self.now_ns = 0

    def push(
        self,
        time_ns: int,
        kind: int,
        device: int,
        position: int,
        round: int,  # noqa: A002 - the protocol's own word for it
        payload: Payload,
    ) -> None:
        """Add one event.

        Raises NetsimError if it lies before `now_ns` or if a different event waits under the
        same key.
        """
        if time_ns < self.now_ns:
            raise NetsimError(
                f"event of device {device}, position {position} at {time_ns} ns lies before "
                f"now, {self.now_ns} ns: effects cannot precede their causes"
            )
        key = (time_ns, kind, device, position, round)
        payloads = self._payloads
        if key in payloads and not (payloads[key] is payload or payloads[key] == payload):
            raise NetsimError(
                f"two different events under the key (time_ns, kind, device, position, round) = "
                f"{key}: {payloads[key]!r} and {payload!r}; give them different kinds or lanes"
            )
        payloads[key] = payload
        heappush(self._heap, key)

    def pop(self) -> tuple[int, int, int, int, int, Payload]:
        """Take the first event: (time_ns, kind, device, position, round, payload)."""
        heap = self._heap
        if not heap:
            raise NetsimError("pop from an empty event heap: check its length first")
        key = heappop(heap)
        payloads = self._payloads
        payload = payloads[key] if heap and heap[0] == key else payloads.pop(key)
        self.now_ns = key[0]
        return (*key, payload)

    def peek_time_ns(self) -> int:
        """When the first event happens."""
        if not self._heap:
            raise NetsimError("peek into an empty event heap: check its length first")
        return self._heap[0][0]

    def __len__(self) -> int:
        return len(self._heap)
