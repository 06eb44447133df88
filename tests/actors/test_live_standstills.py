"""How long a death is felt: until a session that it moved speaks again."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from actors.live.standstills import Standstills, speaking
from actors.records import (
    ArmRun,
    ByteMeter,
    RequestRow,
    Standstill,
    TokenRow,
)
from costeer.token_record import STAGES, TokenRecord
from tests.actors.fleets import MS


def said(run_of: int, position: int, stood_still_ns: int = 0) -> TokenRow:
    stages_ns = (stood_still_ns, *(1 for _ in STAGES[1:]))
    record = TokenRecord(run_of, position, 7, sum(stages_ns), stages_ns)
    return TokenRow(run_of, 0, 99, record, ByteMeter())


def test_a_death_is_over_when_a_session_that_it_moved_speaks_again() -> None:
    now_ns = count(2_000 * MS, 100 * MS)
    standstills = Standstills(lambda: next(now_ns))
    standstills.begin("replica 0", {1, 2}, 1_000 * MS)
    standstills.begin("shard 1", {2, 3}, 1_500 * MS)
    standstills.begin("shard 1", (), 1_700 * MS)
    for row in (
        said(1, 4),  # was under way when its replica died
        said(4, 4, 90),  # another death's
        said(3, 0, 90),  # a request that waited for its user's last one
        said(1, 5, 90),
        said(1, 6, 90),
        said(3, 5, 90),
        said(2, 5, 90),
    ):
        standstills.hear(row)
    assert standstills.all() == [
        Standstill("replica 0", 2, 1.0),
        Standstill("shard 1", 2, 0.6),
        Standstill("shard 1", 0, None),
    ]


def test_only_sessions_under_way_that_have_their_cloud_stand_still() -> None:
    rows = [said(device, 0) for device in (1, 2, 3)]
    rows[1] = replace(rows[1], record=replace(rows[1].record, fallback=True))
    given = (3, 0, 3, "p", "lte", "phone", 0, 1, (7,), "eos")
    ended = RequestRow(*given, failed=False, moved=ByteMeter())
    assert speaking(ArmRun(tokens=rows, requests=[ended])) == {1: rows[0]}
