"""Presets: a model's own settings, made more faithful or more daring, slower or quicker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from videograin.region import MAX_CROSS_STRENGTH, EditSettings
from videograin.settings import MAX_STEPS


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

PRESET_SETTINGS = ("strength", "guidance_scale", "cross_strength", "mask_growth")
"""Settings that tell presets apart."""


class Quality(StrEnum):
    """How much of the arithmetic an edit leaves out to be quicker."""

    DRAFT = "draft"
    STANDARD = "standard"
    EXACT = "exact"


@dataclass(frozen=True)
class Shortcuts:
    """What a quality leaves out.

    Attributes:
        info: when to take it, in one line.
        steps: factor on `num_inference_steps`.
        most_steps: of them at most.
        fresh_noise: whether edits that start from no more than `MOST_FRESH_NOISE` are made without inversion.
        changes: the other settings, by their names.
    """

    info: str
    steps: float = 1.0
    most_steps: int = MAX_STEPS
    fresh_noise: bool = False
    changes: Mapping[str, object] = field(default_factory=dict)


QUALITIES = {
    Quality.DRAFT: Shortcuts(
        "To see in seconds whether an idea works.",
        steps=0.5,
        most_steps=16,
        fresh_noise=True,
        changes={"cache_interval": 3, "key_frames": 2, "shared_control": True},
    ),
    Quality.STANDARD: Shortcuts("About half the time.", steps=0.6, most_steps=30, changes={"cache_interval": 2}),
    Quality.EXACT: Shortcuts("Everything computed."),
}
"""Points on the curve of accuracy against seconds that `python -m benchmarks.draft` measures."""

SHORTCUTS = (
    "sampler", "guidance_start", "guidance_end", "key_frames", "cache_interval", "shared_control", "inversion",
)  # fmt: skip
"""Settings that leave something out."""

FEWEST_STEPS = 6
"""To which a quality reduces steps; with fewer, phrases land on the wrong object."""

MOST_FRESH_NOISE = 0.8
"""`strength` up to which fresh noise leaves enough of the source to hold shapes and motion: a fifth of its amplitude
in Stable Diffusion's schedule. From full noise only an inversion, or ControlNets, know the source."""


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


def preset_of(settings: EditSettings, own: EditSettings) -> Preset | None:
    """Return the preset that settings have, given a model's own; None where they are none's."""
    had = _part(settings, PRESET_SETTINGS)
    return next((preset for preset in Preset if _part(apply_preset(preset, own), PRESET_SETTINGS) == had), None)


def apply_quality(quality: Quality, settings: EditSettings, own: EditSettings) -> EditSettings:
    """Return settings with the number of steps and the shortcuts of a quality.

    Args:
        quality: which.
        settings: of an edit; all others stay.
        own: those that suit its model, whose steps and shortcuts are those of an exact edit.
    """
    shortcuts = QUALITIES[quality]
    fewer = min(shortcuts.most_steps, max(FEWEST_STEPS, round(shortcuts.steps * own.num_inference_steps)))
    steps = min(own.num_inference_steps, fewer)
    changes = {name: getattr(own, name) for name in SHORTCUTS} | dict(shortcuts.changes)
    if shortcuts.fresh_noise and settings.strength <= MOST_FRESH_NOISE:
        changes["inversion"] = False
    injected = min(settings.inject_steps, steps) if changes["inversion"] else 0
    changes |= {"num_inference_steps": steps, "inject_steps": injected}
    return replace(settings, **changes)  # pyright: ignore[reportArgumentType]


def quality_of(settings: EditSettings, own: EditSettings) -> Quality | None:
    """Return the quality whose steps and shortcuts settings have, given a model's own; None where it is none's."""
    return next((quality for quality in Quality if apply_quality(quality, settings, own) == settings), None)


def _part(settings: EditSettings, names: Sequence[str]) -> list[object]:
    return [getattr(settings, name) for name in names]
