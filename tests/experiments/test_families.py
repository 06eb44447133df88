"""Pairs of two families: joined bytes against SentencePiece, each with its own chat template."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from actors.models.token_bytes import TokenBytes
from costeer.alignment import ROOT, ByBytes
from costeer.errors import ConfigError
from costeer.steering import log_softmax
from costeer.vocabularies import Vocabularies
from experiments.planning import plan_workload
from experiments.results.run import load
from experiments.scenario import Scenario
from tests.actors.families import family
from tests.experiments.small_runs import digests, run, scenario

REAL = Path(__file__).parents[3] / "shared" / "data" / "tokenizers" / "olmo-dolma2"
TOP = {"select": {"kind": "top_k", "k": 16}, "values": "bf16", "layout": "packed"}
PAIRS = [("ml", "turn"), ("turn", "ml"), ("ml", "spaced")]


@cache
def tokens_of(name: str) -> TokenBytes:
    return TokenBytes(family(name), 2_000)


def pair(cloud: str, edge: str, alignment: str = "bytes", **changes: Any) -> Scenario:
    arms: list[dict[str, Any]] = [
        {"method": "costeer", "codec": TOP},
        {"method": "costeer", "codec": TOP, "speculation": {"drafts": 3}},
        {"method": "slm_with"},
    ]
    given: dict[str, Any] = {
        "values": "models",
        "models": {
            "cloud": {"path": str(family(cloud))},
            "edge": {"path": str(family(edge))},
            "alignment": {"kind": alignment},
            "chat": {},
        },
        "arms": arms,
        "workload": {"prompts": "dev", "limit": 2, "max_new_tokens": 10, "ignore_eos": True},
        "fleet": {
            "devices": 2,
            "arrivals": {"kind": "closed", "think_s": 0.01, "requests_per_device": 1},
            "classes": [{"share": 1, "link": "cable", "hardware": "laptop-cpu"}],
        },
    }
    return scenario(**(given | changes))


@pytest.mark.parametrize("name", ["ml", "turn", "spaced"])
def test_every_token_of_a_family_is_its_bytes(name: str) -> None:
    """Decoding is theirs; a space that begins a text is one that the tokenizer made up."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(family(name))
    ids = tokenizer.encode("A quiet, rusty name ☂!", add_special_tokens=False)
    tokens = tokens_of(name).tokens
    text = b"".join(tokens[each] or b"" for each in ids).decode()
    assert text == (" " if name == "spaced" else "") + tokenizer.decode(ids)
    assert "☂" in text


@given(st.text(max_size=24))
def test_any_text_is_written_in_either_family_and_read_back(text: str) -> None:
    for name in ("ml", "turn", "spaced"):
        tokens = tokens_of(name)
        written = tokens.written(text.encode())
        assert b"".join(tokens.tokens[each] or b"" for each in written) == text.encode()


def test_a_tokenizer_that_begins_texts_with_a_space_goes_on_without_one() -> None:
    """As its own segmentation, not letter by letter or longest first."""
    spaced, plain = tokens_of("spaced"), tokens_of("turn")
    for text in (b" is made of plastic", b"plastic. It comes from Romania"):
        assert spaced.written(text) == plain.written(text)


@pytest.mark.parametrize(("cloud", "edge"), PAIRS)
def test_each_family_reads_the_query_in_its_own_template(cloud: str, edge: str) -> None:
    planned = plan_workload(pair(cloud, edge))
    request = planned.devices[0].requests[0]
    query = planned.rows[request.prompt_id].input
    assert request.own is not None
    for name, ids in ((cloud, request.public), (edge, request.own[0])):
        text = PreTrainedTokenizerFast.from_pretrained(family(name)).decode(ids)
        mark = "<|im_start|>user" if name == "ml" else "<start_of_turn>user"
        assert mark in text.replace("> user", ">user")
        assert query in text
    assert planned.eos == planned.own_eos == frozenset()  # ignore_eos


def test_a_system_prompt_that_one_family_lacks_is_told() -> None:
    given = pair("ml", "turn")
    models = given.model_dump()["models"] | {"chat": {"system": "Be kind."}}
    with pytest.raises(ConfigError, match=r"System role not supported; leave out models\.chat"):
        plan_workload(pair("ml", "turn", models=models))


@pytest.mark.parametrize(("cloud", "edge"), PAIRS)
@pytest.mark.parametrize("alignment", ["bytes", "intersection"])
def test_drafts_and_live_write_what_a_plain_simulated_run_writes(
    cloud: str, edge: str, alignment: str, tmp_path: Path
) -> None:
    given = pair(cloud, edge, alignment)
    plain, drafting, _ = digests(run(given, tmp_path / "virtual"))
    assert plain[0] == drafting[0]
    tokens = load(tmp_path / "virtual").tokens
    assert (
        tokens[tokens["arm"] == 0]["token"].nunique() > 3
    )  # a text, not one token again and again
    if alignment == "bytes":
        live = pair(cloud, edge, alignment, way="live", arms=given.model_dump()["arms"][:1])
        assert digests(run(live, tmp_path / "live"))[0][0] == plain[0]


def test_a_real_vocabulary_is_written_in_a_small_one(tmp_path: Path) -> None:
    """OLMo's first tokens, by a tokenizer of 600: all of them, and nothing is lost."""
    if not (REAL / "tokenizer.json").is_file():
        pytest.skip("no shared/data/tokenizers: real tokenizers are not shipped")
    size = 20_000
    shutil.copy(REAL / "tokenizer.json", tmp_path)
    (tmp_path / "config.json").write_text("{}")
    small, cloud = tokens_of("ml"), TokenBytes(tmp_path, size).tokens
    paths = small.all_written(cloud)
    for data, path in zip(cloud, paths, strict=True):
        assert b"".join(small.tokens[each] or b"" for each in path) == (data or b"")
    aligned = ByBytes(Vocabularies(cloud, small.tokens, (), ()), paths)
    row = np.random.default_rng(0).normal(0.0, 3.0, len(small.tokens))
    text = np.exp(log_softmax(row))[[data is not None for data in small.tokens]].sum()
    assert np.exp(aligned.choices({ROOT: row})).sum() == pytest.approx(text)
    np.testing.assert_array_equal(aligned.delta({ROOT: row}, {ROOT: row}), np.zeros(size))
