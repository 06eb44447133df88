"""What the cloud engine keeps of its sessions; the memory that they share is ``memory``'s."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from itertools import zip_longest
from typing import TYPE_CHECKING

from costeer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from costeer.gate import Gate, GateConfig
    from costeer.learning import LearnerSpec
    from costeer.messages import Role
    from costeer.refinement import Ladder
    from costeer.speculation import Ledger


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What the engine may use; every figure is at least 1 (``max_waiting`` may be 0).

    Args:
        max_batch: rows of one forward.
        chunk_tokens: prompt tokens of one forward.
        kv_tokens: tokens that all open sessions together may reserve.
        max_context: tokens of one session, prompt and generated.
        max_sessions: open sessions, those that wait for memory not included.
        max_waiting: sessions that may wait for memory.
        idle_timeout_ns: silence after which a session that is away is dropped.
        preempts: whether sessions hold memory for their present text alone and are evicted where
            that does not suffice; else each reserves what it can ever need.

    Raises:
        ConfigError: a figure with which nothing could be served.
    """

    max_batch: int
    chunk_tokens: int
    kv_tokens: int
    max_context: int
    max_sessions: int
    max_waiting: int
    idle_timeout_ns: int
    preempts: bool = False

    def __post_init__(self) -> None:
        """Check the bounds."""
        for item in fields(self):
            if item.name == "preempts":
                continue
            least = 0 if item.name == "max_waiting" else 1
            value = getattr(self, item.name)
            if value < least:
                raise ConfigError(f"engine: {item.name} must be at least {least}, not {value}")

    @property
    def silence(self) -> str:
        """What a device is told that was silent for too long."""
        return f"no word from the device for {self.idle_timeout_ns / 1e9:g} s"


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What the engine serves.

    Args:
        limits: see there.
        vocab_size: ids are below it.
        eos: ids that end a streamed text.
        codec_fingerprint: of the codec that LOGITS come in.
        ladder: ranks per refinement round.
        learner: what chooses the ladder of each step instead; None: it stays as it is.
        bucket_bytes: sizes of LOGITS frames are multiples of this.
        gate: when steering pauses in sessions that let it; None: in none.
        drafts: tokens that are drafted here for each forward of a streamed session.
    """

    limits: EngineLimits
    vocab_size: int
    eos: frozenset[int]
    codec_fingerprint: int
    ladder: Ladder
    learner: LearnerSpec | None = None
    bucket_bytes: int = 1
    gate: GateConfig | None = None
    drafts: int = 0


@dataclass(slots=True)
class EngineCounters:
    """What the engine did, for reports and metrics.

    Args:
        batches: rows of each forward, in order.
        dropped_frames: frames that were no frames, repeated or late.
        refused_sessions: sessions that ended because they broke a rule or did not fit.
        timed_out_sessions: sessions that ended because their device was silent.
        forward_ns: how long forwards took, those that have ended, and the cloud's own drafts.
        select_ns: how long selecting, encoding and choosing took, likewise.
        peak_kv_tokens: the most KV tokens that were reserved at once.
        waited_sessions: sessions that were not admitted at once, for want of memory.
        preempted_sessions: how often a session was evicted, for want of memory.
        recomputed_tokens: tokens that had been run and lost their place in memory by that.
        drafts: tokens that were drafts when they came.
        refuted_drafts: those of them that another token replaced.
        wasted_tokens: those of these that had been run already.
        right_drafts: of the cloud's own drafts those that were chosen.
        wrong_drafts: those that another token was chosen for.
    """

    batches: list[int] = field(default_factory=list)
    dropped_frames: int = 0
    refused_sessions: int = 0
    timed_out_sessions: int = 0
    forward_ns: int = 0
    select_ns: int = 0
    peak_kv_tokens: int = 0
    waited_sessions: int = 0
    preempted_sessions: int = 0
    recomputed_tokens: int = 0
    drafts: int = 0
    refuted_drafts: int = 0
    wasted_tokens: int = 0
    right_drafts: int = 0
    wrong_drafts: int = 0


def merged(counters: Sequence[EngineCounters]) -> EngineCounters:
    """Return what several engines did together; their peaks are added up, whenever they were."""
    total = EngineCounters()
    for item in fields(EngineCounters):
        values = [getattr(each, item.name) for each in counters]
        setattr(total, item.name, sum(values, [] if item.name == "batches" else 0))
    return total


class State(Enum):
    """Where a session stands; the table in ``cloud`` has the transitions."""

    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    AWAY = "away"
    EVICTED = "evicted"
    REFINING = "refining"
    CLOSING = "closing"
    RELEASED = "released"


@dataclass(slots=True, eq=False)
class Session:
    """One session at the engine.

    Args:
        session: id.
        epoch: of its OPEN.
        role: logits, a stream, or logits for drafts.
        max_new_tokens: its limit.
        needs_tokens: KV tokens that it reserves, or would.
        prompt_tokens: of its prompt, chosen tokens not included.
        tokens: its text: the prompt, the tokens chosen, and drafts behind them.
        position: of the next token to be chosen.
        uplink_ns: transit of the frame that it is served for.
        ready_ns: when that frame arrived, or the last streamed token was chosen.
        seen_ns: when its device was last heard, or was last answered.
        idle_at_ns: when its timer fires.
        state: see the table.
        cached: tokens in the cache, as far as they are the text's.
        running_to: tokens in the cache when the forward under way is done, likewise.
        round: the newest refinement round.
        ladder: ranks per round of this position.
        round_trip_bytes: what its link could carry in a round trip.
        compute_ns: forwards since ``ready_ns`` that had a row of it.
        ledger: of a session with drafts.
        gate: of a session whose steering may pause.
        guessing: whether the cloud drafts for it.
        guesses: drafts at the end of its text then; None: they have not been asked for.
        read: tokens that a small model which drafts them has in its cache, as far as they are the
            text's.
        guide: the second prompt of a guided one.
        guide_cached: tokens of its second sequence in the cache: that prompt and the chosen ones.
        again: tokens that an earlier epoch chose, of a session whose gate has to see them again.
    """

    session: int
    epoch: int
    role: Role
    max_new_tokens: int
    needs_tokens: int
    prompt_tokens: int
    tokens: list[int]
    position: int
    uplink_ns: int
    ready_ns: int
    seen_ns: int
    idle_at_ns: int
    ladder: Ladder
    round_trip_bytes: int = 0
    state: State = State.WAITING
    cached: int = 0
    running_to: int = 0
    round: int = 0
    compute_ns: int = 0
    ledger: Ledger | None = None
    gate: Gate | None = None
    guessing: bool = False
    guesses: int | None = None
    read: int = 0
    again: tuple[int, ...] = ()
    guide: tuple[int, ...] = ()
    guide_cached: int = 0

    @property
    def pending(self) -> int:
        """Tokens of the text that are not in the cache."""
        return len(self.tokens) - self.cached

    def take_guide(self) -> tuple[int, tuple[int, ...]]:
        """Return where the second sequence goes on, and its tokens that are not in the cache yet.

        It is read behind the prompt's last chunk, in one go, and then with every chosen token.
        """
        start = self.guide_cached
        if not self.guide or self.running_to < len(self.tokens):
            return start, ()
        run = (*self.guide, *self.tokens[self.prompt_tokens :])[start:]
        self.guide_cached += len(run)
        return start, run

    @property
    def newest_row(self) -> int:
        """The position whose logits follow from the last token in the cache."""
        return self.cached - self.prompt_tokens

    def guess(self, tokens: Sequence[int]) -> None:
        """Put drafts behind the text; whoever made them has read all but the last."""
        self.guesses = len(tokens)
        self.read = len(self.tokens) + max(0, len(tokens) - 1)
        self.tokens.extend(tokens)

    def verified(self, chosen: Sequence[int]) -> list[int]:
        """Return what stands of choices behind drafts: up to the first that is no draft."""
        drafts = self.tokens[self.prompt_tokens + self.position :]
        kept = []
        for token, draft in zip_longest(chosen, drafts):
            kept.append(token)
            if token != draft:
                break
        return kept

    def rewrite(self, position: int, tokens: Sequence[int]) -> int:
        """Replace the text from a position on; the cache stands as far as it is unchanged.

        Returns:
            The first position that is not what it was.
        """
        first = self.prompt_tokens + position
        agreed = first
        for token, old in zip(tokens, self.tokens[first:], strict=False):
            if token != old:
                break
            agreed += 1
        self.tokens[first:] = tokens
        self.cached = min(self.cached, agreed)
        self.running_to = min(self.running_to, agreed)
        self.read = min(self.read, agreed)
        return agreed - self.prompt_tokens
