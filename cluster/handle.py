"""A host in a Ray actor, and the calls that reach it: each once, whatever becomes of a message."""

from __future__ import annotations

import gc
import os
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError

from actors.port import HostDiedError, Pending
from cluster.once import WINDOW, Once, Stamp

_OUTSTANDING = WINDOW // 2
"""Calls that one handle leaves unanswered before it waits for the oldest."""
_TRIES = 20
"""Times that a call is sent to a host of which Ray does not know whether it received it."""


class Seat:
    """What a Ray actor is made of: a host, or what became of making it.

    An actor whose constructor raises is dead and its error reaches callers as text alone. So the
    error is kept here, and every call raises it.
    """

    def __init__(self, make: Callable[..., object], args: tuple[object, ...]) -> None:
        """Make the host."""
        self._once = Once()
        self._failure: Exception | None = None
        try:
            self._host = make(*args)
        except Exception as failure:  # noqa: BLE001 - raised by every call
            self._failure = failure
        # What is here now (Ray, a model's libraries) stays as long as the process, and is as many
        # objects as Python would wait for a quarter of in garbage before it looks for any: that
        # is minutes of arms, whose sessions it keeps so long. And then it would look at all of it,
        # which stops the host for a tenth of a second.
        gc.collect()
        gc.freeze()
        gc.collect()  # which makes it forget how much there was

    def call(self, stamp: Stamp, method: str, args: tuple[object, ...]) -> object:
        """Carry a call out, or give its first time's reply."""
        if self._failure is not None:
            raise self._failure
        return self._once.call(stamp, lambda: getattr(self._host, method)(*args))

    def place(self) -> tuple[str, int]:
        """Id of the node that the actor is on, and of its process there."""
        return ray.get_runtime_context().get_node_id(), os.getpid()


class _Call:
    """A call under way; it may be waited for from several sides."""

    __slots__ = ("_args", "_handle", "_method", "_ref", "_stamp", "failure", "settled", "value")

    def __init__(
        self, handle: RayHandle, stamp: Stamp, method: str, args: tuple[object, ...]
    ) -> None:
        self._handle = handle
        self._stamp = stamp
        self._method = method
        self._args = args
        self._ref = self._send()
        self.settled = False
        self.value: object = None
        self.failure: Exception | None = None

    @property
    def sequence(self) -> int:
        return self._stamp.sequence

    def done(self) -> bool:
        return self.settled or bool(ray.wait([self._ref], timeout=0)[0])

    def result(self) -> object:
        self.settle()
        if self.failure is not None:
            raise self.failure
        return self.value

    def settle(self) -> None:
        """Wait for the reply, and ask again where Ray does not know whether the host was asked."""
        for left in range(_TRIES, 0, -1):
            if self.settled:
                return
            try:
                self.value = ray.get(self._ref)
            except RayTaskError as failed:
                # The host's own exception, as it would be raised in this process.
                self.failure = failed.cause
            except ActorUnavailableError as lost:
                if left > 1:
                    self._ref = self._send()
                    continue
                self.failure = self._died(lost)
            except RayError as died:
                self.failure = self._died(died)
            self.settled = True

    def _send(self) -> ray.ObjectRef[Any]:
        sent: ray.ObjectRef[Any] = self._handle.actor.call.remote(
            self._stamp, self._method, self._args
        )
        return sent

    def _died(self, error: RayError) -> HostDiedError:
        reason = " ".join(str(error).split())
        return HostDiedError(f"an actor died during {self._method}: {reason}")


class _Stream:
    """The calls of one method by one caller: a slow one holds back no other method's."""

    def __init__(self, caller: str) -> None:
        self._caller = caller
        self._lock = Lock()
        self._sequence = 0
        self._unanswered: deque[_Call] = deque()

    def begin(self, handle: RayHandle, method: str, args: tuple[object, ...]) -> _Call:
        with self._lock:
            waiting = self._unanswered
            if len(waiting) >= _OUTSTANDING:
                waiting[0].settle()
            while waiting and waiting[0].settled:
                waiting.popleft()
            answered = waiting[0].sequence if waiting else self._sequence
            stamp = Stamp(self._caller, handle.epoch, self._sequence, answered)
            call = _Call(handle, stamp, method, args)
            self._sequence += 1
            waiting.append(call)
            return call


class RayHandle:
    """A host in an actor; a copy that travels to another process is a caller of its own."""

    def __init__(self, actor: Any, epoch: int = 0) -> None:  # noqa: ANN401 - Ray's are untyped
        """Wrap an actor's handle.

        Args:
            actor: Ray's handle.
            epoch: how often the host was made before.
        """
        self.actor = actor
        self.epoch = epoch
        self._caller = os.urandom(8).hex()
        self._lock = Lock()
        self._streams: dict[str, _Stream] = {}

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as the actor alone: sequence numbers belong to one caller."""
        return RayHandle, (self.actor, self.epoch)

    def submit(self, method: str, *args: object) -> Pending:
        """Begin a call; wait for the oldest one where too many are unanswered."""
        with self._lock:
            stream = self._streams.get(method)
            if stream is None:
                stream = self._streams[method] = _Stream(f"{self._caller}/{method}")
        return stream.begin(self, method, args)

    def call(self, method: str, *args: object) -> object:
        """Call and wait."""
        return self.submit(method, *args).result()

    def end(self) -> None:
        """End the actor, if it has not ended."""
        ray.kill(self.actor)

    def place(self, timeout_s: float | None = None) -> tuple[str, int]:
        """Return the id of the node that the host was placed on, and of its process there.

        Raises:
            HostDiedError: it is on none, or on none within the time.
        """
        try:
            node_id, pid = ray.get(self.actor.place.remote(), timeout=timeout_s)
        except RayError as error:
            reason = " ".join(str(error).split())
            raise HostDiedError(f"an actor was not placed: {reason}") from error
        return str(node_id), int(pid)
