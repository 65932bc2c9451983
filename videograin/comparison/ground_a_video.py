"""After Ground-A-Video (Jeong and Ye, arXiv 2310.01107): each region is guided by its own words, from smoothed noise.

Where the optical flow of the source stands still, a frame's inverted latents are those of the frame before. In every
step the noise is predicted for the whole prompt and for the phrase of each region, and each place is guided by its own.

Left out: the grounding layers of GLIGEN, which need weights of their own, so that regions have masks in place of boxes;
null-text optimisation frame by frame; the modulation of cross-attention by groundings. Nothing is kept of the source
but what inversion and ControlNet keep.
"""

from dataclasses import dataclass, replace
from functools import cached_property, partial

import cv2
import numpy as np
import torch
from torch import Tensor

from videograin.comparison.method import Method, WholePromptDenoising, edit_by, without_regions
from videograin.diffusion.attention.step import AttentionStep
from videograin.diffusion.denoiser import Conditioning
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.prompt import read_prompt
from videograin.diffusion.prompt_embeds import encode_prompts
from videograin.diffusion.region_masks import RegionMasks
from videograin.diffusion.windows.clip_edit import EditLoops
from videograin.media.flow import optical_flow
from videograin.progress import Report
from videograin.region import EditRequest, EditResult

STILL = 0.2
"""Pixels that a cell may move to the next frame and count as standing still; the paper has the same threshold."""


@dataclass(frozen=True, kw_only=True)
class GroundedDenoising(WholePromptDenoising):
    """Denoising in which each region is guided by its own phrase.

    Attributes:
        phrases: (R, 77, C), embeddings of the edited regions' phrases.
        cells: (R, F, h, w) bool, where these regions are.
        still: (F, h, w) bool, cells that have not moved since the frame before.
    """

    phrases: Tensor
    cells: Tensor
    still: Tensor

    @cached_property
    def start(self) -> Tensor:
        """The inverted latents (F, C, h, w), in which what stands still has the same noise in all frames."""
        latents, still = self.path[-1].clone(), self.still.to(self.path.device)
        for frame in range(1, len(latents)):
            latents[frame] = torch.where(still[frame], latents[frame - 1], latents[frame])
        return latents

    @cached_property
    def grounded_words(self) -> Conditioning:
        """The halves of the whole prompt, and behind them one for each region's phrase."""
        phrases = self.phrases.to(self.words.unet_embeds)
        embeds = torch.cat([self.words.unet_embeds, phrases])
        return replace(self.words, unet_embeds=embeds, controlnet_embeds=embeds)

    def guided_noise(self, timestep: int, latents: Tensor, step: AttentionStep) -> Tensor:
        """Predict the noise (F, C, h, w), guided in each region by its own phrase and elsewhere by the prompt."""
        noise_pred = self.denoiser.predict_noise(latents, timestep, self.grounded_words, step)
        whole = self.words.halves
        wanted = noise_pred[whole - 1]
        for own, cells in zip(noise_pred[whole:], self.cells.to(wanted.device), strict=True):
            wanted = torch.where(cells[:, None], own, wanted)
        return self.guide(torch.stack([noise_pred[0] if whole > 1 else wanted, wanted]))


def still_cells(frames: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Return the cells (F, h, w) bool of frames (F, H, W, 3) uint8 that have not moved since the frame before."""
    moved = np.linalg.norm(optical_flow(frames).backward, axis=1)
    cells = [cv2.resize(each, grid[::-1], interpolation=cv2.INTER_AREA) < STILL for each in moved]
    return np.stack([np.zeros(grid, bool), *cells])


def edit_after_ground_a_video(pipeline: VideoGrainPipeline, request: EditRequest, report: Report) -> EditResult:
    """Edit a clip as Ground-A-Video does."""
    settings = without_regions(request.settings)
    grid = (request.frames.shape[1] // pipeline.vae_scale_factor, request.frames.shape[2] // pipeline.vae_scale_factor)
    regions = RegionMasks.of(request, range(len(request.frames)))
    edited = [number for number, region in enumerate(request.regions) if region.is_edited]
    words = [read_prompt(pipeline.expanded(request.regions[number].prompt)).text for number in edited]
    make = partial(
        GroundedDenoising,
        phrases=encode_prompts(pipeline.tokenizer, pipeline.text_encoder, words),
        cells=regions.cells(grid)[edited],
        still=torch.from_numpy(still_cells(request.frames, grid)),
    )
    return edit_by(EditLoops(denoising=make), pipeline, request, settings, report)


GROUND_A_VIDEO = Method(
    "ground-a-video", "after Ground-A-Video",
    "Each region guided by its own phrase, from inverted latents that stand still where the source does "
    "(arXiv 2310.01107).",
    edit_after_ground_a_video,
)  # fmt: skip
