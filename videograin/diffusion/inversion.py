"""DDIM inversion: from a clip's latents to the noise that denoises back into it, and a cache of such paths on disk.

The step is DDIM's (arXiv 2010.02502, eq. 12) run backwards: the noise predicted at timestep t carries the latents
from t to the next noisier timestep. There is no guidance, hence no batch of two halves.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler
from torch import Tensor

from videograin.diffusion.attention.step import AttentionStep
from videograin.diffusion.denoiser import Conditioning, Denoiser
from videograin.files.tensor_cache import TensorCache, content_key, fingerprint
from videograin.progress import Phase, Report, track
from videograin.region import EditSettings


def invert(
    denoiser: Denoiser,
    path: Tensor,
    timesteps: Sequence[int],
    scheduler: DDIMScheduler,
    conditioning: Conditioning,
    step: AttentionStep,
    report: Report,
    anchors: Tensor | None = None,
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
        anchors: (K, A, 4, h, w), the path of the anchors as far as `timesteps`; None where there are none.

    Returns:
        (len(timesteps), F, 4, h, w), or `path` where it reaches as far already.
    """
    inverse = cast(DDIMInverseScheduler, DDIMInverseScheduler.from_config(scheduler.config))
    inverse.set_timesteps(cast(int, scheduler.num_inference_steps))
    latents = list(path)
    ahead = list(pairwise(timesteps))[len(path) - 1 :]
    for timestep, noisier in track(Phase.INVERT, ahead, report):
        beside = None if anchors is None else anchors[len(latents) - 1]
        noise_pred = denoiser.predict_noise(latents[-1], timestep, conditioning, step, beside)[0]
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
    cache: TensorCache | None = None,
    anchors: Tensor | None = None,
) -> Tensor:
    """Return an edit's inversion path as far as its `strength` says; what the cache knows of it is not computed again.

    Args:
        denoiser: predicts the noise.
        latents: (F, 4, h, w), the clip's own.
        scheduler: DDIM, its timesteps set.
        conditioning: one half, of the source prompt.
        step: what the attention layers do, unmodulated.
        settings: how far the path goes, and what its cache key depends on.
        report: told after every step.
        cache: where paths are kept; None keeps none.
        anchors: as in `invert`.

    Returns:
        (settings.steps_run, F, 4, h, w).
    """
    timesteps = scheduler.timesteps.tolist()[::-1][: settings.steps_run]
    if cache is None:
        return invert(denoiser, latents[None], timesteps, scheduler, conditioning, step, report, anchors)
    seen = latents if anchors is None else torch.cat([latents, anchors[0]])
    key = _path_key(denoiser, seen, scheduler, conditioning, step, settings)
    known = cache.load(key)
    path = latents[None] if known is None else known[: len(timesteps)].to(latents.device)
    path = invert(denoiser, path, timesteps, scheduler, conditioning, step, report, anchors)
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
        f"{settings.num_inference_steps} {conditioning.control_scale} {settings.joint_group_norm}",
        f"{step.mode} {step.own_frames}",
    )
