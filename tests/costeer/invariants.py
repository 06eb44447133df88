"""What must hold of an engine between any two events."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from costeer.machine import CloudForward
from costeer.messages import Role
from costeer.proposal import CloudDraft
from costeer.serving import State

if TYPE_CHECKING:
    from costeer.cloud import CloudEngine


def validate(engine: CloudEngine) -> None:
    """Check everything that must hold of an engine between two events."""
    bounds = engine._spec.limits
    live = list(engine._population._sessions.values())
    closing = [session for session in engine._steps.running if session.state is State.CLOSING]
    by_state = defaultdict(set)
    for session in live + closing:
        by_state[session.state].add(session)
    for state, kept in (
        (State.WAITING, [*engine._memory.evicted, *engine._memory.waiting]),
        (State.READY, engine._steps.ready),
        (State.REFINING, engine._steps.refining),
    ):
        assert by_state[state] == set(kept)
        assert len(kept) == len(set(kept))
    assert by_state[State.RUNNING] | by_state[State.CLOSING] == set(engine._steps.running)
    assert len(engine._steps.running) == len(set(engine._steps.running))
    assert State.RELEASED not in by_state
    assert not {session.state for session in live} & {State.CLOSING}

    out = {State.WAITING, State.EVICTED}
    admitted = [one for one in live + closing if one.state not in out]
    held = sum(session.needs_tokens for session in admitted)
    # Texts grow while a step runs; what is too much is evicted before the next one begins.
    assert engine.reserved_tokens == (min(held, bounds.kv_tokens) if bounds.preempts else held)
    assert engine.reserved_tokens <= bounds.kv_tokens
    assert len(admitted) == engine._memory.admitted <= bounds.max_sessions
    silent = len(by_state[State.EVICTED])
    assert not silent or bounds.preempts
    assert engine.open_sessions == len(live) + len(closing) - silent
    assert len(engine._memory.waiting) <= bounds.max_waiting

    for session in live:
        assert engine._population._over.get(session.session, -1) < session.epoch
        assert len(session.tokens) <= session.needs_tokens
        assert 0 <= session.position < session.max_new_tokens
        assert session.pending > 0 or session.state not in {*out, State.READY}
        assert not session.pending or session.state not in {State.AWAY, State.REFINING}
        assert session.state is not State.AWAY or session.role is not Role.STREAM

    for session in live:
        if bounds.preempts:
            assert session.needs_tokens == len(session.tokens)
        if session.state in out:
            assert session.cached == 0

    step = engine._step
    drafting = isinstance(step, CloudDraft)
    assert (step is not None and not drafting) == bool(engine._steps.running)
    assert step is None or not engine._armed
    if step is None and (engine._steps.ready or engine._steps.refining):
        assert engine._armed, "work is lying about and no step was asked for"
    if isinstance(step, CloudForward):
        assert len(step.rows) <= bounds.max_batch
        assert [row.session for row in step.rows] == [one.session for one in engine._steps.running]
        prompts = [len(row.tokens) for row in step.rows if len(row.tokens) > 1]
        assert sum(prompts) <= bounds.chunk_tokens
    half_done = [
        one
        for one in admitted
        if one.cached
        and one.pending > 1
        and not one.guesses
        and (one.ledger is None or one.newest_row < 0)
    ]
    assert len(half_done) <= 1
