"""The settings that the editing table compares: the paper's ablation, and one factor at a time around a base."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import get_type_hints

from videograin.errors import SettingsError
from videograin.region import AttentionMode, Convention, EditSettings


@dataclass(frozen=True)
class Variant:
    """A row of the table; without settings it is the source clip itself, which tells what the judge can see at all."""

    label: str
    settings: EditSettings | None


@dataclass(frozen=True)
class Factor:
    """A field of `EditSettings` and the values that it is tried with."""

    field: str
    values: tuple[float | bool | StrEnum, ...]


FACTORS = (
    Factor("convention", tuple(Convention)),
    Factor("strength", (0.7, 0.8, 0.9, 1.0)),
    Factor("cross_strength", (2.0, 4.0, 8.0, 12.0)),
    Factor("self_strength", (0.0, 0.3, 1.0)),
    Factor("mask_growth", (0, 4, 8, 12)),
    Factor("guidance_scale", (3.0, 5.0, 7.0)),
    Factor("modulated_fraction", (0.3, 0.6, 1.0)),
    Factor("joint_group_norm", (False, True)),
    Factor("attention_mode", tuple(AttentionMode)),
    Factor("trajectory_attention", (True, False)),
    Factor("temporal_smoothing", (0.0, 0.5, 1.0)),
)


def find_variants(names: Sequence[str], base: EditSettings) -> list[Variant]:
    """Return variants by name, each once.

    Args:
        names: "source", "default" (the base), "ablation", "factors", or changes to the base as `changed` reads them.
        base: what the variants change.
    """
    groups = {
        "source": [Variant("source clip", None)],
        "default": [Variant("default", base)],
        "ablation": ablation(base),
        "factors": factors(base),
    }
    variants = [v for name in names for v in groups.get(name) or [Variant(name, changed(base, name))]]
    return list(dict.fromkeys(variants))


def ablation(base: EditSettings) -> list[Variant]:
    """Return the paper's steps in both conventions: blending alone, + cross, + cross + self."""
    variants = []
    for convention in Convention:
        whole = replace(base, convention=convention)
        cross = replace(whole, self_strength=0.0)
        variants += [
            Variant(f"{convention}: none", replace(cross, cross_strength=0.0)),
            Variant(f"{convention}: + cross", cross),
            Variant(f"{convention}: + cross + self", whole),
        ]
    return variants


def factors(base: EditSettings) -> list[Variant]:
    """Return the base with one field changed at a time; values that it has already are left out."""
    return [
        Variant(f"{factor.field}={value}", replace(base, **{factor.field: value}))
        for factor in FACTORS
        for value in factor.values
        if getattr(base, factor.field) != value
    ]


def changed(base: EditSettings, changes: str) -> EditSettings:
    """Return settings with some fields changed.

    Args:
        base: what is changed.
        changes: "strength=0.9,mask_growth=12"; empty changes nothing.

    Raises:
        SettingsError: there is no such field, or a value that it cannot have.
    """
    kinds = get_type_hints(EditSettings)
    values = {}
    for change in filter(None, changes.split(",")):
        name, _, text = change.partition("=")
        if name not in kinds:
            known = ", ".join(field.name for field in fields(EditSettings))
            raise SettingsError(f"'{change}' changes no setting. Write name=value with one of: {known}.")
        values[name] = _value(kinds[name], name, text)
    return replace(base, **values)


def _value(kind: type, name: str, text: str) -> object:
    try:
        return {"True": True, "False": False}[text] if kind is bool else kind(text)
    except (KeyError, ValueError) as error:
        raise SettingsError(f"{name} cannot be '{text}'. Give a {kind.__name__}.") from error
