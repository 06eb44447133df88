"""How long devices wait for their cloud: the same waits for all, and each session's own jitter.

Without the jitter all devices of a stalled cloud would ask again in the same instant.
"""

from __future__ import annotations

from dataclasses import dataclass

from costeer.patience import Patience
from netsim.random import Stream, uniform


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a frame is sent again, and when a device gives its cloud up.

    Args:
        timeout_ns: how long the first try is waited for.
        tries: times that a frame is sent, the first one included.
        backoff: each further try is waited for so many times as long.
        jitter: a wait is longer or shorter by at most this share of it, below 1.
        falls_back: whether devices then finish their answers by themselves, where they can.
    """

    timeout_ns: int
    tries: int
    backoff: float = 2.0
    jitter: float = 0.0
    falls_back: bool = False

    def patience(self, seed: int, session: int) -> Patience:
        """Return how long one session waits."""
        return Patience(
            tuple(self._wait_ns(seed, session, each) for each in range(self.tries)),
            self.falls_back,
        )

    def _wait_ns(self, seed: int, session: int, repeats: int) -> int:
        drawn = 2.0 * uniform(seed, Stream.RETRY, session, repeats) - 1.0
        return max(1, round(self.base_ns(repeats) * (1.0 + self.jitter * drawn)))

    def base_ns(self, repeats: int) -> float:
        """Return how long is waited after so many repeats, without jitter."""
        return self.timeout_ns * self.backoff**repeats
