"""What the attention processors are told in one denoising step, and how it follows from layout and settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from torch import Tensor, nn

from videograin.diffusion.attention.layout import Layout, LayoutLevel
from videograin.diffusion.attention.modulation import SharedRegions, timestep_weight
from videograin.diffusion.attention.phrase_maps import PhraseMaps
from videograin.diffusion.attention.recorder import Features
from videograin.diffusion.attention.trajectory import Trajectories
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


@dataclass(frozen=True)
class AttentionStep:
    """One forward of the UNet over a clip whose frames ride in the batch axis, (halves frames).

    Attributes:
        frames: number of frames F, anchors included.
        mode: which frames self-attention sees.
        modulations: by number of tokens of a frame; a resolution that is not named stays plain.
        modulated_self: for each half of the batch (unconditional first), whether self-attention is modulated.
        modulated_cross: the same for cross-attention.
        trajectories: by number of tokens of a frame, where trajectory attention follows self-attention.
        record: where to keep the features of this forward.
        inject: features that replace those of this forward.
        phrase_maps: adds up how much each phrase is attended to; None records nothing.
        anchors: of the last frames, which all frames see but which see only one another: what their self-attention
            does; None where there are no such frames.
        text_keys: by layer, the keys and values of the halves' text that earlier forwards left here, each
            (halves, 77, heads·d); None computes them in each forward.
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
    anchors: Self | None = None
    text_keys: dict[nn.Module, tuple[Tensor, Tensor]] | None = None

    @property
    def own_frames(self) -> int:
        """Number of frames without the anchors."""
        return self.frames - (self.anchors.frames if self.anchors else 0)


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


def modulate_layout(
    layout: Layout, token_regions: Tensor, settings: EditSettings, halves: int, anchors: int = 0
) -> LayoutModulation:
    """Work out the modulation of an edit.

    Args:
        layout: the regions at every resolution.
        token_regions: (77, R) bool, the regions whose phrase a text token belongs to.
        settings: strengths, attention mode and convention.
        halves: 2 with classifier-free guidance, else 1.
        anchors: of the layout's last frames, how many are keys alone in self-attention.
    """
    release = settings.convention == Convention.RELEASE
    levels = list(layout.levels.items())
    modulated = levels[1:] if release else levels  # the release leaves the largest resolution plain
    return LayoutModulation(
        {tokens: _full_strength(level, layout, token_regions, settings, anchors) for tokens, level in modulated},
        # The release indexes the batch so that only its first half is modulated.
        modulated_self=_where(settings.self_strength > 0, (True, not release)[:halves]),
        modulated_cross=_where(settings.cross_strength > 0, (False, True)[-halves:]),
    )


def _where(is_on: bool, halves: tuple[bool, ...]) -> tuple[bool, ...]:
    """Return the halves that are modulated; strength 0 leaves the plain path to all of them."""
    return tuple(is_on and half for half in halves)


def _full_strength(
    level: LayoutLevel, layout: Layout, token_regions: Tensor, settings: EditSettings, anchors: int
) -> LevelModulation:
    regions = level.self_regions(settings.attention_mode, anchors)
    factors = _class_factors(level, layout.region_strengths)
    self_sizes = level.self_sizes(settings.attention_mode, settings.convention, anchors)
    cross_sizes = level.cross_sizes(settings.convention)
    return LevelModulation(
        settings.self_strength * (1 - self_sizes) * factors[regions.query_classes],
        regions,
        settings.cross_strength * (1 - cross_sizes) * factors[level.classes],
        level.cross_regions(token_regions),
    )


def _class_factors(level: LayoutLevel, region_strengths: Tensor) -> Tensor:
    """Return (C,) float32, the largest factor among a class's regions; 1 outside all regions."""
    factors = (level.memberships * region_strengths).amax(1)
    return factors.masked_fill(~level.memberships.any(1), 1.0)
