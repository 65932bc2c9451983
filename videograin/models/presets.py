"""Presets: a model's own settings, made more faithful or more daring."""

from dataclasses import dataclass, replace
from enum import StrEnum

from videograin.region import MAX_CROSS_STRENGTH, EditSettings


class Preset(StrEnum):
    """How daring an edit is."""

    FAITHFUL = "Faithful"
    BALANCED = "Balanced"
    BOLD = "Bold"


@dataclass(frozen=True)
class PresetChange:
    """What a preset makes of the settings that suit a model.

    Attributes:
        info: when to take it, in one line.
        strength, guidance: factors on `strength` and `guidance_scale`.
        room: pixels of `mask_growth`.
    """

    info: str
    strength: float = 1.0
    guidance: float = 1.0
    room: int = 0


PRESETS = {
    Preset.FAITHFUL: PresetChange("Keeps poses and shapes; for small changes.", strength=0.9, guidance=0.9),
    Preset.BALANCED: PresetChange("What suits this model best; nothing around the objects changes."),
    Preset.BOLD: PresetChange("Lets objects take another shape, with a little of their surroundings.", 1.07, room=8),
}
"""What they come to is measured in benchmarks/RESULTS.md."""


def apply_preset(preset: Preset, settings: EditSettings) -> EditSettings:
    """Return a model's own settings as a preset wants them.

    The modulation fades with the fifth power of the timestep; `cross_strength` makes up for another start.
    """
    change = PRESETS[preset]
    strength = round(min(1.0, settings.strength * change.strength), 2)
    cross = settings.cross_strength * (settings.strength / strength) ** 5
    return replace(
        settings,
        strength=strength,
        guidance_scale=round(settings.guidance_scale * change.guidance * 2) / 2,
        cross_strength=round(min(MAX_CROSS_STRENGTH, cross), 2),
        mask_growth=settings.mask_growth + change.room,
    )
