"""The path between two hosts: packets wait here for delay and jitter, and some are lost.

Run as a process: ``python relay.py NAMESPACE``. It makes two TUN devices there, one for each way
in, says ``ready`` and then carries packets. Each line on standard input sets the path anew: one-way
delay and mean of the exponential jitter in nanoseconds, loss as a probability, seed, rate in bit/s.
Packets stay in order. It ends with its parent, or when standard input does.

The token bucket in front of it holds the queue and the rate, but lets a few packets through at once
when it was full. Here each packet takes its own time on the line after the packet before it, so
that what comes out is a line at that rate.

Standard library alone, so that it starts at once.
"""

import ctypes
import fcntl
import os
import select
import signal
import struct
import sys
import time
from collections import deque
from contextlib import suppress
from random import Random

DEVICES = ("from-cloud", "from-edge")
_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_PR_SET_PDEATHSIG, _PR_SET_TIMERSLACK = 1, 29
_PACKET_BYTES = 65_536


def enter(namespace: str) -> None:
    """Enter a network namespace for good."""
    with open(f"/run/netns/{namespace}", "rb") as entrance:  # noqa: PTH123 - stdlib, no pathlib
        # os.setns comes with Python 3.12.
        if ctypes.CDLL(None, use_errno=True).setns(entrance.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter namespace {namespace}")


def open_tun(device: str) -> int:
    """Make a TUN device; return its descriptor."""
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI))
    return tun


class Path:
    """One direction: what is under way, and when the last of it is due."""

    def __init__(self, source: int, target: int) -> None:
        """Carry packets from one descriptor to another."""
        self.source = source
        self.target = target
        self.waiting: deque[tuple[int, bytes]] = deque()
        self.last_ns = 0
        self.line_ns = 0.0
        self.set(0, 0, 0.0, 0, 0)

    def set(self, delay_ns: int, jitter_ns: int, loss: float, seed: int, rate_bps: int) -> None:
        """What packets meet from now on."""
        self.delay_ns, self.jitter_ns, self.loss = delay_ns, jitter_ns, loss
        self.byte_ns = 8e9 / rate_bps if rate_bps else 0.0
        self.random = Random(seed)

    def take(self) -> None:
        """Read what has come."""
        while True:
            try:
                packet = os.read(self.source, _PACKET_BYTES)
            except BlockingIOError:
                return
            self.line_ns = max(self.line_ns, time.monotonic_ns()) + len(packet) * self.byte_ns
            due_ns = int(self.line_ns) + self.delay_ns
            if self.jitter_ns:
                due_ns += int(self.random.expovariate(1 / self.jitter_ns))
            if self.loss and self.random.random() < self.loss:
                continue
            self.last_ns = max(self.last_ns, due_ns)
            self.waiting.append((self.last_ns, packet))

    def give(self, now_ns: int) -> None:
        """Write what is due."""
        while self.waiting and self.waiting[0][0] <= now_ns:
            # A device that is down or full takes nothing: lost, as on a wire.
            with suppress(OSError):
                os.write(self.target, self.waiting.popleft()[1])


def main(namespace: str) -> None:
    """Carry packets until standard input ends."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(_PR_SET_TIMERSLACK, 1)
    enter(namespace)
    ends = [open_tun(device) for device in DEVICES]
    paths = Path(ends[0], ends[1]), Path(ends[1], ends[0])
    orders = sys.stdin.fileno()
    os.set_blocking(orders, False)
    print("ready", flush=True)
    text = ""
    while True:
        now_ns = time.monotonic_ns()
        for path in paths:
            path.give(now_ns)
        dues = [path.waiting[0][0] for path in paths if path.waiting]
        wait_s = max(0, min(dues) - time.monotonic_ns()) / 1e9 if dues else None
        readable, _, _ = select.select([*ends, orders], [], [], wait_s)
        for path in paths:
            if path.source in readable:
                path.take()
        if orders in readable:
            more = os.read(orders, _PACKET_BYTES).decode()
            if not more:
                return
            *lines, text = (text + more).split("\n")
            for line in lines:
                delay, jitter, loss, seed, rate = line.split()
                for number, path in enumerate(paths):
                    own = 2 * int(seed) + number
                    path.set(int(delay), int(jitter), float(loss), own, int(rate))
                print("set", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
