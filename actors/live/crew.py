"""The hosts of a live run, and what is done when one of them dies.

Theory of operation
-------------------
Nothing that a live run has said is lost with a host: rows are with the driver, and a session is its
tokens. A shard that died is made again and goes on with its devices from their rows. When a replica
dies, its sessions are opened anew at those that are left; where none is, they wait. It is made
again meanwhile, and then serves its devices from their next requests on: what is under way
elsewhere stays there, for its memory is there, and moving it once more would cost one more prompt.
All of it uses new epochs, so that what is still under way from before is nobody's. Connections stay
warm: no device died. How long a session stood still is the ``device_queue`` of its next token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from actors.live.frames import Clouds
from actors.live.revival import Revival
from actors.live.standstills import Standstills, speaking
from actors.live.wall import Wall
from actors.plan import ArmPlan, CodecTerms, DevicePlan, engine_spec
from actors.port import Handle, HostDiedError, Pending, Revivable
from actors.progress import Resumption, progress_of
from actors.records import ArmRun

_ANSWER_S = 5.0
"""How long a cloud is waited for that may have died."""
_FRUITLESS = 5
"""Deaths in a row without a token between them after which a run is given up."""
_UNFINISHED_S = 10.0
"""How long a host is waited for that is being made again when a run is stopped."""


@dataclass(slots=True)
class Deaths:
    """Who was found dead.

    Args:
        shards: number -> what was told of its death.
        clouds: replicas of which a shard says that they have died.
    """

    shards: dict[int, HostDiedError] = field(default_factory=dict)
    clouds: set[int] = field(default_factory=set)

    def __bool__(self) -> bool:
        """Whether there is anybody."""
        return bool(self.shards or self.clouds)


class Crew:
    """The replicas and the shards, in whichever lives they are."""

    def __init__(
        self,
        plan: ArmPlan,
        terms: CodecTerms,
        clouds: Sequence[Handle],
        shards: Sequence[Handle],
        rows: ArmRun,
        wall: Wall,
        born: Callable[[int], None],
    ) -> None:
        """Take hosts that are ready for the arm.

        Args:
            plan: the arm.
            terms: its codec.
            clouds: the cloud actors, one for each replica; empty for methods without one.
            shards: the edge actors.
            rows: what has been said so far; whoever takes the news adds to it.
            wall: the clock.
            born: told which replica has begun a life.
        """
        self._plan = plan
        self._terms = terms
        self._shards = shards
        self._rows = rows
        self._wall = wall
        self._born = born
        self._own = {each.device: each.replica for each in plan.devices}
        self._zero_ns = wall.now_ns()
        self._epoch = 0
        self._stride = 1 + 2 * len(plan.failures)
        self._begun: set[int] = set()
        self._replicas_to_come: dict[int, Revival] = {}
        self._shards_to_come: dict[int, Revival] = {}
        self._left: set[int] = set()
        self._fruitless = 0
        self.standstills = Standstills(wall.now_ns)
        """Deaths, and how long it took until their sessions spoke again."""
        self._tokens_at_death = -1
        self.clouds = clouds
        self._serving: set[int] = set()

    @property
    def serving(self) -> dict[int, Handle]:
        """Replicas that are there."""
        return {replica: self.clouds[replica] for replica in sorted(self._serving)}

    def begin(self) -> None:
        """Start the replicas and the shards; where something has been said, go on from there."""
        last_ns = max(
            max((row.chosen_at_ns for row in self._rows.tokens), default=0),
            max((row.finished_ns for row in self._rows.requests), default=0),
        )
        self._zero_ns = self._wall.now_ns() - last_ns
        self._epoch = int(last_ns > 0)
        for replica in range(len(self.clouds)):
            self._serve(replica)
        for index in range(len(self._shards)):
            self._run_shard(index, goes_on=last_ns > 0)

    def ask(self, method: str) -> dict[int, Pending]:
        """Begin a call of every shard that is there."""
        return {index: self._shards[index].submit(method) for index in sorted(self._begun)}

    def may_be_mended(self, shard: int) -> bool:
        """Whether a shard that died can be made again."""
        return isinstance(self._shards[shard], Revivable)

    def hear_who_left(self, devices: Iterable[int]) -> list[int]:
        """Hear which devices have left; return those that nobody had told of."""
        new = [each for each in devices if each not in self._left]
        self._left.update(new)
        return new

    def mend(self, deaths: Deaths) -> None:
        """Have the dead made again, and go on without them until they are.

        Raises:
            HostDiedError: one cannot be made again, or hosts die again and again.
        """
        reasons: Mapping[int, HostDiedError] = deaths.shards
        noticed_ns, last = self._wall.now_ns(), speaking(self._rows)
        died = next(iter(reasons.values()), HostDiedError("a cloud actor died"))
        self._count(died)
        self._begun -= reasons.keys()
        for replica, cloud in self.serving.items():
            unreached = replica in deaths.clouds
            if not unreached and self._answers(cloud):
                continue
            if not isinstance(cloud, Revivable):
                raise died
            # First of all its sessions go elsewhere: nobody waits for its successor.
            self._serving.discard(replica)
            self._tell("live_lose", replica)
            reason = "no shard could reach it" if unreached else str(died)
            self._replicas_to_come[replica] = Revival(cloud, reason)
            served = (device for device, row in last.items() if row.replica == replica)
            self.standstills.begin(f"replica {replica}", served, noticed_ns)
        for index, reason_of in reasons.items():
            shard = self._shards[index]
            if isinstance(shard, Revivable):
                self._shards_to_come[index] = Revival(shard, str(reason_of))
                mine = last.keys() & {each.device for each in self._devices_of(index)}
                self.standstills.begin(f"shard {index}", mine, noticed_ns)

    def take_back(self) -> None:
        """Go on with those who have been made again; who has died meanwhile is made once more.

        Raises:
            HostDiedError: hosts die again and again.
        """
        for replica in _over(self._replicas_to_come):
            cloud = self.clouds[replica]
            try:
                self._replicas_to_come.pop(replica).succeed()
                self._serve(replica)
            except HostDiedError as died:
                self._once_more(self._replicas_to_come, replica, cloud, died)
            else:
                self._tell("live_gain", replica, cloud)
        for index in _over(self._shards_to_come):
            try:
                self._shards_to_come.pop(index).succeed()
                self._epoch += self._stride
                self._run_shard(index, goes_on=True)
            except HostDiedError as died:
                self._once_more(self._shards_to_come, index, self._shards[index], died)

    def _once_more(
        self, coming: dict[int, Revival], number: int, host: Handle, died: HostDiedError
    ) -> None:
        self._count(died)
        if not isinstance(host, Revivable):
            raise died
        coming[number] = Revival(host, str(died))

    def settle(self, *, complete: bool) -> None:
        """Wait for hosts that are being made again: the next arm needs them, if there is one."""
        for coming in (*self._replicas_to_come.values(), *self._shards_to_come.values()):
            coming.join(None if complete else _UNFINISHED_S)

    def _tell(self, method: str, *args: object) -> None:
        self._epoch += self._stride
        for index in sorted(self._begun):
            with suppress(HostDiedError):  # found by the next poll
                self._shards[index].call(method, *args)

    def _count(self, died: HostDiedError) -> None:
        tokens = len(self._rows.tokens)
        self._fruitless = self._fruitless + 1 if tokens == self._tokens_at_death else 0
        self._tokens_at_death = tokens
        if self._fruitless >= _FRUITLESS:
            raise died

    def _now_ns(self) -> int:
        return self._wall.now_ns() - self._zero_ns

    def _devices_of(self, shard: int) -> tuple[DevicePlan, ...]:
        return self._plan.devices[shard :: len(self._shards)]

    def _serve(self, replica: int) -> None:
        plan = self._plan
        spec, now_ns = engine_spec(plan, self._terms), self._now_ns()
        stalls = [each for each in plan.stalls if each.concerns(replica)]
        failures = [each for each in plan.failures if each.replica == replica]
        begun = (spec, plan.egress_bps, stalls, now_ns, failures)
        self.clouds[replica].call("live_begin", *begun)
        self._serving.add(replica)
        self._born(replica)

    def _run_shard(self, index: int, *, goes_on: bool) -> None:
        mine = replace(self._plan, devices=self._devices_of(index))
        resumption: list[Resumption] = []
        if goes_on:
            rows = self._rows
            progress = progress_of(mine.devices, rows.tokens, rows.requests)
            resumption.append(
                Resumption(self._epoch, self._now_ns(), progress, frozenset(self._left))
            )
        clouds = Clouds(tuple(self.clouds), self._own, frozenset(self._replicas_to_come))
        self._shards[index].call("live_begin", mine, self._terms, index, clouds, *resumption)
        self._begun.add(index)

    def _answers(self, cloud: Handle) -> bool:
        """Whether a cloud is alive; one that stalls is."""
        pending = cloud.submit("live_news", 0, 0)
        if not self._wall.wait_for(pending, _ANSWER_S):
            return True
        try:
            pending.result()
        except HostDiedError:
            return False
        return True


def _over(coming: Mapping[int, Revival]) -> list[int]:
    return [number for number, each in coming.items() if each.done]
