"""How far devices have come, for whoever goes on with them after a death in the laboratory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from actors.plan import DevicePlan
from actors.records import ByteMeter, RequestRow, TokenRow


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one device has come, as far as its rows tell.

    Args:
        request: index of the request under way, or of the next one where none has a token.
        tokens: its tokens so far.
        arrival_ns: when it was meant to come; only where it has tokens.
        last_ns: its last token's instant; where it has none, the end of the request before.
        moved: bytes of the session so far.
        alone: whether it has given its cloud up.
    """

    request: int = 0
    tokens: tuple[int, ...] = ()
    arrival_ns: int = 0
    last_ns: int = 0
    moved: ByteMeter = field(default_factory=ByteMeter)
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a shard needs to know to go on with devices that were another's.

    Args:
        epoch: of the sessions that it opens: higher than any that their cloud has seen.
        now_ns: the run's clock.
        devices: how far each has come.
        left: devices of which is known that they have left, and that they ask nothing any more.
    """

    epoch: int
    now_ns: int
    devices: Mapping[int, Progress]
    left: frozenset[int] = frozenset()


def progress_of(
    devices: Sequence[DevicePlan], tokens: Iterable[TokenRow], requests: Iterable[RequestRow]
) -> dict[int, Progress]:
    """Return how far devices have come.

    Args:
        devices: whose progress is asked for.
        tokens: rows of these and of others; each session's in the order of positions.
        requests: rows of these and of others.
    """
    wanted = {each.device for each in devices}
    ended: dict[int, int] = dict.fromkeys(wanted, 0)
    ended_ns: dict[int, int] = dict.fromkeys(wanted, 0)
    for row in requests:
        if row.device in wanted:
            ended[row.device] = max(ended[row.device], row.request + 1)
            ended_ns[row.device] = max(ended_ns[row.device], row.finished_ns)
    under_way: dict[int, list[TokenRow]] = {}
    for token in tokens:
        if token.device in wanted and token.request == ended[token.device]:
            under_way.setdefault(token.device, []).append(token)
    return {
        device: _of(ended[device], ended_ns[device], under_way.get(device, [])) for device in wanted
    }


def _of(request: int, ended_ns: int, rows: Sequence[TokenRow]) -> Progress:
    if not rows:
        return Progress(request, last_ns=ended_ns)
    moved = ByteMeter()
    for row in rows:
        moved.add(row.moved)
    return Progress(
        request,
        tuple(row.record.token for row in rows),
        rows[0].chosen_at_ns - rows[0].record.latency_ns,
        rows[-1].chosen_at_ns,
        moved,
        rows[-1].record.fallback,
    )
