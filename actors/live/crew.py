"""The hosts of a live run, and what is done when one of them dies.

Theory of operation
-------------------
Nothing that a live run has said is lost with a host: rows are with the driver, and a session is its
tokens. A shard that died is made again and goes on with its devices from their rows; a replica that
died is made again and every shard opens its sessions there anew. Both use a new epoch, so that what
is still under way from before is nobody's. Connections stay warm: no device died. How long a
session stood still is the ``device_queue`` of its next token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from actors.live.wall import Wall
from actors.plan import ArmPlan, CodecTerms, engine_spec
from actors.port import Handle, HostDiedError, Pending, Revivable
from actors.progress import Resumption, progress_of
from actors.records import ArmRun

_ANSWER_S = 5.0
"""How long a cloud is waited for that may have died."""
_FRUITLESS = 5
"""Deaths in a row without a token between them after which a run is given up."""


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
        self._zero_ns = wall.now_ns()
        self._epoch = 0
        self._begun = 0
        self._fruitless = 0
        self._tokens_at_death = -1
        self.clouds = clouds
        self.serving: list[Handle] = []
        """Replicas that have begun."""

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
            self._begun += 1

    def ask(self, method: str) -> dict[int, Pending]:
        """Begin a call of every shard that has begun."""
        return {index: self._shards[index].submit(method) for index in range(self._begun)}

    def may_be_mended(self, shard: int) -> bool:
        """Whether a shard that died can be made again."""
        return isinstance(self._shards[shard], Revivable)

    def mend(self, deaths: Deaths) -> None:
        """Make the dead again; who dies meanwhile is found by the next poll.

        Raises:
            HostDiedError: a replica cannot be made again, or hosts die again and again.
        """
        reasons: Mapping[int, HostDiedError] = deaths.shards
        died = next(iter(reasons.values()), HostDiedError("a cloud actor died"))
        self._count(died)
        for replica, cloud in enumerate(self.clouds):
            unreached = replica in deaths.clouds
            if not unreached and self._answers(cloud):
                continue
            if not isinstance(cloud, Revivable):
                raise died
            with suppress(HostDiedError):
                cloud.revive("no shard could reach it" if unreached else str(died))
                self._serve(replica)
                self._epoch += 1
                for index in range(self._begun):
                    if index not in reasons:
                        self._shards[index].call("live_rehome", replica, cloud, self._epoch)
        for index, reason in reasons.items():
            shard = self._shards[index]
            if isinstance(shard, Revivable):
                self._epoch += 1
                with suppress(HostDiedError):
                    shard.revive(str(reason))
                    self._run_shard(index, goes_on=True)

    def _count(self, died: HostDiedError) -> None:
        tokens = len(self._rows.tokens)
        self._fruitless = self._fruitless + 1 if tokens == self._tokens_at_death else 0
        self._tokens_at_death = tokens
        if self._fruitless >= _FRUITLESS:
            raise died

    def _serve(self, replica: int) -> None:
        plan = self._plan
        spec, now_ns = engine_spec(plan, self._terms), self._wall.now_ns() - self._zero_ns
        stalls = [each for each in plan.stalls if each.concerns(replica)]
        self.clouds[replica].call("live_begin", spec, plan.egress_bps, stalls, now_ns)
        self._born(replica)
        if len(self.serving) == replica:
            self.serving.append(self.clouds[replica])

    def _run_shard(self, index: int, *, goes_on: bool) -> None:
        mine = replace(self._plan, devices=self._plan.devices[index :: len(self._shards)])
        resumption: list[Resumption] = []
        if goes_on:
            rows = self._rows
            progress = progress_of(mine.devices, rows.tokens, rows.requests)
            now_ns = self._wall.now_ns() - self._zero_ns
            resumption.append(Resumption(self._epoch, now_ns, progress))
        clouds = tuple(self.clouds)
        self._shards[index].call("live_begin", mine, self._terms, index, clouds, *resumption)

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
