"""Runs one arm in real time: starts the replicas and the shards, collects what they report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from actors.live.cloud import LiveCloudReport
from actors.live.crew import Crew, Deaths
from actors.live.sessions import ShardNews
from actors.plan import ArmPlan, CodecTerms
from actors.port import Handle, HostDiedError, Pending, Revivable, never
from actors.records import ArmRun, Recorder, ReplicaRun
from actors.sight import CloudLook, Sight, together

POLL_S = 0.2


def run_live(
    plan: ArmPlan,
    terms: CodecTerms,
    clouds: Sequence[Handle],
    shards: Sequence[Handle],
    recorder: Recorder,
    wait_s: Callable[[float], None],
    stopped: Callable[[], bool] = never,
    clock_ns: Callable[[], int] = time.monotonic_ns,
) -> ArmRun:
    """Run an arm to its end, or until stopped: then the rows so far are kept and marked.

    Args:
        plan: the arm.
        terms: its codec, at the vocabulary that the hosts reported.
        clouds: the cloud actors, one for each replica; empty for methods without one.
        shards: the edge actors; at least one, since the devices live there.
        recorder: takes the rows.
        wait_s: waits between two looks at the shards (``time.sleep``).
        stopped: whether to stop; asked between two looks. An interrupt stops as well.
        clock_ns: a monotone clock.

    Raises:
        Exception: what a host raised; the rows so far are handed on, and all threads end, before.
    """
    recorder.restore()
    books = _Books(recorder)
    crew = Crew(plan, terms, clouds, shards, recorder.run, clock_ns)
    try:
        crew.begin()
        while not (recorder.all_finished or stopped() or books.failure):
            looking = crew.look() if recorder.watched else []
            deaths = books.take(crew.ask("live_poll"), crew)
            books.show(looking)
            if deaths and not (recorder.all_finished or books.failure):
                crew.mend(deaths)
            if not (recorder.all_finished or books.failure):
                wait_s(POLL_S)
    except KeyboardInterrupt:
        pass
    except Exception as failure:  # noqa: BLE001 - raised below, when no thread runs any more
        books.failure = failure
    complete = recorder.all_finished and books.failure is None
    # Shards first: what they still send needs a cloud.
    books.take(crew.ask("live_end"), crew)
    if recorder.watched and crew.serving:
        books.show(crew.look())
    reports = books.end_clouds(crew.serving)
    run = books.close(complete=complete and books.failure is None)
    if books.failure is not None:
        raise books.failure
    run.replicas = [ReplicaRun(each.engine, each.egress_busy_ns) for each in reports]
    run.messages = sum(each.messages for each in reports)
    run.lateness_ns = [*books.lateness_ns, *(late for one in reports for late in one.lateness_ns)]
    return run


class _Books:
    """Takes what the hosts report, and the first failure of one beside what the others report."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._end_ns = 0
        self._shown_lateness = 0
        self._looks: list[CloudLook] = []
        recorder.attend(self._sight)
        self.lateness_ns: list[int] = []
        self.failure: BaseException | None = None

    def take(self, pendings: Mapping[int, Pending], crew: Crew) -> Deaths:
        """Take the rows of shards; return who was found dead and can be made again."""
        deaths = Deaths()
        for index, pending in pendings.items():
            try:
                news = pending.result()
            except HostDiedError as died:
                if crew.may_be_mended(index):
                    deaths.shards[index] = died
                else:
                    self.failure = self.failure or died
                continue
            except Exception as failure:  # noqa: BLE001 - the driver raises it
                self.failure = self.failure or failure
                continue
            if isinstance(news, ShardNews):
                self._take(news)
                deaths.clouds |= news.clouds_lost
        return deaths

    def _take(self, news: ShardNews) -> None:
        for token in news.tokens:
            self._recorder.token(token)
        for request in news.requests:
            self._recorder.request(request)
        self.lateness_ns.extend(news.lateness_ns)
        self._end_ns = max(self._end_ns, news.now_ns)
        self.failure = self.failure or news.failure

    def show(self, looking: Sequence[Pending]) -> None:
        """Show whoever watches what came, and how the replicas stand."""
        for each in looking:
            # One that died meanwhile shows nothing; whoever mends it hears of it elsewhere.
            with suppress(HostDiedError):
                found = each.result()
                self._looks += [found] if isinstance(found, CloudLook) else []
        self._recorder.show()

    def _sight(self) -> Sight:
        lateness_ns = tuple(self.lateness_ns[self._shown_lateness :])
        self._shown_lateness += len(lateness_ns)
        # A look is shown once: its batches are those since the look before.
        looks, self._looks = self._looks, []
        return Sight(self._end_ns, together(looks), lateness_ns)

    def end_clouds(self, clouds: Sequence[Handle]) -> list[LiveCloudReport]:
        """End the replicas and take what they say; nothing of those that failed.

        One that can be made again may have died after all was said, which is no failure then; one
        whose model is stuck is made again, for the arms to come.
        """
        ending = [cloud.submit("live_end") for cloud in clouds]
        reports = []
        for cloud, pending in zip(clouds, ending, strict=True):
            report = self._end_of(pending, mortal=isinstance(cloud, Revivable))
            reports.append(report)
            if report.stuck and isinstance(cloud, Revivable):
                with suppress(HostDiedError):  # it is made when it is needed again
                    cloud.revive("its model did not come back from an operation")
        return reports

    def _end_of(self, pending: Pending, *, mortal: bool) -> LiveCloudReport:
        try:
            report = pending.result()
        except HostDiedError as died:
            if not mortal:
                self.failure = self.failure or died
            return LiveCloudReport()
        except Exception as failure:  # noqa: BLE001 - the driver raises it
            self.failure = self.failure or failure
            return LiveCloudReport()
        return report if isinstance(report, LiveCloudReport) else LiveCloudReport()

    def close(self, *, complete: bool) -> ArmRun:
        """Close the recorder; the end of an arm that was stopped is when its shards said so."""
        finished_ns = (row.finished_ns for row in self._recorder.finished_requests)
        end_ns = max(finished_ns, default=self._end_ns) if complete else self._end_ns
        return self._recorder.close(end_ns, complete=complete)
