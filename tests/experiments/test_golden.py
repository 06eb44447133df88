"""Results do not change by accident; `tests/golden/make.py` says how to change them on purpose."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.golden.make import GOLDEN, run_golden, scenarios, weights_digest

STORED: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))
AGAIN = "results changed; if they are meant to, run `python -m tests.golden.make`"


@pytest.mark.parametrize("name", ["generated", "pair"])
def test_tiny_is_as_it_was(name: str) -> None:
    found = scenarios()
    if name not in found:
        pytest.skip("the shipped pair has no weights yet (experiments/pair/models)")
    stored = STORED.get(name)
    assert stored is not None, AGAIN
    if name == "pair":
        assert weights_digest() == stored.pop("weights"), f"other weights: {AGAIN}"
    run = run_golden(found[name])
    # From what is easy to read to what is exact.
    for arm, before in zip(run["arms"], stored["arms"], strict=True):
        assert arm["method"] == before["method"], AGAIN
        assert arm["tokens_by_request"] == before["tokens_by_request"], AGAIN
        assert _flat(arm["summary"]) == pytest.approx(_flat(before["summary"]), rel=1e-9), AGAIN
        assert arm["digest"] == before["digest"], AGAIN
    assert run["output_digest"] == stored["output_digest"], AGAIN
    assert run["digest"] == stored["digest"], AGAIN


def _flat(summary: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in summary.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found
