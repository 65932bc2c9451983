"""After ControlVideo (Zhang et al., arXiv 2305.13077): drawn from noise, held to the source by ControlNet alone.

There is no inversion: all frames start from one picture of noise. Self-attention is among all frames. In two steps
the clean frames that are predicted are smoothed in turns: every second frame becomes the picture between its two
neighbours, first those with odd numbers, then the others.

Left out: frames between frames come from optical flow (DIS), where the paper has RIFE; its hierarchical sampler for
long videos. Regions and their masks are not known.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from videograin.comparison.method import Method, WholePromptDenoising, edit_by, without_regions
from videograin.diffusion.autoencoder import decode_latents, encode_frames, to_uint8
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.schedule import NoiseSchedule
from videograin.diffusion.shortcuts.samplers import Prediction
from videograin.diffusion.windows.clip_edit import EditLoops
from videograin.media.flow import optical_flow, warp
from videograin.progress import Report, ignore
from videograin.region import EditRequest, EditResult

SMOOTHED_FROM = 0.4
"""Where the first of the two smoothed steps lies, as a share of all; the paper has 30 and 31, down from 50."""


@dataclass(frozen=True, kw_only=True)
class ControlVideoDenoising(WholePromptDenoising):
    """Denoising with an interleaved smoother.

    Attributes:
        vae: between which and the latents frames are smoothed.
        batch: frames that it works on at once.
    """

    vae: AutoencoderKL
    batch: int

    def advance(
        self, index: int, timestep: int, latents: Tensor, before: Prediction | None = None
    ) -> tuple[Tensor, Tensor]:
        """Go one step; in two of them towards the smoothed frames, with the same noise."""
        latents, clean = super().advance(index, timestep, latents, before)
        first = index - int(SMOOTHED_FROM * self.settings.steps_run)
        if first not in (0, 1):
            return latents, clean
        smoothed = self.smooth_interleaved(clean, 1 - first)
        signal = self.schedule.signal(self.schedule.below(timestep))
        return latents + signal**0.5 * (smoothed - clean), smoothed

    def smooth_interleaved(self, clean: Tensor, first: int) -> Tensor:
        """Put the picture between its neighbours in place of every second frame, from the `first` that has two."""
        middles = list(range(first or 2, len(clean) - 1, 2))
        if not middles:
            return clean
        pictures = np.concatenate([to_uint8(pixels) for pixels in decode_latents(self.vae, clean, self.batch, ignore)])
        between = np.stack([picture_between(pictures[t - 1], pictures[t + 1]) for t in middles])
        smoothed = clean.clone()
        smoothed[middles] = encode_frames(self.vae, between, self.batch, clean.device, ignore).to(clean.dtype)
        return smoothed


def picture_between(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the picture half-way between two, each (H, W, 3) uint8, moved along the optical flow."""
    flow = optical_flow(np.stack([before, after])).forward[0]
    halves = [warp(before, -flow / 2).astype(np.float32), warp(after, flow / 2).astype(np.float32)]
    return np.mean(halves, axis=0).round().astype(np.uint8)


def shared_noise(seed: int, _denoiser: object, latents: Tensor, schedule: NoiseSchedule, *_: object) -> Tensor:
    """Return in place of an inversion path the clip and one picture of noise for all frames, (2, F, C, h, w)."""
    noise = randn_tensor(latents[:1].shape, torch.Generator().manual_seed(seed), latents.device, latents.dtype)
    return torch.stack([latents, schedule.noised(torch.zeros_like(latents), noise, schedule.levels[-1])])


def edit_after_controlvideo(pipeline: VideoGrainPipeline, request: EditRequest, report: Report) -> EditResult:
    """Edit a clip as ControlVideo does, from full noise."""
    settings = replace(without_regions(request.settings), strength=1.0)
    make = partial(ControlVideoDenoising, vae=pipeline.vae, batch=pipeline.frames_per_vae_batch)
    loops = EditLoops(invert=partial(shared_noise, settings.seed), denoising=make)
    return edit_by(loops, pipeline, request, settings, report)


CONTROLVIDEO = Method(
    "controlvideo", "after ControlVideo",
    "Drawn from one picture of noise under ControlNet, all frames together, smoothed in turns (arXiv 2305.13077).",
    edit_after_controlvideo,
    needs_control=True,
)  # fmt: skip
