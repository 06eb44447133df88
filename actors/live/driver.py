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
            shard.submit("live_begin", _part(plan, index, len(shards)), terms, index, cloud)
            for index, shard in enumerate(shards)
        ]
    )
    books = _Books(recorder)
    complete = True
    try:
        while not recorder.all_finished:
            books.take(gather([shard.submit("live_poll") for shard in shards]))
            if not recorder.all_finished:
                wait_s(POLL_S)
    except KeyboardInterrupt:
        complete = False
    books.take(gather([shard.submit("live_end") for shard in shards]))
    report = cloud.call("live_end") if cloud is not None else LiveCloudReport([], 0, [])
    if not isinstance(report, LiveCloudReport):
        raise LocalProtocolError(f"live: the cloud reported {report!r}")
    run = recorder.close(books.end_ns, complete=complete)
    run.batches = report.batches
    run.egress_busy_ns = report.egress_busy_ns
    run.lateness_ns = [*books.lateness_ns, *report.lateness_ns]
    return run


def _part(plan: ArmPlan, index: int, shards: int) -> ArmPlan:
    """Return the plan of one shard: every n-th device."""
    return replace(plan, devices=plan.devices[index::shards])


class _Books:
    """What the shards reported so far."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.lateness_ns: list[int] = []
        self.end_ns = 0

    def take(self, reports: Sequence[object]) -> None:
        for news in reports:
            if not isinstance(news, ShardNews):
                raise LocalProtocolError(f"live: a shard reported {news!r}")
            for token in news.tokens:
                self._recorder.token(token)
                self.end_ns = max(self.end_ns, token.chosen_at_ns)
            for request in news.requests:
                self._recorder.request(request)
                self.end_ns = max(self.end_ns, request.finished_ns)
            self.lateness_ns += news.lateness_ns
