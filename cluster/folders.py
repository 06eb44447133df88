"""A folder's files, sent through Ray's object store to the nodes that need them.

The driver reads the folder once, in pieces, so that no file has to fit into memory twice. A node
writes its copy into the user's cache folder, under a name that its content decides: whoever asks
there later, in this run or in another, finds it. A copy appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, cast

import ray

from costeer.errors import ConfigError

_PIECE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class ShippedFolder:
    """A folder on its way; called on a node, it tells where the node's copy lies.

    Args:
        name: of the folder, for people who look into the cache.
        digest: of names and content.
        files: relative path and pieces of each.
    """

    name: str
    digest: str
    files: tuple[tuple[str, tuple[ray.ObjectRef[bytes], ...]], ...]

    def __call__(self) -> str:
        """Return the copy's path, written first where there is none."""
        root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "costeer" / "models"
        place = root / f"{self.name}-{self.digest}"
        if place.is_dir():
            return str(place)
        root.mkdir(parents=True, exist_ok=True)
        made = Path(mkdtemp(prefix=f"{place.name}.", dir=root))
        try:
            for path, pieces in self.files:
                file = made / path
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("wb") as out:
                    for piece in pieces:
                        out.write(ray.get(piece))
            made.rename(place)
        except OSError:
            # Another process of this node was first.
            if not place.is_dir():
                raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
        return str(place)


def ship(path: str) -> ShippedFolder:
    """Put a folder's files into the object store.

    Raises:
        ConfigError: one cannot be read, or there is none.
    """
    folder, sha, files = Path(path), hashlib.sha256(), []
    try:
        for file in sorted(each for each in folder.rglob("*") if each.is_file()):
            name = file.relative_to(folder).as_posix()
            sha.update(f"{name} {file.stat().st_size}\n".encode())
            pieces = []
            for piece in _pieces(file):
                sha.update(piece)
                pieces.append(cast("Any", ray.put)(piece))
            files.append((name, tuple(pieces)))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); give a folder that can, or delivery: path"
        ) from error
    if not files:
        raise ConfigError(f"{path}: no file is there that could be sent to the nodes")
    return ShippedFolder(folder.resolve().name, sha.hexdigest()[:16], tuple(files))


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while piece := source.read(_PIECE_BYTES):
            yield piece
