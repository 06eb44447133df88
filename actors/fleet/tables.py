"""From the plan of a cell to what does not change while it runs; what cannot be told is refused."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from actors.costs import Costs
from actors.fleet import columns as col
from actors.fleet.array_types import Array
from actors.fleet.cell import CellPlan
from actors.fleet.classes import ClassLink, Plain, kinds_of, own_of
from actors.fleet.events import MOST_DEVICES, MOST_SESSIONS
from actors.fleet.ladder_tables import ladders_to_learn, learning_of, spans_of
from actors.fleet.layout import LOCAL, NEVER, STEERED, STREAMED, VERIFYING, Fleet
from actors.fleet.outcomes import Outcomes
from actors.fleet.replicas.plan import check_replicas
from actors.fleet.sharing import fluid_egress, shares
from actors.fleet.trouble.plan import is_troubled, said_alone, trouble_of
from actors.fleet.watching import Watch
from actors.plan import ArmPlan, CodecTerms, learns_k
from actors.values.doubts import thresholds
from costeer.device_text import window_of
from costeer.errors import ConfigError, LocalProtocolError
from costeer.messages import encode_error, open_bytes
from costeer.methods import CloudRole, Prompt
from costeer.opening import no_room
from costeer.pacing import Pacer, most_drafts
from costeer.varint import number_bytes
from netsim.random import seed_word
from netsim.wire import HTTP2_OVER_TLS

Ranks = tuple[int, int]
"""Ranks [first, last) of a payload."""
_ROLES = {
    CloudRole.ABSENT: LOCAL,
    CloudRole.LOGITS: STEERED,
    CloudRole.GATED: STEERED,
    CloudRole.STREAM: STREAMED,
    CloudRole.CHOICES: VERIFYING,
    CloudRole.GUIDED: STREAMED,
}
_WAY_OUT = "choose way: virtual"
_LEAST_ROWS = 1024
"""Rows of one select that its costs are laid down for to begin with; they grow when needed."""


def check_expressible(plan: ArmPlan, costs: Costs) -> None:
    """Refuse what the compiled way cannot carry out of an arm, whatever its devices are.

    Raises:
        ConfigError: what, and the way out.
    """
    costs.forward_terms()
    drafts = (plan.speculation or plan.cloud_drafts) is not None
    if plan.limits.preempts and (drafts or plan.arm.method.guided):
        raise ConfigError(
            "cloud.when_full: preempt takes a session's cache away, and this arm keeps drafts or a"
            " second prompt in it; choose queue or reject"
        )
    if learns_k(plan) and is_troubled(plan, ()):
        raise ConfigError(
            "codec.select: way: fleet does not learn k where something may fail (events,"
            f" cloud.retry); {_WAY_OUT}, or take top_k"
        )
    check_replicas(plan)


def fleet_of(
    cell: CellPlan,
    plan: ArmPlan,
    terms: CodecTerms,
    costs: Costs,
    outcomes: Outcomes,
    watch: Watch,
    *,
    silent: bool = False,
) -> Fleet:
    """Return what does not change while a cell runs.

    Args:
        cell: the devices and their users.
        plan: the arm; its own devices are not looked at.
        terms: its codec.
        costs: what operations are charged.
        outcomes: what the sessions say.
        watch: what is wanted beside sums.
        silent: whether a device is silent for longer than its cloud waits.

    Raises:
        ConfigError: something that cannot be expressed, or a session that does not fit.
    """
    check_expressible(plan, costs)
    _check_size(cell)
    drafts, ahead, window = _drafts(plan, outcomes)
    trouble = trouble_of(cell, plan, outcomes, silent=silent)
    if silent and learns_k(plan):
        raise ConfigError(
            "cloud.idle_timeout_s: a device is silent for longer, and way: fleet does not learn k"
            f" (codec.select) where sessions end for that; raise it, {_WAY_OUT}, or take top_k"
        )
    if trouble.on and learns_k(plan):
        raise ConfigError(
            "codec.select: way: fleet does not learn k where frames of devices that draft may"
            f" overtake each other; {_WAY_OUT}, take top_k, or an ordered transport"
        )
    longest, outcome = int(outcomes.lengths.max(initial=1)), _outcomes(outcomes)
    if trouble.branch >= 0:
        longest = int(np.asarray(cell.new_tokens_S).max(initial=longest))
        outcome = said_alone(outcome, terms.vocab_size)
    method, limits, overlap = plan.arm.method, plan.limits, plan.arm.overlap
    template, of_session = _templates(cell, plan, terms, outcomes)
    cloud_terms, edge_terms = costs.forward_terms()
    plain = Plain()
    cloud_grid, edge_grids = costs.forward_grids()
    links = [ClassLink(each.link, plain) for each in cell.classes]
    first = np.asarray(cell.first_session_D1, np.int64)
    counts = np.diff(first)
    even = len(counts) > 0 and bool((counts == counts[0]).all()) and counts[0] > 0
    rounds = outcomes.most_rounds
    rows = min(cell.devices, max(_LEAST_ROWS, limits.max_batch)) + limits.max_batch + 1
    guesses = _guesses(plan, outcomes)
    beside = costs.beside_terms(cell.devices + 1) if guesses else None
    beside_terms, beside_grid, beside_choose_ns = beside or (cloud_terms, (), [0])
    beside_at = plain.place_grid(beside_grid)
    if trouble.on:  # sessions may be more than devices
        rows = max(rows, 2 * limits.max_batch + 2)
    steered = method.steered
    ladders = ladders_to_learn(plan, terms)
    if outcomes.ladders != max(1, len(ladders)):
        raise LocalProtocolError(
            f"fleet: {len(ladders)} starting values of k, outcomes know {outcomes.ladders}"
        )
    return Fleet(
        devices=cell.devices,
        sessions=cell.sessions,
        role=_ROLES[method.cloud],
        branches=len(method.edge_branches),
        refines=int(rounds > 1 and not window),
        opened=int(cell.opened),
        numbered=int(cell.numbered),
        each=int(counts[0]) if even else 0,
        preempts=int(limits.preempts),
        max_batch=limits.max_batch,
        chunk_tokens=limits.chunk_tokens,
        max_sessions=limits.max_sessions,
        max_waiting=limits.max_waiting,
        kv_tokens=limits.kv_tokens,
        idle_timeout_ns=limits.idle_timeout_ns,
        most_admitted=min(limits.kv_tokens, limits.max_sessions, cell.sessions)
        * max(1, trouble.replicas),
        refusal_bytes=len(encode_error(no_room(limits.max_waiting))),
        silence_bytes=len(encode_error(limits.silence)),
        egress_bps=0 if fluid_egress(plan) else plan.egress_bps,
        shared=int(shares(cell, plan)),
        fluid=int(fluid_egress(plan)),
        down_bucket=plan.padding.down_bytes,
        up_bucket=plan.padding.up_bytes,
        ends=(cell.warmup_ns, cell.until_ns or NEVER),
        reading_ns=round(1e9 / watch.reading_speed_tokens_per_s),
        every=watch.sample_every,
        longest=max(1, longest),
        slots=-(-cell.devices // watch.sample_every) if watch.sample_every else 0,
        word=seed_word(plan.arm.seed),
        cloud_terms=cloud_terms,
        cloud_grid=plain.place_grid(cloud_grid),
        cloud_variation=_integers(costs.cloud_variation),
        replica_number=_integers(cell.replicas),
        egress_wire=HTTP2_OVER_TLS.terms,
        first_session=_narrow(first if not even else first[:1]),
        due_ns=_one_if_same(np.asarray(cell.due_ns_S, np.int64)),
        session=of_session,
        template=template,
        outcome=outcome,
        payload_bytes=_narrow(outcomes.payload_bytes_P),
        kind=kinds_of(
            cell,
            links,
            edge_terms,
            {name: plain.place_grid(grid) for name, grid in edge_grids.items()},
            costs,
            rounds if steered else 0,
            overlap,
        ),
        odds=np.array([odds for link in links for odds in link.odds], np.float64),
        own=own_of(cell, plain),
        plain=_integers(plain.numbers),
        select_ns=select_costs(
            costs,
            rounds if steered else 0,
            rows * max(window, guesses + 1),
            choosing=method.gated,
            spans=spans_of(ladders)[0],
        ),
        window=window,
        drafts=drafts,
        ahead=ahead,
        learns=int(plan.speculation is not None and plan.speculation.drafts == "adaptive"),
        acceptance=_acceptance(outcomes),
        vocab_size=terms.vocab_size,
        end_tokens=_narrow(sorted(plan.eos)),
        draft_token=_draft_tokens(outcomes),
        pauses=int(method.gated),
        gate=_gate(plan, outcomes),
        sure=0.0 if outcomes.doubts is None else outcomes.doubts.share,
        sure_token=_sure_tokens(outcomes),
        guided=int(method.guided),
        waits=int(overlap is not None and not overlap.forward),
        delta_at=col.DECODE_NS + rounds if overlap is not None and overlap.delta else 0,
        steer_at=col.DECODE_NS + rounds + 1 if overlap is not None else 0,
        guesses=guesses,
        beside_terms=beside_terms,
        beside_grid=beside_at,
        beside_choose_ns=_integers(beside_choose_ns),
        found=_guessed(outcomes.guesses and outcomes.guesses.found_R),
        followed=_guessed(outcomes.guesses and outcomes.guesses.followed_R),
        trouble=trouble,
        ladders=learning_of(cell, plan, terms, max(1, window)),
    )


def _drafts(plan: ArmPlan, outcomes: Outcomes) -> tuple[int, int, int]:
    """Return how a device drafts, and how much of its text may be under way; 0 for nothing."""
    speculation = plan.speculation
    if speculation is None:
        return 0, 0, 0
    if outcomes.drafts is None:
        raise LocalProtocolError(f"fleet: {speculation} without drafts that are known")
    first = Pacer(speculation).plan()
    return first.drafts, first.ahead, window_of(most_drafts(speculation))


def _draft_tokens(outcomes: Outcomes) -> Array:
    drafts = outcomes.drafts
    return _narrow([0] if drafts is None or drafts.token_R is None else drafts.token_R)


def _gate(plan: ArmPlan, outcomes: Outcomes) -> tuple[int, int, int]:
    """Return when steering pauses; see ``Fleet.gate``."""
    if not plan.arm.method.gated:
        return 0, 0, 0
    if plan.gate is None or outcomes.doubts is None:
        raise LocalProtocolError("fleet: steering pauses, and nobody says when")
    return plan.gate.after, *thresholds(plan.gate)


def _guesses(plan: ArmPlan, outcomes: Outcomes) -> int:
    """Return how many tokens the cloud drafts at most for each forward of a session."""
    if plan.cloud_drafts is None:
        return 0
    if outcomes.guesses is None:
        raise LocalProtocolError(f"fleet: {plan.cloud_drafts} without drafts that are known")
    return plan.cloud_drafts.drafts


def _acceptance(outcomes: Outcomes) -> float:
    """Return how often a draft is right, whoever makes it; 0 where it is known of each."""
    drafts = outcomes.drafts or outcomes.guesses
    return 0.0 if drafts is None else drafts.acceptance


def _guessed(figures_R: Array | None) -> Array:
    return _narrow([0] if figures_R is None else figures_R)


def _sure_tokens(outcomes: Outcomes) -> Array:
    doubts = outcomes.doubts
    return _narrow([0] if doubts is None or doubts.sure_R is None else doubts.sure_R)


def select_costs(
    costs: Costs, rounds: int, rows: int, *, choosing: bool = False, spans: Collection[Ranks] = ()
) -> Array:
    """Return what the cloud's selects cost, for rows below so many.

    Args:
        costs: of everything.
        rounds: of refinement, the first answer included: a row of the table for each. 0 where the
            cloud chooses.
        rows: how many.
        choosing: whether tokens are chosen as well: what that costs is the last row.
        spans: the ranks of each row, where a k that is learnt decides which ones a round sends.
    """
    chosen = [costs.cloud_choose_ns(each) for each in range(rows)]
    if rounds == 0:
        return _integers([chosen])
    ranks = spans or [costs.round_ranks(round_) for round_ in range(rounds)]
    sent = [[costs.cloud_send_ns(each, *span) for each in range(rows)] for span in ranks]
    return _integers([*sent, chosen] if choosing else sent)


def _check_size(cell: CellPlan) -> None:
    if cell.devices > MOST_DEVICES:
        raise ConfigError(
            f"fleet: {cell.devices} devices in one cell, {MOST_DEVICES} are the most;"
            " give the cloud more replicas"
        )
    most = int(np.diff(cell.first_session_D1).max(initial=0))
    if most > MOST_SESSIONS:
        raise ConfigError(
            f"fleet: {most} requests of one device, {MOST_SESSIONS} are the most;"
            " shorten the run, or have more devices ask less often"
        )


# --------------------------------------------------------------------------- sessions


def _templates(
    cell: CellPlan, plan: ArmPlan, terms: CodecTerms, outcomes: Outcomes
) -> tuple[Array, Array]:
    """Return what kinds of sessions there are, and of each session what is fixed."""
    method, limits = plan.arm.method, plan.limits
    sizes = {Prompt.PUBLIC: cell.public_S, Prompt.PERSONAL: cell.personal_S}
    nothing = np.zeros(1, np.int64)
    prompt = nothing if method.cloud_prompt is None else sizes[method.cloud_prompt]
    beside = method.edge_branches if method.guide is None else (method.guide,)
    edges = [sizes[branch] for branch in beside] + [nothing] * 2
    bytes_ = cell.personal_bytes_S if method.leaks_context else cell.public_bytes_S
    if method.guided:
        bytes_ = cell.personal_bytes_S + cell.public_bytes_S
    columns = (prompt, cell.new_tokens_S, bytes_, edges[0], edges[1])
    count = max(cell.sessions, 1)
    found, template = np.unique(
        np.stack([np.broadcast_to(each, count) for each in columns], axis=1),
        axis=0,
        return_inverse=True,
    )
    if method.cloud_prompt is not None:
        longest = int((found[:, 0] + found[:, 1]).max())
        if method.guided:
            longest = max(longest, int((found[:, 3] + found[:, 1]).max()))
        if longest > min(limits.max_context, limits.kv_tokens):
            raise ConfigError(
                f"workload: a session of {longest} tokens exceeds the cloud's context of"
                f" {min(limits.max_context, limits.kv_tokens)}; shorten prompt or max_new_tokens"
            )
    fingerprint = terms.fingerprint if method.steered else 0
    kinds = []
    for prompt_tokens, new, bytes_up, first, second in found.tolist():
        needs, body_bytes = prompt_tokens + new, open_bytes(new, fingerprint, 0, bytes_up)
        if method.guided:
            needs += first + new
            body_bytes += number_bytes(first)
            if needs > limits.kv_tokens:
                raise ConfigError(
                    f"workload: a session of two prompts needs {needs} KV tokens, the cloud has"
                    f" {limits.kv_tokens}; shorten prompts or max_new_tokens"
                )
        kinds.append((prompt_tokens, needs, body_bytes, first, second))
    fixed = [
        np.broadcast_to(np.asarray(each).reshape(-1), count)
        for each in (template, outcomes.first_rows, outcomes.lengths)
    ]
    table = np.stack([each.astype(np.int32) for each in fixed], axis=1)
    return _integers(kinds), table[:1].copy() if (table == table[0]).all() else table


def _outcomes(outcomes: Outcomes) -> Array:
    table = np.zeros((len(outcomes.token_R) + 1, col.OUTCOME_FIGURES), np.int32)
    table[:-1, col.OUTCOME_TOKEN] = outcomes.token_R
    table[:-1, col.CERTIFIED] = outcomes.certified_R
    table[:, col.FIRST_PAYLOAD] = outcomes.first_payload_R1
    return table


# --------------------------------------------------------------------------- arrays


def _integers(values: Array) -> Array:
    return np.array(values, np.int64)


def _narrow(values: Array) -> Array:
    return np.asarray(values).astype(np.int32)


def _one_if_same(values: Array) -> Array:
    return values[:1].copy() if len(values) and (values == values[0]).all() else values
