"""What a live cloud counts, kept by the driver: over all its lives, and whether it answers or not.

Theory of operation
-------------------
A cloud is asked now and then what it has counted since it came to life, and sends of its lists what
the driver does not have. So a reply may be lost and asked for again, and with a cloud that dies
only what it counted after its last reply is lost. One that does not answer is not waited for: it is
asked again when it has answered.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace

from actors.port import Handle, HostDiedError, Pending
from actors.sight import CloudLook
from costeer.serving import EngineCounters, merged


@dataclass(frozen=True, slots=True)
class CloudNews:
    """What a live cloud did since it came to life.

    Args:
        look: how its engine stands.
        engine: what the engine counted; of its forwards, those that the driver does not know.
        egress_busy_ns: how long the egress was sending.
        lateness_ns: how late each frame left, against its instant; those unknown to the driver.
        messages: that shards pushed, and that they pulled with frames in them.
        stuck: whether its model is at an operation that was waited for in vain at its end.
    """

    look: CloudLook
    engine: EngineCounters
    egress_busy_ns: int = 0
    lateness_ns: list[int] = field(default_factory=list)
    messages: int = 0
    stuck: bool = False


class CloudBooks:
    """One cloud's counts, summed over its lives."""

    def __init__(self) -> None:
        """Begin before the first life."""
        self._past = EngineCounters()
        self._past_egress_ns = self._past_messages = 0
        self._now = EngineCounters()
        self._egress_ns = self._messages = 0
        self._late_known = self._shown = 0
        self._asked: Pending | None = None
        self._look: CloudLook | None = None
        self.lateness_ns: list[int] = []

    @property
    def engine(self) -> EngineCounters:
        """What the engines of all lives counted."""
        total = merged([self._past, self._now])
        return replace(
            total, peak_kv_tokens=max(self._past.peak_kv_tokens, self._now.peak_kv_tokens)
        )

    @property
    def egress_busy_ns(self) -> int:
        """How long the egress was sending."""
        return self._past_egress_ns + self._egress_ns

    @property
    def messages(self) -> int:
        """Messages with frames in them."""
        return self._past_messages + self._messages

    def begin_life(self) -> None:
        """The cloud was made anew: what the last one had said is kept."""
        self._past, self._now = self.engine, EngineCounters()
        self._past_egress_ns, self._egress_ns = self.egress_busy_ns, 0
        self._past_messages, self._messages = self.messages, 0
        self._late_known = 0
        self._asked = None

    def ask(self, cloud: Handle) -> None:
        """Take what was answered, and ask again unless an answer is still to come."""
        self.take()
        if self._asked is None:
            self._asked = cloud.submit("live_news", *self.known)

    def take(self) -> None:
        """Take what was answered, if anything was."""
        if self._asked is None or not self._asked.done():
            return
        asked, self._asked = self._asked, None
        # A cloud that died says nothing; whoever mends it hears of it elsewhere.
        with suppress(HostDiedError):
            self.book(asked.result())

    def book(self, news: object) -> None:
        """Add what a cloud said."""
        if not isinstance(news, CloudNews):
            return
        batches = [*self._now.batches, *news.engine.batches]
        self._now = replace(news.engine, batches=batches)
        self._egress_ns, self._messages = news.egress_busy_ns, news.messages
        self._late_known += len(news.lateness_ns)
        self.lateness_ns += news.lateness_ns
        self._look = news.look

    @property
    def known(self) -> tuple[int, int]:
        """How many forwards and how many frames' lateness of this life are known."""
        return len(self._now.batches), self._late_known

    def look(self) -> CloudLook | None:
        """Return how the cloud stands, as far as it has said; None where it never has.

        Its forwards are those since the look before, its counts those of all lives.
        """
        if self._look is None:
            return None
        engine = self.engine
        batches = tuple(engine.batches[self._shown :])
        self._shown += len(batches)
        return replace(
            self._look,
            batches=batches,
            egress_busy_ns=self.egress_busy_ns,
            dropped_frames=engine.dropped_frames,
            refused_sessions=engine.refused_sessions,
            timed_out_sessions=engine.timed_out_sessions,
            preempted_sessions=engine.preempted_sessions,
        )
