"""Hosts as Ray actors.

A host is a plain class; here it is wrapped with ``ray.remote`` and placed. At most one cluster is
entered at a time; one that we started ends with us, one that we joined keeps running without our
actors.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any, cast

import ray
from ray.exceptions import RayActorError, RayTaskError

from actors.port import Handle, Pending
from costeer.errors import ConfigError, CosteerError

LOCAL = "local"
_WORKER_ENV = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


class HostDiedError(CosteerError):
    """An actor's process ended while it was needed."""


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
        except RayActorError as died:
            message = f"an actor died during {self._method}: {died}".split("\n", 1)[0]
            raise HostDiedError(message) from died
        return value


class RayHandle:
    """A host in an actor; may be handed to another actor."""

    def __init__(self, actor: Any) -> None:  # noqa: ANN401 - Ray's handles are untyped
        """Wrap an actor's handle."""
        self._actor = actor

    def submit(self, method: str, *args: object) -> Pending:
        """Begin a call."""
        return _RayPending(getattr(self._actor, method).remote(*args), method)

    def call(self, method: str, *args: object) -> object:
        """Call and wait."""
        return self.submit(method, *args).result()


class RayPort:
    """A cluster to put hosts on."""

    def __init__(self, address: str, *, min_cpus: int = 1) -> None:
        """Start a small local cluster, or join one.

        Args:
            address: ``local``, ``auto`` or HOST:PORT.
            min_cpus: logical CPUs that the hosts to come need; a local cluster has at least these,
                whatever the machine has.

        Raises:
            ConfigError: no cluster answers at the address, or Ray is entered already.
        """
        if ray.is_initialized():
            raise ConfigError("address: this process is in a Ray cluster already; use its port")
        try:
            if address == LOCAL:
                ray.init(
                    address=LOCAL,
                    num_cpus=max(os.cpu_count() or 1, min_cpus),
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.WARNING,
                    runtime_env={"env_vars": _WORKER_ENV},
                )
            else:
                ray.init(
                    address=address,
                    log_to_driver=False,
                    logging_level=logging.WARNING,
                    runtime_env={"env_vars": _WORKER_ENV},
                )
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).split("\n", 1)[0]
            raise ConfigError(
                f"address: cannot enter a Ray cluster at {address!r} ({reason}); start one with"
                " `ray start --head`, or use --address local or none"
            ) from error
        self._actors: list[Any] = []

    def start(self, make: Callable[..., object], *args: object, threads: int = 1) -> Handle:
        """Make a host in an actor of its own."""
        # Ray's overloads do not know the options of an actor's decorator.
        decorate = cast("Any", ray.remote)(num_cpus=1, max_concurrency=threads)
        actor = decorate(make).remote(*args)
        self._actors.append(actor)
        return RayHandle(actor)

    def close(self) -> None:
        """End our actors, and the cluster if it is ours."""
        for actor in self._actors:
            ray.kill(actor)
        self._actors = []
        ray.shutdown()
