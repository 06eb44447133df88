"""What the tools do not hold: nothing is left out of the distribution."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("actors", "cluster", "costeer", "experiments", "netsim")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_with_code_is_a_package(package: str) -> None:
    """A folder without `__init__.py` works from here and is missing once installed."""
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    assert [str(each) for each in folders if not (each / "__init__.py").exists()] == []


def test_the_lock_names_exact_versions_and_no_place() -> None:
    """Where packages come from is the user's business."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line.partition("#")[0].strip() for line in lines]
    pins = [pin for pin in pins if pin]
    assert [pin for pin in pins if pin.count("==") != 1 or "+" in pin or "/" in pin] == []
    assert "torch==2.13.0" in pins
