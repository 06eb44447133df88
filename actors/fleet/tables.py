"""From an arm's plan to a compiled fleet's arrays; what they cannot express yet is refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.costs import Costs
from actors.device import link_of
from actors.fleet import columns as col
from actors.fleet.layout import (
    ENGINE_FIGURES,
    FLOW_FIGURES,
    FREE_TOKENS,
    LEAST_FREE,
    LOCAL,
    MOVED_FIGURES,
    ROW_FIGURES,
    SENT,
    STEERED,
    STREAMED,
    Books,
    Fleet,
)
from actors.fleet.outcomes import Outcomes
from actors.plan import ArmPlan, CodecTerms, DevicePlan, session_id, session_spec
from costeer.errors import ConfigError
from costeer.machine import EdgeChoose, EdgeDecode, EdgeSteer
from costeer.messages import encode_open, frame_bytes
from costeer.methods import CloudRole
from costeer.session import open_body
from netsim.link import UNLIMITED
from netsim.profiles import LinkProfile
from netsim.random import seed_word
from netsim.sharing import Discipline
from netsim.wire import HTTP2_OVER_TLS

_ROLES = {CloudRole.ABSENT: LOCAL, CloudRole.LOGITS: STEERED, CloudRole.STREAM: STREAMED}


def check_expressible(plan: ArmPlan, terms: CodecTerms, costs: Costs) -> None:
    """Refuse what the compiled way cannot carry out yet.

    Raises:
        ConfigError: what, and the way out.
    """
    costs.forward_terms()
    way_out = "choose way: virtual"
    if plan.egress_discipline is Discipline.PS and plan.egress_bps != UNLIMITED:
        raise ConfigError(f"cloud.egress_sharing: way: fleet knows fifo alone; {way_out}, or fifo")
    if terms.learner is not None:
        raise ConfigError(f"codec.select: way: fleet has no adaptive k yet; {way_out}, or top_k")
    if plan.speculation is not None:
        raise ConfigError(f"speculation: way: fleet has no drafts yet; {way_out}, or leave it out")
    for device in plan.devices:
        if device.cell is not None:
            raise ConfigError(f"fleet.classes: shared_by > 1 is not for way: fleet yet; {way_out}")
        if device.link.down.bursts or device.link.up.bursts:
            raise ConfigError(f"link {device.link.name}: bursts are not for way: fleet; {way_out}")
        if device.link.down_rates or device.link.up_rates:
            raise ConfigError(f"link {device.link.name}: traces are not for way: fleet; {way_out}")
    if len({device.arrivals_ns is None for device in plan.devices}) > 1:
        raise ConfigError(f"way: fleet has open or closed arrivals, not both; {way_out}")


def fleet_of(plan: ArmPlan, terms: CodecTerms, costs: Costs, outcomes: Outcomes) -> Fleet:
    """Return what does not change while an arm runs.

    Raises:
        ConfigError: something that cannot be expressed, or a session that does not fit.
    """
    check_expressible(plan, terms, costs)
    method, limits = plan.arm.method, plan.limits
    links, link = _classes([device.link for device in plan.devices])
    classes, hardware = _classes([device.device_class for device in plan.devices])
    cloud_terms, edge_terms = costs.forward_terms()
    sessions = [
        (index, device, number)
        for index, device in enumerate(plan.devices)
        for number in range(len(device.requests))
    ]
    rounds = outcomes.most_rounds
    opens = _OpenSizes(plan, terms)
    prompts = [
        0
        if method.cloud_prompt is None
        else len(session_spec(plan, device, number, terms).prompt(method.cloud_prompt))
        for _, device, number in sessions
    ]
    limits_S = [plan.new_tokens(device.requests[number]) for _, device, number in sessions]
    if method.cloud_prompt is not None:
        longest = max(
            (prompt + limit for prompt, limit in zip(prompts, limits_S, strict=True)), default=0
        )
        if longest > min(limits.max_context, limits.kv_tokens):
            raise ConfigError(
                f"workload: a session of {longest} tokens exceeds the cloud's context of"
                f" {min(limits.max_context, limits.kv_tokens)}; shorten prompt or max_new_tokens"
            )
    models = [link_of(device, plan.arm.seed) for device in _one_of_each(links, plan)]
    ways = [way for model in models for way in (model.down, model.up)]
    most_rows = len(plan.devices) + 1
    steered, streamed = method.steered, method.streamed
    return Fleet(
        devices=len(plan.devices),
        sessions=len(sessions),
        role=_ROLES[method.cloud],
        branches=len(method.edge_branches),
        ladder_rounds=rounds,
        opened=int(any(device.arrivals_ns is not None for device in plan.devices)),
        max_batch=limits.max_batch,
        chunk_tokens=limits.chunk_tokens,
        max_sessions=limits.max_sessions,
        max_waiting=limits.max_waiting,
        idle_timeout_ns=limits.idle_timeout_ns,
        egress_bps=plan.egress_bps,
        down_bucket=plan.padding.down_bytes,
        up_bucket=plan.padding.up_bytes,
        word=seed_word(plan.arm.seed),
        cloud_terms=cloud_terms,
        egress_wire=HTTP2_OVER_TLS.terms,
        of_device=_columns(
            [*(device.device for device in plan.devices), 0],
            [*link, 0],
            [*hardware, 0],
            _running_sum(len(device.requests) for device in plan.devices),
        ),
        of_session=_columns(
            [session_id(device.device, number) for _, device, number in sessions],
            [index for index, _, _ in sessions],
            [
                (device.think_ns if device.arrivals_ns is None else device.arrivals_ns)[number]
                for _, device, number in sessions
            ],
            prompts,
            [prompt + limit for prompt, limit in zip(prompts, limits_S, strict=True)],
            [
                opens.of(device, number) if method.cloud_prompt else 0
                for _, device, number in sessions
            ],
            outcomes.first_rows,
            _running_sum(outcomes.lengths)[:-1],
            outcomes.lengths,
            *_edge_prompts(plan, terms, sessions).T,
        ),
        of_outcome=_columns(
            outcomes.token_R,
            np.diff(outcomes.first_payload_R1) - 1,
            outcomes.first_payload_R1[:-1],
        ),
        payload_bytes=_integers(outcomes.payload_bytes_P),
        line=_integers((way.rate_bps, way.propagation_ns, way.jitter_ns) for way in ways),
        loss=_reals(way.loss for way in ways),
        tcp=_integers(tcp for model in models for tcp in model.tcp_terms),
        wire=_integers(model.transport.wire.terms for model in models),
        setup_ns=_integers(model.setup_ns for model in models),
        edge_terms=_integers(edge_terms[name] for name in classes),
        decode_ns=_integers(
            [
                costs.edge_ns(EdgeDecode(0, 0, round_, b""), name) if steered else 0
                for round_ in range(rounds)
            ]
            for name in classes
        ),
        steer_ns=_integers(
            costs.edge_ns(EdgeSteer(0, 0, 0) if steered else EdgeChoose(0, 0), name)
            for name in classes
        ),
        round_ns=_integers(
            [costs.cloud_round_ns(round_, count) for count in range(most_rows)]
            if steered
            else [0] * 2
            for round_ in range(rounds)
        ),
        choose_ns=_integers(
            costs.cloud_choose_ns(count) if streamed else 0 for count in range(most_rows)
        ),
    )


def books_of(plan: ArmPlan, fleet: Fleet, batches: int) -> Books:
    """Return the books of a fleet that has not begun.

    Args:
        plan: the arm.
        fleet: its fixed figures.
        batches: how many forwards are kept between two readings.
    """
    devices, sessions = fleet.devices, fleet.sessions
    tokens = sum(fleet.of_session[session, col.LENGTH] for session in range(sessions))

    def zeros(*shape: int) -> Any:  # noqa: ANN401 - an array stands for columns and tables
        return np.zeros(shape, np.int64)

    engine = zeros(ENGINE_FIGURES)
    engine[FREE_TOKENS] = engine[LEAST_FREE] = plan.limits.kv_tokens
    flow = zeros(2 * devices, FLOW_FIGURES)
    models = {}
    for index, device in enumerate(plan.devices):
        if device.link not in models:
            model = link_of(device, plan.arm.seed)
            models[device.link] = model.down_state.flow, model.up_state.flow
        flow[2 * index, :SENT], flow[2 * index + 1, :SENT] = models[device.link]
    device_figures = zeros(devices, col.DEVICE_FIGURES)
    device_figures[:, col.CONNECTED_NS] = -1
    device_figures[:, col.SESSION] = [
        fleet.of_device[device, col.FIRST_SESSION] - 1 for device in range(devices)
    ]
    request = zeros(sessions, col.TOTAL + MOVED_FIGURES)
    request[:, col.ARRIVAL_NS] = -1
    candidates = 2 * min(plan.limits.max_batch, devices) + 1
    events = sessions + devices + 4
    return Books(
        engine=engine,
        queues=zeros(3, devices),
        running=zeros(devices),
        refining=zeros(devices),
        merged=zeros(candidates),
        pending_now=zeros(candidates),
        heap_ns=zeros(events),
        heap_order=zeros(events),
        heap_what=zeros(events),
        flow=flow,
        meter=zeros(devices, MOVED_FIGURES),
        device=device_figures,
        rows=zeros(tokens, ROW_FIGURES),
        request=request,
        ended=zeros(sessions),
        batches=zeros(batches),
    )


class _OpenSizes:
    """Sizes of OPEN frames; bodies of the same prompt are encoded once."""

    def __init__(self, plan: ArmPlan, terms: CodecTerms) -> None:
        self._plan = plan
        self._terms = terms
        self._body_bytes: dict[int, int] = {}

    def of(self, device: DevicePlan, number: int) -> int:
        """Return the size of the frame that opens a device's n-th session."""
        known = id(device.requests[number])
        spec = session_spec(self._plan, device, number, self._terms)
        if known not in self._body_bytes:
            self._body_bytes[known] = len(encode_open(open_body(spec)))
        return frame_bytes(spec.session, 0, 0, self._body_bytes[known], spec.bucket_bytes)


def _edge_prompts(
    plan: ArmPlan, terms: CodecTerms, sessions: list[tuple[int, DevicePlan, int]]
) -> Any:  # noqa: ANN401 - a table
    branches = plan.arm.method.edge_branches
    found = np.zeros((len(sessions), 2), np.int64)
    for row, (_, device, number) in enumerate(sessions):
        spec = session_spec(plan, device, number, terms)
        for branch, prompt in enumerate(branches):
            found[row, branch] = len(spec.prompt(prompt))
    return found


def _classes(of_device: list[Any]) -> tuple[list[Any], list[int]]:
    """Return what there is, in the order in which it comes, and the index of each device's."""
    found: dict[Any, int] = {}
    return_index = [found.setdefault(one, len(found)) for one in of_device]
    return list(found), return_index


def _one_of_each(links: list[LinkProfile], plan: ArmPlan) -> list[DevicePlan]:
    """Return a device of each link class."""
    first: dict[LinkProfile, DevicePlan] = {}
    for device in plan.devices:
        first.setdefault(device.link, device)
    return [first[link] for link in links]


def _integers(values: Any) -> Any:  # noqa: ANN401 - columns and tables of what is iterated over
    return np.array(list(values), np.int64)


def _columns(*columns: Any) -> Any:  # noqa: ANN401 - a table of what is iterated over
    return np.stack([np.asarray(column, np.int64) for column in columns], axis=1)


def _reals(values: Any) -> Any:  # noqa: ANN401 - likewise
    return np.array(list(values), np.float64)


def _running_sum(values: Any) -> Any:  # noqa: ANN401 - a column of what is iterated over
    return np.cumsum([0, *values], dtype=np.int64)
