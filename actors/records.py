"""What a run writes down: one row per token and one per request.

Times are integer nanoseconds on the run's own clock (simulated, or the wall since the start).
Bytes come in three named kinds: payload (what the codec made), frame (``len()`` of what was
encoded, OPEN, MORE and CLOSE included), wire (with TCP/IP, TLS and HTTP/2 overhead and the other
direction's acknowledgements), plus packets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace

from actors.failures import Incident
from actors.sight import Sight
from costeer.errors import ConfigError
from costeer.serving import EngineCounters, merged
from costeer.token_record import TokenRecord

CENSORED = "censored"
"""The ``reason`` of a request that the end of the run cut off."""
LEFT = "left"
"""The ``reason`` of a request whose device left before it was answered."""
UNANSWERED = frozenset((CENSORED, LEFT))
"""Reasons of requests that were cut off: how long they would have taken is not known."""
NO_REPLICA = -1
"""Who serves a method without a cloud."""


@dataclass(slots=True)
class ByteMeter:
    """Bytes that one session moved, by kind and direction.

    A refined or streamed token has several frames, so this adds up until it is taken.
    """

    payload_bytes_down: int = 0
    frame_bytes_down: int = 0
    wire_bytes_down: int = 0
    packets_down: int = 0
    frame_bytes_up: int = 0
    wire_bytes_up: int = 0
    packets_up: int = 0

    def add(self, other: ByteMeter) -> None:
        """Add another meter's counts to this one."""
        self.payload_bytes_down += other.payload_bytes_down
        self.frame_bytes_down += other.frame_bytes_down
        self.wire_bytes_down += other.wire_bytes_down
        self.packets_down += other.packets_down
        self.frame_bytes_up += other.frame_bytes_up
        self.wire_bytes_up += other.wire_bytes_up
        self.packets_up += other.packets_up

    def less(self, others: Iterable[ByteMeter]) -> ByteMeter:
        """Return what is left of these counts without others'."""
        gone = ByteMeter()
        for other in others:
            gone.add(other)
        names = [item.name for item in fields(self)]
        return ByteMeter(*(getattr(self, name) - getattr(gone, name) for name in names))


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One generated token, at the device.

    Args:
        device: device id.
        request: index of the request on its device.
        chosen_at_ns: instant at the device.
        record: what the session machine says of it.
        moved: bytes since the previous token of the session.
        replica: number of the replica that served it; ``NO_REPLICA`` for none.
    """

    device: int
    request: int
    chosen_at_ns: int
    record: TokenRecord
    moved: ByteMeter
    replica: int = 0


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request, when it ended or when the run did.

    Args:
        device: device id.
        request: index of the request on its device.
        session: session id.
        prompt_id: id of the prompt's row.
        link_class: name of the device's link.
        device_class: name of the device's hardware.
        arrival_ns: intended arrival.
        finished_ns: last token at the device, or the run's end where it did not finish.
        tokens: generated ids.
        reason: ``eos``, ``length``, an error's text, ``censored`` or ``left``.
        failed: ended by an error.
        moved: all bytes of the session.
        closing: those of them that came after its last token.
        refuted: ids that the cloud was told as drafts and that were not chosen.
        replica: number of the replica that served it last; ``NO_REPLICA`` for none.
    """

    device: int
    request: int
    session: int
    prompt_id: str
    link_class: str
    device_class: str
    arrival_ns: int
    finished_ns: int
    tokens: tuple[int, ...]
    reason: str
    failed: bool
    moved: ByteMeter
    closing: ByteMeter = field(default_factory=ByteMeter)
    refuted: tuple[int, ...] = ()
    replica: int = 0


@dataclass(slots=True)
class ReplicaRun:
    """What one replica did in an arm.

    Args:
        engine: what its engine counted: rows of each forward, in order (its composition), frames
            dropped, sessions refused and timed out.
        egress_busy_ns: how long its egress was sending.
    """

    engine: EngineCounters = field(default_factory=EngineCounters)
    egress_busy_ns: int = 0


@dataclass(frozen=True, slots=True)
class Standstill:
    """A death in the laboratory as the sessions of a live run felt it.

    Args:
        host: who died.
        sessions: that had a token and had to go on elsewhere.
        first_token_s: from the moment that the driver knew until the first of them chose a token
            again, its cache rebuilt; None where none did (they had their last one under way).
    """

    host: str
    sessions: int
    first_token_s: float | None


@dataclass(slots=True)
class ArmRun:
    """Everything that one arm produced, in canonical order once ``sort`` was called.

    Args:
        tokens: one row per token.
        requests: one row per request.
        end_ns: the arm's last instant.
        replicas: what each replica did; empty for methods without a cloud.
        incidents: what failed in the model, in order.
        lateness_ns: live only: how late each frame was handed over, against its deadline.
        standstills: live only: deaths in the laboratory, in order.
        messages: live only: that crossed between the shards and the cloud with frames in them.
        complete: False when the run was stopped before its end.
    """

    tokens: list[TokenRow] = field(default_factory=list)
    requests: list[RequestRow] = field(default_factory=list)
    end_ns: int = 0
    replicas: list[ReplicaRun] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    lateness_ns: list[int] = field(default_factory=list)
    standstills: list[Standstill] = field(default_factory=list)
    messages: int = 0
    complete: bool = True

    @property
    def engine(self) -> EngineCounters:
        """What the engines counted, all together; batches one replica after the other."""
        return merged([each.engine for each in self.replicas])

    @property
    def egress_busy_ns(self) -> int:
        """How long the replicas' egresses were sending, all together."""
        return sum(each.egress_busy_ns for each in self.replicas)

    def sort(self) -> None:
        """Put the rows in canonical order: by device, request, position."""
        self.tokens.sort(key=lambda row: (row.device, row.request, row.record.position))
        self.requests.sort(key=lambda row: (row.device, row.request))


@dataclass(frozen=True, slots=True)
class News:
    """What came since the last time, for whoever watches an arm while it runs.

    Args:
        tokens: rows of tokens.
        requests: rows of requests that ended.
        sight: what the driver saw.
    """

    tokens: Sequence[TokenRow]
    requests: Sequence[RequestRow]
    sight: Sight

    def moved(self) -> Iterator[tuple[int, ByteMeter]]:
        """Yield (device, bytes): over all news of an arm, every byte once."""
        for token in self.tokens:
            yield token.device, token.moved
        for request in self.requests:
            yield request.device, request.closing


Commit = Callable[[list[TokenRow], list[RequestRow]], None]
"""Takes rows that are final, in small pieces, so that a run that dies has lost little."""

_PIECE_SHARE = 16
"""A piece grows to one part in so many of what was handed on before: a killed run loses about 6 %
of its rows at most, and a run of a million tokens has some 150 pieces, not thousands."""


@dataclass(slots=True)
class Earlier:
    """What an earlier try of an arm had handed on, in that order."""

    tokens: list[TokenRow] = field(default_factory=list)
    requests: list[RequestRow] = field(default_factory=list)


class Recorder:
    """Collects the rows of one arm and hands them on in pieces."""

    def __init__(
        self,
        expected_requests: int,
        commit: Commit,
        *,
        piece_tokens: int = 256,
        piece_requests: int = 8,
        tell: Callable[[int], None] | None = None,
        tell_every: int = 64,
        watch: Callable[[News], None] | None = None,
        watch_every: int = 256,
        earlier: Earlier | None = None,
    ) -> None:
        """Begin an arm.

        Args:
            expected_requests: after so many the arm is over.
            commit: takes each piece.
            piece_tokens: tokens of the first pieces; later ones grow with the arm.
            piece_requests: requests after which a piece is full likewise.
            tell: told how many tokens more there are, now and then.
            tell_every: tokens between two times.
            watch: told of the rows themselves, now and then.
            watch_every: tokens between two times; ``show`` does not wait for them.
            earlier: rows that were handed on before the arm was begun again; they come once more,
                in the same order, and are not handed on twice.
        """
        self._tell = tell
        self._tell_every = tell_every
        self._expected_requests = expected_requests
        self._commit = commit
        self._piece_tokens = piece_tokens
        self._piece_requests = piece_requests
        self._watch = watch
        self._watch_every = watch_every
        self._look: Callable[[], Sight] = Sight
        self._shown_tokens = 0
        self._shown_requests = 0
        self._run = ArmRun()
        self._told_tokens = 0
        self.earlier = earlier or Earlier()
        """What was handed on before the arm was begun again."""
        self._cut = False
        self._committed_tokens = len(self.earlier.tokens)
        self._committed_requests = len(self.earlier.requests)

    @property
    def all_finished(self) -> bool:
        """Whether every request has ended."""
        return len(self._run.requests) == self._expected_requests

    @property
    def finished_requests(self) -> Sequence[RequestRow]:
        """The requests that have ended, in the order of their ends."""
        return self._run.requests

    @property
    def run(self) -> ArmRun:
        """All rows so far, in canonical order once the arm is closed."""
        return self._run

    @property
    def watched(self) -> bool:
        """Whether somebody watches, so that a driver need not look for nobody."""
        return self._watch is not None

    def restore(self) -> None:
        """Take the earlier rows as they are: they do not come once more."""
        self._run.tokens.extend(self.earlier.tokens)
        self._run.requests.extend(self.earlier.requests)
        self._shown_tokens = len(self.earlier.tokens)
        self._shown_requests = len(self.earlier.requests)

    def forgo(self, requests: int) -> None:
        """Hear that so many of the expected requests will never come."""
        self._expected_requests -= requests

    def attend(self, look: Callable[[], Sight]) -> None:
        """Take what tells how a driver stands; called whenever news is shown."""
        self._look = look

    def show(self) -> None:
        """Show the news to whoever watches."""
        if self._watch is None:
            return
        run = self._run
        tokens = run.tokens[self._shown_tokens :]
        requests = run.requests[self._shown_requests :]
        self._shown_tokens += len(tokens)
        self._shown_requests += len(requests)
        self._watch(News(tokens, requests, self._look()))

    def token(self, row: TokenRow) -> None:
        """Take a token."""
        count = len(self._run.tokens)
        if count < len(self.earlier.tokens):
            _check_repeated(row, self.earlier.tokens[count])
        self._run.tokens.append(row)
        count += 1
        if _is_full(count, self._committed_tokens, self._piece_tokens):
            self._hand_on()
        if count - self._told_tokens >= self._tell_every:
            self._tell_more()
        if self._watch is not None and count - self._shown_tokens >= self._watch_every:
            self.show()

    def request(self, row: RequestRow) -> None:
        """Take a request that ended."""
        count = len(self._run.requests)
        if row.reason == CENSORED:
            # Cut off before it came to where it had been: what is on disk tells more.
            self._cut = self._cut or self._repeats
        elif count < len(self.earlier.requests):
            _check_repeated(replace(row, closing=ByteMeter()), self.earlier.requests[count])
        self._run.requests.append(row)
        if _is_full(len(self._run.requests), self._committed_requests, self._piece_requests):
            self._hand_on()

    def close(self, end_ns: int, *, complete: bool) -> ArmRun:
        """Hand on what is left and return all rows, in canonical order."""
        self._tell_more()
        self.show()
        self._hand_on()
        self._run.end_ns = end_ns
        self._run.complete = complete
        self._run.sort()
        # Whoever is looked at holds this recorder: as a circle they would keep all rows of the arm.
        self._look = Sight
        return self._run

    def _tell_more(self) -> None:
        more = len(self._run.tokens) - self._told_tokens
        self._told_tokens += more
        if self._tell is not None and more:
            self._tell(more)

    @property
    def _repeats(self) -> bool:
        """Whether rows come that had been handed on before."""
        tokens, requests = len(self._run.tokens), len(self._run.requests)
        return tokens < len(self.earlier.tokens) or requests < len(self.earlier.requests)

    def _hand_on(self) -> None:
        if self._cut:
            return
        tokens = self._run.tokens[self._committed_tokens :]
        requests = self._run.requests[self._committed_requests :]
        self._committed_tokens += len(tokens)
        self._committed_requests += len(requests)
        if tokens or requests:
            self._commit(tokens, requests)


def _check_repeated(row: TokenRow | RequestRow, earlier: TokenRow | RequestRow) -> None:
    if row != earlier:
        raise ConfigError(
            f"device {row.device}, request {row.request}: this time the run says something else"
            " than what it had written before it was cut off (another version of the code, of a"
            " model or of the prompts?); run it anew, without --resume"
        )


def _is_full(count: int, committed: int, piece: int) -> bool:
    return count - committed >= max(piece, committed // _PIECE_SHARE)
