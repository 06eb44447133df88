"""What a cell came to, as a small file: its arrays packed, its numbers as text beside them.

A file holds no sample. It is read without unpickling anything, and one that another program's cell
left behind, with other figures or other buckets, is told from one of ours by its names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from actors.fleet.histogram import Histogram
from actors.fleet.names import CLASS_FIGURES, CLOUD_FIGURES, CLOUD_PEAKS, HISTOGRAMS, SERIES
from actors.fleet.result import CellResult, Sample, Series
from costeer.errors import ConfigError

_NAMES = [list(each) for each in (CLASS_FIGURES, HISTOGRAMS, CLOUD_FIGURES, CLOUD_PEAKS, SERIES)]
_BATCHES = ("total", "least", "most")


def write_result(path: Path, result: CellResult, about: Mapping[str, Any]) -> None:
    """Write what a cell came to, its sample left out.

    Args:
        path: ends in ``.npz``.
        result: of one cell or several.
        about: what else is to be known of it; plain numbers and texts.
    """
    arrays: dict[str, Any] = {
        "batches": result.batches.counts_B,
        "series": result.series.sums_NK,
    }
    numbers: dict[str, int] = {
        "bin_ns": result.series.bin_ns,
        **{f"batches_{name}": getattr(result.batches, name) for name in _BATCHES},
    }
    for each in fields(result):
        value = getattr(result, each.name)
        if isinstance(value, np.ndarray):
            arrays[each.name] = value
        elif isinstance(value, int):
            numbers[each.name] = value
    text = json.dumps({"names": _NAMES, "numbers": numbers, "about": dict(about)})
    np.savez_compressed(path, text=np.array(text), **arrays)


def read_result(path: Path) -> tuple[CellResult, dict[str, Any]]:
    """Return what a cell came to, and what else was said of it.

    Raises:
        ConfigError: it cannot be read, or counts other figures than cells do today.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        said = json.loads(str(arrays.pop("text")))
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); remove its folder") from error
    if said["names"] != _NAMES:
        raise ConfigError(f"{path}: counts other figures than this program; run the fleet anew")
    numbers = said["numbers"]
    batches = Histogram(
        arrays.pop("batches"), *(numbers.pop(f"batches_{name}") for name in _BATCHES)
    )
    series = Series(numbers.pop("bin_ns"), arrays.pop("series"))
    result = CellResult(**arrays, **numbers, batches=batches, series=series, sample=Sample.none())
    return result, said["about"]
