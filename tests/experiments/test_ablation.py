"""An ablation from its file to its cells: what is varied, what stays the same, what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from costeer.errors import ConfigError
from experiments.ablation.config import (
    AblationConfig,
    load_ablation,
    settings_of,
    shipped_ablations,
)
from experiments.ablation.expansion import expand
from experiments.ablation.store import MARKER, Failure, Store
from experiments.scenario import Scenario

SMALL = {
    "generated.vocab_size": 300,
    "workload.max_new_tokens": 4,
    "arms": [{"method": "costeer"}],
}


def ablation(**given: Any) -> AblationConfig:
    whole = {"name": "small", "scenario": "full-vocabulary", "set": SMALL} | given
    return AblationConfig.model_validate(whole)


def scenarios(given: AblationConfig, repeats: int | None = None) -> list[Scenario]:
    cells = expand(given, repeats).cells
    return [Scenario.model_validate(yaml.safe_load(cell.scenario)) for cell in cells]


def test_every_combination_is_a_cell() -> None:
    given = ablation(
        axes={
            "arms.0.codec": ["dense-fp16", "top4-bf16-packed"],
            "fleet.classes.0.link": ["3g", {"down_mbps": 5, "up_mbps": 1, "rtt_s": 0.04}],
        }
    )
    cells = expand(given).cells
    assert len({cell.id for cell in cells}) == 4
    assert cells[1].title == "dense-fp16, {down_mbps: 5, rtt_s: 0.04, up_mbps: 1}"
    built = scenarios(given)
    assert [each.fleet.classes[0].link.resolve().down.rate_bps for each in built] == [
        500_000,
        5_000_000,
    ] * 2
    assert all(each.generated.vocab_size == 300 for each in built)


def test_repeats_change_the_seed_of_all_cells_alike() -> None:
    given = ablation(axes={"arms.0.strength": [0.5, 1.0]}, repeats=3)
    seeds = [each.seed for each in scenarios(given)]
    assert seeds == [7, 8, 9, 7, 8, 9]
    assert len(scenarios(given, 1)) == 2
    assert len({cell.id for cell in expand(given).cells}) == 6


def test_blocks_add_up_and_what_comes_twice_is_one() -> None:
    given = ablation(
        axes={"arms.0.strength": [1.0]},
        blocks=[
            {"axes": {"arms.0.codec": ["dense-fp16", "top4-bf16-packed"]}},
            {"set": {"arms.0.codec": "top4-bf16-packed"}},
            {"set": {"arms.0.codec": "top8-bf16-packed"}},
        ],
    )
    assert len(expand(given).cells) == 3


def test_a_choice_sets_several_keys_and_the_later_wins() -> None:
    given = ablation(
        set=SMALL | {"arms.0.refine": {"growth": 8, "max_rounds": 2}},
        axes={
            "how": [
                {"label": "first", "set": {"arms.0.refine.max_rounds": 0}},
                {"label": "all", "set": {"arms.0.refine": {"growth": 2}, "seed": 5}},
            ]
        },
    )
    first, second = scenarios(given)
    refine = [each.arms[0].refine for each in (first, second)]
    assert refine[0] is not None
    assert (refine[0].growth, refine[0].max_rounds) == (8, 0)
    assert refine[1] is not None
    assert (refine[1].growth, refine[1].max_rounds) == (2, 5)
    assert (first.seed, second.seed) == (7, 5)
    assert [cell.labels for cell in expand(given).cells] == [
        (("how", "first"),),
        (("how", "all"),),
    ]


def test_an_id_is_of_the_content_alone() -> None:
    one = expand(ablation(axes={"arms.0.strength": [1.0, 2.0]})).cells
    other = expand(ablation(name="other", set=SMALL | {"arms.0.strength": 2.0})).cells
    changed = expand(ablation(axes={"arms.0.strength": [1.0, 2.5]})).cells
    shadowed = expand(ablation(axes={"arms.0.strength": [1.0]}, shadow="ranks")).cells
    assert other[0].id == one[1].id
    assert changed[0].id == one[0].id
    assert changed[1].id != one[1].id
    assert shadowed[0].id != one[0].id


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"axes": {"arms.0.codce": ["x"]}}, "arms.0.codce: unknown key; did you mean 'codec'?"),
        ({"axes": {"seed": ["x"]}}, "seed"),
        ({"axes": {"how": [{"label": "x"}]}}, "axes.how: set: is missing"),
        (
            {"axes": {"seed": [1]}, "blocks": [{"axes": {"seed": [2]}}]},
            "axis 'seed' stands in a block and above it",
        ),
    ],
)
def test_what_cannot_be_expanded_is_told(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as told:
        expand(ablation(**given))
    assert expected in str(told.value)
    assert "\n" not in str(told.value)
    assert "--set" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: x\nscenario: tiny\naxis: {}\n", "unknown key; did you mean 'axes'?"),
        ("name: x\nscenario: tiny\naxes: {seed: []}\n", "needs at least 1 entry"),
        ("name: x\n", "scenario: is missing"),
        ("- 1\n", "holds no keys"),
        ("a: [\n", "not YAML"),
    ],
)
def test_a_file_that_is_wrong_is_told(text: str, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as told:
        load_ablation(str(file))
    assert str(told.value).startswith(str(file))
    assert expected in str(told.value)


def test_names_and_paths(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'compression'"):
        load_ablation("compresion")
    with pytest.raises(ConfigError, match="no such file"):
        load_ablation("nowhere.yaml")
    (tmp_path / "base.yaml").write_text("name: base\n", encoding="utf-8")
    mine = tmp_path / "mine.yaml"
    mine.write_text("name: mine\nscenario: base.yaml\n", encoding="utf-8")
    assert load_ablation(str(mine)).scenario == str(tmp_path / "base.yaml")


@pytest.mark.parametrize("name", shipped_ablations())
def test_shipped_ablations_expand_and_take_minutes(name: str) -> None:
    given = load_ablation(name)
    expansion = expand(given)
    assert given.name == name
    assert given.title
    assert len(expansion.cells) == len(expansion.seconds) > 10
    assert sum(expansion.seconds) / 2 < 300
    for cell in expansion.cells:
        assert Scenario.model_validate(yaml.safe_load(cell.scenario)).way == "virtual"


def test_shipped_ablations_are_the_three_of_the_readme() -> None:
    assert {"compression", "full-vocabulary", "strength"} <= set(shipped_ablations())


def test_labels() -> None:
    assert settings_of("a.b", 0.5) == ("0.5", {"a.b": 0.5})
    assert settings_of("a.b", [1, None]) == ("[1, null]", {"a.b": [1, None]})
    assert settings_of("a", {"label": "x", "set": {"b": 1}}) == ("x", {"b": 1})


# --------------------------------------------------------------------------- the store


def test_a_store_keeps_whole_cells(tmp_path: Path) -> None:
    cells = expand(ablation(axes={"arms.0.strength": [1.0, 2.0]})).cells
    path = tmp_path / "out"
    store = Store(path, resume=False)
    store.write_index({"name": "small"}, cells, [])
    store.keep(cells[0], {"summary.json": b"{}"})
    torn = path / "cells" / f".partial-{cells[1].id}"
    torn.mkdir()
    (path / "cells" / cells[1].id).mkdir()
    again = Store(path, resume=True)
    assert not torn.exists()
    assert [again.has(cell) for cell in cells] == [True, False]
    assert (again.folder(cells[0]) / MARKER).exists()
    again.keep(cells[1], {"summary.json": b"{}"})
    again.write_index({}, cells, [Failure("x", "y", "z")])
    assert again.has(cells[1])


def test_a_directory_is_not_written_over(tmp_path: Path) -> None:
    Store(tmp_path / "out", resume=False).write_index({}, (), [])
    with pytest.raises(ConfigError, match="go on with --resume"):
        Store(tmp_path / "out", resume=False)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="holds a run, not an ablation"):
        Store(tmp_path / "run", resume=True)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be written"):
        Store(tmp_path / "file", resume=False)
