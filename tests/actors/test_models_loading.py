from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from transformers import GPT2Config, GPT2LMHeadModel, MambaConfig, Qwen3NextConfig, T5Config

from actors.models.loading import load, load_config
from actors.models.numerics import Numerics
from actors.models.options import Head, HostOptions, Quantisation
from actors.models.tokenizer import (
    check_same_tokenizer,
    eos_ids,
    load_tokenizer,
    shared_vocab_size,
    token_ids,
)
from costeer.errors import ConfigError
from tests.actors.hub_stub import refusing_hub
from tests.actors.tiny_pair import CONTEXT, VOCAB, WIDTH, tiny_folder, tiny_tokenizer


def copied(tmp_path: Path, **changes: object) -> Path:
    """A copy of the tiny Qwen2 folder with some of its configuration changed."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder("qwen2"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", "./nothing", "no/such/thing"):
        with pytest.raises(ConfigError, match="no such folder"):
            load(path, Numerics.FP32)


@pytest.mark.parametrize("offline", [True, False])
def test_a_name_that_only_a_hub_could_have_is_refused_where_none_answers(
    offline: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    for use in (load_config, load_tokenizer):
        with pytest.raises(ConfigError, match="no such folder, and no model hub answers"):
            use("models/mine")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("what", ["cut short", "missing"])
def test_weights_that_did_not_come_whole_are_told_with_the_way_out(
    what: str, tmp_path: Path
) -> None:
    folder = copied(tmp_path)
    weights = folder / "model.safetensors"
    if what == "missing":
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ConfigError, match=r"cannot be loaded: .*; .*fetch it again") as caught:
        load(folder, Numerics.FP32)
    assert "\n" not in str(caught.value)


def test_an_architecture_that_is_newer_than_the_library_is_told_with_the_way_out(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match=r"does not know its architecture; install a newer one"):
        load(copied(tmp_path, model_type="qwen99"), Numerics.FP32)


def test_what_is_no_model_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config\.json"):
        load(tmp_path, Numerics.FP32)
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(ConfigError, match="is a file"):
        load(file, Numerics.FP32)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError):
        load(tmp_path, Numerics.FP32)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="cannot be loaded") as caught:
        load(folder, Numerics.FP32)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("context", [0, CONTEXT + 1])
def test_a_context_that_the_model_does_not_allow_is_refused(context: int) -> None:
    with pytest.raises(ConfigError, match=rf"1 to {CONTEXT}"):
        load(tiny_folder("qwen2"), Numerics.FP32, max_context=context)


def test_more_logits_than_there_are_cannot_be_kept() -> None:
    with pytest.raises(ConfigError, match=f"{WIDTH} logits"):
        load(tiny_folder("qwen2"), Numerics.FP32, vocab_size=WIDTH + 1)


def test_batch_invariance_is_not_promised_for_unknown_parts(tmp_path: Path) -> None:
    shape: dict[str, Any] = {
        "n_embd": 16,
        "n_layer": 1,
        "n_head": 2,
        "n_positions": 32,
        "vocab_size": 50,
    }
    GPT2LMHeadModel(GPT2Config(**shape)).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"LayerNorm.*numerics fp32"):
        load(tmp_path, Numerics.BATCH_INVARIANT)


def test_batch_invariance_is_not_promised_for_rotary_tables_that_change(tmp_path: Path) -> None:
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    folder = copied(tmp_path, rope_parameters=rope)
    with pytest.raises(ConfigError, match="rope type 'dynamic'"):
        load(folder, Numerics.BATCH_INVARIANT)
    assert load(folder, Numerics.FP32).max_context == CONTEXT


def test_a_pair_shares_the_tokens_of_its_tokenizer() -> None:
    cloud, edge = tiny_folder("qwen2"), tiny_folder("llama")
    assert check_same_tokenizer(cloud, edge) == VOCAB
    assert shared_vocab_size(cloud, edge) == VOCAB
    assert load_tokenizer(cloud).decode([2, 3]) == "w2 w3"


def test_a_pair_with_different_tokenizers_is_refused(tmp_path: Path) -> None:
    tiny_tokenizer(swapped=True).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text((tiny_folder("qwen2") / "config.json").read_text())
    with pytest.raises(ConfigError, match=r"2 tokens \(first 'w5': id 5 against 6\)"):
        check_same_tokenizer(tiny_folder("qwen2"), tmp_path)


def test_a_model_narrower_than_its_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = copied(tmp_path, vocab_size=VOCAB - 1)
    with pytest.raises(ConfigError, match=f"{VOCAB - 1} logits for {VOCAB} tokens"):
        shared_vocab_size(folder, tiny_folder("qwen2"))


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ConfigError, match="no tokenizer"):
        load_tokenizer(folder)


def test_end_tokens_come_from_both_places(tmp_path: Path) -> None:
    assert eos_ids(tiny_folder("qwen2")) == (1,)
    folder = copied(tmp_path)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 9]}))
    assert eos_ids(folder) == (1, 7, 9)


def test_a_generic_tokenizer_is_taken_as_it_is() -> None:
    # AutoTokenizer would make it a Qwen2 tokenizer with one token more than the model has seen.
    assert len(load_tokenizer(tiny_folder("qwen2"))) == VOCAB


def test_broken_tokenizer_settings_are_refused(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    (folder / "tokenizer_config.json").write_text("[]")
    with pytest.raises(ConfigError, match="no JSON object"):
        load_tokenizer(folder)


def test_layers_that_keep_a_state_are_refused_by_name(tmp_path: Path) -> None:
    hybrid, mamba = tmp_path / "hybrid", tmp_path / "mamba"
    Qwen3NextConfig(num_hidden_layers=4).save_pretrained(hybrid)
    MambaConfig(hidden_size=8, num_hidden_layers=1).save_pretrained(mamba)
    for folder, reason in ((hybrid, "linear_attention"), (mamba, "num_attention_heads")):
        with pytest.raises(ConfigError, match=rf"{reason}.*choose a model with plain attention"):
            load(folder, Numerics.FP32)


def test_encoders_are_refused(tmp_path: Path) -> None:
    T5Config(d_model=8, num_layers=1, num_heads=2).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="has an encoder"):
        load(tmp_path, Numerics.FP32)


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (403, "GatedRepo", r"is gated: accept its licence at http\S+/meta/secret, then log in"),
        (401, "RepoNotFound", "knows no such model, or shows it to members alone"),
    ],
)
def test_what_a_hub_refuses_is_explained(
    status: int, code: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refusing_hub(status, code) as address:
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            address + "/{repo_id}/resolve/{revision}/{filename}",
        )
        with pytest.raises(ConfigError, match=message) as caught:
            load_config("meta/secret")
    assert "\n" not in str(caught.value)


def test_devices_that_are_not_there_are_refused() -> None:
    cases = {"cuda:63": "CUDA devices here", "tpu-x": "none that torch knows"}
    for device, message in cases.items():
        with pytest.raises(ConfigError, match=message):
            load(tiny_folder("qwen2"), Numerics.FP32, options=HostOptions(device=device))


def test_a_model_spread_by_its_layers_gives_the_same_logits() -> None:
    pytest.importorskip("accelerate", reason="device: auto needs accelerate")
    spread = load(tiny_folder("llama"), Numerics.FP32, options=HostOptions(device="auto"))
    whole = load(tiny_folder("llama"), Numerics.FP32)
    for model in (spread, whole):
        model.cache.take()
    np.testing.assert_array_equal(
        spread.forward([0], [0], [[5, 6, 7]]), whole.forward([0], [0], [[5, 6, 7]])
    )


def test_quantised_weights_are_hosted_and_near() -> None:
    pytest.importorskip("torchao", reason="quantisation needs torchao")
    options = HostOptions(quantisation=Quantisation.INT8)
    quantised = load(tiny_folder("qwen2"), Numerics.FP32, options=options)
    whole = load(tiny_folder("qwen2"), Numerics.FP32)
    rows = [model.forward([model.cache.take()], [0], [[5, 6, 7]]) for model in (quantised, whole)]
    difference = float(np.abs(rows[0] - rows[1]).max())
    assert 0 < difference < 0.05 * float(np.abs(rows[1]).max())
    with pytest.raises(ConfigError, match="no batch-invariant form"):
        load(tiny_folder("qwen2"), Numerics.BATCH_INVARIANT, options=options)


def test_packages_that_options_need_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.models.loading.find_spec", lambda _: None)
    for options in (HostOptions(device="auto"), HostOptions(quantisation=Quantisation.INT4)):
        with pytest.raises(ConfigError, match=r"not installed; pip install \w+"):
            load(tiny_folder("qwen2"), Numerics.FP32, options=options)


def test_a_head_in_float32_leaves_the_grid_of_bf16() -> None:
    coarse = load(tiny_folder("qwen2"), Numerics.BF16)
    fine = load(tiny_folder("qwen2"), Numerics.BF16, options=HostOptions(head=Head.FP32))
    coarse_V, fine_V = (
        model.forward([model.cache.take()], [0], [[5, 6, 7]])[0] for model in (coarse, fine)
    )
    assert (torch.from_numpy(coarse_V).bfloat16().float().numpy() == coarse_V).all()
    assert (torch.from_numpy(fine_V).bfloat16().float().numpy() != fine_V).any()
    np.testing.assert_allclose(fine_V, coarse_V, atol=2**-7 * np.abs(coarse_V).max())


def test_tokens_are_found_by_their_text() -> None:
    assert token_ids(tiny_folder("qwen2"), ["</s>", "w7"]) == (1, 7)
    with pytest.raises(ConfigError, match=r"no token 'w07'; did you mean"):
        token_ids(tiny_folder("qwen2"), ["w07"])
