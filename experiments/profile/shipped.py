"""Where a profile that a scenario names lies; light, as checks of a scenario need it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

_SUFFIX = ".parquet"


def shipped_profiles() -> list[str]:
    """Names of the profiles that come with the project."""
    folder = files("experiments") / "profiles"
    names = [item.name for item in folder.iterdir()] if folder.is_dir() else []
    return sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))


def profile_path(name_or_path: str) -> Path:
    """Return the file of a shipped profile's name, or the path that was given."""
    if name_or_path in shipped_profiles():
        return Path(str(files("experiments") / "profiles" / f"{name_or_path}{_SUFFIX}"))
    return Path(name_or_path)
