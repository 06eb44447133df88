"""What a model hub's refusals mean, and what to do about each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import logging as hub_logging
from transformers.utils import logging as transformers_logging

from costeer.errors import ConfigError

_TIMEOUT_S = 3.0
"""How long the model hub has to answer before its name counts as a folder that is not there."""

_NOT_ALLOWED = 401
_UNKNOWN = "does not recognize this architecture"
"""In what transformers says of a model type that it has no class for."""


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
                f"model {path}: no such folder, and no model hub answers; fetch it where one does"
                f" (`hf download {path} --local-dir DIR`) and give that folder"
            )


def fetched(path: str) -> str:
    """Return the folder that holds a model on this machine; a hub's model is fetched first.

    Raises:
        ConfigError: it is not there, and the hub does not give it.
    """
    check_folder(path)
    if Path(path).is_dir():
        return path
    try:
        return str(huggingface_hub.snapshot_download(path))
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise explained(path, "cannot be fetched", error) from error


def explained(path: str | Path, what: str, error: BaseException) -> ConfigError:
    """Say in one line why something of a model could not be loaded, and the way out.

    Args:
        path: the folder or hub name.
        what: what was missed, such as "no configuration".
        error: what the library raised; its causes are looked through too.
    """
    for cause in _causes(error):
        if isinstance(cause, GatedRepoError):
            return ConfigError(
                f"model {path}: is gated: accept its licence at {constants.ENDPOINT}/{path}, then"
                " log in with `hf auth login` (or set HF_TOKEN); or give a folder that holds it"
            )
        if isinstance(cause, RepositoryNotFoundError):
            return ConfigError(
                f"model {path}: the hub knows no such model, or shows it to members alone; check"
                " the name, or log in with `hf auth login`"
            )
        if isinstance(cause, HfHubHTTPError) and cause.response.status_code == _NOT_ALLOWED:
            return ConfigError(
                f"model {path}: the hub does not accept the token; log in with `hf auth login`"
            )
    told = one_line(error)
    if _UNKNOWN in told:
        return ConfigError(
            f"model {path}: this version of transformers does not know its architecture; install a"
            " newer one (pip install -U transformers), or choose another model"
        )
    return ConfigError(
        f"model {path}: {what}: {told.rstrip('.')}; if the folder is not whole, fetch it again"
        " (`hf download NAME --local-dir DIR`)"
    )


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message; its kind where there is none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    at: BaseException | None = error
    while at is not None:
        yield at
        at = at.__cause__ or at.__context__


def _is_cached(name: str) -> bool:
    """Whether an earlier run fetched the model of that name."""
    return isinstance(huggingface_hub.try_to_load_from_cache(name, "config.json"), str)


def _hub_answers() -> bool:
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        huggingface_hub.get_session().head(constants.ENDPOINT, timeout=_TIMEOUT_S)
    except Exception:  # noqa: BLE001 - whichever client the hub's library brings: no answer is none
        return False
    return True
