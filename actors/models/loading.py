"""Models from a folder or hub name, checked before anything runs with them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from actors.models.architecture import architecture_of
from actors.models.forward import HostedModel, entry_device
from actors.models.graphs import Record, recorded_on_cuda
from actors.models.hub import check_folder, explained, one_line
from actors.models.invariant import keep_float64
from actors.models.numerics import Numerics
from actors.models.options import Decode, HostOptions, Quantisation
from costeer.errors import ConfigError

_PROBE = (1, 2, 3, 5, 8, 13)
"""Token ids of the self-check; every model's vocabulary has them."""

_TOLERANCE = {Numerics.FP32: 1e-3, Numerics.BF16: 0.05, Numerics.BATCH_INVARIANT: 2**-7}
"""Allowed difference of the self-check, relative to the largest logit: twice what the rounding of
each of the numerics does. A layer that ignores the cache or the mask differs by much more."""

_PLAIN = HostOptions()


def load(
    path: str | Path,
    numerics: Numerics,
    *,
    vocab_size: int | None = None,
    max_context: int | None = None,
    options: HostOptions = _PLAIN,
) -> HostedModel:
    """Load a causal language model and check that the slot cache reproduces it.

    Args:
        path: a local folder or a hub name.
        numerics: arithmetic.
        vocab_size: logits to keep (``shared_vocab_size`` of a pair); the model's width if None.
        max_context: tokens that a session may have; the model's own limit if None.
        options: where it lives and how its weights are kept.

    Raises:
        ConfigError: no model is there, it cannot be hosted, it allows less than was asked for, or
            what the options need is missing.
    """
    config = load_config(path)
    shape = architecture_of(config, path)
    limit = shape.context
    if max_context is not None and not 0 < max_context <= limit:
        raise ConfigError(
            f"model {path}: a context of {max_context} tokens was asked for, the model allows 1 to "
            f"{limit}; shorten prompts or max_new_tokens, or choose another model"
        )
    if vocab_size is not None and not 0 < vocab_size <= shape.width:
        raise ConfigError(
            f"model {path}: has {shape.width} logits, cannot be cut to {vocab_size}; "
            "give the tokenizer's own model"
        )
    model = _weights(path, config, numerics, options)
    kept = vocab_size or shape.width
    probe = torch.tensor([_PROBE], device=entry_device(model)) % kept
    with torch.inference_mode():
        expected_V = model(probe).logits[0, -1].float().cpu().numpy()
    context = limit if max_context is None else max_context
    if numerics is Numerics.BATCH_INVARIANT:
        keep_float64(model, limit + _padding_room(limit))
    hosted = HostedModel(
        model,
        numerics,
        vocab_size=kept,
        max_context=context,
        name=str(path),
        head=options.head,
        record=_recorder(options),
    )
    _check_against(hosted, expected_V[:kept], _TOLERANCE[numerics])
    return hosted


def _weights(
    path: str | Path, config: PreTrainedConfig, numerics: Numerics, options: HostOptions
) -> PreTrainedModel:
    """Load a model's weights to where they are to live."""
    if options.decode is Decode.GRAPHS and not options.device.startswith("cuda"):
        raise ConfigError(
            f"model {path}: decode: graphs are recorded on one CUDA device, not on"
            f" {options.device}; choose decode: eager, or device: cuda"
        )
    further = _placed(path, options) | _quantised(path, numerics, options)
    # A run shows its own progress; a bar per model and process would write over it.
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # untyped there
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            str(path),
            config=config,
            dtype=getattr(torch, numerics.dtype_name),
            attn_implementation=options.attention.value,
            **further,
        )
        module: nn.Module = model
        if "device_map" not in further:
            module.to(torch.device(options.device))
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise explained(path, "cannot be loaded", error) from error
    module.eval().requires_grad_(requires_grad=False)
    return model


def _recorder(options: HostOptions) -> Record | None:
    if options.decode is Decode.EAGER:
        return None
    return recorded_on_cuda(torch.device(options.device))


def _placed(path: str | Path, options: HostOptions) -> dict[str, Any]:
    """Arguments that say where the weights go, checked against what this machine has."""
    if options.device == "auto":
        _need(path, "device: auto", "accelerate")
        return {"device_map": "auto"}
    try:
        device = torch.device(options.device)
    except RuntimeError:
        raise ConfigError(
            f"model {path}: device {options.device!r} is none that torch knows; give cpu, cuda,"
            " cuda:N, mps, or auto to spread it"
        ) from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"model {path}: device {options.device}: torch sees {torch.cuda.device_count()} CUDA"
            " devices here; choose cpu, or install a CUDA build of torch where there is a GPU"
        )
    return {}


def _quantised(path: str | Path, numerics: Numerics, options: HostOptions) -> dict[str, Any]:
    """Arguments that have the weights quantised while they load."""
    if options.quantisation is Quantisation.NONE:
        return {}
    what = f"quantisation: {options.quantisation.value}"
    if numerics is Numerics.BATCH_INVARIANT:
        raise ConfigError(
            f"model {path}: {what} has no batch-invariant form; choose numerics fp32 or bf16"
        )
    _need(path, what, "torchao")
    _need(path, what, "accelerate")
    from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig  # noqa: PLC0415
    from transformers import TorchAoConfig  # noqa: PLC0415 - both optional, and slow to import

    chosen = (
        Int8WeightOnlyConfig()
        if options.quantisation is Quantisation.INT8
        else Int4WeightOnlyConfig(group_size=128)
    )
    return {"quantization_config": TorchAoConfig(chosen), "device_map": options.device}


def _need(path: str | Path, what: str, package: str) -> None:
    if find_spec(package) is None:
        raise ConfigError(
            f"model {path}: {what} needs the package {package}, which is not installed;"
            f" pip install {package}"
        )


def load_config(path: str | Path) -> PreTrainedConfig:
    """Load a model's configuration.

    Raises:
        ConfigError: the path is missing, or holds no model.
    """
    check_folder(path)
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise explained(path, "no configuration", error) from error
    return config


def _padding_room(limit: int) -> int:
    """Positions behind the end that padding may take: a group pads to less than twice a run."""
    return limit


def _check_against(
    hosted: HostedModel, expected_V: npt.NDArray[np.float32], tolerance: float
) -> None:
    slot = hosted.cache.take()
    half = len(_PROBE) // 2
    probe = [int(token) % hosted.vocab_size for token in _PROBE]
    try:
        hosted.forward([slot], [0], [probe[:half]])
        hosted.forward([slot], [half], [probe[half:-1]])
        found_V = hosted.forward([slot], [len(probe) - 1], [probe[-1:]])[0]
    except (AttributeError, TypeError, RuntimeError, IndexError) as error:
        # Whatever a layer asked of the cache that it does not have.
        raise ConfigError(
            f"model {hosted.name}: its architecture does not work with the slot cache"
            f" ({one_line(error)}); choose a Qwen2- or Llama-like model"
        ) from error
    hosted.cache.free(slot)
    largest = float(np.abs(expected_V).max())
    if float(np.abs(found_V - expected_V).max()) > tolerance * largest:
        raise ConfigError(
            f"model {hosted.name}: its architecture does not work with the slot cache "
            "(logits differ from the plain forward); choose a Qwen2- or Llama-like model"
        )
