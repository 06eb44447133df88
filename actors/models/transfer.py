"""Numbers on their way between the host's memory and where a model lives.

From and to a CUDA device they travel through page-locked memory: such copies run beside the
device's work, and several of them are waited for once. Elsewhere they are plain copies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch


def upload(array: npt.NDArray[np.int64], device: torch.device) -> torch.Tensor:
    """Bring an index array to a device; work that is asked for there later finds it."""
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    # The allocator of page-locked memory keeps the pages until the copy is done.
    return tensor.pin_memory().to(device, non_blocking=True)


def download(*tensors: torch.Tensor) -> tuple[npt.NDArray[Any], ...]:
    """Bring tensors of one device to the host, and wait once, for all of them."""
    device = tensors[0].device
    if device.type != "cuda":
        return tuple(tensor.cpu().numpy() for tensor in tensors)
    pages = [torch.empty(each.shape, dtype=each.dtype, pin_memory=True) for each in tensors]
    for page, tensor in zip(pages, tensors, strict=True):
        page.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(device).synchronize()
    return tuple(page.numpy() for page in pages)
