"""After FateZero (Qi et al., arXiv 2303.09535): attention maps of the source are fused into those of the edit.

While the maps are fused, cross-attention to words that both prompts have is the source's, and self-attention is the
edit's inside the blending masks and the source's outside. Self-attention sees a frame and the middle one.

Left out: blending masks are the regions', which all methods of a comparison are given, where the paper takes the
source's cross-attention to the edited words above 0.3; the source's maps are computed when they are needed, from the
inversion's latents of the same noise, where the paper keeps those of inversion.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from videograin.comparison.frame_attention import attend_to_own_and_middle
from videograin.comparison.method import Method, WholePromptDenoising, edit_by, target_prompt, without_regions
from videograin.diffusion.attention.plain import attention
from videograin.diffusion.attention.step import AttentionStep
from videograin.diffusion.denoiser import Conditioning, Denoiser
from videograin.diffusion.inversion import invert
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.prompt import read_prompt
from videograin.diffusion.schedule import NoiseSchedule
from videograin.diffusion.windows.clip_edit import EditLoops
from videograin.progress import Report
from videograin.region import EditRequest, EditResult, EditSettings

FUSED_SHARE = 0.5
"""Of the steps, those that fuse maps, from the first; what the paper has for edits of shapes."""


@dataclass(frozen=True)
class SourceAttention:
    """Queries and keys of a forward of the source.

    Attributes:
        own: by self-attention layer, (1, F, n, heads, d) each.
        maps: by cross-attention layer, (F, heads, n, 77), how much each pixel attends to each token.
    """

    own: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    maps: dict[str, Tensor] = field(default_factory=dict)

    def attend(self, layer: str, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Attend among frames, and keep queries and keys."""
        self.own[layer] = query, key
        return attend_to_own_and_middle(query, key, value, scale)

    def attend_text(self, layer: str, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Attend to the source's text, and keep the map."""
        self.maps[layer] = attention_map(query, key, scale)
        return self.maps[layer] @ value


@dataclass(frozen=True)
class Fusion:
    """The attention of an edit's forward, into whose conditional half that of the source is fused.

    Attributes:
        source: of the same noise.
        inside: by number of tokens of a frame, (F·n, 1) bool, where the edit's own maps hold.
        aligned: (77,) int64, for each token of the target the same one of the source, -1 where there is none.
    """

    source: SourceAttention
    inside: dict[int, Tensor]
    aligned: Tensor

    def attend(self, layer: str, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Attend by the edit's maps inside the masks and by the source's outside, to the edit's values."""
        out = attend_to_own_and_middle(query, key, value, scale)
        kept = attend_to_own_and_middle(*self.source.own[layer], value[-1:], scale)
        fused = torch.where(self.inside[query.shape[2]], out[-1:], kept)
        return torch.cat([out[:-1], fused])

    def attend_text(self, layer: str, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Attend to words that the source has as the source does."""
        own, maps = len(query) - len(self.source.maps[layer]), self.source.maps[layer]
        free = attention(query[:own], key[:own], value[:own], scale)
        fused = torch.where(self.aligned >= 0, maps[..., self.aligned.clamp(min=0)], self._own(query, key, own, scale))
        return torch.cat([free, fused @ value[own:]])

    def _own(self, query: Tensor, key: Tensor, first: int, scale: float) -> Tensor:
        return attention_map(query[first:], key[first:], scale)


@dataclass(frozen=True, kw_only=True)
class FateZeroDenoising(WholePromptDenoising):
    """Denoising into which the source's attention is fused.

    Attributes:
        aligned: as in `Fusion`.
    """

    aligned: Tensor

    @cached_property
    def inside(self) -> dict[int, Tensor]:
        """The masks at every resolution of the UNet, as in `Fusion`."""
        masks, grids = {}, (self.edited.shape[-2], self.edited.shape[-1])
        for _ in self.denoiser.unet.config["block_out_channels"]:
            cells = F.adaptive_max_pool2d(self.edited.float(), grids) > 0
            masks[grids[0] * grids[1]] = cells.reshape(-1, 1)
            grids = (-(-grids[0] // 2), -(-grids[1] // 2))
        return masks

    def attention_step(self, index: int, timestep: int) -> AttentionStep:
        """Record the source at this step's noise and fuse its attention; in the last steps the edit has its own."""
        if index >= round(FUSED_SHARE * self.settings.steps_run):
            return seeing_middle(self.step)
        source = SourceAttention()
        recording = replace(self.step, self_attention=source.attend, cross_attention=source.attend_text)
        words = self.source_conditioning.last_halves(1)
        self.denoiser.predict_noise(self.path[-1 - index], timestep, words, recording)
        fusion = Fusion(source, self.inside, self.aligned.to(self.path.device))
        return replace(self.step, self_attention=fusion.attend, cross_attention=fusion.attend_text)


def seeing_middle(step: AttentionStep) -> AttentionStep:
    """Return a step in which self-attention sees a frame and the middle one."""
    return replace(
        step, self_attention=lambda _, query, key, value, scale: attend_to_own_and_middle(query, key, value, scale)
    )


def invert_seeing_middle(
    denoiser: Denoiser,
    latents: Tensor,
    schedule: NoiseSchedule,
    conditioning: Conditioning,
    step: AttentionStep,
    _settings: EditSettings,
    report: Report,
    *_: object,
) -> Tensor:
    """Invert under the attention of the edit; no path is kept, for a cache would not know it from another's."""
    return invert(denoiser, latents[None], schedule, conditioning, seeing_middle(step), report)


def attention_map(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """Return how much queries (..., n, d) attend to keys (..., m, d): (..., n, m)."""
    return ((scale * query) @ key.mT).softmax(-1)  # unscaled, products of Stable Diffusion 2.x overflow in fp16


def align_tokens(source: Sequence[int], target: Sequence[int]) -> list[int]:
    """Return for each token of the target its place in the source, -1 for one that the source has not."""
    aligned = [-1] * len(target)
    for block in SequenceMatcher(None, source, target, autojunk=False).get_matching_blocks():
        aligned[block.b : block.b + block.size] = range(block.a, block.a + block.size)
    return aligned


def edit_after_fatezero(pipeline: VideoGrainPipeline, request: EditRequest, report: Report) -> EditResult:
    """Edit a clip as FateZero does."""
    source, wanted = (
        pipeline.tokenizer(read_prompt(pipeline.expanded(text)).text, padding="max_length", truncation=True).input_ids
        for text in (request.source_prompt, target_prompt(request))
    )
    aligned = torch.tensor(align_tokens(source, wanted))
    loops = EditLoops(invert=invert_seeing_middle, denoising=partial(FateZeroDenoising, aligned=aligned))
    return edit_by(loops, pipeline, request, without_regions(request.settings), report)


FATEZERO = Method(
    "fatezero", "after FateZero",
    "The source's attention maps fused into the edit's, by masks and by the words they share (arXiv 2303.09535).",
    edit_after_fatezero,
)  # fmt: skip
