"""The recorder: every row once, in pieces, in canonical order."""

from __future__ import annotations

import gc
import weakref
from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from actors.records import ArmRun, ByteMeter, Recorder, RequestRow, TokenRow
from actors.sight import Sight
from costeer.token_record import STAGES, TokenRecord
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
        assert len(kept.tokens) > len(recorder.run.tokens) - piece
        assert sum(told) > len(recorder.run.tokens) - tell_every
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


def test_pieces_are_small_at_first_and_modest_in_number() -> None:
    pieces: list[tuple[int, int]] = []
    done = [0, 0]

    def commit(tokens: list[TokenRow], requests: list[RequestRow]) -> None:
        pieces.append((len(tokens), len(requests)))
        done[0] += len(tokens)
        done[1] += len(requests)

    recorder = Recorder(1_000, commit)
    rows = [token(0, 0, position) for position in range(100)]
    for number in range(1_000):
        for row in rows:
            recorder.token(row)
            behind = len(recorder.run.tokens) - done[0]
            assert behind < max(256, done[0] // 16 + 1)
        recorder.request(request(number, 0))
        assert len(recorder.run.requests) - done[1] < max(8, done[1] // 16 + 1)
    recorder.close(0, complete=True)
    assert done == [100_000, 1_000]
    assert len(pieces) < 150


def test_requests_alone_fill_a_piece() -> None:
    kept = Kept()
    recorder = Recorder(20, kept)
    for number in range(20):
        recorder.request(request(number, 0))
    assert len(kept.requests) == 16


def test_nothing_is_handed_on_where_nothing_is() -> None:
    def commit(*_: object) -> None:
        raise AssertionError("an empty piece")

    assert Recorder(1, commit).close(0, complete=False) == ArmRun(complete=False)


def test_meters_add_up() -> None:
    names = [item.name for item in fields(ByteMeter)]
    meter = ByteMeter(*range(1, len(names) + 1))
    meter.add(ByteMeter(*[10] * len(names)))
    assert [getattr(meter, name) for name in names] == [*range(11, 11 + len(names))]


class Driver:
    """Holds a recorder and is looked at by it."""

    def __init__(self) -> None:
        self.recorder = Recorder(1, Kept())
        self.recorder.attend(self.sight)

    def sight(self) -> Sight:
        return Sight()

    def run(self) -> ArmRun:
        self.recorder.token(token(0, 0, 0))
        return self.recorder.close(9, complete=True)


def test_rows_do_not_wait_for_a_search_for_circles() -> None:
    driver = Driver()
    recorder = weakref.ref(driver.recorder)
    gc.disable()
    try:
        run = driver.run()
        del driver
        assert recorder() is None
    finally:
        gc.enable()
    assert len(run.tokens) == 1
