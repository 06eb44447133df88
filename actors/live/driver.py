"""Runs one arm in real time: starts the cloud and the shards, collects what they report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from actors.live.cloud import LiveCloudReport
from actors.live.edge import ShardNews
from actors.plan import ArmPlan, CodecTerms, engine_spec
from actors.port import Handle, gather
from actors.records import ArmRun, Recorder
from costeer.errors import LocalProtocolError

POLL_S = 0.2


def run_live(
    plan: ArmPlan,
    terms: CodecTerms,
    cloud: Handle | None,
    shards: Sequence[Handle],
    recorder: Recorder,
    wait_s: Callable[[float], None],
) -> ArmRun:
    """Run an arm to its end, or to an interrupt: then the rows so far are kept and marked.

    Args:
        plan: the arm.
        terms: its codec, at the vocabulary that the hosts reported.
        cloud: the cloud actor; None for methods without one.
        shards: the edge actors; at least one, since the devices live there.
        recorder: takes the rows.
        wait_s: waits between two looks at the shards (``time.sleep``).
    """
    if cloud is not None:
        cloud.call("live_begin", engine_spec(plan, terms), plan.egress_bps)
    gather(
        [
            shard.submit(
                "live_begin",
                replace(plan, devices=plan.devices[index :: len(shards)]),
                terms,
                index,
                cloud,
            )
            for index, shard in enumerate(shards)
        ]
    )
    lateness_ns: list[int] = []
    end_ns = 0

    def take(pendings: Sequence[object]) -> None:
        nonlocal end_ns
        for news in pendings:
            if not isinstance(news, ShardNews):
                raise LocalProtocolError(f"live: a shard reported {news!r}")
            for token in news.tokens:
                recorder.token(token)
            for request in news.requests:
                recorder.request(request)
            lateness_ns.extend(news.lateness_ns)
            end_ns = max(end_ns, news.now_ns)

    complete = True
    try:
        while not recorder.all_finished:
            take(gather([shard.submit("live_poll") for shard in shards]))
            if not recorder.all_finished:
                wait_s(POLL_S)
    except KeyboardInterrupt:
        complete = False
    take(gather([shard.submit("live_end") for shard in shards]))
    report = cloud.call("live_end") if cloud is not None else LiveCloudReport([], 0, [])
    if not isinstance(report, LiveCloudReport):
        raise LocalProtocolError(f"live: the cloud reported {report!r}")
    last_ns = max((row.finished_ns for row in recorder.finished_requests), default=end_ns)
    run = recorder.close(last_ns if complete else end_ns, complete=complete)
    run.batches = report.batches
    run.egress_busy_ns = report.egress_busy_ns
    run.lateness_ns = [*lateness_ns, *report.lateness_ns]
    return run
