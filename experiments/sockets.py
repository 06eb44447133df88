"""A scenario over real sockets: its cloud served from one process, its devices run from others."""

from __future__ import annotations

import asyncio
import secrets
import signal
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from actors.live.driver import run_live
from actors.plan import ArmPlan, CodecTerms, codec_terms, engine_spec
from actors.port import LocalHandle, Recovery
from actors.records import Recorder
from actors.sockets.connecting import CloudAddress, knock
from actors.sockets.devices import DeviceHost
from actors.sockets.protocol import welcome
from actors.sockets.server import CloudServer, ServeLimits
from actors.values.port import ArmSpec, CloudHost, EdgeHost
from actors.values.witness import Witnessed, Witnessing
from costeer.codec.core import build_codec
from costeer.errors import ConfigError
from costeer.machine import (
    CloudForward,
    CloudRow,
    CloudSelect,
    EdgeDecode,
    EdgeForward,
    EdgeOp,
    EdgeSteer,
    EncodeItem,
    Release,
)
from costeer.methods import CloudRole
from experiments.host_makers import host_makers
from experiments.outcome import RunOutcome, check_out_dir
from experiments.planning import plan_arm, plan_service, plan_workload
from experiments.progress import Progress
from experiments.report import write_report
from experiments.run import run_arms
from experiments.scenario import Scenario
from experiments.ways import Drive, Way

WAY = "sockets"
LINK = "as it is"
_NOBODY = 2**32 - 1
"""A session that is over before any other begins."""
_MIN_TOKEN_BYTES = 16
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def choose_arm(scenario: Scenario, wanted: str | None) -> Scenario:
    """Return the scenario with one arm alone.

    Args:
        scenario: as it was read.
        wanted: a method's name, or which arm it is, from 1; None where there is no choice.

    Raises:
        ConfigError: no such arm, several of them, one that crosses no network, several replicas, or
            modelled events.
    """
    names = [arm.method for arm in scenario.arms]
    listed = ", ".join(f"{number} {name}" for number, name in enumerate(names, 1))
    if wanted is None:
        found = list(range(len(names)))
    elif wanted.isdecimal():
        found = [int(wanted) - 1] if 0 < int(wanted) <= len(names) else []
    else:
        found = [index for index, name in enumerate(names) if name == wanted]
    if len(found) != 1:
        what = "no arm" if not found else f"{len(found)} arms"
        raise ConfigError(f"--arm: {what} of {scenario.name} chosen; it has {listed}")
    arm = scenario.arms[found[0]]
    if arm.settings.cloud is CloudRole.ABSENT:
        raise ConfigError(f"--arm {arm.method}: the device decodes alone; choose of {listed}")
    if scenario.cloud.replicas > 1:
        raise ConfigError(
            f"cloud.replicas: {scenario.cloud.replicas} in {scenario.name}, and `costeer serve` is"
            " one of them; start one for each behind a balancer that keeps a device where it is,"
            " each with --set cloud.replicas=1"
        )
    if scenario.events:
        raise ConfigError(
            f"events: {scenario.name} has a model of what happens, and on sockets only what really"
            " happens does; leave them out with --set 'events=[]'"
        )
    return scenario.model_copy(update={"arms": (arm,)})


def choose_devices(scenario: Scenario, first: int, last: int | None) -> range:
    """Return the devices of a fleet that one process runs.

    Raises:
        ConfigError: not in the fleet.
    """
    fleet = scenario.fleet.devices
    end = fleet - 1 if last is None else last
    if not first <= end < fleet:
        raise ConfigError(f"--devices {first}-{end}: the fleet has devices 0-{fleet - 1}")
    return range(first, end + 1)


def make_token(path: Path) -> bytes:
    """Return the token in a file; a file that is not there is made, for its owner alone.

    Raises:
        ConfigError: it cannot be read or made, or is too short.
    """
    if not path.exists():
        try:
            path.touch(mode=0o600, exist_ok=False)
            path.write_text(secrets.token_hex(_MIN_TOKEN_BYTES) + "\n", encoding="ascii")
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot be made ({error.strerror}); choose another --token-file"
            ) from error
    elif path.stat().st_mode & _OTHERS:
        raise ConfigError(f"{path}: others may read this token; `chmod 600 {path}` first")
    return read_token(path)


def read_token(path: Path) -> bytes:
    """Return the token in a file.

    Raises:
        ConfigError: it cannot be read, or is too short to be one.
    """
    try:
        token = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(
            f"{path}: no token ({error.strerror}); copy the file that `costeer serve` made, or"
            " name it with --token-file"
        ) from error
    if len(token) < _MIN_TOKEN_BYTES:
        raise ConfigError(f"{path}: a token has at least {_MIN_TOKEN_BYTES} bytes")
    return token


@dataclass(frozen=True, slots=True)
class Listening:
    """Where and for whom a cloud listens.

    Args:
        address: interface.
        port: 0 for a free one.
        token: what devices have to know.
        limits: what they may use.
    """

    address: str
    port: int
    token: bytes
    limits: ServeLimits = ServeLimits()  # noqa: RUF009 - frozen


def serve_scenario(
    scenario: Scenario, where: Listening, ready: Callable[[str, int], None]
) -> CloudServer:
    """Serve a scenario's one arm until SIGINT or SIGTERM; return the server for its counts.

    Args:
        scenario: with one arm; its prompts are not read.
        where: to listen.
        ready: told what is served, and on which port, when devices may come.

    Raises:
        ConfigError: a model cannot be loaded, or the address not be listened on.
        Exception: what the model raised.
    """
    plan = plan_arm(scenario, plan_service(scenario), scenario.arms[0])
    sessions = where.limits.max_devices
    plan = replace(plan, limits=replace(plan.limits, max_sessions=sessions, max_waiting=sessions))
    make_cloud, _, (cloud_name, _) = host_makers(scenario)
    host = make_cloud()
    terms = codec_terms(plan, host.begin_arm(plan.arm))
    _warm_cloud(host, terms)
    server = CloudServer(
        host,
        engine_spec(plan, terms),
        welcome(plan, terms),
        where.token,
        where.limits,
        time.monotonic_ns,
    )
    told = f"{plan.arm.method.name} from {cloud_name}, {terms.name}"
    asyncio.run(_serve(server, where, partial(ready, told)))
    return server


async def _serve(server: CloudServer, where: Listening, ready: Callable[[int], None]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with server.listening(where.address, where.port) as port:
        ready(port)
        stopping = asyncio.ensure_future(stop.wait())
        failing = asyncio.ensure_future(server.failure())
        await asyncio.wait((stopping, failing), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if failing.done():
            failing.result()
        failing.cancel()


@dataclass(frozen=True, slots=True)
class _Devices:
    """One process's devices: the small model is here, the large one behind an address."""

    host: EdgeHost
    cloud_name: str
    edge_name: str
    recoveries: Sequence[Recovery] = ()

    def begin_arm(self, arm: ArmSpec) -> int:
        """Prepare the small model; return the vocabulary's size."""
        return self.host.begin_arm(arm)

    def take_witnessed(self) -> list[Witnessed]:
        """Return what the devices kept of the arm's witnessed sessions, and forget it."""
        return self.host.take_witnessed() if isinstance(self.host, Witnessing) else []


def run_devices(
    scenario: Scenario, cloud: CloudAddress, devices: range, out_dir: Path, progress: Progress
) -> RunOutcome:
    """Run some devices of a scenario's fleet against a cloud that listens.

    Args:
        scenario: with one arm.
        cloud: where it listens.
        devices: which of the fleet's.
        out_dir: a directory that does not hold a run yet.
        progress: told of tokens.

    Raises:
        ConfigError: something cannot be had, here or there.
        Exception: what the small model raised, Ctrl-C too; after what there is was written.
    """
    check_out_dir(out_dir)
    workload = plan_workload(scenario)
    # Tables name what frames cross: whatever is there, not what the scenario would simulate.
    mine = (replace(workload.devices[index], link_class=LINK) for index in devices)
    workload = replace(workload, devices=tuple(mine))
    _, make_edge, (_, edge_name) = host_makers(scenario)
    hosts = _Devices(make_edge(), str(cloud), edge_name)
    arm = plan_arm(scenario, workload, scenario.arms[0])
    # Before anything is written: whoever mistyped an address has no partial run.
    knock(arm, codec_terms(arm, hosts.begin_arm(arm.arm)), cloud)

    def begin(plan: ArmPlan, terms: CodecTerms, recorder: Recorder) -> tuple[Drive, dict[str, str]]:
        _warm_edge(hosts.host, plan, terms.vocab_size)
        shard = LocalHandle(DeviceHost(hosts.host, cloud, time.monotonic_ns))
        drive = partial(run_live, plan, terms, (), (shard,), recorder, time.sleep)
        return drive, {"compute": "measured", "links": "measured"}

    outcome = run_arms(hosts, Way(WAY, begin), scenario, workload, out_dir, progress)
    write_report(outcome.run_dir)
    return outcome


def _warm_cloud(host: CloudHost, terms: CodecTerms) -> None:
    """Compute once what takes longest the first time, before any device waits for it."""
    forward = CloudForward((CloudRow(_NOBODY, (0, 0), 0),))
    select = CloudSelect((EncodeItem(_NOBODY, 0, *terms.ladder.ranks(0)),), ((_NOBODY, 0),))
    host.execute([forward, select, Release(_NOBODY)])


def _warm_edge(host: EdgeHost, plan: ArmPlan, vocab_size: int) -> None:
    """See ``_warm_cloud``."""
    branches = len(plan.arm.method.edge_branches)
    ops: list[EdgeOp | Release] = []
    if branches:
        # A prompt, in the small model's ids even where these are not the cloud's.
        runs, prompts = ((0, 0),) * branches, (2,) * branches
        ops.append(EdgeForward(_NOBODY, runs, (0,) * branches, prompts=prompts))
    if plan.arm.method.steered:
        codec = build_codec(plan.arm.codec, vocab_size)
        payload = codec.encode(np.linspace(9.0, 0.0, vocab_size, dtype=np.float32))
        ops += [EdgeDecode(_NOBODY, 0, 0, payload), EdgeSteer(_NOBODY, 0, 0)]
    host.execute([*ops, Release(_NOBODY)])
