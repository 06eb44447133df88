"""Where a study's chains are kept: each a file that is there whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from actors.sink import write_atomically
from costeer.errors import ConfigError
from experiments.capacity.chain import Chain

RESULT = "capacity.json"


class Store:
    """A study's directory."""

    def __init__(self, path: Path, *, resume: bool) -> None:
        """Make the directory, or enter one that is there.

        Raises:
            ConfigError: it holds a study and `resume` is not said, or cannot be written.
        """
        self.path = path
        self._chains = path / "chains"
        if self._chains.exists() and not resume:
            raise ConfigError(
                f"{path}: holds a study already; go on with --resume, or choose another --out"
            )
        try:
            self._chains.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = (error.strerror or "unknown reason").lower()
            raise ConfigError(
                f"{path}: cannot be written ({reason}); choose another --out"
            ) from error

    def get(self, chain: Chain) -> dict[str, Any] | None:
        """Return what a chain found, if it is finished."""
        file = self._chains / f"{chain.id}.json"
        if not file.exists():
            return None
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found

    def keep(self, chain: Chain, found: dict[str, Any]) -> None:
        """Write what a chain found."""
        text = json.dumps(found, indent=1, allow_nan=False) + "\n"
        write_atomically(self._chains / f"{chain.id}.json", text)

    def write_result(self, result: dict[str, Any]) -> None:
        """Write what the study came to."""
        text = json.dumps(result, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
        write_atomically(self.path / RESULT, text)
