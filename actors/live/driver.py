"""Runs one arm in real time: starts the replicas and the shards, collects what they report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from actors.failures import Incidents
from actors.live.cloud import STOP_S
from actors.live.cloud_books import CloudBooks, CloudNews
from actors.live.crew import Crew, Deaths
from actors.live.sessions import ShardNews
from actors.live.standstills import Standstills
from actors.live.wall import POLL_S, Wall
from actors.plan import ArmPlan, CodecTerms
from actors.port import Handle, HostDiedError, Pending, Revivable, never
from actors.records import ArmRun, Recorder, ReplicaRun, RequestRow, TokenRow
from actors.sight import Sight, together

_GRACE_S = 10.0
"""Beyond what a cloud itself waits for its model."""


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
    books = _Books(recorder, len(clouds))
    wall = Wall(clock_ns, wait_s)
    crew = Crew(plan, terms, clouds, shards, recorder.run, wall, books.begin_life)
    try:
        crew.begin()
        while not (recorder.all_finished or stopped() or books.failure):
            books.ask(crew.serving)
            deaths = books.take(crew.ask("live_poll"), crew)
            books.show()
            if deaths and not (recorder.all_finished or books.failure):
                crew.mend(deaths)
            crew.take_back()
            if not (recorder.all_finished or books.failure):
                wait_s(POLL_S)
    except KeyboardInterrupt:
        pass
    except Exception as failure:  # noqa: BLE001 - raised below, when no thread runs any more
        books.failure = failure
    complete = recorder.all_finished and books.failure is None
    # Shards first: what they still send needs a cloud.
    books.take(crew.ask("live_end"), crew)
    books.end_clouds(crew.serving, wall)
    crew.settle(complete=complete)
    run = books.close(complete=complete and books.failure is None)
    run.incidents = books.incidents.by_time()
    run.standstills = crew.standstills.all()
    if books.failure is not None:
        raise books.failure
    run.replicas = [ReplicaRun(each.engine, each.egress_busy_ns) for each in books.clouds]
    run.messages = sum(each.messages for each in books.clouds)
    run.lateness_ns = [
        *books.lateness_ns,
        *(late for one in books.clouds for late in one.lateness_ns),
    ]
    return run


class _Books:
    """Takes what the hosts report, and the first failure of one beside what the others report."""

    def __init__(self, recorder: Recorder, replicas: int) -> None:
        self._recorder = recorder
        self._end_ns = 0
        self._shown_lateness = 0
        recorder.attend(self._sight)
        self.clouds = [CloudBooks() for _ in range(replicas)]
        self.lateness_ns: list[int] = []
        self.incidents = Incidents()
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
                self._take(news, crew.standstills)
                self._recorder.forgo(
                    sum(news.left[device] for device in crew.hear_who_left(news.left))
                )
                deaths.clouds |= news.clouds_lost
        return deaths

    def _take(self, news: ShardNews, standstills: Standstills) -> None:
        # As they happened: whatever is on disk when this process is killed, no device has tokens
        # there of a request that follows one whose end is not there.
        rows: list[TokenRow | RequestRow] = [*news.tokens, *news.requests]
        for row in sorted(rows, key=_happened):
            if isinstance(row, TokenRow):
                self._recorder.token(row)
                standstills.hear(row)
            else:
                self._recorder.request(row)
        self.lateness_ns.extend(news.lateness_ns)
        self.incidents.add(*news.incidents)
        self._end_ns = max(self._end_ns, news.now_ns)
        self.failure = self.failure or news.failure

    def begin_life(self, replica: int) -> None:
        """A replica was made, for the first time or anew."""
        self.clouds[replica].begin_life()

    def ask(self, clouds: Mapping[int, Handle]) -> None:
        """Ask the replicas that are there what they did; none is waited for."""
        for replica, cloud in clouds.items():
            self.clouds[replica].ask(cloud)

    def show(self) -> None:
        """Show whoever watches what came, and how the replicas stand."""
        self._recorder.show()

    def _sight(self) -> Sight:
        lateness_ns = tuple(self.lateness_ns[self._shown_lateness :])
        self._shown_lateness += len(lateness_ns)
        looks = [each.look() for each in self.clouds]
        return Sight(self._end_ns, together([each for each in looks if each]), lateness_ns)

    def end_clouds(self, clouds: Mapping[int, Handle], wall: Wall) -> None:
        """End the replicas and take what they say; nothing of those that failed.

        One that can be made again may have died after all was said, which is no failure then; one
        that does not answer, or whose model is stuck, is made again, for the arms to come.
        """
        ending = []
        for replica, cloud in clouds.items():
            book = self.clouds[replica]
            book.take()
            ending.append((book, cloud, cloud.submit("live_end", *book.known)))
        for book, cloud, pending in ending:
            self._end(book, cloud, pending, wall)

    def _end(self, book: CloudBooks, cloud: Handle, pending: Pending, wall: Wall) -> None:
        stuck = not wall.wait_for(pending, STOP_S + _GRACE_S)
        try:
            if not stuck:
                news = pending.result()
                book.book(news)
                stuck = isinstance(news, CloudNews) and news.stuck
        except HostDiedError as died:
            if not isinstance(cloud, Revivable):
                self.failure = self.failure or died
        except Exception as failure:  # noqa: BLE001 - the driver raises it
            self.failure = self.failure or failure
        if stuck and isinstance(cloud, Revivable):
            with suppress(HostDiedError):  # it is made when it is needed again
                cloud.revive("it did not come back from an operation")

    def close(self, *, complete: bool) -> ArmRun:
        """Close the recorder; the end of an arm that was stopped is when its shards said so."""
        finished_ns = (row.finished_ns for row in self._recorder.finished_requests)
        end_ns = max(finished_ns, default=self._end_ns) if complete else self._end_ns
        return self._recorder.close(end_ns, complete=complete)


def _happened(row: TokenRow | RequestRow) -> tuple[int, bool]:
    if isinstance(row, TokenRow):
        return row.chosen_at_ns, False
    return row.finished_ns, True
