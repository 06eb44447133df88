"""What the books of any simulated run say: each nanosecond is explained, each byte counted."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

from actors.plan import ArmPlan
from actors.records import ArmRun, ByteMeter
from costeer.token_record import STAGES


def check_books(plan: ArmPlan, run: ArmRun) -> None:
    """Stages explain every nanosecond; tokens follow one another; bytes add up."""
    chosen: dict[tuple[int, int], list[Any]] = defaultdict(list)
    for token in run.tokens:
        chosen[token.device, token.request].append(token)
    assert len(run.requests) == sum(len(one.requests) for one in plan.devices)
    for request in run.requests:
        tokens = chosen[request.device, request.request]
        assert not request.failed, request.reason
        assert request.tokens == tuple(token.record.token for token in tokens)
        assert [token.record.position for token in tokens] == list(range(len(tokens)))
        before_ns = request.arrival_ns
        for token in tokens:
            record = token.record
            stages = dict(zip(STAGES, record.stages_ns, strict=True))
            assert sum(record.stages_ns) == record.latency_ns == token.chosen_at_ns - before_ns
            assert stages["overhead"] == 0, stages
            assert min(record.stages_ns) >= 0
            assert (stages["refinement"] > 0) <= (record.rounds > 0)
            assert (stages["device_queue"] > 0) <= (record.position == 0)
            before_ns = token.chosen_at_ns
        assert before_ns == request.finished_ns
        assert (request.reason == "eos") == (request.tokens[-1] in plan.eos)
        assert request.reason == "eos" or len(tokens) == plan.max_new_tokens
        closing = replace(request.moved)
        for token in tokens:
            for name in ByteMeter.__slots__:
                setattr(closing, name, getattr(closing, name) - getattr(token.moved, name))
        # CLOSE, where the method has one: a frame of some 12 bytes and its acknowledgement.
        assert closing.payload_bytes_down == closing.frame_bytes_down == 0
        # Nor does a cloud that has chosen the last token itself have to be told.
        method = plan.arm.method
        alone = method.gated and not tokens[-1].record.payload_bytes
        told = method.verified or (method.steered and not alone)
        assert (closing.frame_bytes_up > 0) == told
    assert run.end_ns == max(request.finished_ns for request in run.requests)
