"""Hosts as Ray actors.

A host is a plain class; here it is wrapped with ``ray.remote`` and placed. At most one cluster is
entered at a time; one that we started ends with us, one that we joined keeps running without our
actors.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from typing import Any, cast

import ray
from ray.exceptions import RayError, RayTaskError

from actors.port import Handle, Pending
from costeer.errors import ConfigError, CosteerError

LOCAL = "local"
_REACH_TIMEOUT_S = 3.0


class HostDiedError(CosteerError):
    """An actor's process ended, or could not be reached, while it was needed."""


class _Seat:
    """What a Ray actor is made of: a host, or what became of making it.

    An actor whose constructor raises is dead and its error reaches callers as text alone. So the
    error is kept here, and every call raises it.
    """

    def __init__(self, make: Callable[..., object], args: tuple[object, ...]) -> None:
        self._failure: Exception | None = None
        try:
            self._host = make(*args)
        except Exception as failure:  # noqa: BLE001 - raised by every call
            self._failure = failure

    def call(self, method: str, args: tuple[object, ...]) -> object:
        if self._failure is not None:
            raise self._failure
        value: object = getattr(self._host, method)(*args)
        return value

    def node_id(self) -> str:
        found: str = ray.get_runtime_context().get_node_id()
        return found


class _RayPending:
    """A call under way."""

    __slots__ = ("_method", "_ref")

    def __init__(self, ref: ray.ObjectRef[Any], method: str) -> None:
        self._ref = ref
        self._method = method

    def result(self) -> object:
        try:
            value: object = ray.get(self._ref)
        except RayTaskError as failed:
            # The host's own exception, as it would be raised in this process.
            raise failed.cause from failed
        except RayError as died:
            reason = " ".join(str(died).split())
            raise HostDiedError(f"an actor died during {self._method}: {reason}") from died
        return value


class RayHandle:
    """A host in an actor; may be handed to another actor."""

    def __init__(self, actor: Any) -> None:  # noqa: ANN401 - Ray's handles are untyped
        """Wrap an actor's handle."""
        self._actor = actor

    def submit(self, method: str, *args: object) -> Pending:
        """Begin a call."""
        return _RayPending(self._actor.call.remote(method, args), method)

    def call(self, method: str, *args: object) -> object:
        """Call and wait."""
        return self.submit(method, *args).result()

    def node_id(self) -> str:
        """Return the id of the node that the host was placed on."""
        return str(_RayPending(self._actor.node_id.remote(), "node_id").result())


class RayPort:
    """A cluster to put hosts on."""

    def __init__(self, address: str, *, min_cpus: int = 1) -> None:
        """Start a small local cluster, or join one.

        Args:
            address: ``local``, ``auto`` or HOST:PORT.
            min_cpus: logical CPUs that the hosts to come need; a local cluster has at least these,
                whatever the machine has.

        Raises:
            ConfigError: no cluster answers at the address, it is too small, or Ray is entered
                already.
        """
        self._actors: list[Any] = []
        if ray.is_initialized():
            raise ConfigError("address: this process is in a Ray cluster already; use its port")
        try:
            _enter(address, min_cpus)
        except (OSError, ValueError, RuntimeError, RayError) as error:
            ray.shutdown()
            reason = str(error).strip().split("\n", 1)[0]
            raise ConfigError(
                f"address: cannot enter a Ray cluster at {address!r} ({reason}); start one with"
                " `ray start --head` (RAY_AUTH_MODE must be the same here and there), or use"
                " --address local or none"
            ) from error
        cpus = int(cast("Any", ray.cluster_resources)().get("CPU", 0))
        if cpus < min_cpus:
            ray.shutdown()
            raise ConfigError(
                f"address: the cluster at {address!r} has {cpus} CPUs, the run's {min_cpus} actors"
                " need one each; add nodes, lower fleet.shards, or use --address local or none"
            )

    def start(self, make: Callable[..., object], *args: object, threads: int = 1) -> Handle:
        """Make a host in an actor of its own, spread over the nodes.

        What its making raises is raised by the first call.
        """
        # Ray's overloads do not know the options of an actor's decorator.
        decorate = cast("Any", ray.remote)(
            num_cpus=1, max_concurrency=threads, scheduling_strategy="SPREAD"
        )
        actor = decorate(_Seat).remote(make, args)
        self._actors.append(actor)
        return RayHandle(actor)

    def close(self) -> None:
        """End our actors, and the cluster if it is ours."""
        try:
            for actor in self._actors:
                ray.kill(actor)
        finally:
            self._actors = []
            ray.shutdown()


def _enter(address: str, min_cpus: int) -> None:
    # Only errors: Ray says at every start that it protects its local cluster by a token.
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        cpus = max(os.cpu_count() or 1, min_cpus)
        ray.init(address=LOCAL, num_cpus=cpus, include_dashboard=False, **quiet)
        return
    host, _, port = address.rpartition(":")
    if host:
        # Ray itself tries for minutes, and says so, where nobody listens.
        socket.create_connection((host, int(port)), _REACH_TIMEOUT_S).close()
    ray.init(address=address, **quiet)
