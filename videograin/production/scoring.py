"""How good the result of a file's edit is: the file and its result are read, and scored at the clip's size."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from videograin.diffusion.prompt import compose_target_prompt
from videograin.evaluation.flows import DIS, NamedFlow
from videograin.evaluation.report import EditReport, score_request
from videograin.evaluation.scorers import NamedScorer
from videograin.media.encode import without_padding
from videograin.media.video import load_clip, probe
from videograin.project.project import EditInputs
from videograin.region import NOTHING, Region


@dataclass(frozen=True, eq=False)
class ScoredResult:
    """A result's scores, and the frames (F, H, W, 3) uint8 RGB that they are of."""

    report: EditReport
    source: np.ndarray
    result: np.ndarray


def score_result(inputs: EditInputs, result: Path, scorer: NamedScorer, flow: NamedFlow = DIS) -> ScoredResult:
    """Score the result of an edit.

    Args:
        inputs: the edit.
        result: its MP4.
        scorer: the CLIP.
        flow: of the source.

    Raises:
        VideoGrainError: files that cannot be read or do not fit each other.
    """
    inputs = replace(inputs, controls=(), control_guidance=())  # the masks alone are needed
    clip = load_clip(inputs.clip, inputs.clip_options)
    request = inputs.request_for(clip.frames, list(inputs.load_shown_regions(clip).values()), [])
    whole = replace(inputs.clip_options, start=0.0, end=None, fps=None, stride=None, max_frames=len(clip.frames))
    stored, (height, width) = probe(result), clip.frames.shape[1:3]
    drawn = without_padding((stored.width, stored.height), (clip.info.width, clip.info.height), (width, height))
    frames = load_clip(result, whole, unpadded=drawn).frames
    target = inputs.target_prompt or _composed(request.regions, inputs.background)
    report = score_request(scorer.clip, request, frames, target, scorer.name, flow)
    return ScoredResult(report, request.frames, frames)


def _composed(regions: Sequence[Region], background: str) -> str:
    """Return a target prompt in which objects that are removed have no part, unless there is nothing else to say."""
    drawn = [region.prompt for region in regions if not region.is_removed]
    return compose_target_prompt(drawn if any(drawn) or background.strip() else [NOTHING], background)
