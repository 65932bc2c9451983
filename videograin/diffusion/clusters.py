"""Regions proposed before the first click: clusters of the features that inversion leaves in self-attention."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from videograin.diffusion.attention.recorder import Features, can_inject
from videograin.diffusion.attention.step import AttentionStep
from videograin.diffusion.autoencoder import check_frame_size, encode_frames
from videograin.diffusion.denoiser import Conditioning, Denoiser
from videograin.diffusion.inversion import invert
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.prompt_embeds import encode_prompts
from videograin.diffusion.schedule import NoiseSchedule
from videograin.errors import ModelError, NothingFoundError, SegmentError
from videograin.masks.shapes import is_backdrop
from videograin.media.appearance import is_flat
from videograin.progress import Phase, Report, ignore, track
from videograin.region import MAX_STEPS, TimestepSpacing

COARSE_LAYER = "up_blocks.1.attentions.2.transformer_blocks.0.attn1"
FINE_LAYER = "up_blocks.2.attentions.0.transformer_blocks.0.attn1"
"""Self-attentions whose features are clustered, keys of the first, queries and keys of the second: of all recorded ones
these fitted the objects best. The coarse ones tell objects apart, the fine ones say where they end."""

INVERSION_STEPS, CLUSTERED_STEP = 20, 2
"""Features are taken at `CLUSTERED_STEP` of this number of inversion steps, a tenth of full noise."""

MAX_CLUSTERS = 8
"""The most clusters that are tried where the number is not given."""

SILHOUETTE_SHARE = 0.8
"""How near to the best silhouette a larger number of clusters must come.

The best one itself often stops at sky, ground and all the rest: on the nine demo clips the cluster nearest to a region
has a mean IoU of 0.51 with it then, and of 0.61 with this share. Uniting two clusters is easy, parting one is not.
"""

FITTED_TOKENS = 4096
"""K-means is fitted to at most this number of tokens, spread evenly, so that its time does not grow with the clip."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """One cluster of a clip.

    Attributes:
        masks: (F, H, W) bool.
        is_backdrop: whether it surrounds objects rather than being one.
    """

    masks: np.ndarray
    is_backdrop: bool


def discover_regions(
    pipeline: VideoGrainPipeline,
    frames: np.ndarray,
    source_prompt: str = "",
    clusters: int | None = None,
    report: Report = ignore,
) -> list[Proposal]:
    """Cut a clip into regions by K-means over self-attention features of its DDIM inversion (Fig. 11).

    All frames are clustered together, so that a region is the same object throughout. Objects that resemble each other
    share one.

    Args:
        pipeline: a Stable Diffusion with all its layers.
        frames: (F, H, W, 3) uint8 RGB; H and W multiples of 8.
        source_prompt: what the clip shows; the features are better with it.
        clusters: how many, 2 to 20; None chooses 2 to `MAX_CLUSTERS` by `SILHOUETTE_SHARE`.
        report: told after every step; may raise `Cancelled`.

    Returns:
        Proposals that cover every pixel once: objects before backdrops, both from the smallest to the largest.

    Raises:
        SegmentError: these are no frames, or the number of clusters is out of range.
        SettingsError: a side of the frames is not a multiple of 8.
        NothingFoundError: the clip is one colour.
        ModelError: the model lacks the layers.
    """
    _check(pipeline, frames, clusters)
    features = _inversion_features(pipeline, frames, source_prompt, report)
    tokens = features.reshape(-1, features.shape[-1])
    counts = range(2, min(MAX_CLUSTERS, len(tokens)) + 1) if clusters is None else [clusters]
    centres = cluster(tokens, counts, report)
    labels = _nearest_centres(features, centres, (frames.shape[1], frames.shape[2]))
    masks = [labels == label for label in np.unique(labels)]
    proposals = [Proposal(mask, is_backdrop(mask)) for mask in masks]
    return sorted(proposals, key=lambda proposal: (proposal.is_backdrop, proposal.masks.sum()))


def cluster(tokens: np.ndarray, counts: Sequence[int], report: Report = ignore) -> np.ndarray:
    """Find centres of clusters by K-means; the same for the same tokens.

    Args:
        tokens: (N, C) float32.
        counts: numbers of clusters to try, ascending; the largest whose silhouette is near the best is taken.
        report: told after each.

    Returns:
        (K, C) float32.
    """
    cv2.setRNGSeed(0)
    tokens = tokens[:: -(-len(tokens) // FITTED_TOKENS)]
    until = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 30, 1e-3)
    choices = [
        cv2.kmeans(tokens, count, np.empty(0, np.int32), until, attempts=10, flags=cv2.KMEANS_PP_CENTERS)[2]
        for count in track(Phase.SUGGEST, counts, report)
    ]
    silhouettes = [_silhouette(tokens, centres) for centres in choices]
    good = [value >= SILHOUETTE_SHARE * max(silhouettes) for value in silhouettes]
    return choices[max(np.flatnonzero(good))]


def _check(pipeline: VideoGrainPipeline, frames: np.ndarray, clusters: int | None) -> None:
    if clusters is not None and not 2 <= clusters <= 20:
        raise SegmentError(f"{clusters} clusters were asked for. Give 2 to 20, or None to have the number chosen.")
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not frames.size:
        raise SegmentError(
            f"Frames must be (frames, height, width, 3) uint8 RGB, not {frames.shape} {frames.dtype}. Pass those of a "
            "loaded clip."
        )
    check_frame_size(frames, pipeline.vae_scale_factor)
    if is_flat(frames):
        raise NothingFoundError("This clip is one colour; there are no regions in it. Choose another clip.")
    if not can_inject(pipeline.unet):
        raise ModelError("This UNet lacks the layers whose features are clustered. Choose a Stable Diffusion model.")


@torch.no_grad()
def _inversion_features(pipeline: VideoGrainPipeline, frames: np.ndarray, prompt: str, report: Report) -> np.ndarray:
    """Return features on the way to noise, (F, h, w, C) float32."""
    device = pipeline._execution_device
    schedule = NoiseSchedule(
        pipeline.scheduler, TimestepSpacing.LEADING, Fraction(MAX_STEPS, INVERSION_STEPS), CLUSTERED_STEP + 1
    )
    denoiser, record = Denoiser(pipeline.unet), Features()
    step = AttentionStep(len(frames), record=record)
    try:
        embeds = encode_prompts(pipeline.tokenizer, pipeline.text_encoder, [prompt]).to(device)
        conditioning = Conditioning(embeds, embeds)
        latents = encode_frames(pipeline.vae, frames, pipeline.frames_per_vae_batch, device, report)
        path = invert(denoiser, latents[None], schedule, conditioning, step, report)
        denoiser.predict_noise(path[-1], schedule.levels[-1], conditioning, step)
    finally:
        pipeline.maybe_free_model_hooks()
    height, width = latents.shape[-2:]
    fine, coarse = ((-(-height // n), -(-width // n)) for n in (2, 4))
    query, key = (_as_maps(tokens, fine) for tokens in record.query_key[FINE_LAYER])
    context = F.interpolate(_as_maps(record.query_key[COARSE_LAYER][1], coarse), fine, mode="bilinear")
    return torch.cat([F.normalize(maps, dim=1) for maps in (context, query, key)], 1).movedim(1, -1).numpy()


def _as_maps(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return tokens (F, h·w, C) as maps (F, C, h, w) float32 of length 1 on the CPU."""
    return F.normalize(tokens.float().cpu(), dim=-1).unflatten(1, grid).movedim(-1, 1)


def _silhouette(tokens: np.ndarray, centres: np.ndarray) -> float:
    """Return the mean simplified silhouette: 1 − distance to the own centre over that to the next one."""
    nearest = np.sort(np.sqrt(_square_distances(tokens, centres)), axis=1)
    return float(1 - (nearest[:, 0] / np.maximum(nearest[:, 1], 1e-9)).mean())


def _square_distances(tokens: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return (…, K) squared distances of tokens (…, C) to centres (K, C)."""
    products = tokens @ centres.T
    return np.maximum((tokens**2).sum(-1)[..., None] - 2 * products + (centres**2).sum(-1), 0)


def _nearest_centres(features: np.ndarray, centres: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return labels (F, H, W) of features (F, h, w, C); distances are interpolated, so that borders are smooth."""
    labels = []
    for tokens in features:
        distances = torch.from_numpy(_square_distances(tokens, centres)).movedim(-1, 0)[None]
        labels.append(F.interpolate(distances, size, mode="bilinear", align_corners=False)[0].argmin(0).numpy())
    return np.stack(labels)
