"""Two hosts on this machine, joined by a path with a rate, a delay, jitter and loss.

Each host is a network namespace; a third one between them is the path. What a host sends is routed
there into a TUN device whose queue is the kernel's token bucket (``tbf``: the rate), then through a
relay (``relay``: delay, jitter, loss) to the other host. The bottleneck is thus no host's own
device: there, the sender's stack would see its queue and share it between connections, which no
line in a network does.

Needs root. What was made is removed at the end, after failures too; what a killed process left
behind is removed by the next one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from costeer.errors import ConfigError
from experiments.validation import relay

CONGESTION = "cubic"
"""What both ends use, whatever the machine's default is."""
_PREFIX = "costeer-"
_NAMESPACES = Path("/run/netns")
_BURST_BYTES = 9_240
"""Of the token bucket, six packets: a timer that is a little late costs no rate; see ``relay``."""
_QUEUE_BYTES = 20_000_000
"""What may wait for the rate: nothing is lost there."""
_SETTINGS = {
    "net.ipv4.tcp_no_metrics_save": "1",  # a new connection knows nothing of older ones
    "net.ipv4.tcp_slow_start_after_idle": "1",
}
_ROUTING = {"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.rp_filter": "0"}
_LINE = "line"
"""Device of a host towards the path."""


@dataclass(frozen=True, slots=True)
class PathSpec:
    """What lies between the two hosts, the same both ways.

    Args:
        rate_bps: of the bottleneck; 0 for no limit.
        delay_ns: one way.
        jitter_ns: mean of an exponential extra delay per packet.
        loss: probability that a packet is lost.
        seed: of jitter and loss.
    """

    rate_bps: int = 0
    delay_ns: int = 0
    jitter_ns: int = 0
    loss: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Host:
    """One of the two.

    Args:
        namespace: its name.
        address: its IPv4 address.
    """

    namespace: str
    address: str

    def command(self, command: Sequence[str]) -> list[str]:
        """Return a command that runs on this host."""
        return ["ip", "netns", "exec", self.namespace, *command]


class TwoHosts:
    """A cloud and an edge; see the module."""

    def __init__(self, cloud: Host, edge: Host, path: str, carrier: subprocess.Popen[str]) -> None:
        """Join what ``two_hosts`` has made."""
        self.cloud = cloud
        self.edge = edge
        self._path = path
        self._carrier = carrier

    def lay(self, path: PathSpec) -> None:
        """Change what lies between the hosts; connections stay."""
        for device_name in relay.DEVICES:
            device = ["tc", "-n", self._path, "qdisc", "replace", "dev", device_name, "root"]
            if path.rate_bps:
                line = ["tbf", "rate", f"{path.rate_bps}bit", "burst", str(_BURST_BYTES)]
                _run([*device, *line, "limit", str(_QUEUE_BYTES)])
            else:
                _run([*device, "pfifo", "limit", "10000"])
        orders, answers = self._carrier.stdin, self._carrier.stdout
        if orders is None or answers is None:
            raise ConfigError("the relay has no pipes")
        orders.write(
            f"{path.delay_ns} {path.jitter_ns} {path.loss!r} {path.seed} {path.rate_bps}\n"
        )
        orders.flush()
        if answers.readline() != "set\n":
            raise ConfigError("the relay between the namespaces has died")


def missing() -> str | None:
    """Return why no hosts can be made here; None where they can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    absent = [tool for tool in ("ip", "tc", "unshare") if shutil.which(tool) is None]
    if absent:
        return f"`{absent[0]}` is missing; install iproute2 and util-linux"
    return _missing_in_kernel()


def _missing_in_kernel() -> str | None:
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun is missing; load the tun module"
    if CONGESTION not in Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text():
        return f"this kernel has no congestion control {CONGESTION}; load tcp_{CONGESTION}"
    tried = subprocess.run(
        ["unshare", "--net", "true"],  # noqa: S607 - util-linux
        check=False,
        capture_output=True,
        text=True,
    )
    if tried.returncode:
        return f"no network namespace can be made: {tried.stderr.strip()}"
    return None


@contextmanager
def two_hosts() -> Iterator[TwoHosts]:
    """Two hosts while the block runs; ``lay`` says what lies between them.

    Commands on a host: ``subprocess.Popen(net.cloud.command([...]))``; what still runs there at the
    end is killed.

    Raises:
        ConfigError: they cannot be made here; the reason is named.
    """
    reason = missing()
    if reason is not None:
        raise ConfigError(f"two hosts: {reason}")
    _remove_leftovers()
    cloud = Host(f"{_PREFIX}{os.getpid()}-cloud", "10.77.0.1")
    edge = Host(f"{_PREFIX}{os.getpid()}-edge", "10.77.0.2")
    path = f"{_PREFIX}{os.getpid()}-path"
    with ExitStack() as undo:
        for namespace in (path, cloud.namespace, edge.namespace):
            undo.callback(_remove, namespace)
            _run(["ip", "netns", "add", namespace])
        carrier = undo.enter_context(
            subprocess.Popen(
                [sys.executable, relay.__file__, path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C is for whoever cleans up
            )
        )
        undo.callback(carrier.kill)
        if carrier.stdout is None or carrier.stdout.readline() != "ready\n":
            raise ConfigError("two hosts: the relay did not start; its complaint stands above")
        _set(path, _ROUTING)
        for number, (host, into) in enumerate(zip((cloud, edge), relay.DEVICES, strict=True)):
            _attach(host, path, into, number)
        yield TwoHosts(cloud, edge, path, carrier)


def _attach(host: Host, path: str, into: str, number: int) -> None:
    """Lead a host's line into the path, and what comes out for it back."""
    line = f"host{number}"
    _run(["ip", "-n", host.namespace, "link", "add", _LINE, "type", "veth",
          "peer", "name", line, "netns", path])  # fmt: skip
    # Packets as a line carries them, not the large ones that hosts hand to their devices.
    _run(["ip", "-n", host.namespace, "link", "set", _LINE, "gso_max_segs", "1", "up"])
    _run(["ip", "-n", host.namespace, "link", "set", "lo", "up"])
    _run(["ip", "-n", host.namespace, "addr", "add", f"{host.address}/32", "dev", _LINE])
    _run(["ip", "-n", host.namespace, "route", "add", "default", "dev", _LINE])
    _set(host.namespace, _SETTINGS)
    within = ["ip", "-n", path]
    for device in (line, into):
        _run([*within, "link", "set", device, "up"])
    _run([*within, "link", "set", into, "txqueuelen", "1000"])
    _run([*within, "addr", "add", f"10.77.1.{number + 1}/32", "dev", line])
    _set(path, {f"net.ipv4.conf.{line}.proxy_arp": "1"})
    _run([*within, "route", "add", host.address, "dev", line])
    # What the host sends goes into the path; what comes out of the path goes to the host.
    _run([*within, "rule", "add", "iif", line, "lookup", str(100 + number)])
    _run([*within, "route", "add", "default", "dev", into, "table", str(100 + number)])


def _set(namespace: str, settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        _run(["ip", "netns", "exec", namespace, "sysctl", "-q", "-w", f"{name}={value}"])


def _remove_leftovers() -> None:
    """Remove namespaces whose makers are dead."""
    if not _NAMESPACES.is_dir():
        return
    for entrance in _NAMESPACES.iterdir():
        number = entrance.name.removeprefix(_PREFIX).partition("-")[0]
        ours = entrance.name.startswith(_PREFIX) and number.isdecimal()
        if ours and not Path("/proc", number).exists():
            _remove(entrance.name)


def _remove(namespace: str) -> None:
    if not (_NAMESPACES / namespace).exists():
        return
    pids = subprocess.run(
        ["ip", "netns", "pids", namespace],  # noqa: S607 - iproute2, our own name
        check=False,
        capture_output=True,
        text=True,
    )
    for pid in pids.stdout.split():
        subprocess.run(["kill", "-KILL", pid], check=False, capture_output=True)  # noqa: S607
    _run(["ip", "netns", "del", namespace])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
