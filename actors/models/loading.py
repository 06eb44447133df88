"""Models from a folder or hub name, checked before anything runs with them."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import numpy as np
import numpy.typing as npt
import torch
from huggingface_hub import constants
from huggingface_hub.utils import logging as hub_logging
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from actors.models.forward import HostedModel
from actors.models.invariant import keep_float64
from actors.models.numerics import Numerics
from costeer.errors import ConfigError

_HUB_TIMEOUT_S = 3.0
"""How long the model hub has to answer before its name counts as a folder that is not there."""

_PROBE = (1, 2, 3, 5, 8, 13)
"""Token ids of the self-check; every model's vocabulary has them."""

_TOLERANCE = {Numerics.FP32: 1e-3, Numerics.BF16: 0.05, Numerics.BATCH_INVARIANT: 2**-7}
"""Allowed difference of the self-check, relative to the largest logit: twice what the rounding of
each of the numerics does. A layer that ignores the cache or the mask differs by much more."""


def load(
    path: str | Path,
    numerics: Numerics,
    *,
    vocab_size: int | None = None,
    max_context: int | None = None,
    device: str = "cpu",
) -> HostedModel:
    """Load a causal language model and check that the slot cache reproduces it.

    Args:
        path: a local folder or a hub name.
        numerics: arithmetic.
        vocab_size: logits to keep (``shared_vocab_size`` of a pair); the model's width if None.
        max_context: tokens that a session may have; the model's own limit if None.
        device: where the model runs.

    Raises:
        ConfigError: no model is there, it cannot be hosted, or it allows less than was asked for.
    """
    config = load_config(path)
    text = config.get_text_config()
    limit = int(text.max_position_embeddings)
    if max_context is not None and not 0 < max_context <= limit:
        raise ConfigError(
            f"model {path}: a context of {max_context} tokens was asked for, the model allows 1 to "
            f"{limit}; shorten prompts or max_new_tokens, or choose another model"
        )
    width = int(text.vocab_size)
    if vocab_size is not None and not 0 < vocab_size <= width:
        raise ConfigError(
            f"model {path}: has {width} logits, cannot be cut to {vocab_size}; "
            "give the tokenizer's own model"
        )
    dtype: torch.dtype = getattr(torch, numerics.dtype_name)
    # A run shows its own progress; a bar per model and process would write over it.
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # untyped there
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            str(path), config=config, dtype=dtype, attn_implementation="sdpa"
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ConfigError(f"model {path}: cannot be loaded: {one_line(error)}") from error
    module: nn.Module = model
    module.to(torch.device(device)).eval().requires_grad_(requires_grad=False)
    kept = vocab_size or width
    probe = torch.tensor([_PROBE], device=model.device) % kept
    with torch.inference_mode():
        expected_V = model(probe).logits[0, -1].float().cpu().numpy()
    context = limit if max_context is None else max_context
    if numerics is Numerics.BATCH_INVARIANT:
        keep_float64(model, limit + _padding_room(limit))
    hosted = HostedModel(model, numerics, vocab_size=kept, max_context=context, name=str(path))
    _check_against(hosted, expected_V[:kept], _TOLERANCE[numerics])
    return hosted


def load_config(path: str | Path) -> PreTrainedConfig:
    """Load a model's configuration.

    Raises:
        ConfigError: the path is missing, or holds no model.
    """
    check_folder(path)
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"model {path}: no configuration: {one_line(error)}") from error
    return config


def check_folder(path: str | Path) -> None:
    """Check that a path may hold a model; a name with one slash at most may be a hub's.

    Raises:
        ConfigError: it cannot, or it could be a hub's alone and no hub answers.
    """
    folder = Path(path)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ConfigError(f"model {path}: the folder has no config.json, so it holds no model")
    elif folder.exists():
        raise ConfigError(f"model {path}: is a file; give the folder that holds config.json")
    elif folder.is_absolute() or str(path).startswith(".") or str(path).count("/") > 1:
        raise ConfigError(f"model {path}: there is no such folder")
    else:
        # What is wrong is said once, by us: not by five loud attempts of each library.
        hub_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # untyped there
        transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # untyped there
        if not (_is_cached(str(path)) or _hub_answers()):
            raise ConfigError(
                f"model {path}: no such folder, and no model hub answers; give a folder that holds"
                " config.json"
            )


def _is_cached(name: str) -> bool:
    """Whether an earlier run fetched the model of that name."""
    return isinstance(huggingface_hub.try_to_load_from_cache(name, "config.json"), str)


def _hub_answers() -> bool:
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        huggingface_hub.get_session().head(constants.ENDPOINT, timeout=_HUB_TIMEOUT_S)
    except Exception:  # noqa: BLE001 - whichever client the hub's library brings: no answer is none
        return False
    return True


def _padding_room(limit: int) -> int:
    """Positions behind the end that padding may take: a group pads to less than twice a run."""
    return limit


def _check_against(
    hosted: HostedModel, expected_V: npt.NDArray[np.float32], tolerance: float
) -> None:
    slot = hosted.cache.take()
    half = len(_PROBE) // 2
    probe = [int(token) % hosted.vocab_size for token in _PROBE]
    hosted.forward([slot], [0], [probe[:half]])
    found_V = hosted.forward([slot], [half], [probe[half:]])[0]
    hosted.cache.free(slot)
    largest = float(np.abs(expected_V).max())
    if float(np.abs(found_V - expected_V).max()) > tolerance * largest:
        raise ConfigError(
            f"model {hosted.name}: its architecture does not work with the slot cache "
            "(logits differ from the plain forward); choose a Qwen2- or Llama-like model"
        )


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return str(error).strip().splitlines()[0]
