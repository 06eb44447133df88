"""A whole run whose cloud stalls: its tables, its summary and what people read of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from costeer.errors import ConfigError
from experiments.profile.record import record_profile
from experiments.progress import NoProgress
from experiments.results.run import load
from experiments.run import run_scenario
from experiments.scenario import load_scenario

SCENARIO = """
name: stalled
values: "null"
fleet:
  devices: 4
  classes: [{share: 1, link: lte, hardware: orin-nano}]
cloud: {retry: {timeout_s: 0.5, tries: 2, fallback: slm_with}}
events: [{kind: cloud_stalls, at_s: 1, for_s: 100}]
arms: [{method: costeer}, {method: llm_without}, {method: slm_with}]
workload: {max_new_tokens: 40}
"""


def test_tables_and_report_tell_of_a_cloud_that_did_not_answer(tmp_path: Path) -> None:
    path = tmp_path / "stalled.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    out_dir = tmp_path / "run"
    run_scenario(load_scenario(str(path)), out_dir, "none", NoProgress())
    run = load(out_dir)
    steered, streamed, local = (row for row in run.arms if row["link_class"] == "all")
    rows = run.tokens[run.tokens["arm"] == 0]
    assert steered["fallback_tokens"] == rows["fallback"].sum() > 0
    assert steered["fallback_requests"] == 4 == steered["requests"] - steered["requests_failed"]
    assert steered["repeated_frames"] == rows["repeats"].sum() == 4
    assert not rows["certified"][rows["fallback"]].any()
    assert streamed["requests_stalled"] == streamed["requests_failed"] > 0
    assert (local["fallback_tokens"], local["requests_failed"]) == (0, 0)
    assert "tokens alone, on their own small" in (out_dir / "report.html").read_text("utf-8")
    with pytest.raises(ConfigError, match="tokens were chosen without the cloud"):
        record_profile(out_dir, tmp_path / "profile")
