"""What a live cloud counts outlives it, and one that does not answer is not waited for."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.live.cloud_books import CloudBooks, CloudNews
from actors.live.driver import run_live
from actors.live.sessions import ShardNews
from actors.live.wall import Wall
from actors.plan import codec_terms
from actors.port import HostDiedError, Pending
from actors.records import Recorder, RequestRow, TokenRow
from actors.sight import CloudLook
from costeer.serving import EngineCounters
from tests.actors.fleets import VOCAB, arm_plan, device, run_virtual

LOOK = CloudLook(1, 0, 10, 100, (), 0, 0, 0, 0, 0)


class Life:
    """A cloud that counts by script; while it is deaf, no call to it is ever done."""

    def __init__(self) -> None:
        self.deaf = self.dead = False
        self.asked = 0
        self.engine = EngineCounters()
        self.late_ns: list[int] = []

    def work(self, forwards: list[int]) -> None:
        self.engine.batches += forwards
        self.engine.dropped_frames += len(forwards)
        self.engine.preempted_sessions += len(forwards)
        self.engine.peak_kv_tokens = max([self.engine.peak_kv_tokens, *forwards])
        self.late_ns += forwards

    def submit(self, method: str, *args: object) -> Pending:
        assert method == "live_news"
        self.asked += 1
        return Answer(self, *args)  # type: ignore[arg-type]  # two numbers

    def call(self, method: str, *args: object) -> object:
        return self.submit(method, *args).result()


class Answer:
    def __init__(self, life: Life, batches: int, late: int) -> None:
        self._life = life
        engine = life.engine
        self._news = CloudNews(
            LOOK,
            replace(engine, batches=engine.batches[batches:]),
            egress_busy_ns=sum(engine.batches),
            lateness_ns=life.late_ns[late:],
            messages=len(engine.batches),
        )

    def done(self) -> bool:
        return not self._life.deaf

    def result(self) -> object:
        if self._life.dead:
            raise HostDiedError("dead")
        return self._news


_turns = st.lists(
    st.tuples(st.sampled_from(["work", "deaf", "die"]), st.lists(st.integers(1, 9), max_size=3)),
    max_size=20,
)


@given(_turns)
@settings(max_examples=60)
def test_counts_are_those_that_were_handed_on_over_all_lives(
    turns: list[tuple[str, list[int]]],
) -> None:
    books, life = CloudBooks(), Life()
    told: list[int] = []
    lost: list[int] = []
    shown: list[int] = []
    books.begin_life()
    for kind, forwards in turns:
        life.deaf = kind == "deaf"
        life.work(forwards)
        if kind == "die":
            life.dead = True
            lost += life.engine.batches[books.known[0] :]
            life = Life()
            books.begin_life()
        asked = life.asked
        books.ask(life)
        books.ask(life)
        assert life.asked - asked <= (1 if life.deaf else 2)
        look = books.look()
        if look is not None:
            shown += look.batches
            assert look.dropped_frames == books.engine.dropped_frames
            assert look.preempted_sessions == look.dropped_frames
        told = books.engine.batches
    life.deaf = False
    books.ask(life)
    books.ask(life)
    told = books.engine.batches
    everything = [each for _, forwards in turns for each in forwards]
    assert sorted([*told, *lost]) == sorted(everything)
    assert books.engine.dropped_frames == books.messages == len(told)
    assert books.egress_busy_ns == sum(told)
    assert books.lateness_ns == told
    assert books.engine.peak_kv_tokens == max(told, default=0)
    look = books.look()
    assert [*shown, *(look.batches if look is not None else ())] == told


def test_a_call_is_waited_for_so_long_and_no_longer() -> None:
    now_s = [0.0]

    def wait_s(pause_s: float) -> None:
        now_s[0] += pause_s

    wall = Wall(lambda: round(now_s[0] * 1e9), wait_s)
    life = Life()
    assert wall.wait_for(Answer(life, 0, 0), 5.0)
    assert now_s[0] == 0
    life.deaf = True
    assert not wall.wait_for(Answer(life, 0, 0), 5.0)
    assert 4.9 < now_s[0] < 5.1


def test_rows_are_handed_on_as_they_happened() -> None:
    """Where a run is killed, the disk has no tokens of a request that follows an unended one."""
    plan = arm_plan(devices=[device(0, 3)], max_new_tokens=4)
    run = run_virtual(plan)
    seen: list[tuple[int, int]] = []
    ended = [0]

    def commit(tokens: list[TokenRow], requests: list[RequestRow]) -> None:
        seen.extend((row.request, row.record.position) for row in tokens)
        ended[0] += len(requests)
        assert all(request <= ended[0] for request, _ in seen)

    recorder = Recorder(3, commit, piece_tokens=1, piece_requests=1)
    shard = Shard(ShardNews(run.tokens, run.requests))
    run_live(plan, codec_terms(plan, VOCAB), [], [shard], recorder, lambda _: None)
    assert len(seen) == 12


class Shard:
    """A shard that tells everything at once."""

    def __init__(self, news: ShardNews) -> None:
        self._news = [news]

    def submit(self, method: str, *_: object) -> Pending:
        told = method != "live_begin" and bool(self._news)
        return Told(self._news.pop() if told else ShardNews())

    def call(self, method: str, *args: object) -> object:
        return self.submit(method, *args).result()


class Told:
    def __init__(self, value: object) -> None:
        self._value = value

    def done(self) -> bool:
        return True

    def result(self) -> object:
        return self._value
