"""After TokenFlow (Geyer et al., arXiv 2307.10373): keyframes are edited together, the others take their features.

At every step one frame in each eight, another one each time, is a keyframe. Keyframes attend to one another (the
paper's extended attention). Of every other frame, each token takes the self-attention output of the tokens that are
nearest to it in the source's features, in the keyframes before and after it, mixed by how near these are. Features are
injected from the inversion as in PnP (arXiv 2211.12572), which TokenFlow edits with.

Left out: the source's own features are those of all frames in one forward, where the paper keeps those of inversion;
its batches, since a comparison's clip fits in one; Stable Diffusion 2.1, for the model is the comparison's. Regions and
their masks are not known.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from videograin.comparison.frame_attention import attend_jointly
from videograin.comparison.method import Method, WholePromptDenoising, edit_by, without_regions
from videograin.diffusion.attention.recorder import Features, can_inject
from videograin.diffusion.attention.step import AttentionStep
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.windows.clip_edit import EditLoops
from videograin.progress import Report
from videograin.region import AttentionMode, EditRequest, EditResult

KEYFRAME_GAP = 8
"""Frames to a keyframe, the paper's batch."""

INJECTED_SHARE = 0.5
"""Of the steps, those that take PnP's features over, from the first."""


@dataclass(frozen=True)
class Propagation:
    """Where the frames' self-attention outputs come from in one step.

    Attributes:
        keyframes: their numbers, ascending.
        nearest: by layer, (2, F·n) int64: of each token the nearest one among the keyframes' K·n, in the keyframe
            before it and in the one after.
    """

    keyframes: Sequence[int]
    nearest: dict[str, Tensor]

    def attend(self, layer: str, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Attend among keyframes, and hand what they gather to all frames (halves, F·n, heads·d)."""
        frames, tokens = query.shape[1:3]
        chosen = list(self.keyframes)
        known = attend_jointly(query[:, chosen], key[:, chosen], value[:, chosen], scale)
        before, after = (known[:, own] for own in self.nearest[layer])
        share = [shares_after(frame, self.keyframes) for frame in range(frames)]
        weight = torch.tensor(share, device=known.device, dtype=known.dtype).repeat_interleave(tokens)[:, None]
        return before + weight * (after - before)


@dataclass(frozen=True)
class TokenFlowDenoising(WholePromptDenoising):
    """Denoising in which keyframes are edited and the others follow them."""

    def attention_step(self, index: int, timestep: int) -> AttentionStep:
        """Record the source at this step's noise, and say whose features each frame takes."""
        frames, features = self.step.frames, Features() if index < self.settings.inject_steps else None
        propagation = Propagation(choose_keyframes(frames, self.settings.seed + index), {})

        def keep(layer: str, states: Tensor) -> None:
            propagation.nearest[layer] = nearest_tokens(states[-1], frames, propagation.keyframes)

        recording = replace(self.step, record=features, keep_states=keep)
        self.denoiser.predict_noise(self.path[-1 - index], timestep, self.source_conditioning, recording)
        return replace(self.step, inject=features, self_attention=propagation.attend)


def choose_keyframes(frames: int, seed: int) -> list[int]:
    """Draw one frame of each `KEYFRAME_GAP`, at the same place in each."""
    generator = torch.Generator().manual_seed(seed)
    first = int(torch.randint(min(KEYFRAME_GAP, frames), (1,), generator=generator))
    return list(range(first, frames, KEYFRAME_GAP))


def adjacent(frame: int, keyframes: Sequence[int]) -> tuple[int, int]:
    """Return the places among the keyframes of the one before a frame and of the one after it; at the ends, one."""
    before = max((place for place, own in enumerate(keyframes) if own <= frame), default=0)
    after = min((place for place, own in enumerate(keyframes) if own >= frame), default=len(keyframes) - 1)
    return before, after


def shares_after(frame: int, keyframes: Sequence[int]) -> float:
    """Return how much the keyframe after a frame counts, σ(d₋ / (d₊ + d₋)) of the distances (the paper's eq. 4)."""
    before, after = (abs(frame - keyframes[place]) for place in adjacent(frame, keyframes))
    return float(torch.sigmoid(torch.tensor(before / max(before + after, 1))))


def nearest_tokens(states: Tensor, frames: int, keyframes: Sequence[int]) -> Tensor:
    """Find the tokens of keyframes that are most like each token, by the cosine of their features.

    Args:
        states: (F·n, C), a layer's input for the source.
        frames: F.
        keyframes: their numbers.

    Returns:
        (2, F·n) int64, places among the keyframes' K·n tokens: in the keyframe before, and in the one after.
    """
    tokens = F.normalize(rearrange(states.float(), "(f n) c -> f n c", f=frames), dim=-1)
    count = tokens.shape[1]
    found = [
        torch.stack(
            [p * count + (tokens[frame] @ tokens[keyframes[p]].T).argmax(1) for p in adjacent(frame, keyframes)]
        )
        for frame in range(frames)
    ]
    return torch.cat(found, dim=1)


def edit_after_tokenflow(pipeline: VideoGrainPipeline, request: EditRequest, report: Report) -> EditResult:
    """Edit a clip as TokenFlow does; each frame is inverted alone."""
    own = without_regions(request.settings)
    steps = round(INJECTED_SHARE * own.steps_run) if can_inject(pipeline.unet) else 0
    settings = replace(own, attention_mode=AttentionMode.PER_FRAME, inject_steps=steps)
    return edit_by(EditLoops(denoising=TokenFlowDenoising), pipeline, request, settings, report)


TOKENFLOW = Method(
    "tokenflow", "after TokenFlow",
    "Keyframes edited together, the others take their nearest neighbours' features (arXiv 2307.10373).",
    edit_after_tokenflow,
)  # fmt: skip
