"""How good an edit is: consistency, faithfulness to the words and stability of the whole, and region by region.

The whole-clip scores and their units are those of the paper's table 1: CLIP-F and CLIP-T are cosines in percent,
Warp-Err is in thousandths, Q-edit is CLIP-T over Warp-Err. The CLIP is any in transformers' layout; scores of different
CLIPs do not compare.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTokenizer, CLIPVisionConfig
from transformers.image_processing_utils import BaseImageProcessor

from videograin.files.hub import WEIGHTS_LOCK
from videograin.media.flow import OpticalFlow, optical_flow, warp

FRAMES_PER_BATCH = 16
"""That a CLIP sees at once, so that a long clip needs no more memory than a short one."""

CROP_MARGIN = 1.25
"""Side of a region's crop, over the longer side of the region."""


@dataclass(frozen=True)
class EditScores:
    """The scores of a whole edited clip, as in the paper's table 1.

    Attributes:
        clip_f: how alike consecutive frames are, percent.
        clip_t: how well the frames fit the target prompt, percent.
        warp_error: how far the frames leave the source's motion, thousandths.
        q_edit: clip_t over warp_error.
    """

    clip_f: float
    clip_t: float
    warp_error: float
    q_edit: float


@dataclass(frozen=True)
class ClipScorer:
    """A CLIP and what its image tower expects.

    Attributes:
        model: any CLIP.
        tokenizer: its tokenizer.
        mean, std: (3,) float, of pixels in [0, 1].
    """

    model: CLIPModel
    tokenizer: CLIPTokenizer
    mean: Tensor
    std: Tensor

    @classmethod
    def load(cls, source: str | Path, device: torch.device | str = "cpu") -> Self:
        """Load a CLIP from a folder or a hub id, in float32.

        Args:
            source: the embedded models' `clip` folder, or one such as "openai/clip-vit-large-patch14".
            device: where it runs.
        """
        with WEIGHTS_LOCK:
            model = cast(CLIPModel, CLIPModel.from_pretrained(source, dtype=torch.float32)).eval()
        expected, _ = BaseImageProcessor.get_image_processor_dict(source)
        mean, std = (torch.tensor(expected[name], device=device) for name in ("image_mean", "image_std"))
        cast(nn.Module, model).to(device)
        return cls(model, CLIPTokenizer.from_pretrained(source), mean, std)

    @property
    def image_size(self) -> int:
        """Side of the pictures that the image tower sees, in pixels."""
        return cast(int, cast(CLIPVisionConfig, self.model.config.vision_config).image_size)

    @torch.no_grad()
    def embed_frames(self, frames: np.ndarray) -> Tensor:
        """Embed the middle squares of frames (F, H, W, 3) uint8 RGB as unit vectors (F, C)."""
        batches = torch.from_numpy(np.ascontiguousarray(frames)).split(FRAMES_PER_BATCH)
        return torch.cat([self._embed_batch(batch) for batch in batches])

    def _embed_batch(self, frames: Tensor) -> Tensor:
        pixels = frames.to(self.mean.device).movedim(-1, 1) / 255
        pixels = (_middle_square(pixels, self.image_size) - self.mean[:, None, None]) / self.std[:, None, None]
        pooled = self.model.vision_model(pixel_values=pixels).pooler_output
        return F.normalize(self.model.visual_projection(pooled), dim=-1)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts as unit vectors (P, C)."""
        tokens = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt").to(self.mean.device)
        pooled = self.model.text_model(**tokens).pooler_output
        return F.normalize(self.model.text_projection(pooled), dim=-1)

    def choose(self, frames: np.ndarray, texts: Sequence[str]) -> list[str]:
        """Return which of the texts fits each frame (F, H, W, 3) uint8 RGB best."""
        best = (self.embed_frames(frames) @ self.embed_texts(texts).T).argmax(1)
        return [texts[int(i)] for i in best]


def score_edit(
    scorer: ClipScorer, source: np.ndarray, result: np.ndarray, target_prompt: str, flow: OpticalFlow | None = None
) -> EditScores:
    """Compute the scores of a whole edit.

    Args:
        scorer: the CLIP.
        source: (F, H, W, 3) uint8 RGB, F ≥ 2.
        result: its edit, of the same shape.
        target_prompt: the prompt that the result was made for.
        flow: of the source; None estimates it.
    """
    embeds = scorer.embed_frames(result)
    fit, error = _fit(embeds, scorer.embed_texts([target_prompt])), warp_error(result, flow or optical_flow(source))
    return EditScores(clip_f=_consistency(embeds), clip_t=fit, warp_error=error, q_edit=q_edit(fit, error))


def clip_f(scorer: ClipScorer, frames: np.ndarray) -> float:
    """Return the mean cosine of consecutive frames' CLIP embeddings, in percent; F ≥ 2."""
    return _consistency(scorer.embed_frames(frames))


def clip_t(scorer: ClipScorer, frames: np.ndarray, prompt: str) -> float:
    """Return the mean cosine of the frames' CLIP embeddings with the prompt's, in percent."""
    return _fit(scorer.embed_frames(frames), scorer.embed_texts([prompt]))


def _consistency(embeds: Tensor) -> float:
    return 100 * float((embeds[1:] * embeds[:-1]).sum(-1).mean())


def _fit(embeds: Tensor, text: Tensor) -> float:
    return 100 * float((embeds @ text.T).mean())


def warp_error(result: np.ndarray, flow: OpticalFlow) -> float:
    """Return how far each frame is from the next one, fetched back along the source's motion.

    Args:
        result: (F, H, W, 3) uint8 RGB, F ≥ 2.
        flow: of the F − 1 pairs of consecutive source frames, and where a pixel has no partner.

    Returns:
        Mean squared difference of pixels in [0, 1] where the source's next frame shows them, in thousandths; nan
        where no pixel is shown again.
    """
    total, count = 0.0, 0
    for t, motion in enumerate(flow.forward):  # one pair at a time: of a long clip all together take gigabytes
        frame, following = (result[number].astype(np.float32) / 255 for number in (t, t + 1))
        squared = np.square(warp(following, motion) - frame)[~flow.forward_occluded[t]]
        total, count = total + float(squared.sum(dtype=np.float64)), count + squared.size
    return 1000 * total / count if count else float("nan")


def q_edit(score: float, error: float) -> float:
    """Return the faithfulness of an edit over its warp error, the paper's Q-edit; infinite without an error."""
    return score / error if error else float("inf")


def psnr(frames: np.ndarray, reference: np.ndarray, where: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of some pixels in dB; infinite where they are equal.

    Args:
        frames, reference: (F, H, W, 3) uint8.
        where: (F, H, W) bool, at least one.
    """
    total = sum(
        float(np.square(frame[part].astype(np.float64) - other[part]).sum())
        for frame, other, part in zip(frames, reference, where, strict=True)
    )
    squared = total / (3 * np.count_nonzero(where))
    return float(10 * np.log10(255**2 / squared)) if squared else float("inf")


def share_seen(seen: Sequence[str], wanted: Sequence[str]) -> float:
    """Return in which share of the frames one of the wanted objects is seen: regional accuracy with the region's own
    target, mixing with the targets of the other regions.

    Args:
        seen: what a judge names in a region, for each frame that it is in.
        wanted: names that count as what was asked for.
    """
    return float(np.mean([name in wanted for name in seen]))


def crop_regions(frames: np.ndarray, masks: np.ndarray, size: int) -> np.ndarray:
    """Cut out the square around a region in each frame that it is in.

    Args:
        frames: (F, H, W, 3) uint8 RGB.
        masks: (F, H, W) bool.
        size: side of the crops, pixels.

    Returns:
        (frames with the region, size, size, 3) uint8; the square is moved inwards at the edges of the picture.
    """
    crops = [_crop(frame, mask, size) for frame, mask in zip(frames, masks, strict=True) if mask.any()]
    return np.stack(crops) if crops else np.empty((0, size, size, 3), np.uint8)


def _crop(frame: np.ndarray, mask: np.ndarray, size: int) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    side = CROP_MARGIN * max(np.ptp(rows) + 1, np.ptp(columns) + 1)
    (top, bottom), (left, right) = (
        _span(index.min(), index.max(), side, limit) for index, limit in zip((rows, columns), mask.shape, strict=True)
    )
    return cv2.resize(frame[top:bottom, left:right], (size, size), interpolation=cv2.INTER_AREA)


def _span(first: int, last: int, length: float, limit: int) -> tuple[int, int]:
    """Return (start, stop) of `length` pixels around first to last, moved or cut to lie within 0 to the limit."""
    length = min(round(length), limit)
    start = round((first + last + 1 - length) / 2)
    start = min(max(start, 0), limit - length)
    return start, start + length


def _middle_square(pixels: Tensor, size: int) -> Tensor:
    """Resize pictures (F, 3, H, W) until the shorter side has `size` pixels, and cut out their middle."""
    height, width = pixels.shape[-2:]
    scale = size / min(height, width)
    shape = [max(size, round(side * scale)) for side in (height, width)]
    pixels = F.interpolate(pixels, shape, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    top, left = ((side - size) // 2 for side in shape)
    return pixels[..., top : top + size, left : left + size]
