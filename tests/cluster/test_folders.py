"""Folders sent through the object store: whole, once a node, by their content."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster.folders
from actors.port import LocalPort
from cluster.ray_port import RayPort
from costeer.errors import ConfigError
from experiments.hosting import open_port, start_hosts
from experiments.planning import plan_workload
from experiments.progress import NoProgress
from experiments.results.run import load
from experiments.run import run_in
from experiments.scenario import load_scenario

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def port() -> Iterator[RayPort]:
    entered = RayPort("local", min_cpus=3)
    yield entered
    entered.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    (made / "deep").mkdir(parents=True)
    (made / "config.json").write_text("{}", encoding="utf-8")
    (made / "deep" / "weights").write_bytes(bytes(range(256)) * 10)
    (made / "empty").touch()
    return made


def content(folder: Path) -> dict[str, bytes]:
    files = (each for each in folder.rglob("*") if each.is_file())
    return {each.relative_to(folder).as_posix(): each.read_bytes() for each in files}


def test_a_node_s_copy_is_whole_and_made_once(
    port: RayPort, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.folders, "_PIECE_BYTES", 1000)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = content(folder)
    shipped = port.deliver(str(folder))
    (folder / "config.json").write_text("changed later", encoding="utf-8")
    place = Path(shipped())
    assert content(place) == before
    assert place.is_relative_to(tmp_path / "cache")
    (place / "config.json").write_text("as it was left", encoding="utf-8")
    assert shipped() == str(place)
    assert (place / "config.json").read_text(encoding="utf-8") == "as it was left"
    # Other content has another place, and nothing half-made is left beside them.
    assert Path(port.deliver(str(folder))()) != place
    assert len(list(place.parent.iterdir())) == 2


def test_a_folder_that_cannot_be_sent_is_named(port: RayPort, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    for name in ("nothing", "nowhere"):
        with pytest.raises(ConfigError, match=rf"{name}: no file is there"):
            port.deliver(str(tmp_path / name))
    assert LocalPort().deliver("anywhere")() == "anywhere"


def test_delivered_models_say_the_same(port: RayPort, tmp_path: Path) -> None:
    tokens = {}
    for delivery in ("path", "object_store"):
        scenario = load_scenario(
            "tiny",
            [
                f"models.cloud.delivery={delivery}",
                f"models.edge.delivery={delivery}",
                "workload.max_new_tokens=3",
            ],
        )
        out = tmp_path / delivery
        with open_port("none", actors=2) as own:
            where = own if delivery == "path" else port
            run_in(
                start_hosts(scenario, where), scenario, plan_workload(scenario), out, NoProgress()
            )
        tokens[delivery] = [arm["output_digest"] for arm in load(out).arms]
    assert tokens["path"] == tokens["object_store"]
