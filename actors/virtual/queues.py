"""What hosts have still to carry out: one call to each, when a value decides what comes next."""

from __future__ import annotations

from collections.abc import Sequence

from actors.port import Handle, gather
from costeer.errors import LocalProtocolError
from costeer.machine import Op, Release


class Ticket:
    """An operation under way: its value comes with the first flush after its beginning."""

    __slots__ = ("done", "duration_ns", "op", "value")

    def __init__(self, op: Op, duration_ns: int) -> None:
        """Take an operation that has just begun."""
        self.op = op
        self.duration_ns = duration_ns
        self.done = False
        self.value: object = None


class HostQueue:
    """Operations that a host has still to carry out."""

    __slots__ = ("handle", "ops", "tickets")

    def __init__(self, handle: Handle) -> None:
        """Take a host that has nothing to do."""
        self.handle = handle
        self.ops: list[Op | Release] = []
        self.tickets: list[Ticket | None] = []

    def add(self, op: Op | Release, ticket: Ticket | None = None) -> None:
        """Queue an operation."""
        self.ops.append(op)
        self.tickets.append(ticket)

    def settle(self, values: object) -> None:
        """Give the tickets their values and forget the operations.

        Raises:
            LocalProtocolError: these are not the values of so many operations.
        """
        if not isinstance(values, list) or len(values) != len(self.ops):
            raise LocalProtocolError("a host must return one value per operation")
        for ticket, value in zip(self.tickets, values, strict=True):
            if ticket is not None:
                ticket.value = value
                ticket.done = True
        self.ops = []
        self.tickets = []


def flush(queues: Sequence[HostQueue]) -> None:
    """Carry out what is queued, all hosts at the same time."""
    loaded = [queue for queue in queues if queue.ops]
    results = gather([queue.handle.submit("execute", queue.ops) for queue in loaded])
    for queue, values in zip(loaded, results, strict=True):
        queue.settle(values)
