"""Scenarios as jobs of a real head, and what is sent along."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cluster.submitted import wrong_version
from costeer.errors import ConfigError
from experiments.cli import main
from experiments.results import load
from experiments.scenario import load_scenario
from experiments.submission import pack, unpack
from tests.cluster.job_head import ROOT, job_head


class TestTheFolder:
    def test_files_that_a_scenario_names_go_along(self, tmp_path: Path) -> None:
        rows = tmp_path / "rows.jsonl"
        rows.write_text('{"id": "a"}\n')
        scenario = load_scenario("tiny", [f"workload.prompts={rows}", "name=notes.md"], None)
        folder = tmp_path / "job"
        folder.mkdir()
        pack(scenario, folder)
        written = yaml.safe_load((folder / "scenario.yaml").read_text())
        assert written["workload"]["prompts"] == "files/0-rows.jsonl"
        assert (folder / "files" / "0-rows.jsonl").read_text() == rows.read_text()
        assert written["name"] == "notes.md"
        assert written["arms"] == yaml.safe_load(scenario.model_dump_json())["arms"]

    def test_what_comes_back_never_leaves_its_folder(self, tmp_path: Path) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as files:
            entry = tarfile.TarInfo("../outside")
            entry.size = 1
            files.addfile(entry, io.BytesIO(b"x"))
        with pytest.raises(ConfigError, match="cannot be written"):
            unpack(archive.getvalue(), tmp_path / "run")
        assert not (tmp_path / "outside").exists()

    def test_a_folder_that_holds_something_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "mine").write_text("")
        with pytest.raises(ConfigError, match="is not empty"):
            unpack(b"", tmp_path)


def test_another_version_is_named() -> None:
    assert wrong_version("") == ""
    assert "99.0 submitted the job" in wrong_version("99.0")


def test_an_address_has_to_be_a_dashboards(capsys: pytest.CaptureFixture[str]) -> None:
    for address, said in (
        ("127.0.0.1:1", "http://HOST:PORT"),
        ("http://127.0.0.1:1", "no job server"),
    ):
        assert main(["submit", "tiny", "--address", address]) == 2
        assert said in capsys.readouterr().err


@pytest.fixture(scope="module")
def head() -> Iterator[tuple[str, str]]:
    # A short path: Ray's sockets lie below it, and their names may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="head-"))
    try:
        with job_head(folder) as address_and_token:
            yield address_and_token
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def costeer(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own: Ray reads the token once per process."""
    return subprocess.run(
        [sys.executable, "-m", "experiments.cli", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.ray
def test_a_job_gives_what_a_run_gives(head: tuple[str, str], tmp_path: Path) -> None:
    address, token = head
    way_in = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    asked = ["tiny", "--set", "values=null", "--set", "arms=[{method: llm_without}]"]
    submitted, here, again = (tmp_path / each for each in ("submitted", "here", "again"))
    given = ["submit", *asked, "--address", address, "--out"]

    refused = costeer(*given, str(submitted), RAY_AUTH_MODE="disabled")
    assert refused.returncode == 2
    assert "the cluster wants its token" in refused.stderr

    done = costeer(*given, str(submitted), "--code", "ship", "--json", **way_in)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run_dir"] == str(submitted)
    assert main(["run", *asked, "--address", "none", "--out", str(here)]) == 0
    first, second = load(submitted).summary["arms"][-1], load(here).summary["arms"][-1]
    assert first["digest"] == second["digest"]

    job = done.stderr.split("costeer: job ")[1].split()[0]
    assert costeer(*given, str(again), "--attach", job, **way_in).returncode == 0
    assert load(again).summary == load(submitted).summary
    missing = costeer(*given, str(tmp_path / "none"), "--attach", "nosuch", **way_in)
    assert missing.returncode == 1
    assert "job nosuch: " in missing.stderr
