"""How each field of `EditSettings` is asked for on the page, and the presets that set several at once."""

from dataclasses import dataclass, fields, replace
from enum import StrEnum

from videograin.region import MAX_CROSS_STRENGTH, AttentionMode, Convention, EditSettings


@dataclass(frozen=True)
class Range:
    """A number's slider."""

    low: float
    high: float
    step: float


@dataclass(frozen=True)
class SettingField:
    """One field of the form.

    Attributes:
        name: of the field in `EditSettings`.
        label: what people call it.
        info: one line on what it does.
        allowed: a slider's range, or the choices, or None for a tick or a plain number.
    """

    name: str
    label: str
    info: str
    allowed: Range | type[StrEnum] | None = None


SETTING_FIELDS = (
    SettingField(
        "num_inference_steps", "Steps", "More steps draw finer and take longer in proportion.", Range(1, 100, 1)
    ),
    SettingField("strength", "How far to redraw", "1 starts from pure noise; less keeps more of the source's shapes.",
                 Range(0.02, 1, 0.01)),
    SettingField("guidance_scale", "Word guidance", "How strictly the words are followed; too much looks burnt.",
                 Range(1, 20, 0.5)),
    SettingField("cross_strength", "Words to regions", "How firmly each phrase is bound to its own object.",
                 Range(0, MAX_CROSS_STRENGTH, 0.05)),
    SettingField("self_strength", "Regions to themselves", "How firmly an object looks the same in all frames.",
                 Range(0, 4, 0.05)),
    SettingField("modulated_fraction", "Share of bound steps", "In how many of the steps, from the first, both apply.",
                 Range(0, 1, 0.05)),
    SettingField("mask_growth", "Room around objects", "Pixels by which a new shape may exceed the old one.",
                 Range(0, 64, 1)),
    SettingField("inject_steps", "Steps that copy structure", "Steps that reuse the source's inner structure; few.",
                 Range(0, 20, 1)),
    SettingField("controlnet_conditioning_scale", "Hold to the outlines", "How strictly control images are followed.",
                 Range(0, 2, 0.05)),
    SettingField("convention", "Reading of the method", "The paper's formulas, or those of its released code.",
                 Convention),
    SettingField("attention_mode", "Frames that see each other", "All of them, the first and previous, or none.",
                 AttentionMode),
    SettingField("trajectory_attention", "Follow motion", "Points also attend along their own path through the clip."),
    SettingField("joint_group_norm", "Common brightness", "Statistics of all frames together, as in the release."),
    SettingField("blend_background", "Keep the rest", "What belongs to no edited object is put back at every step."),
    SettingField("seed", "Seed", "The same seed gives the same result; another one another try."),
)  # fmt: skip


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
    """

    info: str
    strength: float
    guidance: float


PRESETS = {
    Preset.FAITHFUL: PresetChange("Keeps poses and shapes; for recolouring and small changes.", 0.9, 0.9),
    Preset.BALANCED: PresetChange("What suits this model best on average.", 1.0, 1.0),
    Preset.BOLD: PresetChange("Redraws freely; for things of another shape.", 1.15, 1.2),
}


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
    )


def settings_from_form(values: tuple[object, ...]) -> EditSettings:
    """Return the settings that the form's fields, in the order of `SETTING_FIELDS`, amount to.

    Raises:
        SettingsError: a value outside its range.
    """
    kinds = {field.name: type(field.default) for field in fields(EditSettings)}
    given = {field.name: value for field, value in zip(SETTING_FIELDS, values, strict=True)}
    return EditSettings(**{name: kinds[name](value or 0) for name, value in given.items()})  # type: ignore[arg-type]


def settings_to_form(settings: EditSettings) -> list[object]:
    """Return the values of the form's fields, in the order of `SETTING_FIELDS`."""
    return [getattr(settings, field.name) for field in SETTING_FIELDS]
