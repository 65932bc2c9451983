"""One edit of a held-out clip, and what it scores.

A region of an object is named by the judge out of its whole vocabulary, in the crop of its own mask. What of that crop
belongs to another region is painted out, for of two objects in a picture the judge can name either. A recoloured object
is named by the mini CLIP out of all colours of its noun, in the same crop; a new background out of the two prompts,
before and after, in the whole frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import torch

from benchmarks.clips import Library, Told, ToldRegion, request_of
from benchmarks.variants import Variant
from training.vocabulary import COLOUR_NAMES, with_article
from videograin.cli.terminal import silence_libraries
from videograin.diffusion.autoencoder import decode_latents, encode_frames, to_uint8
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.region_masks import grow_masks
from videograin.evaluation.judge import INPUT_SIZE, Judge
from videograin.evaluation.metrics import ClipScorer, clip_f, crop_regions, psnr, share_seen, warp_error
from videograin.media.flow import OpticalFlow, optical_flow
from videograin.media.visualize import comparison_strip
from videograin.models.bundles import find_bundle
from videograin.models.loading import load_pipeline
from videograin.progress import ignore
from videograin.region import ControlKind, EditRequest

RIM = 6
"""Pixels around the grown masks that "beyond" leaves out: a latent that is edited in part is edited whole."""

_PAINT_RADIUS = 3


@dataclass(frozen=True)
class Task:
    """One cell of the table."""

    number: str
    told: Told
    variant: Variant
    frames: int

    def __str__(self) -> str:
        return f"{self.told.name}, {self.variant.label}"


@dataclass(frozen=True)
class Score:
    """What one edit scored; shares are means over regions and frames, nan where there is nothing to judge.

    Attributes:
        target: how often an edited region is what it should become, in its own crop.
        mixing: how often it is what another region should become.
        target_beside, mixing_beside: the same in the plain crop, with what is seen of the other regions.
        kept: how often a region without a prompt is still what it was.
        psnr_reconstruction: dB outside the edited regions, of what the VAE draws of the edit to what it draws of the
            source, before the source's pixels are laid around it.
        psnr_source: dB outside the edited regions, to the source.
        psnr_beyond: dB where nothing may change (beyond the grown masks), as psnr_reconstruction.
        clip_f, clip_f_source: percent, of the edit and of its source.
        warp_error: thousandths, along the source's motion.
        seconds: of the edit, inversion included.
    """

    target: float
    mixing: float
    target_beside: float
    mixing_beside: float
    kept: float
    psnr_reconstruction: float
    psnr_source: float
    psnr_beyond: float
    clip_f: float
    clip_f_source: float
    warp_error: float
    seconds: float

    def __str__(self) -> str:
        return f"{self.target:.2f} in {self.seconds:.1f} s"


@dataclass(frozen=True, eq=False)
class Reference:
    """A clip and what all its edits are compared with."""

    request: EditRequest
    flow: OpticalFlow
    reconstruction: np.ndarray
    clip_f: float


class Bench:
    """A model that edits, and those that judge, on one device.

    Args:
        pipeline: edits.
        judge: names objects.
        scorer: the mini CLIP.
        library: where the clips come from.
        strips: folder for a picture of each edit, or None.
    """

    def __init__(
        self,
        pipeline: VideoGrainPipeline,
        judge: Judge,
        scorer: ClipScorer,
        library: Library,
        strips: Path | None = None,
    ) -> None:
        self.pipeline, self.judge, self.scorer = pipeline, judge, scorer
        self.library, self.strips = library, strips
        self.reference = lru_cache(maxsize=2)(self._reference)  # tasks come clip by clip

    @classmethod
    def load(
        cls,
        model: str,
        device: str,
        library: Library,
        strips: Path | None = None,
        controls: Sequence[ControlKind] = (),
    ) -> Self:
        """Load a model, by its name or folder, whose own `clip/` judges, and its ControlNets."""
        silence_libraries()  # a bar for each file of weights and process would bury the results
        bundle = find_bundle(model)
        pipeline = load_pipeline(bundle, controls, device=device, offline=True)
        pipeline.inversion_cache = None  # every edit's seconds count its inversion
        clip = Path(bundle.source, "clip")
        return cls(pipeline, Judge.load(Path(bundle.source), device), ClipScorer.load(clip, device), library, strips)

    @torch.no_grad()
    def measure(self, task: Task) -> Score:
        """Carry out one edit and score it."""
        known = self.reference(task.number, task.told, task.frames)
        if task.variant.settings is None:
            return self.score(task, known, known.request.frames, known.reconstruction, 0.0)
        result = self.pipeline.edit(replace(known.request, settings=task.variant.settings))
        if self.strips:
            self._save_strip(task, known.request.frames, result.frames)
        return self.score(task, known, result.frames, self._draw(result.latents), result.seconds)

    def score(self, task: Task, known: Reference, frames: np.ndarray, drawn: np.ndarray, seconds: float) -> Score:
        """Score the frames of an edit (or of the source, by what is in it), and those that the VAE has drawn for it."""
        told, source, settings = task.told, known.request.frames, task.variant.settings
        wanted = [_becomes(told, region) if settings else _was(told, region) for region in told.regions]
        request, numbers = known.request, range(len(told.regions))
        alone = [self.name_region(told, i, request, without_others(frames, request, i)) for i in numbers]
        beside = [self.name_region(told, i, request, frames) for i in numbers]
        edited = [i for i, region in enumerate(told.regions) if region.is_edited]
        target, mixing = _target_and_mixing(alone, wanted, edited)
        target_beside, mixing_beside = _target_and_mixing(beside, wanted, edited)
        masks = np.any([known.request.regions[i].masks for i in edited], axis=0)
        return Score(
            target=target,
            mixing=mixing,
            target_beside=target_beside,
            mixing_beside=mixing_beside,
            kept=_mean([share_seen(alone[i], [r.before]) for i, r in enumerate(told.regions) if not r.is_edited]),
            psnr_reconstruction=psnr(drawn, known.reconstruction, ~masks),
            psnr_source=psnr(frames, source, ~masks),
            psnr_beyond=_psnr_beyond(drawn, known, masks, settings.mask_growth if settings else 0),
            clip_f=clip_f(self.scorer, frames),
            clip_f_source=known.clip_f,
            warp_error=warp_error(frames, known.flow),
            seconds=seconds,
        )

    def name_region(self, told: Told, index: int, request: EditRequest, frames: np.ndarray) -> list[str]:
        """Name what is seen in a region, for each frame that it is in."""
        region, masks = told.regions[index], request.regions[index].masks
        if told.level == "background":
            return self.scorer.choose(frames, [told.source_prompt, told.target_prompt])
        if not _is_recoloured(region):
            return self.judge.name_objects(frames, masks)
        noun = region.after.partition(" ")[2]
        colours = [with_article(f"{colour} {noun}") for colour in COLOUR_NAMES if colour]
        return self.scorer.choose(crop_regions(frames, masks, INPUT_SIZE), colours)

    @torch.no_grad()
    def _reference(self, number: str, told: Told, frames: int) -> Reference:
        request = request_of(told, *self.library.pixels(number), count=frames)
        pipeline = self.pipeline
        latents = encode_frames(pipeline.vae, request.frames, pipeline.frames_per_vae_batch, pipeline.device, ignore)
        return Reference(
            request, optical_flow(request.frames), self._draw(latents), clip_f(self.scorer, request.frames)
        )

    def _draw(self, latents: torch.Tensor) -> np.ndarray:
        """Return the frames (F, H, W, 3) uint8 of latents (F, C, h, w)."""
        pixels = decode_latents(self.pipeline.vae, latents, self.pipeline.frames_per_vae_batch, ignore)
        return np.concatenate([to_uint8(chunk) for chunk in pixels])

    def _save_strip(self, task: Task, source: np.ndarray, result: np.ndarray) -> None:
        assert self.strips
        self.strips.mkdir(parents=True, exist_ok=True)
        file = self.strips / f"{task.told.name}-{task.variant.label.replace(' ', '-')}.png"
        cv2.imwrite(str(file), cv2.cvtColor(comparison_strip(source, result), cv2.COLOR_RGB2BGR))


def _target_and_mixing(
    seen: Sequence[Sequence[str]], wanted: Sequence[str], edited: Sequence[int]
) -> tuple[float, float]:
    """Return how often the edited regions are what is wanted of them, and what is wanted of another."""
    others = {i: [wanted[j] for j in edited if j != i] for i in edited}
    return (
        _mean([share_seen(seen[i], [wanted[i]]) for i in edited if wanted[i]]),
        _mean([share_seen(seen[i], others[i]) for i in edited if others[i]]),
    )


def without_others(frames: np.ndarray, request: EditRequest, index: int) -> np.ndarray:
    """Paint out of the frames (F, H, W, 3) uint8 RGB what belongs to other regions than the one of this index."""
    masks = np.stack([region.masks for region in request.regions])
    others = np.delete(masks, index, 0).any(0) & ~masks[index]
    return np.stack([_painted_out(frame, other) for frame, other in zip(frames, others, strict=True)])


def _painted_out(frame: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    if not hidden.any() or hidden.all():
        return frame
    return cv2.inpaint(np.ascontiguousarray(frame), hidden.astype(np.uint8), _PAINT_RADIUS, cv2.INPAINT_TELEA)


def _becomes(told: Told, region: ToldRegion) -> str:
    """Return what is to be seen in a region of the edit."""
    if told.level == "background":
        return told.target_prompt
    return with_article(region.after) if _is_recoloured(region) else region.after


def _was(told: Told, region: ToldRegion) -> str:
    """Return what is to be seen in a region of the source; empty where there is nothing yet."""
    if told.level == "background":
        return told.source_prompt
    return with_article(region.before) if _is_recoloured(region) else region.before


def _is_recoloured(region: ToldRegion) -> bool:
    """Whether a region keeps its noun ("cap") and changes its colour; no noun of the vocabulary begins with one."""
    return region.after.partition(" ")[0] in COLOUR_NAMES[1:] and bool(region.after.partition(" ")[2])


def _psnr_beyond(frames: np.ndarray, known: Reference, edited: np.ndarray, growth: int) -> float:
    reached = grow_masks(torch.from_numpy(edited), growth + RIM).numpy()
    return float("nan") if reached.all() else psnr(frames, known.reconstruction, ~reached)


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
