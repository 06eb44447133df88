"""What the drivers cost: microseconds a token with constant values, and the share of the work.

The share is a run's token rate over that of a bare loop: every host records which operations it
was asked for, in which batches; the loop then executes the same batches on the same hosts with
nothing around them, the cloud's and then the shard's. A live run's cloud and shard work at the same
time; it is also held against two such loops on two threads, which have nothing to wait for.
Everything is in this process, on the shipped pair, over a link that takes no time.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

from actors.cloud import CloudActor
from actors.edge import EdgeActor
from actors.fleet.cells import CellRun, run_cell
from actors.fleet.machine_code import kept_compiler
from actors.fleet.planned import cell_of
from actors.fleet.result import CellResult
from actors.live.driver import run_live
from actors.metrics import ArmMetrics, Exporter, Metrics
from actors.plan import ArmPlan, CodecTerms, codec_terms
from actors.port import LocalHandle
from actors.records import News, Recorder
from actors.values.port import ArmSpec, CloudHost, EdgeHost
from actors.virtual.driver import VirtualDriver
from experiments.host_makers import host_makers
from experiments.planning import (
    Workload,
    plan_arm,
    plan_cell,
    plan_cells,
    plan_costs,
    plan_workload,
)
from experiments.profile.outcomes import outcomes_for, outcomes_of
from experiments.scenario import Scenario

_DEVICES = 64
_POLL_S = 0.01
_ROUNDS = 3
"""Runs, and bare loops in between: a share of one each is off by what the machine did besides."""

_OVERHEAD_TARGET_S = 100e-6
_SHARE_TARGET = 0.8
_FLEET_DEVICES, _FLEET_TOKENS = 10_000, 20
_FLEET_TARGET_S = 1e-6
_CELLS, _CELLS_TARGET_S = 100, 2e-6
_EXPORTER_SHARE = 0.02
"""Of the run's CPU time; its row's target is that share as a time per token."""


def run(repeats: int = 20) -> list[dict[str, Any]]:
    """Rows of `bench`, `case`, `repeats`, `median_s`; runs also `tokens_per_s` and `share`.

    Where a row has a `target`, it is of the share if there is one, else of the median.
    """
    rows = [_overhead(method, max(3, repeats // 4)) for method in ("costeer", "llm_without")]
    rows += [_fleet(method, max(3, repeats // 4)) for method in ("costeer", "llm_without")]
    rows += [_cells(method) for method in ("costeer", "llm_without")]
    rows.append(_exporter(max(3, repeats // 4)))
    for way in ("virtual", "live"):
        rows += _against_bare_loop(way)
    return rows


def _scenario(
    values: str, method: str, new_tokens: int, devices: int = _DEVICES, link: str = "ideal"
) -> Scenario:
    return Scenario.model_validate(
        {
            "name": "bench",
            "values": values,
            "fleet": {
                "devices": devices,
                "arrivals": {"kind": "closed", "think_s": 0.0},
                "classes": [{"share": 1, "link": link, "hardware": "orin-nano"}],
            },
            "arms": [
                {"method": method, "codec": "top64-bf16-naive"}
                if method == "costeer"
                else {"method": method}
            ],
            "workload": {"max_new_tokens": new_tokens, "ignore_eos": True},
        }
    )


class _Setting:
    """One scenario's only arm on fresh hosts in this process."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.workload: Workload = plan_workload(scenario)
        self.plan: ArmPlan = plan_arm(scenario, self.workload, scenario.arms[0])
        make_cloud, make_edge, _ = host_makers(scenario)
        self.cloud, self.edge = _Recorded(make_cloud()), _Recorded(make_edge())
        self.terms: CodecTerms = self.begin()

    def begin(self) -> CodecTerms:
        self.edge.begin_arm(self.plan.arm)
        return codec_terms(self.plan, self.cloud.begin_arm(self.plan.arm))

    def run_virtual(self) -> int:
        return self._run_virtual(self.recorder())

    def run_watched(self, watch: Callable[[News], None]) -> int:
        return self._run_virtual(
            Recorder(_DEVICES, lambda _tokens, _requests: None, watch=watch, watch_every=256)
        )

    def _run_virtual(self, recorder: Recorder) -> int:
        edges = [LocalHandle(self.edge)] if self.plan.arm.method.edge_branches else []
        driver = VirtualDriver(
            self.plan,
            self.terms,
            plan_costs(self.scenario, self.terms),
            (LocalHandle(self.cloud),),
            edges,
            recorder,
        )
        return len(driver.run().tokens)

    def run_live(self) -> int:
        cloud = LocalHandle(CloudActor(lambda: self.cloud))
        edge = LocalHandle(EdgeActor(lambda: self.edge))
        run = run_live(
            self.plan, self.terms, [cloud], [edge], self.recorder(), lambda _: time.sleep(_POLL_S)
        )
        return len(run.tokens)

    def recorder(self) -> Recorder:
        return Recorder(_DEVICES, lambda _tokens, _requests: None)


class _Recorded:
    """A host that remembers its batches."""

    def __init__(self, host: CloudHost | EdgeHost) -> None:
        self._host: Any = host
        self.batches: list[Sequence[Any]] = []

    def begin_arm(self, arm: ArmSpec) -> int:
        size: int = self._host.begin_arm(arm)
        return size

    def execute(self, ops: Sequence[Any]) -> list[object]:
        self.batches.append(list(ops))
        values: list[object] = self._host.execute(ops)
        return values

    def replay(self) -> None:
        for ops in self.batches:
            self._host.execute(ops)


def _overhead(method: str, repeats: int) -> dict[str, Any]:
    setting = _Setting(_scenario("null", method, 64))
    taken = []
    for _ in range(repeats):
        setting.begin()
        began_s = time.process_time()
        tokens = setting.run_virtual()
        taken.append((time.process_time() - began_s) / tokens)
    return {
        "bench": "virtual driver, CPU per token",
        "case": f"{method}, null values",
        "repeats": repeats,
        "median_s": median(taken),
        "target": _OVERHEAD_TARGET_S,
    }


def _fleet(method: str, repeats: int) -> dict[str, Any]:
    """The compiled way as one cell: with histograms, bins and digests, without rows."""
    scenario = _scenario("null", method, _FLEET_TOKENS, _FLEET_DEVICES, "lte")
    setting = _Setting(scenario)
    costs = plan_costs(scenario, setting.terms)
    outcomes = outcomes_of(scenario, setting.plan)
    cell = cell_of(setting.plan)
    taken = []
    for _ in range(repeats + 1):
        run = CellRun(cell, setting.plan, setting.terms, costs, outcomes, compiler=kept_compiler())
        began_s = time.process_time()
        while not run.over:
            run.simulate()
        taken.append((time.process_time() - began_s) / run.tokens)
    per_token_s = median(taken[1:])  # the first one may have compiled
    return {
        "bench": "fleet driver, CPU per token",
        "case": f"{method}, {_FLEET_DEVICES:,} devices on lte, null values, no rows",
        "repeats": repeats,
        "median_s": per_token_s,
        "tokens_per_s": 1 / per_token_s,
        "target": _FLEET_TARGET_S,
    }


def _cells(method: str) -> dict[str, Any]:
    """A million devices in cells, one after the other: planned, laid out, run and merged."""
    devices = _CELLS * _FLEET_DEVICES
    asked = _scenario("null", method, _FLEET_TOKENS, devices, "lte").model_dump(mode="json")
    asked |= {"way": "fleet", "cloud": asked["cloud"] | {"replicas": _CELLS}}
    scenario = Scenario.model_validate(asked)
    plan = plan_arm(scenario, plan_cells(scenario), scenario.arms[0])
    terms = codec_terms(plan, scenario.generated.vocab_size)
    costs, compiler = plan_costs(scenario, terms), kept_compiler()

    def run_one(index: int) -> CellResult:
        cell = plan_cell(scenario, index, compiler)
        outcomes = outcomes_for(
            scenario, plan, cell.device_D[cell.owner_S], cell.request_S, cell.new_tokens_S
        )
        return run_cell(cell, plan, terms, costs, outcomes, compiler=compiler)

    run_one(0)  # the first one may compile
    began_s = time.process_time()
    whole = run_one(0)
    for index in range(1, _CELLS):
        whole = whole.merged(run_one(index))
    per_token_s = (time.process_time() - began_s) / whole.figure("tokens")
    return {
        "bench": "fleet cells, CPU per token",
        "case": f"{method}, {devices:,} devices in {_CELLS} cells on lte, null values",
        "repeats": 1,
        "median_s": per_token_s,
        "tokens_per_s": 1 / per_token_s,
        "target": _CELLS_TARGET_S,
    }


def _exporter(repeats: int) -> dict[str, Any]:
    """What a run's metrics cost beside the run, in CPU time, scraped over HTTP once a second."""
    setting = _Setting(_scenario("models", "costeer", 24))
    rows = setting.run_watched(lambda _: None)
    run_s, counting_s = [], []
    for _ in range(repeats):
        setting.begin()
        news: list[News] = []
        began_s = time.process_time()
        rows = setting.run_watched(news.append)
        run_s.append(time.process_time() - began_s)
        metrics = Metrics(scenario="bench", way="virtual", values="models")
        count = ArmMetrics(metrics, setting.plan, setting.terms.name)
        with Exporter(metrics, "127.0.0.1", 0) as exporter:
            address = f"http://127.0.0.1:{exporter.port}/metrics"
            began_s = time.process_time()
            for each in news:
                count(each)
            for _ in range(max(1, round(run_s[-1]))):
                # Of this process too: what asks is counted as if it were the exporter's.
                with urllib.request.urlopen(address) as answer:
                    answer.read()
            counting_s.append(time.process_time() - began_s)
    return {
        "bench": "metrics, CPU per token",
        "case": f"{_DEVICES} devices, shipped pair, scraped over HTTP a second",
        "repeats": repeats,
        "median_s": median(counting_s) / rows,
        "share_of_run": median(counting_s) / median(run_s),
        "target": _EXPORTER_SHARE * median(run_s) / rows,
    }


def _against_bare_loop(way: str) -> list[dict[str, Any]]:
    setting = _Setting(_scenario("models", "costeer", 24))
    drive: Callable[[], int] = setting.run_virtual if way == "virtual" else setting.run_live
    drive()  # caches grow once
    hosts = [setting.cloud, setting.edge]
    loops = {"bare loop": _one_by_one} | ({"bare loops at once": _at_once} if way == "live" else {})
    per_token_s: dict[str, list[float]] = {name: [] for name in ("run", *loops)}
    shares: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(_ROUNDS):
        for host in hosts:
            host.batches.clear()
        setting.begin()
        began_s = time.perf_counter()
        tokens = drive()
        run_s = time.perf_counter() - began_s
        per_token_s["run"].append(run_s / tokens)
        for name, replay in loops.items():
            setting.begin()
            began_s = time.perf_counter()
            replay(hosts)
            bare_s = time.perf_counter() - began_s
            per_token_s[name].append(bare_s / tokens)
            # Live batches differ from run to run, so a loop is compared with the run it replays.
            shares[name].append(bare_s / run_s)
    common = {"case": f"{_DEVICES} devices, shipped pair, ideal link", "repeats": _ROUNDS}
    rows: list[dict[str, Any]] = [
        {
            "bench": f"{way} {name}, per token",
            **common,
            "median_s": median(taken),
            "tokens_per_s": 1 / median(taken),
        }
        for name, taken in per_token_s.items()
    ]
    rows[0] |= {"share": median(shares["bare loop"]), "target": _SHARE_TARGET}
    if way == "live":
        rows[-1]["share_of_run"] = median(shares["bare loops at once"])
    return rows


def _one_by_one(hosts: Sequence[_Recorded]) -> None:
    for host in hosts:
        host.replay()


def _at_once(hosts: Sequence[_Recorded]) -> None:
    with ThreadPoolExecutor(len(hosts)) as pool:
        for done in [pool.submit(host.replay) for host in hosts]:
            done.result()
