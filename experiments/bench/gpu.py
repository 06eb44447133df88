"""A large model's steps on a GPU: against the floor that reading its memory sets.

The model has the shape of Qwen2.5-7B and random weights in bf16: what a step takes does not depend
on what the weights say. A decoding step reads every weight once and the keys and values of every
row; over the bandwidth that copies reach on the same device, that is its floor. Selecting and
encoding is timed as a run does it: ranked where the logits are, packed by the host, row by row.

Without a GPU there is nothing to measure, and one row says so. Times are medians on the present
machine, each waited for until the device has done what it was asked for.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.calibrate import settled_ns
from costeer.errors import LocalProtocolError
from netsim.hardware import HARDWARE, ModelShape, Roofline, hardware_named, shape_named

if TYPE_CHECKING:
    import torch

    from actors.models.forward import HostedModel
    from actors.models.graphs import Record

_STEP_TARGET = 0.6
"""Share of the memory's bandwidth that a step of one row is to reach."""
_SELECT_TARGET = 0.05
"""Share of a step that selecting and encoding may take."""
_COPY_BYTES = 2**31
_CODEC = "top64-bf16-packed"
_RANKS = 64


@dataclass(frozen=True, slots=True)
class Sizes:
    """What is measured.

    Args:
        shape: whose sizes the model has.
        intermediate: width of its feed-forward layers, which a shape does not tell.
        rows: of the steps.
        context: tokens that each row holds before.
        prompt: tokens of the measured prefill.
        copy_bytes: of the copies that tell the memory's bandwidth.
    """

    shape: ModelShape
    intermediate: int
    rows: tuple[int, ...]
    context: int
    prompt: int
    copy_bytes: int = _COPY_BYTES


def run(repeats: int = 20) -> list[dict[str, Any]]:
    """Rows of `bench`, `case`, `repeats` and `median_s`, and more by their kind.

    That is `tokens_per_s`, `floor_s` and `floor_share` (the floor over a step), `step_share` (what
    is selected and encoded, over a step), `roofline_s` and `roofline_error` (signed), `target`.
    """
    import torch  # noqa: PLC0415 - heavy, as is what follows

    from actors.models.graphs import recorded_on_cuda  # noqa: PLC0415

    if not torch.cuda.is_available():
        return [{"bench": "gpu", "case": "skipped: torch sees no CUDA device here"}]
    device = torch.device("cuda")
    sizes = Sizes(shape_named("qwen2.5-7b"), 18_944, (1, 2, 4, 8, 16, 32, 64, 128, 256), 512, 512)
    name = torch.cuda.get_device_name(device)
    known = next((each for each in HARDWARE if each in name.lower()), None)
    return list(rows_on(device, sizes, recorded_on_cuda(device), known, repeats))


def rows_on(
    device: torch.device, sizes: Sizes, record: Record, hardware: str | None, repeats: int
) -> Iterator[dict[str, Any]]:
    """Measure on a device; yield rows as `run` says.

    Args:
        device: where the model lives.
        sizes: what is measured.
        record: how steps are recorded.
        hardware: whose roofline stands beside it; none if None.
        repeats: of each figure.
    """
    bytes_per_s = _bandwidth(device, sizes.copy_bytes, repeats)
    yield {
        "bench": "gpu memory",
        "case": f"copies of {sizes.copy_bytes / 1e9:.1f} GB, {bytes_per_s / 1e9:.0f} GB/s",
        "repeats": repeats,
        "median_s": 2 * sizes.copy_bytes / bytes_per_s,
    }
    roofline = None if hardware is None else Roofline(hardware_named(hardware), sizes.shape)
    for decode, chosen in (("eager", None), ("graphs", record)):
        hosted = _hosted(device, sizes, chosen)
        slots = [hosted.cache.take() for _ in range(max(sizes.rows))]
        text = [[1] * sizes.context]
        for slot in slots:
            hosted.forward_tensor([slot], [0], text)
        for rows in sizes.rows:
            yield from _steps(hosted, slots[:rows], sizes, decode, bytes_per_s, roofline, repeats)
        if chosen is None:
            yield _prefill(hosted, slots[0], sizes, roofline, repeats)
        del hosted


def _steps(
    hosted: HostedModel,
    slots: list[int],
    sizes: Sizes,
    decode: str,
    bytes_per_s: float,
    roofline: Roofline | None,
    repeats: int,
) -> Iterator[dict[str, Any]]:
    rows = len(slots)
    given = slots, [sizes.context] * rows, [[1]] * rows
    step_s = _median_s(lambda: hosted.forward_tensor(*given), repeats)
    shape = sizes.shape
    read_bytes = shape.read_bytes + rows * sizes.context * shape.kv_bytes_per_token
    floor_s = read_bytes / bytes_per_s
    case = f"{shape.name} bf16, {rows} rows of {sizes.context} tokens"
    step = {
        "bench": f"gpu step {decode}",
        "case": case,
        "rows": rows,
        "repeats": repeats,
        "median_s": step_s,
        "tokens_per_s": rows / step_s,
        "floor_s": floor_s,
        "floor_share": floor_s / step_s,
    }
    if rows == 1:
        step["target"] = _STEP_TARGET
    yield step | _beside(roofline, [1] * rows, [sizes.context] * rows, step_s)
    encode_s = _median_s(_encoding(hosted.forward_tensor(*given)), repeats)
    yield {
        "bench": f"gpu select+encode {decode}",
        "case": case,
        "rows": rows,
        "repeats": repeats,
        "median_s": encode_s,
        "step_share": encode_s / step_s,
        "target": _SELECT_TARGET,
    }


def _prefill(
    hosted: HostedModel, slot: int, sizes: Sizes, roofline: Roofline | None, repeats: int
) -> dict[str, Any]:
    prompt = [[1] * sizes.prompt]
    took_s = _median_s(lambda: hosted.forward_tensor([slot], [0], prompt), repeats)
    row = {
        "bench": "gpu prefill",
        "case": f"{sizes.shape.name} bf16, one prompt of {sizes.prompt} tokens",
        "repeats": repeats,
        "median_s": took_s,
        "tokens_per_s": sizes.prompt / took_s,
    }
    return row | _beside(roofline, [sizes.prompt], [0], took_s)


def _beside(
    roofline: Roofline | None, new: list[int], held: list[int], took_s: float
) -> dict[str, float]:
    if roofline is None:
        return {}
    expected_s = roofline.forward_ns(new, held) / 1e9
    return {"roofline_s": expected_s, "roofline_error": expected_s / took_s - 1}


def _encoding(logits_BV: torch.Tensor) -> Callable[[], object]:
    from actors.values.ranking import DeviceRanker  # noqa: PLC0415 - torch
    from costeer.codec import CodecConfig, build_codec  # noqa: PLC0415

    codec = build_codec(CodecConfig.model_validate(_CODEC), logits_BV.shape[1])
    if not DeviceRanker.suits(codec):
        raise LocalProtocolError(f"{_CODEC} needs whole rows")
    ranker, ranges = DeviceRanker(codec), [(0, _RANKS)] * len(logits_BV)
    rows_BV = logits_BV.clone()
    return lambda: ranker.encode(rows_BV, ranges)


def _hosted(device: torch.device, sizes: Sizes, record: Record | None) -> HostedModel:
    import torch  # noqa: PLC0415 - heavy, as is what follows
    from transformers import AutoModelForCausalLM, Qwen2Config  # noqa: PLC0415

    from actors.models.forward import HostedModel  # noqa: PLC0415
    from actors.models.numerics import Numerics  # noqa: PLC0415

    shape = sizes.shape
    longest = max(sizes.context + 1, sizes.prompt)
    config = Qwen2Config(
        vocab_size=shape.vocab,
        hidden_size=shape.hidden,
        intermediate_size=sizes.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=longest,
        tie_word_embeddings=shape.tied,
        bos_token_id=0,
        eos_token_id=1,
    )
    torch.manual_seed(7)
    with device:
        # transformers does not annotate it.
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
    module: torch.nn.Module = model
    module.eval().requires_grad_(requires_grad=False)
    return HostedModel(
        model,
        Numerics.BF16,
        vocab_size=shape.vocab,
        max_context=longest,
        name=shape.name,
        record=record,
    )


def _bandwidth(device: torch.device, copy_bytes: int, repeats: int) -> float:
    """Bytes a second, read and written, of copies within the device's memory."""
    import torch  # noqa: PLC0415 - heavy

    source = torch.zeros(copy_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * copy_bytes / _median_s(lambda: target.copy_(source), repeats)


def _median_s(call: Callable[[], object], repeats: int) -> float:
    call()
    taken_ns = []
    for _ in range(repeats):
        began_ns = settled_ns()
        call()
        taken_ns.append(settled_ns() - began_ns)
    return statistics.median(taken_ns) / 1e9
