"""What the fleet is asked, in text and in token ids."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from actors.plan import DevicePlan, Request, session_id
from actors.values.order import ReplayOrder
from costeer.errors import ConfigError
from costeer.methods import CloudRole, Method, Prompt
from experiments.datasets.kinds import Reading
from experiments.datasets.row import PromptRow
from experiments.pair_limits import check_models, context_limits, vocab_sizes
from experiments.planning.arrival_trace import lengths_from_trace
from experiments.planning.devices import plan_devices
from experiments.planning.sizes import ids_of, lengths_of, plan_sizes
from experiments.planning.standing import most_devices_of_a_cell, replicas_of_cells
from experiments.planning.timing import Timing, most_requests_per_device, plan_timing
from experiments.scenario import ModelsConfig, Scenario
from experiments.workload import assign_rows, load_rows


@dataclass(frozen=True, slots=True)
class Workload:
    """What the fleet is asked, in text and in token ids.

    Args:
        rows: the prompt rows by id; empty where values are not of a model.
        devices: the fleet.
        eos: ids that end a text.
        vocab_size: tokens that both models share.
        max_context: tokens of one session that both models allow.
        longest_public: tokens of the longest prompt without the private context.
        longest_personal: tokens of the longest prompt with it.
        own_eos: ids that end a text of the small model alone; None where they are the same.
    """

    rows: dict[str, PromptRow]
    devices: tuple[DevicePlan, ...]
    eos: frozenset[int]
    vocab_size: int
    max_context: int
    longest_public: int = 0
    longest_personal: int = 0
    own_eos: frozenset[int] | None = None

    def ends(self, method: Method) -> frozenset[int]:
        """Return the ids that end a text of a method."""
        if self.own_eos is None or method.cloud is not CloudRole.ABSENT:
            return self.eos
        return self.own_eos

    def longest(self, prompt: Prompt) -> int:
        """Tokens of the longest prompt of that kind."""
        return self.longest_public if prompt is Prompt.PUBLIC else self.longest_personal


def plan_workload(scenario: Scenario) -> Workload:
    """Read the prompts, encode them, and give each device its requests.

    Of a compiled fleet's cells each is planned alone (``cell``), and not here.

    Raises:
        ConfigError: no such prompts, different tokenizers, a context that is too long, or more
            sessions than ids.
    """
    check_sessions(scenario)
    if scenario.way == "fleet" and len(replicas_of_cells(scenario)) > 1:
        return plan_cells(scenario)
    if scenario.values == "models":
        return _plan_texts(scenario)
    if scenario.recorded is not None and scenario.values == "recorded":
        return _plan_recorded(scenario, scenario.recorded.path)
    timing, whole = _timing(scenario), plan_cells(scenario)
    sizes = plan_sizes(scenario, timing.owner_S, timing.request_S)
    as_measured = scenario.values == "profile" and lengths_from_trace(scenario) is None
    make = _replayed if as_measured else partial(_counting, whole.vocab_size)
    made: dict[tuple[Any, ...], Request] = {}
    columns = (
        sizes.public_S,
        sizes.personal_S,
        sizes.public_bytes_S,
        sizes.personal_bytes_S,
        np.where(sizes.new_tokens_S == scenario.workload.max_new_tokens, 0, sizes.new_tokens_S),
    )
    prompts = _prompt_ids(scenario, timing) if as_measured else ["generated"] * len(columns[0])
    asked = []
    for prompt_id, *of in zip(prompts, *(column.tolist() for column in columns), strict=True):
        key = (prompt_id, *of)
        if key not in made:
            made[key] = replace(make(*of), prompt_id=prompt_id)
        asked.append(made[key])
    first = timing.first_session_D1.tolist()
    requests = [tuple(asked[one:after]) for one, after in pairwise(first)]
    return replace(whole, devices=plan_devices(scenario, timing, requests))


def _prompt_ids(scenario: Scenario, timing: Timing) -> list[str]:
    """Whose prompts sessions of a profile have: those measured, where each device has its own."""
    from experiments.profile.replay import open_profile, order_of  # noqa: PLC0415 - pyarrow

    if order_of(scenario) is not ReplayOrder.OWN:
        return ["profile"] * len(timing.owner_S)
    profile = open_profile(scenario)
    of_S = profile.sessions_of(ReplayOrder.OWN, scenario.seed, timing.owner_S, timing.request_S)
    return [profile.prompt_ids[one] for one in of_S.tolist()]


def plan_cells(scenario: Scenario) -> Workload:
    """Return what holds of every cell of a fleet, without planning a device.

    Raises:
        ConfigError: more sessions than ids.
    """
    check_sessions(scenario)
    if scenario.values == "profile":
        return _profile_cells(scenario)
    asked = lengths_of(scenario)
    needs = asked.longest_personal + scenario.workload.max_new_tokens
    return Workload(
        {},
        (),
        frozenset(),
        scenario.generated.vocab_size,
        needs,
        asked.longest_public,
        asked.longest_personal,
    )


def _profile_cells(scenario: Scenario) -> Workload:
    from experiments.profile.replay import open_profile, replay_spec  # noqa: PLC0415 - pyarrow

    profile = open_profile(scenario)
    replay_spec(scenario, profile)
    public, personal = int(profile.public_S.max()), int(profile.personal_S.max())
    trace = lengths_from_trace(scenario)
    if trace is not None:
        public = int(trace.prompt_N.max())
        personal = public + int((profile.personal_S - profile.public_S).max())
    to_the_limit = scenario.workload.ignore_eos or trace is not None
    return Workload(
        rows={},
        devices=(),
        eos=frozenset() if to_the_limit else frozenset(profile.origin.eos),
        vocab_size=profile.origin.vocab_size,
        max_context=personal + scenario.workload.max_new_tokens,
        longest_public=public,
        longest_personal=personal,
    )


def check_sessions(scenario: Scenario) -> None:
    """Check that all sessions can be told apart: a compiled fleet's at their replica.

    Raises:
        ConfigError: more sessions than ids.
    """
    compiled, replicas = scenario.way == "fleet", scenario.cloud.replicas
    devices = most_devices_of_a_cell(scenario) if compiled else scenario.fleet.devices
    try:
        session_id(devices - 1, most_requests_per_device(scenario) - 1)
    except ConfigError as error:
        where = f"on one of {replicas} replicas" if compiled else "in one run"
        raise ConfigError(
            f"fleet: {devices:,} devices {where}: {error}; raise cloud.replicas (way: fleet)"
        ) from error


def _timing(scenario: Scenario) -> Timing:
    """Return when the fleet's users ask."""
    return plan_timing(scenario, np.arange(scenario.fleet.devices))


def _counting(
    vocab_size: int, public: int, personal: int, _public_bytes: int, _bytes: int, limit: int
) -> Request:
    """Return a request of these lengths whose ids count up, modulo V."""
    ids = tuple(index % vocab_size for index in range(personal))
    return Request("generated", ids[:public], ids[public:] + ids[:public], limit or None)


def _replayed(
    public: int, personal: int, public_bytes: int, personal_bytes: int, limit: int
) -> Request:
    """Return a request that weighs what a measured one did."""
    return Request(
        "profile", ids_of(public, public_bytes), ids_of(personal, personal_bytes), limit or None
    )


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

    timing = _timing(scenario)
    requests = [
        tuple(request(device, index) for index in range(count))
        for device, count in enumerate(timing.count_D.tolist())
    ]
    personal = max(each.personal_tokens for each in sessions)
    return Workload(
        {},
        plan_devices(scenario, timing, requests),
        frozenset(),
        vocab_size,
        personal + scenario.workload.max_new_tokens,
        max(each.public_tokens for each in sessions),
        personal,
    )


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
    from actors.models.tokenizer import eos_ids, token_ids  # noqa: PLC0415 - transformers: seconds

    of = models.tokenizer_location
    ends = (*eos_ids(of), *token_ids(of, models.end_tokens))
    eos = frozenset() if ignore_eos else frozenset(ends)
    own = None
    if models.aligned:
        own = frozenset() if ignore_eos else frozenset(eos_ids(models.edge.location))
    contexts = context_limits(models)
    size, _ = vocab_sizes(models)
    return Workload({}, (), eos, size, min(contexts.values()), own_eos=own)


def _rows(scenario: Scenario) -> tuple[PromptRow, ...]:
    asked = scenario.workload
    rerank = None
    if asked.reranker is not None:
        from experiments.datasets.reranker import load_reranker  # noqa: PLC0415 - transformers

        rerank = load_reranker(asked.reranker)
    reading = Reading(asked.preference, asked.history, rerank)
    return load_rows(asked.prompts, asked.limit, reading, noise=asked.noise, seed=scenario.seed)


def _plan_texts(scenario: Scenario) -> Workload:
    from actors.models.chat import prompt_encoder  # noqa: PLC0415 - transformers

    check_models(scenario.models)
    rows = _rows(scenario)
    allowed = _models_workload(scenario.models, ignore_eos=scenario.workload.ignore_eos)
    chat = scenario.models.chat
    wrap = chat.build() if chat else None
    encode = prompt_encoder(scenario.models.tokenizer_location, wrap)
    own = prompt_encoder(scenario.models.edge.location, wrap) if scenario.models.aligned else None
    limits = context_limits(scenario.models)
    max_context = allowed.max_context
    encoded: dict[str, Request] = {}
    for row in rows:
        request = Request(row.id, encode(row.input), encode(row.personalized_input))
        longest = max(len(request.public), len(request.personal))
        if own is not None:
            request = replace(request, own=(own(row.input), own(row.personalized_input)))
            longest = max(longest, *(len(request.branch(which)) for which in Prompt))
        if longest + scenario.workload.max_new_tokens > max_context:
            raise ConfigError(
                f"workload.prompts: row {row.id!r} has {longest} tokens and"
                f" {scenario.workload.max_new_tokens} new ones are asked for, the models allow"
                f" {max_context} (cloud {limits['cloud']}, edge {limits['edge']});"
                " shorten the row or workload.max_new_tokens"
            )
        encoded[row.id] = request
    timing = _timing(scenario)
    assigned = assign_rows(rows, scenario.fleet.devices, int(timing.count_D.max()))
    requests = [tuple(encoded[row.id] for row in mine) for mine in assigned]
    return replace(
        allowed,
        rows={row.id: row for row in rows},
        devices=plan_devices(scenario, timing, requests),
        longest_public=max(len(each.public) for each in encoded.values()),
        longest_personal=max(len(each.personal) for each in encoded.values()),
    )
