"""The way out of the cloud, when its frames leave one after the other."""

from netsim.carriage import UNLIMITED, serialise_ns
from netsim.errors import NetsimError


class Egress:
    """The cloud's way out, shared by all its devices: one FIFO server in front of their links.

    Messages are stored and forwarded whole: a device's link begins when the last byte has left.
    Packets would overlap the two; the difference is one frame's time at the egress rate, 0.25 ms
    for a dense frame at 10 Gbit/s.
    """

    __slots__ = ("busy_ns", "busy_until_ns", "rate_bps")

    def __init__(self, rate_bps: int = UNLIMITED) -> None:
        if rate_bps < 0:
            raise NetsimError(f"egress: rate_bps = {rate_bps}; it cannot be negative")
        self.rate_bps = rate_bps
        self.busy_until_ns = 0
        """When the last bit of all that was handed over has left."""
        self.busy_ns = 0
        """Time spent serialising."""

    def depart(self, now_ns: int, wire_bytes: int) -> int:
        """When the last of `wire_bytes`, handed over at `now_ns`, has left the cloud."""
        if wire_bytes < 0:
            raise NetsimError(f"egress: {wire_bytes} bytes; a size cannot be negative")
        took_ns = serialise_ns(wire_bytes, self.rate_bps)
        self.busy_until_ns = max(now_ns, self.busy_until_ns) + took_ns
        self.busy_ns += took_ns
        return self.busy_until_ns

    def utilisation(self, elapsed_ns: int) -> float:
        """Share of `elapsed_ns` in which the egress was busy; 0 for no time."""
        return self.busy_ns / elapsed_ns if elapsed_ns > 0 else 0.0
