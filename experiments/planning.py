"""From a scenario to what the drivers run: devices, requests, arms, costs.

Every draw is a pure function of (seed, stream, device, counter), so all arms see the same users
at the same times, whatever their number and wherever they run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from actors.costs import Costs
from actors.plan import ArmPlan, Cell, CodecTerms, DevicePlan, Request, codec_terms, session_id
from actors.values.port import ArmSpec
from costeer.cloud import EngineLimits
from costeer.codec.config import CodecConfig
from costeer.errors import ConfigError
from costeer.methods import Prompt
from costeer.padding import NO_PADDING
from costeer.refinement import RefineConfig
from costeer.sampling import Sampling
from experiments.calibration import PairCalibration
from experiments.links import class_links
from experiments.scenario import ArmConfig, ModelsConfig, PoissonArrivals, Scenario
from experiments.workload import PromptRow, assign_classes, assign_rows, load_rows
from netsim.hardware import CostModel, Roofline, hardware_named, shape_named
from netsim.profiles import drawn
from netsim.random import Stream, exponential, uniform

_NS = 1e9
_MBPS = 1_000_000
_MAX_SESSIONS = 1_000_000


@dataclass(frozen=True, slots=True)
class Workload:
    """What the fleet is asked, in text and in token ids.

    Args:
        rows: the prompt rows by id; empty where values are not of a model.
        devices: the fleet.
        eos: ids that end a text.
        vocab_size: tokens that both models share.
        max_context: tokens of one session that both models allow.
    """

    rows: dict[str, PromptRow]
    devices: tuple[DevicePlan, ...]
    eos: frozenset[int]
    vocab_size: int
    max_context: int


def plan_workload(scenario: Scenario) -> Workload:
    """Read the prompts, encode them, and give each device its requests.

    Raises:
        ConfigError: no such prompts, different tokenizers, a context that is too long, or more
            sessions than ids.
    """
    session_id(scenario.fleet.devices - 1, _requests_per_device(scenario) - 1)
    if scenario.values == "models":
        return _plan_texts(scenario)
    if scenario.recorded is not None and scenario.values == "recorded":
        return _plan_recorded(scenario, scenario.recorded.path)
    config = scenario.generated
    tokens = config.prompt_tokens + config.context_tokens
    ids = tuple(index % config.vocab_size for index in range(tokens))
    public, context = ids[: config.prompt_tokens], ids[config.prompt_tokens :]
    request = Request("generated", public, context + public)
    count = _requests_per_device(scenario)
    requests = [(request,) * count for _ in range(scenario.fleet.devices)]
    needs = len(request.personal) + scenario.workload.max_new_tokens
    return Workload({}, _devices(scenario, requests), frozenset(), config.vocab_size, needs)


def _plan_recorded(scenario: Scenario, path: str) -> Workload:
    from actors.values.recorded import Recording, recorded_session  # noqa: PLC0415 - pyarrow

    for index, arm in enumerate(scenario.arms):
        if arm.method.startswith("slm_"):
            raise ConfigError(
                f"arms.{index}.method: recorded values hold no logits of the small model alone;"
                f" leave out {arm.method}, or run with `values: models`"
            )
    recording = Recording(path)
    vocab_size = recording.origin.vocab_size
    sessions = [recording.session(index) for index in range(recording.sessions)]

    def request(device: int, index: int) -> Request:
        of = sessions[recorded_session(device, index, len(sessions))]
        ids = tuple(token % vocab_size for token in range(of.personal_tokens))
        return Request(of.prompt_id, ids[: of.public_tokens], ids)

    count = _requests_per_device(scenario)
    requests = [
        tuple(request(device, index) for index in range(count))
        for device in range(scenario.fleet.devices)
    ]
    needs = max(each.personal_tokens for each in sessions) + scenario.workload.max_new_tokens
    return Workload({}, _devices(scenario, requests), frozenset(), vocab_size, needs)


def check_plan(scenario: Scenario) -> Workload:
    """Find out whether a scenario can be run, without starting a host; return its workload.

    Raises:
        ConfigError: its workload, an arm, or the costs of a simulated one cannot be had.
    """
    workload = plan_workload(scenario)
    for config in scenario.arms:
        plan = plan_arm(scenario, workload, config)
        terms = codec_terms(plan, workload.vocab_size)
        if scenario.way == "live":
            continue
        costs = plan_costs(scenario, terms)
        if scenario.way == "fleet":
            from actors.fleet.tables import check_expressible  # noqa: PLC0415 - brings numpy in

            check_expressible(plan, terms, costs)
    return workload


def plan_service(scenario: Scenario) -> Workload:
    """Return what a cloud knows of a scenario's workload: its models' limits, and no prompt.

    Raises:
        ConfigError: different tokenizers, or a model that is not there.
    """
    if scenario.values != "models":
        return replace(plan_workload(scenario), devices=())
    check_models(scenario.models)
    return _models_workload(scenario.models, ignore_eos=scenario.workload.ignore_eos)


def check_models(models: ModelsConfig) -> None:
    """Check that both models may be there, before anything is loaded.

    Raises:
        ConfigError: one cannot; its key is named.
    """
    from actors.models.loading import check_folder  # noqa: PLC0415 - transformers takes seconds

    for party, model in (("cloud", models.cloud), ("edge", models.edge)):
        try:
            check_folder(model.location)
        except ConfigError as error:
            raise ConfigError(f"models.{party}.path: {error}") from error


def _models_workload(models: ModelsConfig, *, ignore_eos: bool) -> Workload:
    """What two models allow, before anybody asks anything."""
    from actors.models.tokenizer import eos_ids, shared_vocab_size  # noqa: PLC0415 - seconds

    cloud, edge = models.cloud.location, models.edge.location
    eos = frozenset() if ignore_eos else frozenset(eos_ids(cloud))
    contexts = _context_limits(models)
    return Workload({}, (), eos, shared_vocab_size(cloud, edge), min(contexts.values()))


def _context_limits(models: ModelsConfig) -> dict[str, int]:
    from actors.models.loading import load_config  # noqa: PLC0415 - transformers takes seconds

    return {
        party: int(load_config(path).get_text_config().max_position_embeddings)
        for party, path in (("cloud", models.cloud.location), ("edge", models.edge.location))
    }


def _plan_texts(scenario: Scenario) -> Workload:
    from actors.models.tokenizer import load_tokenizer  # noqa: PLC0415 - transformers

    check_models(scenario.models)
    rows = load_rows(scenario.workload.prompts, scenario.workload.limit)
    allowed = _models_workload(scenario.models, ignore_eos=scenario.workload.ignore_eos)
    tokenizer = load_tokenizer(scenario.models.cloud.location)
    limits = _context_limits(scenario.models)
    max_context = allowed.max_context
    encoded: dict[str, Request] = {}
    for row in rows:
        request = Request(
            row.id,
            tuple(tokenizer.encode(row.input)),
            tuple(tokenizer.encode(row.personalized_input)),
        )
        longest = max(len(request.public), len(request.personal))
        if longest + scenario.workload.max_new_tokens > max_context:
            raise ConfigError(
                f"workload.prompts: row {row.id!r} has {longest} tokens and"
                f" {scenario.workload.max_new_tokens} new ones are asked for, the models allow"
                f" {max_context} (cloud {limits['cloud']}, edge {limits['edge']});"
                " shorten the row or workload.max_new_tokens"
            )
        encoded[row.id] = request
    assigned = assign_rows(rows, scenario.fleet.devices, _requests_per_device(scenario))
    requests = [tuple(encoded[row.id] for row in mine) for mine in assigned]
    by_id = {row.id: row for row in rows}
    return replace(allowed, rows=by_id, devices=_devices(scenario, requests))


def _requests_per_device(scenario: Scenario) -> int:
    arrivals = scenario.fleet.arrivals
    if isinstance(arrivals, PoissonArrivals):
        return -(-arrivals.requests // scenario.fleet.devices)
    return arrivals.requests_per_device


def _devices(scenario: Scenario, requests: Sequence[tuple[Request, ...]]) -> tuple[DevicePlan, ...]:
    fleet = scenario.fleet
    links = class_links(fleet, scenario.seed)
    chosen = assign_classes([each.share for each in fleet.classes], fleet.devices)
    arrivals_ns = _arrivals_ns(scenario)
    cells = _cells(scenario, chosen)
    plans = []
    for device in range(fleet.devices):
        mine = arrivals_ns[device] if arrivals_ns else None
        link = links[chosen[device]]
        plans.append(
            DevicePlan(
                device=device,
                link_class=link.name,
                link=drawn(link, scenario.seed, device),
                device_class=fleet.classes[chosen[device]].hardware,
                requests=requests[device] if mine is None else requests[device][: len(mine)],
                think_ns=_think_ns(scenario, device, len(requests[device])) if mine is None else (),
                arrivals_ns=mine,
                cell=cells[device],
            )
        )
    return tuple(plans)


def _cells(scenario: Scenario, chosen: Sequence[int]) -> list[Cell | None]:
    """The cell of each device: so many members of a class, in the order of the devices, share one.

    ``chosen`` is each device's class.
    """
    members = [0] * len(scenario.fleet.classes)
    numbers: dict[tuple[int, int], int] = {}
    cells: list[Cell | None] = []
    for index in chosen:
        each = scenario.fleet.classes[index]
        group = (index, members[index] // each.shared_by)
        members[index] += 1
        number = numbers.setdefault(group, len(numbers))
        cells.append(Cell(number, each.sharing) if each.shared_by > 1 else None)
    return cells


def _think_ns(scenario: Scenario, device: int, requests: int) -> tuple[int, ...]:
    """Closed loop: pauses before each request; the first within one mean pause of the start."""
    arrivals = scenario.fleet.arrivals
    if isinstance(arrivals, PoissonArrivals):
        return ()
    mean_ns = arrivals.think_s * _NS
    first = uniform(scenario.seed, Stream.ARRIVAL, device, 0)
    later = [exponential(scenario.seed, Stream.ARRIVAL, device, one) for one in range(1, requests)]
    return tuple(int(draw * mean_ns) for draw in (first, *later))


def _arrivals_ns(scenario: Scenario) -> list[tuple[int, ...]] | None:
    """Open loop: one Poisson process over the fleet, dealt out to the devices in turn."""
    arrivals = scenario.fleet.arrivals
    if not isinstance(arrivals, PoissonArrivals):
        return None
    per_device: list[list[int]] = [[] for _ in range(scenario.fleet.devices)]
    at_s = 0.0
    for index in range(arrivals.requests):
        at_s += exponential(scenario.seed, Stream.ARRIVAL, 0, index) / arrivals.rate_per_s
        per_device[index % scenario.fleet.devices].append(int(at_s * _NS))
    return [tuple(mine) for mine in per_device]


def plan_arm(scenario: Scenario, workload: Workload, config: ArmConfig) -> ArmPlan:
    """Return one arm of the scenario."""
    method = config.settings
    sampling = config.sampling
    arm = ArmSpec(
        method=method,
        strength=config.strength.c if config.strength is not None else 0.0,
        codec=config.codec or CodecConfig(),
        sampling=Sampling(sampling.temperature, sampling.top_p, sampling.tail),
        seed=scenario.seed,
    )
    cloud = scenario.cloud
    return ArmPlan(
        arm=arm,
        devices=workload.devices,
        max_new_tokens=scenario.workload.max_new_tokens,
        eos=workload.eos,
        refine=config.refine or RefineConfig(),
        padding=config.padding or NO_PADDING,
        limits=EngineLimits(
            max_batch=cloud.max_batch,
            chunk_tokens=cloud.chunk_tokens,
            kv_tokens=_kv_tokens(scenario, workload, method.cloud_prompt),
            max_context=workload.max_context,
            max_sessions=_MAX_SESSIONS,
            max_waiting=_MAX_SESSIONS,
            idle_timeout_ns=int(cloud.idle_timeout_s * _NS),
        ),
        egress_bps=int(cloud.egress_mbps * _MBPS),
        egress_discipline=cloud.egress_sharing,
    )


def _kv_tokens(scenario: Scenario, workload: Workload, prompt: Prompt | None) -> int:
    """Tokens of KV memory; checked against the longest session, which would never be admitted."""
    cloud = scenario.cloud
    model = Roofline(hardware_named(cloud.hardware), shape_named(scenario.timing.cloud_model))
    if cloud.kv_tokens is not None:
        tokens = cloud.kv_tokens
    elif cloud.kv_bytes == "auto":
        tokens = model.kv_capacity_tokens()
    else:
        tokens = cloud.kv_bytes // model.kv_bytes_per_token
    if prompt is not None:
        longest = (
            max(
                len(request.public if prompt is Prompt.PUBLIC else request.personal)
                for device in workload.devices
                for request in device.requests
            )
            if workload.devices
            else 0
        )
        needs = longest + scenario.workload.max_new_tokens
        if needs > tokens:
            raise ConfigError(
                f"cloud: memory for {tokens} tokens cannot hold one session of {needs};"
                " raise cloud.kv_tokens or cloud.kv_bytes, or shorten the workload"
            )
    return tokens


def plan_costs(
    scenario: Scenario, terms: CodecTerms, calibration: PairCalibration | None = None
) -> Costs:
    """Return what operations are charged.

    Args:
        scenario: names hardware and models.
        terms: the arm's codec.
        calibration: measured costs, instead of the scenario's file or the roofline.

    Raises:
        ConfigError: the calibration file cannot be read.
    """
    timing = scenario.timing
    if calibration is None and timing.calibration is not None:
        calibration = read_calibration(timing.calibration)
    classes = {each.hardware for each in scenario.fleet.classes}
    if calibration is not None:
        edges: dict[str, CostModel] = dict.fromkeys(classes, calibration.edge)
        return Costs(calibration.cloud, edges, terms.ladder)
    shape = shape_named(timing.edge_model)
    return Costs(
        Roofline(hardware_named(scenario.cloud.hardware), shape_named(timing.cloud_model)),
        {name: Roofline(hardware_named(name), shape) for name in classes},
        terms.ladder,
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
