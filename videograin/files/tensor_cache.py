"""Tensors that can be computed again, kept on disk under a hash of the inputs that they follow from."""

import hashlib
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from videograin.files.disk import remove_unused

CACHE_BYTES = 4 * 2**30
"""Default size cap of a `TensorCache`."""

SAMPLES_PER_PARAMETER = 64
"""Values of each weight that `fingerprint` hashes."""

log = logging.getLogger(__name__)


class TensorCache:
    """Inversion paths on disk under a hash of their inputs; the least recently used are removed first.

    Args:
        folder: made when first needed.
        max_bytes: size cap.
    """

    def __init__(self, folder: Path, max_bytes: int = CACHE_BYTES) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    def load(self, key: str) -> Tensor | None:
        """Return the path (K, F, C, h, w) kept under a key, or None; a file that cannot be read counts as absent."""
        file = self._file(key)
        try:
            path = load_file(file)["path"]
            os.utime(file)
        except (OSError, KeyError, SafetensorError):
            return None
        return path

    def store(self, key: str, path: Tensor) -> None:
        """Keep a path (K, F, C, h, w); not one that is larger than the cap, nor where nothing can be written."""
        if path.nbytes > self.max_bytes:
            return
        try:
            self._write(key, path)
            self._shrink()
        except (OSError, SafetensorError) as error:  # a full disk, say: it is computed again when it is needed again
            log.warning("an inversion is not kept in '%s': %s", self.folder, error)

    def purge(self, max_age: float) -> None:
        """Remove paths not used for `max_age` seconds: a path begins with the latents of a user's clip."""
        remove_unused(self.folder, max_age)

    def _write(self, key: str, path: Tensor) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # Not by the number of this process: hosts that share the folder may have one alike, as containers do.
        aside = self._file(key).with_suffix(f".{secrets.token_hex(8)}.part")
        try:
            save_file({"path": path.cpu().contiguous()}, aside)
            aside.replace(self._file(key))
        finally:
            aside.unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"

    def _shrink(self) -> None:
        kept = 0
        for _, size, file in sorted(self._used_files(), reverse=True):
            kept += size
            if kept > self.max_bytes:
                file.unlink(missing_ok=True)

    def _used_files(self) -> Iterator[tuple[float, int, Path]]:
        """Yield when each file was used last, its bytes and its path."""
        for file in self.folder.glob("*"):  # also what a process that was killed has left half written
            with suppress(FileNotFoundError):  # another place of a cluster makes room as well
                status = file.stat()
                yield status.st_mtime, status.st_size, file


def content_key(*parts: Tensor | str) -> str:
    """Return a SHA-256 of tensors and texts, equal exactly when all of them are."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            part = f"{part.dtype}{tuple(part.shape)}{hashlib.sha256(_bytes(part)).hexdigest()}"
        digest.update(hashlib.sha256(part.encode()).digest())
    return digest.hexdigest()


def fingerprint(model: nn.Module) -> str:
    """Return a short text that changes with a model's weights, LoRA adapters, their scales and which are active.

    It hashes `SAMPLES_PER_PARAMETER` values of each weight; hashing all of them would take seconds.
    """
    samples = [
        parameter.detach().flatten()[:: max(1, parameter.numel() // SAMPLES_PER_PARAMETER)].float()
        for parameter in model.parameters()
    ]
    adapters = [
        f"{module.scaling} {module.active_adapters} {module.disable_adapters}"
        for module in model.modules()
        if isinstance(module, BaseTunerLayer)
    ]
    return content_key(torch.cat(samples), str(next(model.parameters()).dtype), *adapters)


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
