"""How long it takes after a death in the laboratory until a session that stood still speaks again.

That a host is there again is not all: a moved session's cache is rebuilt from its tokens first, and
then its next token takes a forward and its links. So the time runs from the moment that the driver
knows of the death until it hears of the first such token: one clock, and at most a poll too long. A
token is such a one by its ``device_queue``, which no other after a session's first has but those
whose replica failed as an event of the scenario. Sessions
without a token yet are not looked at: of their first one nobody can say whether it was late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from actors.records import ArmRun, Standstill, TokenRow
from costeer.token_record import STAGES

_STOOD_STILL = STAGES.index("device_queue")


@dataclass(slots=True)
class _Death:
    host: str
    noticed_ns: int
    devices: frozenset[int]
    first_token_s: float | None = None


class Standstills:
    """The deaths of an arm, and how its sessions came back."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        """Begin with none.

        Args:
            now_ns: the driver's clock.
        """
        self._now_ns = now_ns
        self._deaths: list[_Death] = []
        self._unheard: list[_Death] = []

    def begin(self, host: str, devices: Iterable[int], noticed_ns: int) -> None:
        """Hear of a death.

        Args:
            host: who died.
            devices: whose sessions, with a token at least, stand still.
            noticed_ns: when the driver knew.
        """
        death = _Death(host, noticed_ns, frozenset(devices))
        self._deaths.append(death)
        self._unheard.append(death)

    def hear(self, row: TokenRow) -> None:
        """Look at a token that came; it costs nothing where nobody stands still."""
        if not self._unheard or not row.record.position or not row.record.stages_ns[_STOOD_STILL]:
            return
        for death in tuple(self._unheard):
            if row.device in death.devices:
                death.first_token_s = (self._now_ns() - death.noticed_ns) / 1e9
                self._unheard.remove(death)

    def all(self) -> list[Standstill]:
        """Return them in the order of the deaths."""
        return [
            Standstill(each.host, len(each.devices), each.first_token_s) for each in self._deaths
        ]


def speaking(run: ArmRun) -> dict[int, TokenRow]:
    """Return the last token of each session under way that has one, by device.

    A session that has given its cloud up stands still for nobody.
    """
    last = {row.device: row for row in run.tokens if not row.record.fallback}
    ended = {(row.device, row.request) for row in run.requests}
    return {device: row for device, row in last.items() if (device, row.request) not in ended}
