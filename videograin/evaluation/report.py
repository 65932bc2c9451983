"""An edit's scores, all of them: the paper's four of the whole clip, and region by region what they cannot see."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from videograin.diffusion.prompt import read_prompt
from videograin.errors import RegionError, VideoError
from videograin.evaluation.flows import DIS, NamedFlow
from videograin.evaluation.metrics import ClipScorer, EditScores, crop_regions, psnr, score_edit, share_seen
from videograin.evaluation.seams import pair_errors, seam_ratio
from videograin.region import EditRequest

RIM = 8
"""Pixels around the edited regions that count neither as inside nor as outside: latent cells are edited whole."""

WORST = 4
"""Frames of the picture of an edit's worst frames."""


@dataclass(frozen=True)
class RegionScores:
    """The scores of one edited region, in the squares around it.

    Attributes:
        name: of the region, or its phrase.
        prompt: its phrase, without the weights of its words.
        clip_t: mean cosine of the squares with the phrase, percent.
        own: share of the frames in which its own phrase fits best among those of all regions; 1 where it is alone.
        leakage: share of the frames in which another region's phrase fits better.
    """

    name: str
    prompt: str
    clip_t: float
    own: float
    leakage: float


@dataclass(frozen=True)
class EditReport:
    """All scores of an edit.

    Attributes:
        whole: CLIP-F, CLIP-T, Warp-Err and Q-edit of the whole clip.
        regions: of each edited region that some frame shows, but for those that are removed, which no words tell.
        regional_clip_t: mean of the regions' `clip_t`, percent; nan where there are none.
        leakage: mean of the regions' `leakage`; nan where there are none.
        outside_psnr: dB outside the edited regions, `RIM` pixels away from them, to the source; infinite where nothing
            changed, nan where nothing lies outside.
        seam_ratio: warp error where windows meet within a shot over that elsewhere; nan where none meet.
        worst: numbers of the frames behind the pairs of the largest warp error, the worst first.
        target_prompt: that CLIP-T is measured with, without the weights of its words.
        clip: which CLIP measured.
        flow: which optical flow.
        size: width and height at which it was measured.
        frames: how many.
    """

    whole: EditScores
    regions: tuple[RegionScores, ...]
    regional_clip_t: float
    leakage: float
    outside_psnr: float
    seam_ratio: float
    worst: tuple[int, ...]
    target_prompt: str
    clip: str
    flow: str
    size: tuple[int, int]
    frames: int


def score_request(
    scorer: ClipScorer,
    request: EditRequest,
    result: np.ndarray,
    target_prompt: str,
    clip: str,
    measured_by: NamedFlow = DIS,
) -> EditReport:
    """Score an edit of a request.

    Args:
        scorer: the CLIP.
        request: source frames and regions.
        result: its edit, (F, H, W, 3) uint8 RGB.
        target_prompt: the whole prompt that the result was made for; CLIP is shown it without the weights of words.
        clip: the CLIP's name, for the report.
        measured_by: the optical flow.

    Raises:
        VideoError: the result has another shape than the source, or a single frame.
    """
    source = request.frames
    if result.shape != source.shape:
        (frames, height, width), wanted = result.shape[:3], source.shape
        raise VideoError(
            f"The result has {frames} frames of {width}×{height}, its source {wanted[0]} of {wanted[2]}×{wanted[1]}. "
            "Give the result of this project."
        )
    if len(source) < 2:
        raise VideoError("One frame has no motion to be scored. Give a clip of two frames or more.")
    flow, target = measured_by.estimate(source), read_prompt(target_prompt).text
    regions = _regions(scorer, request, result)
    errors = np.nan_to_num(pair_errors(result, flow))
    return EditReport(
        whole=score_edit(scorer, source, result, target, flow),
        regions=regions,
        regional_clip_t=_mean([each.clip_t for each in regions]),
        leakage=_mean([each.leakage for each in regions]),
        outside_psnr=_outside_psnr(request, result),
        seam_ratio=seam_ratio(result, flow, request),
        worst=tuple(int(pair) + 1 for pair in np.argsort(-errors, kind="stable")[:WORST]),
        target_prompt=target,
        clip=clip,
        flow=measured_by.name,
        size=(source.shape[2], source.shape[1]),
        frames=len(source),
    )


def as_document(report: EditReport) -> dict[str, Any]:
    """Return a report as JSON has it, which knows neither nan nor infinity: they are None."""
    return _finite(asdict(report))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _regions(scorer: ClipScorer, request: EditRequest, result: np.ndarray) -> tuple[RegionScores, ...]:
    if not any(region.is_edited for region in request.regions):
        raise RegionError("No region of this project has a prompt, so that there is no edit to score.")
    drawn = [region for region in request.regions if region.is_edited and not region.is_removed]
    if not drawn:
        return ()
    phrases = [read_prompt(region.prompt).text for region in drawn]
    found, texts = [], scorer.embed_texts(phrases)
    for region, phrase in zip(drawn, phrases, strict=True):
        crops = crop_regions(result, region.masks, scorer.image_size)
        fits = (scorer.embed_frames(crops) @ texts.T).cpu().numpy()
        seen = [phrases[index] for index in fits.argmax(1)]
        found.append(
            RegionScores(
                name=region.name or phrase,
                prompt=phrase,
                clip_t=100 * float(fits[:, phrases.index(phrase)].mean()),
                own=share_seen(seen, [phrase]),
                leakage=share_seen(seen, [other for other in phrases if other != phrase]),
            )
        )
    return tuple(found)


def _outside_psnr(request: EditRequest, result: np.ndarray) -> float:
    edited = np.any([region.masks for region in request.regions if region.is_edited], axis=0)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * RIM + 1, 2 * RIM + 1))
    outside = np.stack([cv2.dilate(mask.astype(np.uint8), disc) == 0 for mask in edited])
    return psnr(result, request.frames, outside) if outside.any() else float("nan")


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
