"""What a method of a comparison is, and the ground that those without regions stand on."""

from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from videograin.diffusion.attention.step import AttentionStep
from videograin.diffusion.denoiser import Conditioning
from videograin.diffusion.denoising import Denoising
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.prompt import compose_target_prompt
from videograin.diffusion.windows.clip_edit import EditLoops
from videograin.progress import Report
from videograin.region import EditRequest, EditResult
from videograin.settings import AttentionMode, Convention, EditSettings, Sampler

Carry = Callable[[VideoGrainPipeline, EditRequest, Report], EditResult]
"""Carries a request out in one window; seconds, frames, prompt and warnings as `VideoGrainPipeline.edit` has them."""


@dataclass(frozen=True)
class Method:
    """One way to edit a clip.

    Attributes:
        name: on the command line.
        title: in tables and pictures.
        about: what it is and, of one after another paper, what it leaves out, in a sentence or two.
        edit: carries a request out; it goes by the request's settings but for what makes the method.
        needs_control: whether nothing but a ControlNet holds it to the source.
    """

    name: str
    title: str
    about: str
    edit: Carry
    needs_control: bool = False


def by_settings(change: Callable[[EditSettings], EditSettings]) -> Carry:
    """Return a method that differs from the request's own settings by a change of them alone."""

    def edit(pipeline: VideoGrainPipeline, request: EditRequest, report: Report) -> EditResult:
        return pipeline.edit(replace(request, settings=change(request.settings)), report=report)

    return edit


def edit_by(
    loops: EditLoops, pipeline: VideoGrainPipeline, request: EditRequest, settings: EditSettings, report: Report
) -> EditResult:
    """Carry a request out by the loops of another method, under settings of its own and without reference pictures."""
    own, pipeline.loops = pipeline.loops, loops
    try:
        with drawn_after_none_but(pipeline, ()):
            return pipeline.edit(replace(request, settings=settings), report=report)
    finally:
        pipeline.loops = own


@contextmanager
def drawn_after_none_but(pipeline: VideoGrainPipeline, numbers: Container[int]) -> Iterator[None]:
    """While open, regions of other numbers, counted from 0, are drawn after no reference pictures."""
    references = pipeline.references
    pipeline.references = [each for each in references if each.region in numbers]
    try:
        yield
    finally:
        pipeline.references = references


def without_regions(settings: EditSettings) -> EditSettings:
    """Return settings without all that is VideoGrain's and ours, shortcuts included.

    Steps, noise level, guidance and seed stay.
    """
    return replace(
        settings,
        convention=Convention.PAPER,
        attention_mode=AttentionMode.FULL,
        self_strength=0.0,
        cross_strength=0.0,
        mask_growth=0,
        inject_steps=0,
        joint_group_norm=False,
        freeu=False,
        trajectory_attention=False,
        temporal_smoothing=0.0,
        blend_background=False,
        variation=0.0,
        sampler=Sampler.DDIM,
        guidance_start=0.0,
        guidance_end=1.0,
        key_frames=0,
        cache_interval=1,
        shared_control=False,
        inversion=True,
    )


def target_prompt(request: EditRequest) -> str:
    """Return the whole target prompt of a request, as given or composed."""
    phrases = [region.prompt for region in request.regions]
    return request.target_prompt or compose_target_prompt(phrases, request.background)


class WholePromptDenoising(Denoising):
    """Denoising that knows the target prompt as a whole, without embeddings of the regions' phrases in it."""

    @cached_property
    def words(self) -> Conditioning:
        """The target prompt, encoded as one sentence."""
        return replace(self.conditioning, unet_embeds=self.conditioning.controlnet_embeds)

    def guided_noise(self, timestep: int, latents: Tensor, step: AttentionStep) -> Tensor:
        """Predict the noise (F, C, h, w) of the whole prompt with classifier-free guidance."""
        return self.guide(self.denoiser.predict_noise(latents, timestep, self.words, step))

    def guide(self, noise_pred: Tensor) -> Tensor:
        """Return the guided noise (F, C, h, w) of that of all halves, unconditional first."""
        return noise_pred[0] + self.settings.guidance_scale * (noise_pred[-1] - noise_pred[0])
