"""The recorder: every row once, in pieces, in canonical order."""

from __future__ import annotations

from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from actors.records import ArmRun, ByteMeter, Recorder, RequestRow, TokenRow
from costeer.machine import STAGES, TokenRecord
from tests.actors.fleets import Kept


def token(device: int, request: int, position: int) -> TokenRow:
    record = TokenRecord(device, position, 1, 5, (0,) * len(STAGES))
    return TokenRow(device, request, 10 * position, record, ByteMeter())


def request(device: int, number: int) -> RequestRow:
    return RequestRow(
        device=device,
        request=number,
        session=device,
        prompt_id="row",
        link_class="lte",
        device_class="phone",
        arrival_ns=0,
        finished_ns=9,
        tokens=(),
        reason="eos",
        failed=False,
        moved=ByteMeter(),
    )


names = st.tuples(st.integers(0, 3), st.integers(0, 2))


@given(
    st.lists(st.tuples(names, st.integers(0, 9)), unique=True, max_size=30),
    st.lists(names, unique=True, max_size=9),
    st.integers(1, 5),
    st.integers(1, 7),
)
def test_every_row_is_handed_on_once(
    tokens: list[tuple[tuple[int, int], int]],
    requests: list[tuple[int, int]],
    piece: int,
    tell_every: int,
) -> None:
    kept, told = Kept(), list[int]()
    recorder = Recorder(
        len(requests), kept, piece_tokens=piece, tell=told.append, tell_every=tell_every
    )
    for (device, number), position in tokens:
        recorder.token(token(device, number, position))
        assert len(kept.tokens) > recorder.tokens_so_far - piece
        assert sum(told) > recorder.tokens_so_far - tell_every
    for device, number in requests:
        assert not recorder.all_finished
        recorder.request(request(device, number))
    assert recorder.all_finished
    assert [(row.device, row.request) for row in recorder.finished_requests] == requests
    run = recorder.close(77, complete=True)
    assert len(kept.tokens) == len(tokens) == sum(told)
    assert len(kept.requests) == len(requests)
    assert (run.end_ns, run.complete) == (77, True)
    assert [(row.device, row.request, row.record.position) for row in run.tokens] == sorted(
        (device, number, position) for (device, number), position in tokens
    )
    assert [(row.device, row.request) for row in run.requests] == sorted(requests)


def test_nothing_is_handed_on_where_nothing_is() -> None:
    def commit(*_: object) -> None:
        raise AssertionError("an empty piece")

    assert Recorder(1, commit).close(0, complete=False) == ArmRun(complete=False)


def test_meters_add_up() -> None:
    names = [item.name for item in fields(ByteMeter)]
    meter = ByteMeter(*range(1, len(names) + 1))
    meter.add(ByteMeter(*[10] * len(names)))
    assert [getattr(meter, name) for name in names] == [*range(11, 11 + len(names))]
