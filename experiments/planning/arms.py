"""From an arm of a scenario to what the drivers run, and what it is charged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from actors.costs import Costs
from actors.failures import Departure, ReplicaFailure
from actors.plan import ArmPlan, CodecTerms, codec_terms, session_id
from actors.retry import RetryPolicy
from actors.stalls import Stall
from actors.values.port import ArmSpec
from costeer.cloud import EngineLimits
from costeer.codec.config import CodecConfig
from costeer.errors import ConfigError
from costeer.methods import CloudRole, Method
from costeer.padding import NO_PADDING
from costeer.refinement import RefineConfig
from costeer.sampling import Sampling
from experiments.calibration import PairCalibration
from experiments.planning.misfits import misfits
from experiments.planning.size import runs_in_cells
from experiments.planning.standing import standing_of
from experiments.planning.workload import Workload, plan_cells, plan_workload
from experiments.scenario import (
    AlignedBytes,
    ArmConfig,
    CloudStalls,
    CostFactors,
    OpenAiModel,
    RetryConfig,
    Scenario,
)
from experiments.scenario.events import ReplicaFails, departures_of, failures_of, stalls_of
from netsim.hardware import CostModel, Roofline, hardware_named, shape_named

_NS = 1e9
_MBPS = 1_000_000
_MAX_SESSIONS = 1_000_000
_WITNESSED = 4
"""Texts of each steered arm: two are shown, where every arm finished them."""


def arm_spec(scenario: Scenario, config: ArmConfig) -> ArmSpec:
    """Return what the hosts need to know of an arm."""
    sampling = config.sampling
    return ArmSpec(
        method=config.settings,
        strength=config.settings.weight(config.strength.c if config.strength is not None else 0.0),
        codec=config.codec or CodecConfig(),
        sampling=Sampling(sampling.temperature, sampling.top_p, sampling.tail),
        seed=scenario.seed,
        overlap=config.overlap,
        beside=config.cloud_drafts is not None and config.cloud_drafts.by_model,
    )


def plan_arm(scenario: Scenario, workload: Workload, config: ArmConfig) -> ArmPlan:
    """Return one arm of the scenario."""
    method = config.settings
    cloud = scenario.cloud
    witnessed = _witnessed(scenario, workload) if method.steered else frozenset()
    spec = replace(arm_spec(scenario, config), witnessed=witnessed)
    plan = ArmPlan(
        arm=spec,
        devices=workload.devices,
        max_new_tokens=scenario.workload.max_new_tokens,
        eos=workload.ends(method),
        refine=config.refine or RefineConfig(),
        padding=config.padding or NO_PADDING,
        limits=EngineLimits(
            max_batch=cloud.max_batch,
            chunk_tokens=cloud.chunk_tokens,
            kv_tokens=_kv_tokens(scenario, workload, method, beside=spec.beside),
            max_context=workload.max_context,
            max_sessions=_MAX_SESSIONS,
            max_waiting=0 if cloud.when_full == "reject" else _MAX_SESSIONS,
            idle_timeout_ns=int(cloud.idle_timeout_s * _NS),
            preempts=cloud.when_full == "preempt",
        ),
        egress_bps=int(cloud.egress_mbps * _MBPS),
        egress_discipline=cloud.egress_sharing,
        until_ns=round((scenario.workload.duration_s or 0.0) * _NS),
        speculation=config.speculation,
        gate=config.gate,
        cloud_drafts=config.cloud_drafts,
        replicas=cloud.replicas,
        retry=_retry(cloud.retry),
        stalls=tuple(_stall(each) for each in stalls_of(scenario.events)),
        standing=standing_of(scenario),
        failures=tuple(_failure(each) for each in failures_of(scenario.events)),
        departures=tuple(
            Departure(device, round(each.at_s * _NS))
            for each in departures_of(scenario.events)
            for device in each.devices
        ),
    )
    if scenario.values == "models" and isinstance(scenario.models.cloud, OpenAiModel):
        _check_reach(plan, scenario.models.cloud, workload.vocab_size)
    for wrong, says in misfits(scenario, plan):
        if wrong:
            raise ConfigError(says)
    return plan


def _retry(config: RetryConfig | None) -> RetryPolicy | None:
    if config is None:
        return None
    return RetryPolicy(
        timeout_ns=round(config.timeout_s * _NS),
        tries=config.tries,
        backoff=config.backoff,
        jitter=config.jitter,
        falls_back=config.fallback == "slm_with",
    )


def _stall(event: CloudStalls) -> Stall:
    until_s = event.at_s + event.for_s
    loses = event.frames == "lost"
    return Stall(round(event.at_s * _NS), round(until_s * _NS), loses, event.replica)


def _failure(event: ReplicaFails) -> ReplicaFailure:
    back_s, noticed_s = event.back_s, event.at_s + event.noticed_after_s
    return ReplicaFailure(
        event.replica,
        round(event.at_s * _NS),
        round(noticed_s * _NS),
        None if back_s is None else round(back_s * _NS),
    )


def _check_reach(plan: ArmPlan, model: OpenAiModel, vocab_size: int) -> None:
    """Refuse an arm that needs more of a row than a server tells of it."""
    arm, most = plan.arm, model.top_logprobs
    if not arm.sampling.greedy and (arm.method.streamed or arm.sampling.top_p < 1.0):
        raise ConfigError(
            f"arms: {arm.method.name} draws from whole distributions, and models.cloud tells of"
            f" {most} tokens; choose temperature: 0, or a model of kind: hf"
        )
    if not arm.method.steered:
        return
    terms = codec_terms(plan, vocab_size)
    if terms.learner is not None:
        raise ConfigError("arms: an adaptive k needs whole rows; models.cloud is openai, use top_k")
    if terms.ladder.last_rank > most:
        raise ConfigError(
            f"arms: {terms.name} with its refinement asks for up to {terms.ladder.last_rank:,}"
            f" ranks, and models.cloud tells of {most}; choose codec.select.k <= {most} and"
            " refine: {max_rounds: 0, at_cap: accept}"
        )


def _witnessed(scenario: Scenario, workload: Workload) -> frozenset[int]:
    """Return the sessions whose texts a report shows token by token: the first prompts, by id.

    None on the wall's clock, where looking on would be measured.
    """
    if scenario.values != "models" or scenario.way != "virtual":
        return frozenset()
    first: dict[str, int] = {}
    for device in workload.devices:
        for index, request in enumerate(device.requests):
            first.setdefault(request.prompt_id, session_id(device.device, index))
    return frozenset(first[prompt_id] for prompt_id in sorted(first)[:_WITNESSED])


def kv_tokens(scenario: Scenario, *, beside: bool = False) -> int:
    """Tokens of KV memory that a replica has.

    Args:
        scenario: names its hardware and models, or says how many.
        beside: whether a small model shares the memory, that drafts for what is streamed.
    """
    cloud = scenario.cloud
    if cloud.kv_tokens is not None:
        return cloud.kv_tokens
    hardware = hardware_named(cloud.hardware)
    model = Roofline(hardware, shape_named(scenario.timing.cloud_model))
    small = Roofline(hardware, shape_named(scenario.timing.edge_model)) if beside else None
    if cloud.kv_bytes == "auto":
        return model.kv_capacity_tokens(small)
    token_bytes = model.kv_bytes_per_token + (small.kv_bytes_per_token if small else 0)
    return cloud.kv_bytes // token_bytes


def _kv_tokens(scenario: Scenario, workload: Workload, method: Method, *, beside: bool) -> int:
    """Tokens of KV memory; checked against the longest session, which would never be admitted."""
    tokens = kv_tokens(scenario, beside=beside)
    prompts = [each for each in (method.cloud_prompt, method.guide) if each is not None]
    if prompts:
        longest = sum(workload.longest(prompt) for prompt in prompts)
        needs = longest + len(prompts) * scenario.workload.max_new_tokens
        if needs > tokens:
            raise ConfigError(
                f"cloud: memory for {tokens} tokens cannot hold one session of {needs};"
                " raise cloud.kv_tokens or cloud.kv_bytes, or shorten the workload"
            )
    return tokens


def plan_costs(
    scenario: Scenario,
    terms: CodecTerms,
    calibration: PairCalibration | None = None,
    method: Method | None = None,
    *,
    beside: bool = False,
) -> Costs:
    """Return what operations are charged.

    Args:
        scenario: names hardware and models.
        terms: the arm's codec.
        calibration: measured costs, instead of the scenario's file or the roofline.
        beside: whether a small model drafts at the cloud.
        method: the arm's, where it matters: devices look ahead in another vocabulary unless it has
            no cloud.

    Raises:
        ConfigError: the calibration file cannot be read.
    """
    timing = scenario.timing
    if calibration is None and timing.calibration is not None:
        calibration = read_calibration(timing.calibration)
    factors = timing.factors
    cloud_by = {"forward": factors.cloud_forward, "logits": factors.cloud_logits}
    classes = {each.device_class: each for each in scenario.fleet.classes}
    cloud: CostModel
    small: CostModel
    edges: dict[str, CostModel] = {}
    if calibration is not None:
        cloud = calibration.cloud.scaled(**cloud_by)
        small = calibration.edge.scaled(**cloud_by)
    else:
        hardware = hardware_named(scenario.cloud.hardware)
        cloud = Roofline(hardware, shape_named(timing.cloud_model), **cloud_by)
        small = Roofline(hardware, shape_named(timing.edge_model), **cloud_by)
    for name, each in classes.items():
        hardware = hardware_named(each.hardware)
        slower = 1 / hardware.sustained_speed if each.throttled else 1.0
        edge_by = {"forward": factors.edge_forward * slower, "logits": factors.edge_logits * slower}
        if calibration is not None:
            edges[name] = calibration.edge.scaled(**edge_by)
        else:
            edges[name] = Roofline(hardware, shape_named(timing.edge_model), **edge_by)
    throttled = any(each.throttled for each in classes.values())
    alignment = scenario.models.alignment
    ahead = (0, 0)
    translates = method is None or method.cloud is not CloudRole.ABSENT
    if translates and scenario.values == "models" and isinstance(alignment, AlignedBytes):
        ahead = (alignment.depth, alignment.width)
    changed = throttled or factors != CostFactors()
    return Costs(
        cloud,
        edges,
        terms.ladder,
        changed=changed,
        ahead=ahead,
        beside=small if beside else None,
    )


def read_calibration(path: Path) -> PairCalibration:
    """Read what ``costeer calibrate`` wrote.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise ConfigError(
            f"timing.calibration: {path}: {reason}; make it with `costeer calibrate`"
        ) from error
    return PairCalibration.from_json(text, str(path))


def check_plan(scenario: Scenario) -> Workload:
    """Find out whether a scenario can be run, without starting a host; return its workload.

    Raises:
        ConfigError: its workload, an arm, or the costs of a simulated one cannot be had.
    """
    in_cells = runs_in_cells(scenario)
    workload = plan_cells(scenario) if in_cells else plan_workload(scenario)
    for config in scenario.arms:
        plan = plan_arm(scenario, workload, config)
        terms = codec_terms(plan, workload.vocab_size)
        if scenario.way == "live":
            continue
        costs = plan_costs(scenario, terms, beside=plan.arm.beside)
        if scenario.way == "fleet":
            from actors.fleet.tables import check_expressible  # noqa: PLC0415 - brings numpy in

            check_expressible(plan, costs)
    return workload
