"""How each field of `EditSettings` is asked for on the page."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from videograin.settings import (
    MAX_CACHE_INTERVAL,
    MAX_CROSS_STRENGTH,
    MAX_TRAJECTORY_LEVELS,
    AttentionMode,
    Convention,
    EditSettings,
    Sampler,
    TimestepSpacing,
)


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
    SettingField("strength", "Amount of change", "1 draws the objects from scratch; less keeps more of their shapes.",
                 Range(0.02, 1, 0.01)),
    SettingField("guidance_scale", "How closely to follow the words", "Too much looks burnt.", Range(1, 20, 0.5)),
    SettingField("mask_growth", "Room around objects", "Pixels by which a new shape may exceed the old one.",
                 Range(0, 64, 1)),
    SettingField("blend_background", "Leave everything else untouched",
                 "Pixels outside the edited objects stay those of the clip."),
    SettingField("focus", "Keep the clip's own size", "A crop around the objects is drawn and laid into the clip."),
    SettingField("variation", "Variation", "How far another seed changes the objects; 0 holds them to the clip's own.",
                 Range(0, 1, 0.05)),
    SettingField("seed", "Seed", "The same seed gives the same result; another seed gives another try."),
)  # fmt: skip
"""Settings that creators change."""

RESEARCH_GROUPS = {
    "Attention": (
        SettingField("cross_strength", "Cross-attention strength", "How firmly each phrase is bound to its own object.",
                     Range(0, MAX_CROSS_STRENGTH, 0.05)),
        SettingField("self_strength", "Self-attention strength", "How firmly an object looks the same in all frames.",
                     Range(0, 4, 0.05)),
        SettingField("modulated_fraction", "Share of modulated steps",
                     "In how many of the steps, from the first, both strengths apply.", Range(0, 1, 0.05)),
        SettingField("attention_mode", "Frames that attend to each other",
                     "Those of a window, all, the first, the first and the previous, or each alone.", AttentionMode),
        SettingField("convention", "Formulas", "The paper's, or those of its released code.", Convention),
    ),
    "Noise and structure": (
        SettingField("timestep_spacing", "Timestep spacing",
                     "Trailing starts at the noise that the amount of change names, leading below it.",
                     TimestepSpacing),
        SettingField("freeu", "FreeU", "The UNet's skip connections count less, its backbone more: cleaner shapes."),
        SettingField("inject_steps", "Steps with injected features", "Steps that reuse the source's features (PnP).",
                     Range(0, 20, 1)),
        SettingField("controlnet_conditioning_scale", "Scale of all ControlNets", "Multiplies each one's own.",
                     Range(0, 2, 0.05)),
    ),
    "Steadiness over time": (
        SettingField("trajectory_attention", "Trajectory attention",
                     "Points also attend along their own path through the clip."),
        SettingField("trajectory_levels", "Resolutions of trajectory attention",
                     "At how many it acts, from the highest.", Range(1, MAX_TRAJECTORY_LEVELS, 1)),
        SettingField("temporal_smoothing", "Temporal smoothing",
                     "How far moving objects are kept from changing their looks.", Range(0, 1, 0.05)),
        SettingField("joint_group_norm", "GroupNorm over all frames", "Statistics of all frames, as in the release."),
    ),
    "Shortcuts": (
        SettingField("sampler", "Sampler", "The rule of a denoising step; LCM and TCD are for LoRAs made for them.",
                     Sampler),
        SettingField("guidance_start", "Guidance from share of steps", "Before it the words alone count.",
                     Range(0, 1, 0.05)),
        SettingField("guidance_end", "Guidance to share of steps", "Steps without guidance take half the time.",
                     Range(0, 1, 0.05)),
        SettingField("key_frames", "Key frames", "Other frames that a frame sees at the largest resolution; 0 is all.",
                     Range(0, 16, 1)),
        SettingField("cache_interval", "Steps of cached features", "The UNet's deep part is computed every so often.",
                     Range(1, MAX_CACHE_INTERVAL, 1)),
        SettingField("shared_control", "ControlNets for one half", "The other half of guidance takes the same."),
        SettingField("inversion", "Start from the inversion", "Without it, objects start from fresh noise."),
    ),
    "Long clips": (
        SettingField("window_frames", "Frames of a window", "A longer clip is edited in overlapping windows.",
                     Range(1, 64, 1)),
        SettingField("anchor_frames", "Anchor frames",
                     "Frames that windows see besides their own, so that objects look alike. Of many, the nearest.",
                     Range(0, 64, 1)),
        SettingField("window_overlap", "Overlap of windows", "Frames in which one window fades into the next.",
                     Range(0, 8, 1)),
    ),
}  # fmt: skip
"""Settings of the method itself, by the headings they stand under; each model's own suit nearly every clip."""

SETTING_FIELDS = (*EVERYDAY_FIELDS, *(field for group in RESEARCH_GROUPS.values() for field in group))


def described(field: SettingField, defaults: EditSettings) -> str:
    """Return what a field does, with the value that suits the model."""
    value = getattr(defaults, field.name)
    shown = ("on" if value else "off") if isinstance(value, bool) else value if isinstance(value, str) else f"{value:g}"
    return f"{field.info} Default: {shown}."


def settings_from_form(values: Mapping[str, object]) -> EditSettings:
    """Return the settings that the form's fields amount to.

    Args:
        values: of all fields, by the names of `SETTING_FIELDS`; a number's field that was emptied has None.

    Raises:
        SettingsError: a value outside its range.
    """
    kinds = {field.name: type(field.default) for field in fields(EditSettings)}
    return EditSettings(**{name: kinds[name](value or 0) for name, value in values.items()})  # type: ignore[arg-type]


def shown(field: SettingField, settings: EditSettings, defaults: EditSettings) -> dict[str, Any]:
    """Return what a field shows of some settings, by the names of its component's parameters.

    A slider reaches as far as its value: programs and files may go beyond its range, and Gradio refuses every action
    that is sent such a value.

    Args:
        field: of the form.
        settings: whose value it has.
        defaults: the model's own.
    """
    value = getattr(settings, field.name)
    reach = {"maximum": max(field.allowed.high, value)} if isinstance(field.allowed, Range) else {}
    return {"value": value, "info": described(field, defaults), **reach}
