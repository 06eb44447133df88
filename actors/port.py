"""How a driver reaches the hosts: in this process, or wherever a cluster put them.

A host is a plain class. ``LocalPort`` makes it here; ``cluster`` makes it a Ray actor.
Nothing else in a driver knows the difference, so the two give the same output digest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias, runtime_checkable

from actors.host_news import Feed
from costeer.errors import CosteerError


class HostDiedError(CosteerError):
    """A host's process ended, or could not be reached, while it was needed."""


Folder: TypeAlias = Callable[[], str]
"""Tells where a folder lies on the machine that asks; picklable."""


def here(path: str) -> Folder:
    """Return a folder (or a model hub's name) that is the same on every machine."""
    return partial(str, path)


@dataclass(frozen=True, slots=True)
class Recovery:
    """A host that died and was made again: a death in the laboratory, none in the model.

    Args:
        host: what it was.
        reason: what was told of its death.
        sessions: open sessions that the new host was told.
        took_s: from the moment that the death was noticed until the work of the dead host was done:
            in a simulated run its sessions' caches rebuilt and the call answered that it died of;
            in a live run until it is ready for the arm (see ``records.Standstill`` for the rest).
    """

    host: str
    reason: str
    sessions: int
    took_s: float


class Pending(Protocol):
    """A call under way."""

    def result(self) -> object:
        """Wait for it; raise what it raised."""
        ...

    def done(self) -> bool:
        """Whether that would take no time."""
        ...


class Handle(Protocol):
    """A host that lives somewhere."""

    def submit(self, method: str, *args: object) -> Pending:
        """Begin a call; a host with one thread carries them out in order."""
        ...

    def call(self, method: str, *args: object) -> object:
        """Call and wait."""
        ...


@runtime_checkable
class Revivable(Handle, Protocol):
    """A host that can be made again when it has died."""

    def revive(self, reason: str) -> None:
        """Make it again, ready for the arm that it was told of; it knows no session of a live run.

        Args:
            reason: what was told of its death.

        Raises:
            HostDiedError: there is no room for it.
        """
        ...


class Port(Protocol):
    """Makes hosts and ends them."""

    def start(
        self,
        make: Callable[..., object],
        *args: object,
        threads: int = 1,
        gpus: float = 0.0,
        group: int = 0,
    ) -> Handle:
        """Make a host from its class and picklable arguments.

        Args:
            make: the class.
            args: of its constructor.
            threads: calls that it must be able to carry out at the same time.
            gpus: accelerators that it takes; parts of one are allowed.
            group: hosts of one group are to live near each other, where room is reserved for that.
        """
        ...

    def deliver(self, path: str) -> Folder:
        """Take a folder of this machine along to wherever hosts live.

        Args:
            path: the folder; what is in it now counts.
        """
        ...

    @property
    def recoveries(self) -> Sequence[Recovery]:
        """Hosts that died so far and were made again."""
        ...

    @property
    def feed(self) -> Feed | None:
        """Takes what a host tells of itself, wherever the host is; None where nobody listens."""
        ...

    def serve_metrics(self, host: str) -> Sequence[tuple[str, int, str]]:
        """Serve the metrics of each node's hosts on that node; hosts made from now on feed them.

        Args:
            host: address to listen at, on every node.

        Returns:
            Per node the address that it is reached at, the port and the node's name; none where
            hosts live in this process, whose run tells everything.
        """
        ...

    def close(self) -> None:
        """End every host that this port made."""
        ...


class _Done:
    """A call that was carried out at once; what it raised is kept for whoever asks."""

    __slots__ = ("_failure", "_value")

    def __init__(self, value: object, failure: Exception | None = None) -> None:
        self._value = value
        self._failure = failure

    def done(self) -> bool:
        return True

    def result(self) -> object:
        if self._failure is not None:
            raise self._failure
        return self._value


class LocalHandle:
    """A host in this process."""

    def __init__(self, host: object) -> None:
        """Wrap an object."""
        self.host = host

    def submit(self, method: str, *args: object) -> Pending:
        """Carry out the call now."""
        try:
            return _Done(self.call(method, *args))
        except Exception as failure:  # noqa: BLE001 - raised by the result, as anywhere else
            return _Done(None, failure)

    def call(self, method: str, *args: object) -> object:
        """Carry out the call now and return its value."""
        value: object = getattr(self.host, method)(*args)
        return value


class LocalPort:
    """Hosts in this process: no Ray, no other process."""

    recoveries: Sequence[Recovery] = ()
    """None: what would kill a host kills the driver."""
    feed: Feed | None = None
    """None: the run itself tells everything."""

    def deliver(self, path: str) -> Folder:
        """See ``Port``: the folder itself."""
        return here(path)

    def serve_metrics(self, host: str) -> Sequence[tuple[str, int, str]]:  # noqa: ARG002
        """See ``Port``: there is no node but this one."""
        return ()

    def start(
        self,
        make: Callable[..., object],
        *args: object,
        threads: int = 1,  # noqa: ARG002 - callers bring their own threads
        gpus: float = 0.0,  # noqa: ARG002 - hosts of one process share what there is
        group: int = 0,  # noqa: ARG002 - and are near each other
    ) -> Handle:
        """Make a host here."""
        return LocalHandle(make(*args))

    def close(self) -> None:
        """Nothing to end: the hosts go with their last reference."""


def never() -> bool:
    """Answer of a run that nobody stops."""
    return False


def gather(pendings: Sequence[Pending]) -> list[object]:
    """Wait for calls, in the order given."""
    return [pending.result() for pending in pendings]
