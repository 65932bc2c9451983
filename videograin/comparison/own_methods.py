"""VideoGrain in both conventions, what is left of it without its parts (the paper's tables 2 and 3), and one region
after the other (its figure 9)."""

from dataclasses import replace

from videograin.comparison.method import Method, by_settings, drawn_after_none_but, edit_by, without_regions
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.prompt import compose_target_prompt
from videograin.diffusion.windows.clip_edit import EditLoops
from videograin.progress import Parts, Report
from videograin.region import EditRequest, EditResult, Region
from videograin.settings import AttentionMode, Convention, EditSettings


def paper(settings: EditSettings) -> EditSettings:
    """Return the settings in the paper's convention, all frames together."""
    return replace(settings, convention=Convention.PAPER, attention_mode=AttentionMode.FULL)


def release(settings: EditSettings) -> EditSettings:
    """Return the settings in the released code's convention, all frames together."""
    return replace(settings, convention=Convention.RELEASE, attention_mode=AttentionMode.FULL)


def invert_and_denoise(pipeline: VideoGrainPipeline, request: EditRequest, report: Report) -> EditResult:
    """Edit a clip by DDIM inversion and denoising under the target prompt alone."""
    return edit_by(EditLoops(), pipeline, request, without_regions(request.settings), report)


def masked_blending(settings: EditSettings) -> EditSettings:
    """Return the paper's settings without modulation: the source is kept outside the regions, and that is all."""
    return replace(paper(settings), self_strength=0.0, cross_strength=0.0)


def cross_alone(settings: EditSettings) -> EditSettings:
    """Return the paper's settings with modulated cross-attention and plain self-attention."""
    return replace(paper(settings), self_strength=0.0)


def seeing(mode: AttentionMode) -> Method:
    """Return VideoGrain with other frames' keys in self-attention, and with a layout of these."""
    titles = {
        AttentionMode.FIRST_FRAME: "VideoGrain, first frame only",
        AttentionMode.SPARSE_CAUSAL: "VideoGrain, first and previous frame",
        AttentionMode.PER_FRAME: "VideoGrain, each frame",
    }
    about = "The temporal focus of ST-Layout attention, narrowed (figures 14, 15 and 17)."
    return Method(
        mode.replace("_", "-"), titles[mode], about, by_settings(lambda own: replace(paper(own), attention_mode=mode))
    )


def edit_one_after_the_other(pipeline: VideoGrainPipeline, request: EditRequest, report: Report) -> EditResult:
    """Edit the regions one by one, in their order, each in the result of the one before.

    While one is edited the others are kept, and the target prompt has its phrase and the background alone. With one
    region it is the single edit, with the request's own target prompt.
    """
    request = replace(request, settings=paper(request.settings))
    edited = [number for number, region in enumerate(request.regions) if region.is_edited]
    if len(edited) == 1:
        return pipeline.edit(request, report=report)
    parts, results = Parts([1] * len(edited)), list[EditResult]()
    for number in edited:
        with drawn_after_none_but(pipeline, (number,)):
            results.append(pipeline.edit(_alone(request, number), report=parts.next(report)))
        request = replace(request, frames=results[-1].frames)
    return replace(
        results[-1],
        target_prompt=", then ".join(result.target_prompt for result in results),
        warnings=tuple(dict.fromkeys(warning for result in results for warning in result.warnings)),
        seconds=sum(result.seconds for result in results),
    )


def _alone(request: EditRequest, number: int) -> EditRequest:
    """Return the edit of one region, in which all others are kept."""

    def kept(place: int, region: Region) -> Region:
        return region if place == number else replace(region, prompt="", reference=None)

    regions = [kept(place, region) for place, region in enumerate(request.regions)]
    phrase = request.regions[number].prompt
    return replace(request, regions=regions, target_prompt=compose_target_prompt([phrase], request.background))


OWN_METHODS = (
    Method("paper", "VideoGrain", "As the paper describes it (arXiv 2502.17258).", by_settings(paper)),
    Method("release", "VideoGrain, release", "In the convention of the released code.", by_settings(release)),
    Method(
        "inversion", "plain inversion",
        "DDIM inversion and denoising under the target prompt, all frames together; no region is known.",
        invert_and_denoise,
    ),
    Method(
        "blending", "masked blending",
        "Plain inversion, with the source kept outside the regions; attention is not modulated.",
        by_settings(masked_blending),
    ),
    Method(
        "one-by-one", "one after the other",
        "VideoGrain for one region at a time, each in the result of the one before (figure 9).",
        edit_one_after_the_other,
    ),
)  # fmt: skip

ABLATION = (
    OWN_METHODS[3],
    Method(
        "cross",
        "blending + cross-attention",
        "Modulated cross-attention, plain self-attention.",
        by_settings(cross_alone),
    ),
    OWN_METHODS[0],
    seeing(AttentionMode.FIRST_FRAME),
    seeing(AttentionMode.SPARSE_CAUSAL),
    seeing(AttentionMode.PER_FRAME),
)
"""The paper's table 3 (what each modulation adds to blending) and its figures on temporal focus."""
