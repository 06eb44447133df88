from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from actors.records import ArmRun
from actors.run_tables import SCHEMA_VERSION, token_columns
from actors.sink import RunSink
from costeer.errors import ConfigError, LocalProtocolError
from costeer.methods import method_named
from costeer.token_record import STAGES
from tests.experiments.fake_run import make_arm

KEYS = {"method": "costeer", "codec": "top-64"}


@pytest.fixture
def arm() -> ArmRun:
    return make_arm(method_named("costeer"), devices=4, tokens=6)


def test_pieces_are_merged_in_order(tmp_path: Path, arm: ArmRun) -> None:
    with RunSink(tmp_path / "run", "seed: 1\n", {"seed": 1}) as sink:
        sink.write(0, KEYS, arm.tokens[:5], [])
        sink.write(0, KEYS, arm.tokens[5:], arm.requests, {0: {"text": "hello", "rouge_l": 0.5}})
        sink.log(event="done", tokens=len(arm.tokens))
        sink.write_summary({"arms": []})
        sink.close(complete=True, wall_s=1.5)
    run = tmp_path / "run"
    tokens = pq.read_table(run / "tokens.parquet").to_pylist()
    assert [row["token"] for row in tokens] == [row.record.token for row in arm.tokens]
    assert all(
        sum(row[f"stage_{stage}_ns"] for stage in STAGES) == row["latency_ns"] for row in tokens
    )
    requests = pq.read_table(run / "requests.parquet").to_pylist()
    assert [row["text"] for row in requests] == ["hello", None, None, None]
    assert requests[1]["tokens"] == list(arm.requests[1].tokens)
    assert {row["codec"] for row in requests} == {"top-64"}
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest == {
        "schema_version": SCHEMA_VERSION,
        "seed": 1,
        "wall_s": 1.5,
        "complete": True,
    }
    assert json.loads((run / "log.jsonl").read_text()) == {
        "event": "done",
        "tokens": len(arm.tokens),
    }
    assert sorted(path.name for path in run.iterdir()) == [
        "log.jsonl",
        "manifest.json",
        "requests.parquet",
        "scenario.yaml",
        "summary.json",
        "tokens.parquet",
    ]


def test_arms_with_other_keys_and_columns_share_tables(tmp_path: Path, arm: ArmRun) -> None:
    with RunSink(tmp_path / "run", "", {}) as sink:
        sink.write(0, {"method": "slm_with"}, arm.tokens, arm.requests)
        sink.write(1, KEYS, arm.tokens, arm.requests, {0: {"rouge_l": 1}})
        sink.write(2, KEYS, arm.tokens, arm.requests, {1: {"rouge_l": 0.5}})
        sink.close(complete=True)
    table = pq.read_table(tmp_path / "run" / "requests.parquet")
    assert table["codec"].to_pylist() == [None] * 4 + ["top-64"] * 8
    assert [x for x in table["rouge_l"].to_pylist() if x is not None] == [1.0, 0.5]


def test_an_interrupted_run_is_merged_and_marked(tmp_path: Path, arm: ArmRun) -> None:
    def interrupted() -> None:
        with RunSink(tmp_path / "run", "", {}) as sink:
            sink.write(0, KEYS, arm.tokens, arm.requests)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert pq.read_table(tmp_path / "run" / "tokens.parquet").num_rows == len(arm.tokens)
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["complete"] is False


def test_a_run_without_rows_has_empty_tables(tmp_path: Path) -> None:
    with RunSink(tmp_path / "run", "", {}) as sink:
        sink.write(0, KEYS, [], [])
    assert pq.read_table(tmp_path / "run" / "tokens.parquet").num_rows == 0
    assert "reason" in pq.read_schema(tmp_path / "run" / "requests.parquet").names


def test_a_directory_with_a_run_is_refused(tmp_path: Path) -> None:
    with RunSink(tmp_path / "run", "", {"seed": 1}):
        pass
    with pytest.raises(ConfigError, match=r"holds a run already; choose another --out"):
        RunSink(tmp_path / "run", "", {"seed": 2})
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["seed"] == 1


def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be written \(Not a directory\); choose"):
        RunSink(tmp_path / "file" / "run", "", {})


def test_columns_are_never_overwritten(arm: ArmRun) -> None:
    with pytest.raises(LocalProtocolError, match="arm keys: device"):
        token_columns(0, {"device": "orin"}, arm.tokens)
