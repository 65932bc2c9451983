"""DDIM inversion: from a clip's latents to the noise that denoises back into it, and a cache of such paths on disk.

The step is DDIM's (arXiv 2010.02502, eq. 12) run backwards: the noise predicted at timestep t carries the latents
from t to the next noisier timestep. There is no guidance, hence no batch of two halves.
"""

import hashlib
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from videograin.diffusion.attention.step import AttentionStep
from videograin.diffusion.denoiser import Conditioning, Denoiser
from videograin.progress import Phase, Report, track
from videograin.region import EditSettings

CACHE_BYTES = 4 * 2**30
"""What `InversionCache` keeps on disk unless told otherwise."""

SAMPLES_PER_PARAMETER = 64
"""Values of each weight that `fingerprint` looks at."""


def invert(
    denoiser: Denoiser,
    path: Tensor,
    timesteps: Sequence[int],
    scheduler: DDIMScheduler,
    conditioning: Conditioning,
    step: AttentionStep,
    report: Report,
) -> Tensor:
    """Extend an inversion path to the last of `timesteps`.

    Args:
        denoiser: predicts the noise.
        path: (K, F, 4, h, w), the latents at the first K timesteps; path[0] are the clip's own latents, K ≥ 1.
        timesteps: ascending, equally spaced.
        scheduler: gives the noise levels.
        conditioning: one half, of the source prompt.
        step: what the attention layers do, unmodulated.
        report: told after every step.

    Returns:
        (len(timesteps), F, 4, h, w), or `path` where it reaches as far already.
    """
    inverse = cast(DDIMInverseScheduler, DDIMInverseScheduler.from_config(scheduler.config))
    inverse.set_timesteps(cast(int, scheduler.num_inference_steps))
    latents = list(path)
    ahead = list(pairwise(timesteps))[len(path) - 1 :]
    for timestep, noisier in track(Phase.INVERT, ahead, report):
        noise_pred = denoiser.predict_noise(latents[-1], timestep, conditioning, step)[0]
        latents.append(inverse.step(noise_pred, noisier, latents[-1], return_dict=False)[0])
    return torch.stack(latents)


def inversion_path(
    denoiser: Denoiser,
    latents: Tensor,
    scheduler: DDIMScheduler,
    conditioning: Conditioning,
    step: AttentionStep,
    settings: EditSettings,
    report: Report,
    cache: "InversionCache | None" = None,
) -> Tensor:
    """Return an edit's inversion path as far as its `strength` says; what the cache knows of it is not computed again.

    Args:
        denoiser: predicts the noise.
        latents: (F, 4, h, w), the clip's own.
        scheduler: DDIM, its timesteps set.
        conditioning: one half, of the source prompt.
        step: what the attention layers do, unmodulated.
        settings: of the edit.
        report: told after every step.
        cache: where paths are kept; None keeps none.

    Returns:
        (settings.steps_run, F, 4, h, w).
    """
    timesteps = scheduler.timesteps.tolist()[::-1][: settings.steps_run]
    if cache is None:
        return invert(denoiser, latents[None], timesteps, scheduler, conditioning, step, report)
    key = _path_key(denoiser, latents, scheduler, conditioning, step, settings)
    known = cache.load(key)
    path = latents[None] if known is None else known[: len(timesteps)].to(latents.device)
    path = invert(denoiser, path, timesteps, scheduler, conditioning, step, report)
    if known is None or len(path) > len(known):
        cache.store(key, path)
    return path


def _path_key(
    denoiser: Denoiser,
    latents: Tensor,
    scheduler: DDIMScheduler,
    conditioning: Conditioning,
    step: AttentionStep,
    settings: EditSettings,
) -> str:
    """Return a key of everything that a path follows from but its length."""
    models = [fingerprint(denoiser.unet)]
    if denoiser.controlnet is not None and conditioning.control_images:
        models.append(fingerprint(denoiser.controlnet))
    tables = [paths.path for paths in step.trajectories.values()]
    return content_key(
        latents,
        conditioning.unet_embeds,
        *conditioning.control_images,
        *tables,
        *models,
        str(sorted(scheduler.config.items(), key=str)),
        f"{settings.num_inference_steps} {conditioning.control_scale} {step.mode} {settings.joint_group_norm}",
    )


class InversionCache:
    """Inversion paths on disk by the content that they follow from; the least recently used go first.

    Args:
        folder: made when first needed.
        max_bytes: size cap.
    """

    def __init__(self, folder: Path, max_bytes: int = CACHE_BYTES) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    def load(self, key: str) -> Tensor | None:
        """Return the path (K, F, 4, h, w) kept under a key, or None; a file that cannot be read counts as absent."""
        file = self._file(key)
        try:
            path = load_file(file)["path"]
            os.utime(file)
        except (OSError, KeyError, SafetensorError):
            return None
        return path

    def store(self, key: str, path: Tensor) -> None:
        """Keep a path (K, F, 4, h, w); one that is larger than the cap is not kept."""
        if path.nbytes > self.max_bytes:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        aside = self._file(key).with_suffix(f".{os.getpid()}.part")
        try:
            save_file({"path": path.cpu().contiguous()}, aside)
            aside.replace(self._file(key))
        finally:
            aside.unlink(missing_ok=True)
        self._shrink()

    def purge(self, max_age: float) -> None:
        """Remove what has not been used for `max_age` seconds: a path begins with somebody's clip."""
        oldest = time.time() - max_age
        for file in self.folder.glob("*.safetensors"):
            with suppress(FileNotFoundError):
                if file.stat().st_mtime < oldest:
                    file.unlink()

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"

    def _shrink(self) -> None:
        files = sorted(self.folder.glob("*.safetensors"), key=lambda file: file.stat().st_mtime, reverse=True)
        kept = 0
        for file in files:
            kept += file.stat().st_size
            if kept > self.max_bytes:
                file.unlink(missing_ok=True)


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

    It looks at `SAMPLES_PER_PARAMETER` values of each weight; to hash all of them would take seconds.
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
