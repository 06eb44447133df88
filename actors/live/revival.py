"""A host that is made again, beside a run that goes on."""

from __future__ import annotations

from threading import Thread

from actors.port import Revivable


class Revival:
    """Makes one host again, in a thread of its own: placing it and loading its model take long."""

    def __init__(self, host: Revivable, reason: str) -> None:
        """Begin.

        Args:
            host: the one that died.
            reason: what was told of its death.
        """
        self._host = host
        self._reason = reason
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._revive, name="live-revival", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether it is over, well or not."""
        return not self._thread.is_alive()

    def succeed(self) -> None:
        """Wait until the host is there again.

        Raises:
            HostDiedError: it died anew, or there is no room for it.
            Exception: what its making raised otherwise.
        """
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def join(self, limit_s: float | None = None) -> None:
        """Wait for its end, so long."""
        self._thread.join(limit_s)

    def _revive(self) -> None:
        try:
            self._host.revive(self._reason)
        except BaseException as failure:  # noqa: BLE001 - told to whoever asks what became of it
            self._failure = failure
