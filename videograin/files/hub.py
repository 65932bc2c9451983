"""Model hubs: a folder, a file or a hub id becomes a path on this machine, fetched once and kept in the hub's cache."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import RLock

from huggingface_hub import model_info, snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

from videograin.errors import ModelError

HUB_SECONDS = 4.0
"""How long the hub may take to answer before it counts as unreachable."""


WEIGHTS_LOCK = RLock()
"""Held while weights are loaded: diffusers and transformers change settings of the whole process meanwhile."""


UNUSED_FILES = ("safety_checker/*", "feature_extractor/*", "*.fp16.*", "*.non_ema.*", "*.fp16-*")


_SINGLE_FILES = (".safetensors", ".ckpt")


def user_cache_dir() -> Path:
    """Return the folder for what can be computed again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "videograin"


def fetch(source: str, files: Sequence[str], offline: bool = False) -> Path:
    """Return where a folder, file or hub id lies on this machine, downloading what the local cache lacks.

    Args:
        source: path or hub id.
        files: patterns of the files that are needed.
        offline: whether to raise instead of downloading.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path
    if not is_hub_id(source):
        raise ModelError(f"There is no model at '{source}'. Check the path.")
    with suppress(LocalEntryNotFoundError):
        return _snapshot(source, files, local_files_only=True)
    remedy = f"Connect to the network, fetch it elsewhere (hf download {source}), or give a local folder."
    if offline:
        raise ModelError(f"Model '{source}' is not in the hub's local cache. {remedy}")
    try:
        # One question with a short deadline: where nothing answers, the download itself would wait for minutes.
        model_info(source, timeout=HUB_SECONDS)
        return _snapshot(source, files, local_files_only=False)
    except Exception as error:  # the hub's network library has a family of errors of its own
        raise ModelError(f"Model '{source}' cannot be downloaded ({first_line(error)}). {remedy}") from error


def is_hub_id(source: str) -> bool:
    """Whether `source` can only be a hub id: it is no path that exists, and does not look like one."""
    path = Path(source).expanduser()
    return not (path.exists() or path.is_absolute() or path.suffix in _SINGLE_FILES or source.startswith("."))


def _snapshot(hub_id: str, files: Sequence[str], local_files_only: bool) -> Path:
    try:
        folder = snapshot_download(
            hub_id, allow_patterns=[*files], ignore_patterns=[*UNUSED_FILES], local_files_only=local_files_only
        )
    except HFValidationError as error:
        raise ModelError(f"'{hub_id}' is neither a folder, a file nor a hub id such as 'owner/model'.") from error
    return Path(folder)


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, without its full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
