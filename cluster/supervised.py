"""A host that is made again when it dies, where the dead one's work can be done again.

Rules
-----
* What a simulated run asks (``begin_arm``, ``execute``) is a function of what was asked before, and
  a ``Ledger`` knows that. So a death is mended here and the driver never hears of it: simulated
  time does not change.
* In a live run the sessions' clocks go on: what is lost is for the live driver to mend. It hears of
  the death and says ``revive``.
* A host that dies again and again at the same call is killed by it: after ``_LIVES`` that is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from actors.ledger import Ledger, operations
from actors.port import Handle, HostDiedError, Pending, Recovery
from actors.values.port import ArmSpec

_LIVES = 5
"""Times that a host is made for one call."""


class Life(Handle, Protocol):
    """One actor that a host lives in, until it dies."""

    epoch: int
    """How often the host was made before."""

    def place(self) -> tuple[str, int]:
        """Return the id of the node that it is on, and of its process there."""
        ...

    def end(self) -> None:
        """End it, if it has not ended."""
        ...


class SupervisedHandle:
    """A host in whichever actor it lives at the moment."""

    def __init__(
        self, name: str, make: Callable[[int], Life], tell: Callable[[Recovery], None]
    ) -> None:
        """Make the host.

        Args:
            name: what it is, for reports.
            make: makes an actor of the given epoch, on any node that is alive.
            tell: told of each recovery.
        """
        self.name = name
        self._make = make
        self._tell = tell
        self._ledger = Ledger()
        self.seat = make(0)

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as the actor: whoever has a copy cannot make the host again."""
        return _itself, (self.seat,)

    def submit(self, method: str, *args: object) -> Pending:
        """Begin a call."""
        pending = self.seat.submit(method, *args)
        return _Mended(self, pending, method, args) if method in _MENDED else pending

    def call(self, method: str, *args: object) -> object:
        """Call and wait."""
        return self.submit(method, *args).result()

    def place(self) -> tuple[str, int]:
        """Return the id of the node that the host is on, and of its process there."""
        return self.seat.place()

    def revive(self, reason: str) -> None:
        """Make the host again, ready for the arm that it was told of.

        Args:
            reason: what was told of its death.

        Raises:
            HostDiedError: there is no room for it.
        """
        noticed_s = time.monotonic()
        self._make_again()
        self._tell(Recovery(self.name, reason, 0, time.monotonic() - noticed_s))

    def _make_again(self) -> None:
        # One that is alive and cannot be reached must not go on beside its successor.
        self.seat.end()
        self.seat = self._make(self.seat.epoch + 1)
        if self._ledger.arm is not None:
            self.seat.call("begin_arm", self._ledger.arm)
            self.seat.call("execute", self._ledger.again())

    def mend(self, method: str, args: tuple[object, ...], died: HostDiedError) -> object:
        """Have a call carried out that a host died of, or before."""
        for _ in range(_LIVES):
            noticed_s = time.monotonic()
            try:
                self._make_again()
                value = self.seat.call(method, *args)
            except HostDiedError as again:
                died = again
                continue
            sessions = self._ledger.open_sessions
            took_s = time.monotonic() - noticed_s
            self._tell(Recovery(self.name, str(died), sessions, took_s))
            return value
        raise died

    def note(self, method: str, args: tuple[object, ...]) -> None:
        """Book what the host has been told."""
        if method == "execute":
            self._ledger.carried_out(operations(args[0]))
        elif method == "begin_arm" and isinstance(args[0], ArmSpec):
            self._ledger.begin_arm(args[0])


def _itself(seat: Life) -> Life:
    return seat


_MENDED = ("begin_arm", "execute", "take_witnessed")


class _Mended:
    """A call that ends in a value even where the host dies."""

    __slots__ = ("_args", "_handle", "_method", "_pending")

    def __init__(
        self,
        handle: SupervisedHandle,
        pending: Pending,
        method: str,
        args: tuple[object, ...],
    ) -> None:
        self._handle = handle
        self._pending = pending
        self._method = method
        self._args = args

    def done(self) -> bool:
        return self._pending.done()

    def result(self) -> object:
        try:
            value = self._pending.result()
        except HostDiedError as died:
            value = self._handle.mend(self._method, self._args, died)
        self._handle.note(self._method, self._args)
        return value
