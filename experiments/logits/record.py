"""Record the logits and Δ of a real pair while it decodes, steered, as in any run."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from actors.plan import codec_terms, device_and_request
from actors.port import LocalPort
from actors.records import Recorder
from actors.values.deciding import decide_as
from actors.values.port import ArmSpec
from actors.values.recorded import (
    Origin,
    RecordedStep,
    pack_delta,
    pack_logits,
    write_recording,
)
from actors.virtual.driver import VirtualDriver
from costeer.codec import CodecConfig, SparseLogits
from costeer.errors import ConfigError
from costeer.methods import method_named
from costeer.refinement import RefineConfig
from costeer.sampling import Noise
from experiments.hosting import start_hosts
from experiments.planning import Workload, plan_arm, plan_costs, plan_workload
from experiments.scenario import ArmConfig, Scenario

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

_CODEC = "top64-bf16-packed"


class LogitsTap:
    """Keeps, compressed, every row that a cloud host shows, and the Δ that it was steered with."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, int], F32] = {}
        self._steps: dict[tuple[int, int], tuple[int, bytes, bytes]] = {}

    def show_row(self, session: int, position: int, logits_V: F32) -> None:
        """Keep a row until its choice."""
        self._rows[session, position] = logits_V

    def show_payload(self, session: int, position: int, round_: int, payload_bytes: int) -> None:
        """Sizes are the run's own."""

    def check(
        self,
        arm: ArmSpec,
        session: int,
        position: int,
        known: SparseLogits,  # noqa: ARG002 - the seam's signature
        delta_V: F64 | F32,
        noise: Noise,
    ) -> None:
        """Keep the step, with the token that its whole row gives."""
        row_V = self._rows.pop((session, position), None)
        if row_V is None:  # a later round of a step that is kept
            return
        vocab_size = len(row_V)
        whole = SparseLogits(
            np.arange(vocab_size, dtype=np.int32), row_V, -math.inf, 0.0, vocab_size
        )
        token = decide_as(arm, whole, delta_V, noise).token
        self._steps[session, position] = token, pack_logits(row_V), pack_delta(delta_V)

    def steps(self, workload: Workload) -> list[RecordedStep]:
        """Return the steps, sessions numbered in the order of devices and requests."""
        numbers = {session: n for n, session in enumerate(sorted({key[0] for key in self._steps}))}
        found = []
        for (session, position), (token, logits, delta) in self._steps.items():
            device, index = device_and_request(session)
            request = workload.devices[device].requests[index]
            found.append(
                RecordedStep(
                    session=numbers[session],
                    prompt_id=request.prompt_id,
                    public_tokens=len(request.public),
                    personal_tokens=len(request.personal),
                    position=position,
                    token=token,
                    logits=logits,
                    delta=delta,
                )
            )
        return found


def record(scenario: Scenario, path: Path) -> int:
    """Run the scenario's first steered arm in this process; return how many tokens were recorded.

    Links and hardware play no part: only texts, logits and Δ are kept. The arm is made exact, so
    that the tokens are those of dense logits, whatever its codec.

    Raises:
        ConfigError: values are not of models, no arm steers, or a model cannot be loaded.
    """
    if scenario.values != "models":
        raise ConfigError(f"record-logits: values are {scenario.values!r}; real ones need models")
    config = _steered(scenario).model_copy(
        update={"codec": CodecConfig.model_validate(_CODEC), "refine": RefineConfig()}
    )
    workload = plan_workload(scenario)
    cloud = scenario.models.hosted_cloud("recording logits")
    plan = plan_arm(scenario, workload, config)
    tap = LogitsTap()
    port = LocalPort()
    try:
        hosts = start_hosts(scenario, port, tap)
        terms = codec_terms(plan, hosts.begin_arm(plan.arm))
        recorder = Recorder(
            sum(len(device.requests) for device in plan.devices), lambda _tokens, _requests: None
        )
        costs = plan_costs(scenario, terms)
        VirtualDriver(plan, terms, costs, hosts.clouds, hosts.shards, recorder).run()
    finally:
        port.close()
    models = scenario.models
    origin = Origin(
        cloud.path, models.edge.path, terms.vocab_size, plan.arm.strength, scenario.seed
    )
    steps = tap.steps(workload)
    write_recording(path, origin, steps)
    return len(steps)


def _steered(scenario: Scenario) -> ArmConfig:
    for arm in scenario.arms:
        if method_named(arm.method).steered:
            return arm
    raise ConfigError(
        f"record-logits: no arm of {scenario.name} steers; add one with `method: costeer`"
    )
