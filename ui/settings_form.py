"""How each field of `EditSettings` is asked for on the page."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

from videograin.region import MAX_CROSS_STRENGTH, AttentionMode, Convention, EditSettings, TimestepSpacing


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
        label: shown beside the field.
        info: one line on what it does.
        allowed: a slider's range, or the choices, or None for a tick or a plain number.
    """

    name: str
    label: str
    info: str
    allowed: Range | type[StrEnum] | None = None


EVERYDAY_FIELDS = (
    SettingField(
        "num_inference_steps", "Steps",
        "More steps draw finer and take longer in proportion; with fewer than 10, words may land on the wrong object.",
        Range(1, 100, 1),
    ),
    SettingField("strength", "How far to redraw", "1 starts from pure noise; less keeps more of the source's shapes.",
                 Range(0.02, 1, 0.01)),
    SettingField("guidance_scale", "Word guidance", "How strictly the words are followed; too much looks burnt.",
                 Range(1, 20, 0.5)),
    SettingField("cross_strength", "Words to regions", "How firmly each phrase is bound to its own object.",
                 Range(0, MAX_CROSS_STRENGTH, 0.05)),
    SettingField("mask_growth", "Room around objects", "Pixels by which a new shape may exceed the old one.",
                 Range(0, 64, 1)),
    SettingField("controlnet_conditioning_scale", "Hold to the source", "How strictly all ControlNets are followed.",
                 Range(0, 2, 0.05)),
    SettingField("blend_background", "Keep the rest", "What belongs to no edited object is put back at every step."),
    SettingField("focus", "Keep the clip's own size", "A crop around the objects is drawn and laid into the clip."),
    SettingField("seed", "Seed", "The same seed gives the same result; another one another try."),
)  # fmt: skip
"""Settings that users turn."""

RESEARCH_FIELDS = (
    SettingField("self_strength", "Regions to themselves", "How firmly an object looks the same in all frames.",
                 Range(0, 4, 0.05)),
    SettingField("modulated_fraction", "Share of bound steps", "In how many of the steps, from the first, both apply.",
                 Range(0, 1, 0.05)),
    SettingField("inject_steps", "Steps that copy structure", "Steps that reuse the source's inner structure; few.",
                 Range(0, 20, 1)),
    SettingField("convention", "Reading of the method", "The paper's formulas, or those of its released code.",
                 Convention),
    SettingField("timestep_spacing", "First noise level", "Trailing starts where the slider says, leading below it.",
                 TimestepSpacing),
    SettingField("attention_mode", "Frames that see each other", "Those of a window, all, first and previous, or none.",
                 AttentionMode),
    SettingField("window_frames", "Frames of a window", "A longer clip is edited in overlapping windows.",
                 Range(1, 64, 1)),
    SettingField("anchor_frames", "Anchors", "Frames that all windows see, so that objects look the same in all.",
                 Range(0, 16, 1)),
    SettingField("window_overlap", "Overlap of windows", "Frames in which one window fades into the next.",
                 Range(0, 8, 1)),
    SettingField("trajectory_attention", "Follow motion", "Points also attend along their own path through the clip."),
    SettingField("temporal_smoothing", "Same over time", "How far moving objects are kept from changing their looks.",
                 Range(0, 1, 0.05)),
    SettingField("joint_group_norm", "Common brightness", "Statistics of all frames together, as in the release."),
)  # fmt: skip
"""Settings of the method itself; each model's own suit nearly every clip."""

SETTING_FIELDS = (*EVERYDAY_FIELDS, *RESEARCH_FIELDS)


def settings_from_form(values: Mapping[str, object]) -> EditSettings:
    """Return the settings that the form's fields amount to.

    Args:
        values: of all fields, by the names of `SETTING_FIELDS`; a number's field that was emptied has None.

    Raises:
        SettingsError: a value outside its range.
    """
    kinds = {field.name: type(field.default) for field in fields(EditSettings)}
    return EditSettings(**{name: kinds[name](value or 0) for name, value in values.items()})  # type: ignore[arg-type]


def settings_to_form(settings: EditSettings) -> dict[str, object]:
    """Return the values of the form's fields by their names."""
    return {field.name: getattr(settings, field.name) for field in SETTING_FIELDS}
