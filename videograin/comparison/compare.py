"""One request carried out by several methods, each scored and with what it cost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from videograin.comparison.cost import Cost, measure_cost
from videograin.comparison.method import Method, target_prompt
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.evaluation.flows import NamedFlow
from videograin.evaluation.report import EditReport, score_request
from videograin.evaluation.scorers import NamedScorer
from videograin.progress import Report, ignore
from videograin.region import EditRequest


@dataclass(frozen=True, eq=False)
class Compared:
    """What a method made of a request.

    Attributes:
        method: the method.
        frames: (F, H, W, 3) uint8 RGB.
        report: its scores.
        cost: of the edit, inversion included.
        warnings: for the user, in plain words.
    """

    method: Method
    frames: np.ndarray
    report: EditReport
    cost: Cost
    warnings: tuple[str, ...]


def compare(
    pipeline: VideoGrainPipeline,
    request: EditRequest,
    methods: Sequence[Method],
    scorer: NamedScorer,
    flow: NamedFlow,
    device: torch.device,
    guides: Sequence[np.ndarray] = (),
    report: Report = ignore,
) -> Iterator[Compared]:
    """Yield what each method makes of a request, as it is finished; all are scored with the same target prompt.

    Args:
        pipeline: edits.
        request: clip, regions, words and settings, from which methods go out.
        methods: in their order.
        scorer: the CLIP.
        flow: of the source.
        device: where the pipeline works.
        guides: control images for methods that need them, where the request has none.
        report: told after every step; may raise `Cancelled`.
    """
    pipeline.inversion_cache = None  # each method's seconds count its own inversion
    for method in methods:
        own = request_of(method, request, guides)
        result, cost = measure_cost(lambda method=method, own=own: method.edit(pipeline, own, report), device)
        scores = score_request(scorer.clip, request, result.frames, target_prompt(request), scorer.name, flow)
        yield Compared(method, result.frames, scores, cost, result.warnings)


def request_of(method: Method, request: EditRequest, guides: Sequence[np.ndarray]) -> EditRequest:
    """Return a request as a method is given it: with control images where it cannot do without them."""
    if method.needs_control and guides and not request.control_images:
        return replace(request, control_images=guides)
    return request
