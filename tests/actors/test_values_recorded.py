"""Recordings: what went in comes out, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.plan import session_id
from actors.values.generated import GeneratedConfig, RowSource
from actors.values.recorded import (
    Origin,
    RecordedRows,
    RecordedStep,
    Recording,
    pack_delta,
    pack_logits,
    recorded_session,
    write_recording,
)
from costeer.errors import ConfigError
from netsim.random import Stream

VOCAB = 257
ORIGIN = Origin("llm", "slm", VOCAB, 1.783, 7)
SOURCE = RowSource(GeneratedConfig(vocab_size=VOCAB, boost_ranks=8), 7)
LENGTHS = (3, 1, 4)


def step(session: int, position: int) -> RecordedStep:
    return RecordedStep(
        session=session,
        prompt_id=f"p{session}",
        public_tokens=5,
        personal_tokens=9 + session,
        position=position,
        token=100 * session + position,
        logits=pack_logits(SOURCE.logits(session, position)),
        delta=pack_delta(SOURCE.delta(session, position)),
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    steps = [step(s, p) for p in range(max(LENGTHS)) for s, n in enumerate(LENGTHS) if p < n]
    path = tmp_path_factory.mktemp("recorded") / "logits.parquet"
    write_recording(path, ORIGIN, steps)
    return path


def test_rows_come_back_bit_for_bit(path: Path) -> None:
    recording = Recording(path)
    assert recording.origin == ORIGIN
    assert recording.sessions == len(LENGTHS)
    for session, length in enumerate(LENGTHS):
        told = recording.session(session)
        assert told.tokens == tuple(100 * session + p for p in range(length))
        assert (told.prompt_id, told.personal_tokens) == (f"p{session}", 9 + session)
        for position in range(length):
            row_V = SOURCE.logits(session, position)
            np.testing.assert_array_equal(recording.logits(session, position), row_V)
            np.testing.assert_array_equal(
                recording.delta(session, position), SOURCE.delta(session, position)
            )


def test_a_longer_session_begins_again(path: Path) -> None:
    recording = Recording(path)
    np.testing.assert_array_equal(recording.logits(0, 4), recording.logits(0, 1))


def test_measured_steps_are_whole_sessions(path: Path) -> None:
    assert Recording(path).steps(2) == [(0, 0), (0, 1), (0, 2)]
    assert len(Recording(path).steps(5)) == 8


@given(st.integers(0, 2**19), st.integers(0, 4095), st.integers(1, 50))
def test_devices_begin_with_different_sessions(device: int, request: int, count: int) -> None:
    assert 0 <= recorded_session(device, request, count) < count
    if count > 1:
        here, there = (recorded_session(each, request, count) for each in (device, device + 1))
        assert here != there


def test_rows_of_a_run_are_those_of_its_recorded_session(path: Path) -> None:
    rows = RecordedRows(str(path), 99)
    np.testing.assert_array_equal(rows.delta(session_id(4, 1), 0), SOURCE.delta(2, 0))
    with pytest.raises(ConfigError, match="slm_"):
        rows.logits(session_id(0, 0), 0, Stream.EDGE_LOGITS)


def test_what_is_no_recording_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        Recording(tmp_path / "none.parquet")
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ConfigError, match="cannot be read"):
        Recording(cut)
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"a": [1]}), other)
    with pytest.raises(ConfigError, match="not a recording"):
        Recording(other)
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({}), other)
    with pytest.raises(ConfigError, match="does not say"):
        Recording(other)
    pq.write_table(table.slice(1), other)
    with pytest.raises(ConfigError, match="missing"):
        Recording(other)


def test_a_row_that_does_not_decompress_is_named(tmp_path: Path) -> None:
    whole = step(0, 0)
    for broken, match in (
        (b"junk", "row 0 of logits"),
        (pack_logits(SOURCE.logits(0, 0)[:9]), "B|bytes"),
    ):
        path = tmp_path / "broken.parquet"
        fields = {name: getattr(whole, name) for name in RecordedStep.__dataclass_fields__}
        write_recording(path, ORIGIN, [RecordedStep(**(fields | {"logits": broken}))])
        with pytest.raises(ConfigError, match=match):
            Recording(path).logits(0, 0)
