"""What the fleet is asked, in text and in token ids."""

from __future__ import annotations

from dataclasses import dataclass, replace

from actors.plan import DevicePlan, Request, session_id
from costeer.errors import ConfigError
from experiments.pair_limits import check_models, context_limits, vocab_size_of
from experiments.planning.devices import plan_devices, requests_per_device
from experiments.scenario import ModelsConfig, Scenario
from experiments.workload import PromptRow, assign_rows, load_rows


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
    session_id(scenario.fleet.devices - 1, requests_per_device(scenario) - 1)
    if scenario.values == "models":
        return _plan_texts(scenario)
    if scenario.recorded is not None and scenario.values == "recorded":
        return _plan_recorded(scenario, scenario.recorded.path)
    config = scenario.generated
    tokens = config.prompt_tokens + config.context_tokens
    ids = tuple(index % config.vocab_size for index in range(tokens))
    public, context = ids[: config.prompt_tokens], ids[config.prompt_tokens :]
    request = Request("generated", public, context + public)
    count = requests_per_device(scenario)
    requests = [(request,) * count for _ in range(scenario.fleet.devices)]
    needs = len(request.personal) + scenario.workload.max_new_tokens
    return Workload({}, plan_devices(scenario, requests), frozenset(), config.vocab_size, needs)


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

    count = requests_per_device(scenario)
    requests = [
        tuple(request(device, index) for index in range(count))
        for device in range(scenario.fleet.devices)
    ]
    needs = max(each.personal_tokens for each in sessions) + scenario.workload.max_new_tokens
    return Workload({}, plan_devices(scenario, requests), frozenset(), vocab_size, needs)


def plan_service(scenario: Scenario) -> Workload:
    """Return what a cloud knows of a scenario's workload: its models' limits, and no prompt.

    Raises:
        ConfigError: different tokenizers, or a model that is not there.
    """
    if scenario.values != "models":
        return replace(plan_workload(scenario), devices=())
    check_models(scenario.models)
    return _models_workload(scenario.models, ignore_eos=scenario.workload.ignore_eos)


def _models_workload(models: ModelsConfig, *, ignore_eos: bool) -> Workload:
    """What two models allow, before anybody asks anything."""
    from actors.models.tokenizer import eos_ids  # noqa: PLC0415 - transformers takes seconds

    eos = frozenset() if ignore_eos else frozenset(eos_ids(models.tokenizer_location))
    contexts = context_limits(models)
    return Workload({}, (), eos, vocab_size_of(models), min(contexts.values()))


def _plan_texts(scenario: Scenario) -> Workload:
    from actors.models.tokenizer import load_tokenizer  # noqa: PLC0415 - transformers

    check_models(scenario.models)
    rows = load_rows(scenario.workload.prompts, scenario.workload.limit)
    allowed = _models_workload(scenario.models, ignore_eos=scenario.workload.ignore_eos)
    tokenizer = load_tokenizer(scenario.models.tokenizer_location)
    limits = context_limits(scenario.models)
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
    assigned = assign_rows(rows, scenario.fleet.devices, requests_per_device(scenario))
    requests = [tuple(encoded[row.id] for row in mine) for mine in assigned]
    by_id = {row.id: row for row in rows}
    return replace(allowed, rows=by_id, devices=plan_devices(scenario, requests))
