"""DDIM inversion: from a clip's latents to the noise that denoises back into it, and a cache of such paths on disk.

The step is DDIM's (arXiv 2010.02502, eq. 12) run backwards: the noise predicted at timestep t carries the latents
from t to the next noisier timestep. There is no guidance, hence no batch of two halves.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from videograin.diffusion.attention.step import AttentionStep, Forward, ForwardKind, PrepareStep, unprepared
from videograin.diffusion.denoiser import Conditioning, Denoiser
from videograin.diffusion.schedule import NoiseSchedule
from videograin.diffusion.shortcuts.deep_cache import DeepFeatures
from videograin.files.tensor_cache import TensorCache, content_key, fingerprint
from videograin.progress import Phase, Report, track
from videograin.region import EditSettings


def invert(
    denoiser: Denoiser,
    path: Tensor,
    schedule: NoiseSchedule,
    conditioning: Conditioning,
    step: AttentionStep,
    report: Report,
    prepare: PrepareStep = unprepared,
    cache_interval: int = 1,
) -> Tensor:
    """Extend an inversion path to the last level of a schedule.

    Args:
        denoiser: predicts the noise.
        path: (K, F, C, h, w), the latents at the first K levels; path[0] are the clip's own latents, K ≥ 1.
        schedule: the levels, and the step between them.
        conditioning: one half, of the source prompt.
        step: what the attention layers do, unmodulated.
        report: told after every step.
        prepare: adds to `step` what only one forward is told.
        cache_interval: as in `EditSettings`.

    Returns:
        (len(schedule.levels), F, C, h, w), or `path` where it reaches as far already.
    """
    if len(path) < len(schedule.levels):  # or the deep features that the next step uses would be lacking
        path = path[: (len(path) - 1) // cache_interval * cache_interval + 1]
    latents, deep = list(path), DeepFeatures()
    ahead = list(pairwise(schedule.levels))[len(path) - 1 :]
    for level, noisier in track(Phase.INVERT, ahead, report):
        index = len(latents) - 1
        own_step = prepare(Forward(ForwardKind.INVERT, index), deep_cached(step, index, cache_interval, deep))
        noise_pred = denoiser.predict_noise(latents[-1], level, conditioning, own_step)[0]
        latents.append(schedule.step(noise_pred, level, noisier, latents[-1])[0])
    return torch.stack(latents)


def deep_cached(step: AttentionStep, index: int, cache_interval: int, deep: DeepFeatures) -> AttentionStep:
    """Return a step of the inversion that leaves its deep features in `deep`, or has them from there."""
    if cache_interval == 1:
        return step
    return replace(step, deep=deep, is_shallow=index % cache_interval > 0)


def inversion_path(
    denoiser: Denoiser,
    latents: Tensor,
    schedule: NoiseSchedule,
    conditioning: Conditioning,
    step: AttentionStep,
    settings: EditSettings,
    report: Report,
    cache: TensorCache | None = None,
    prepare: PrepareStep = unprepared,
    seen: Sequence[Tensor] = (),
) -> Tensor:
    """Return an edit's inversion path; what the cache knows of it is not computed again.

    Args:
        denoiser: predicts the noise.
        latents: (F, C, h, w), the clip's own.
        schedule: how far the path goes.
        conditioning: one half, of the source prompt.
        step: what the attention layers do, unmodulated.
        settings: those of the edit, for the cache key.
        report: told after every step.
        cache: where paths are kept; None keeps none.
        prepare: as in `invert`.
        seen: what determines the frames elsewhere that these see, for the cache key.

    Returns:
        (len(schedule.levels), F, C, h, w).
    """
    if cache is None:
        return invert(denoiser, latents[None], schedule, conditioning, step, report, prepare, settings.cache_interval)
    key = _path_key(denoiser, [latents, *seen], schedule, conditioning, step, settings)
    known = cache.load(key)
    path = latents[None] if known is None else known[: len(schedule.levels)].to(latents.device)
    path = invert(denoiser, path, schedule, conditioning, step, report, prepare, settings.cache_interval)
    if known is None or len(path) > len(known):
        cache.store(key, path)
    return path


def _path_key(
    denoiser: Denoiser,
    latents: Sequence[Tensor],
    schedule: NoiseSchedule,
    conditioning: Conditioning,
    step: AttentionStep,
    settings: EditSettings,
) -> str:
    """Return a key of everything that a path follows from but its length."""
    models = [fingerprint(denoiser.unet)]
    if denoiser.controlnet is not None and conditioning.controls:
        models.append(fingerprint(denoiser.controlnet))
    acting = [(control.scale, control.above, control.up_to) for control in conditioning.controls]
    tables = [paths.path for paths in step.trajectories.values()]
    return content_key(
        *latents,
        conditioning.unet_embeds,
        *(control.images for control in conditioning.controls),
        *tables,
        *models,
        str(sorted(schedule.scheduler.config.items(), key=str)),
        f"{schedule.spacing} {schedule.gap} {acting} {settings.joint_group_norm} {settings.freeu}",
        f"{step.mode} {step.frames} {[paths.window for paths in step.trajectories.values()]}",
        f"{settings.key_frames} {settings.cache_interval}",
    )
