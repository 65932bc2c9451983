"""What the attention processors are told in one denoising step, and how it follows from layout and settings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from torch import Tensor, nn

from videograin.diffusion.attention.layout import Layout, LayoutLevel
from videograin.diffusion.attention.modulation import SharedRegions, timestep_weight
from videograin.diffusion.attention.phrase_maps import PhraseMaps
from videograin.diffusion.attention.recorder import Features
from videograin.diffusion.attention.reference import PlacedReference
from videograin.diffusion.attention.trajectories import Trajectories
from videograin.diffusion.shortcuts.deep_cache import DeepFeatures
from videograin.region import AttentionMode, Convention, EditSettings


@dataclass(frozen=True)
class LevelModulation:
    """The modulation of one step at one latent resolution.

    Attributes:
        self_strength: a_i of self-attention, (1, F·h·w) or (F, h·w) float32 as the queries are batched.
        self_regions: its classes.
        cross_strength: a_i of cross-attention, (F, h·w) float32.
        cross_regions: its classes.
    """

    self_strength: Tensor
    self_regions: SharedRegions
    cross_strength: Tensor
    cross_regions: SharedRegions


Attend = Callable[[str, Tensor, Tensor, Tensor, float], Tensor]
"""A layer's attention: its name, queries, keys, values and scale → what its heads gather.

In self-attention (halves, F, n, heads, d) of each frame's tokens → (halves, F·n, heads·d); in cross-attention
(halves·F, heads, n, d) and (halves·F, heads, 77, d) → (halves·F, heads, n, d).
"""


@dataclass(frozen=True)
class AttentionStep:
    """One forward of the UNet over a clip whose frames ride in the batch axis, (halves frames).

    Attributes:
        frames: number of frames F.
        mode: which frames self-attention sees.
        modulations: by number of tokens of a frame; a resolution that is not named stays plain.
        modulated_self: for each half of the batch (unconditional first), whether self-attention is modulated.
        modulated_cross: the same for cross-attention.
        trajectories: by number of tokens of a frame, where trajectory attention follows self-attention.
        record: where to keep the features of this forward.
        inject: features that replace those of this forward.
        phrase_maps: adds up how much each phrase is attended to; None records nothing.
        references: pictures that regions are drawn after.
        anchor_states: by self-attention layer, its input for frames that all these see besides one another, from which
            it makes their keys and values, (halves, A·n, C) on any device; None where there are no such frames.
        keep_states: is given the input of each self-attention layer by its name, (halves, F·n, C); None keeps none.
        text_keys: by layer, the keys and values of the halves' text that earlier forwards left here, each
            (halves, 77, heads·d); None computes them in each forward.
        key_frames: by number of tokens of a frame, which frames each one sees in plain self-attention, (F, k) int64; a
            resolution that is not named sees all that the mode names.
        deep: where the forward leaves its deep features, or has them from; None keeps none.
        is_shallow: whether it has them from there.
        is_conditional: whether the conditional half is computed alone though there is guidance in other steps.
        self_attention: takes the place of self-attention and of that along trajectories, as `comparison/` does.
        cross_attention: takes the place of cross-attention.
    """

    frames: int
    mode: AttentionMode = AttentionMode.FULL
    modulations: Mapping[int, LevelModulation] = field(default_factory=dict)
    modulated_self: tuple[bool, ...] = ()
    modulated_cross: tuple[bool, ...] = ()
    trajectories: Mapping[int, Trajectories] = field(default_factory=dict)
    record: Features | None = None
    inject: Features | None = None
    phrase_maps: PhraseMaps | None = None
    references: Sequence[PlacedReference] = ()
    anchor_states: Mapping[str, Tensor] | None = None
    keep_states: Callable[[str, Tensor], None] | None = None
    text_keys: dict[nn.Module, tuple[Tensor, Tensor]] | None = None
    key_frames: Mapping[int, Tensor] = field(default_factory=dict)
    deep: DeepFeatures | None = None
    is_shallow: bool = False
    is_conditional: bool = False
    self_attention: Attend | None = None
    cross_attention: Attend | None = None


class ForwardKind(StrEnum):
    """What a forward of an edit is for: a step towards noise, features of the source to be injected, a step back."""

    INVERT = "invert"
    SOURCE = "source"
    EDIT = "edit"


@dataclass(frozen=True)
class Forward:
    """Which forward of an edit one is.

    Attributes:
        kind: what it is for.
        index: of the noise level at which it starts, from the clip (`INVERT`); of the denoising step it belongs to.
    """

    kind: ForwardKind
    index: int


PrepareStep = Callable[[Forward, AttentionStep], AttentionStep]
"""Adds to what the layers are told in a forward which frames elsewhere they see, or where they leave their own."""


def unprepared(_forward: Forward, step: AttentionStep) -> AttentionStep:
    """Return the step as it is, for frames that see no others."""
    return step


@dataclass(frozen=True)
class LayoutModulation:
    """All of an edit's modulation that does not change from step to step.

    Attributes:
        full_strength: the modulation of each resolution at full weight, before it fades with the timestep.
        modulated_self: as in `AttentionStep`.
        modulated_cross: as in `AttentionStep`.
    """

    full_strength: Mapping[int, LevelModulation]
    modulated_self: tuple[bool, ...]
    modulated_cross: tuple[bool, ...]

    def at(self, timestep: int) -> dict[int, LevelModulation]:
        """Return the modulation at a timestep, 0 to 1000.

        No a_i exceeds 1, where a score reaches the extreme that it is drawn to; beyond it their order would turn round,
        and of a phrase's tokens the one that fits least would win.
        """
        weight = timestep_weight(timestep)
        return {
            tokens: replace(
                level,
                self_strength=(weight * level.self_strength).clamp(max=1),
                cross_strength=(weight * level.cross_strength).clamp(max=1),
            )
            for tokens, level in self.full_strength.items()
        }


def modulate_layout(layout: Layout, token_regions: Tensor, settings: EditSettings, halves: int) -> LayoutModulation:
    """Work out the modulation of an edit.

    Args:
        layout: the regions at every resolution.
        token_regions: (77, R) bool, the regions whose phrase a text token belongs to.
        settings: strengths, attention mode and convention.
        halves: 2 with classifier-free guidance, else 1.
    """
    release = settings.convention == Convention.RELEASE
    levels = list(layout.levels.items())
    modulated = levels[1:] if release else levels  # the release leaves the largest resolution plain
    return LayoutModulation(
        {tokens: _full_strength(level, layout, token_regions, settings) for tokens, level in modulated},
        # The release indexes the batch so that only its first half is modulated.
        modulated_self=_where(settings.self_strength > 0, (True, not release)[:halves]),
        modulated_cross=_where(settings.cross_strength > 0, (False, True)[-halves:]),
    )


def _where(is_on: bool, halves: tuple[bool, ...]) -> tuple[bool, ...]:
    """Return the halves that are modulated; strength 0 leaves the plain path to all of them."""
    return tuple(is_on and half for half in halves)


def _full_strength(
    level: LayoutLevel, layout: Layout, token_regions: Tensor, settings: EditSettings
) -> LevelModulation:
    regions, cross_regions = level.self_regions(settings.attention_mode), level.cross_regions(token_regions)
    factors = _class_factors(level, layout.region_strengths)
    self_sizes = level.self_sizes(settings.attention_mode, settings.convention)
    cross_sizes = level.cross_sizes(settings.convention)
    return LevelModulation(
        settings.self_strength * (1 - self_sizes) * factors[regions.query_classes],
        regions,
        settings.cross_strength * (1 - cross_sizes) * factors[cross_regions.query_classes],
        cross_regions,
    )


def _class_factors(level: LayoutLevel, region_strengths: Tensor) -> Tensor:
    """Return (C,) float32, the largest factor among a class's regions; 1 outside all regions."""
    factors = (level.memberships * region_strengths).amax(1)
    return factors.masked_fill(~level.memberships.any(1), 1.0)
