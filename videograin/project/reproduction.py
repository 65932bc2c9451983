"""An edit by the authors' own settings, with their masks, in the released code's convention."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from videograin.errors import ProjectError, RegionError, VideoError
from videograin.masks.labels import check_number, find_objects
from videograin.masks.planes import read_plane
from videograin.masks.target import MaskTarget
from videograin.media.video import Clip, ClipOptions, probe
from videograin.models.bundles import find_bundle
from videograin.project.authors_config import AuthorsConfig
from videograin.project.project import EditInputs
from videograin.region import AttentionMode, ControlKind, Convention, EditSettings, Region

MODULATED_STEPS = 15
"""The released code modulates this many steps, whatever their number (RELEASE_QUIRKS, 4)."""

GRIDS = (64, 32, 16, 8)
"""Latent cells on a side of a frame of 512 pixels, at each resolution of the UNet."""

CONTROLS = {
    "dwpose": ControlKind.POSE,
    "openpose": ControlKind.POSE_BODY,
    "depth": ControlKind.DEPTH_DPT,
    "depth_zoe": ControlKind.DEPTH_ZOE,
    "canny": ControlKind.CANNY,
}
"""Our kinds by the authors' names."""


@dataclass(frozen=True)
class LayoutMasks:
    """A folder of masks, 00000.png and so on by the numbers of the source's frames, and what the object becomes."""

    folder: Path
    prompt: str


@dataclass(frozen=True, kw_only=True)
class Reproduction(EditInputs):
    """An edit whose masks lie as the authors keep them.

    Attributes:
        masks: in the order of the phrases.
        first: number of the first frame's mask.
        step: from one frame's mask to the next.
        notes: where the edit departs from what the file says, for the user.
    """

    masks: tuple[LayoutMasks, ...]
    first: int = 0
    step: int = 1
    notes: tuple[str, ...] = ()

    def load_regions(self, clip: Clip) -> list[Region]:
        """Read the masks of the clip's frames by their numbers."""
        count, wanted = len(clip.frames), self.clip_options.max_frames
        if count != wanted:
            raise VideoError(
                f"'{self.clip.name}' has {count} frames from number {self.first} on in steps of {self.step}; "
                f"n_sample_frame asks for {wanted}. Set it to {count}, or give --frames {count}."
            )
        target = MaskTarget.of(clip, self.clip_options)
        check_number(len(self.masks), target)
        return [Region(self._read(each, target), each.prompt, each.folder.name) for each in self.masks]

    def _read(self, masks: LayoutMasks, target: MaskTarget) -> np.ndarray:
        files = [masks.folder / f"{self.first + frame * self.step:05}.png" for frame in range(target.shape[0])]
        for frame, file in enumerate(files):
            if not file.is_file():
                raise RegionError(
                    f"'{masks.folder.name}' has no {file.name}, the mask of frame {frame} (start_sample_frame + "
                    f"{frame} · sampling_rate). Add it, or choose other frames."
                )
        found = find_objects([read_plane(file, target) for file in files], target, masks.folder.name)
        return np.any(list(found.masks.values()), axis=0)


def reproduce(config: AuthorsConfig, roots: tuple[Path, ...], edit: int = 0, model: str | None = None) -> Reproduction:
    """Return one of the edits that a file of the authors asks for.

    Args:
        config: the file.
        roots: folders from which its paths start; the first one where a path exists is taken.
        edit: number of the edit, from 0.
        model: takes the place of the file's model.

    Raises:
        ProjectError: a folder is missing, phrases and masks do not fit each other, or there is no such edit.
        VideoError: the clip cannot be read.
        SettingsError: a value outside its range.
    """
    if not 0 <= edit < len(config.editing_prompts):
        raise ProjectError(f"There is no edit {edit + 1}; editing_prompts has {len(config.editing_prompts)}.")
    notes: list[str] = []
    clip = _located(config.path, roots, "path")
    model = model or _model(config.pretrained_model_path, roots)
    target_prompt, *phrases = config.editing_prompts[edit]
    bundle = find_bundle(model)
    return Reproduction(
        clip=clip,
        source_prompt=config.prompt,
        model=model,
        clip_options=ClipOptions(
            start=config.start_sample_frame / probe(clip).fps,
            stride=config.sampling_rate,
            max_frames=config.n_sample_frame,
            short_side=bundle.short_side,
            multiple=bundle.multiple,
        ),
        target_prompt=target_prompt,
        negative_prompt=config.negative_prompt,
        controls=(CONTROLS[config.control_type],) if config.control_type else (),
        settings=_settings(config, notes),
        masks=_masks(config, roots, phrases, notes),
        first=config.start_sample_frame,
        step=config.sampling_rate,
        notes=tuple(notes),
    )


def _settings(config: AuthorsConfig, notes: list[str]) -> EditSettings:
    strength = 1 - config.blending_percentage
    steps = max(1, round(strength * config.num_inference_steps))
    if config.blending_percentage:
        notes.append(
            f"blending_percentage {config.blending_percentage:g} starts at {strength:.0%} noise; modulation fades by "
            "that noise here, in the released code as if it had started at 100%."
        )
    asked = config.modulated_percentage
    if asked is not None and round(asked * config.num_inference_steps) != MODULATED_STEPS:
        notes.append(
            f"modulated_percentage {asked:g} is not followed: the released code modulates {MODULATED_STEPS} steps in "
            "any case."
        )
    levels = len(config.flatten_res)
    if sorted(config.flatten_res, reverse=True) != list(GRIDS[:levels]):
        raise ProjectError(
            f"flatten_res is {list(config.flatten_res)}; give the first of {list(GRIDS)}, such as [64] or [64, 32], or "
            "[] for none."
        )
    notes += [
        f"{name} has no part in the result here."
        for name in ("cluster_inversion_feature", "mixed_precision")
        if getattr(config, name)
    ]
    return EditSettings(
        num_inference_steps=config.num_inference_steps,
        guidance_scale=config.guidance_scale,
        strength=strength,
        modulated_fraction=min(1.0, MODULATED_STEPS / steps),
        inject_steps=0 if config.use_pnp is False else config.inject_step,
        controlnet_conditioning_scale=config.controlnet_conditioning_scale,
        convention=Convention.RELEASE,
        attention_mode=AttentionMode.FULL,
        joint_group_norm=True,
        freeu=config.use_freeu,
        trajectory_attention=levels > 0,
        trajectory_levels=max(1, levels),
        focus=False,
        seed=config.seed,
    )


def _masks(
    config: AuthorsConfig, roots: tuple[Path, ...], phrases: list[str], notes: list[str]
) -> tuple[LayoutMasks, ...]:
    """Give each folder of masks its phrase; folders beyond the phrases are kept as they are."""
    root = _located(config.layout_mask_dir, roots, "layout_mask_dir")
    names = config.layout_mask_order or tuple(sorted(each.name for each in root.iterdir() if _holds_masks(each)))
    for name in names:
        if not (root / name).is_dir():
            raise ProjectError(f"There is no folder '{name}' in '{root}', which layout_mask_order names.")
    if not names:
        raise ProjectError(f"'{root}' holds no folder of masks. Give one for each object, of 00000.png and so on.")
    if len(phrases) > len(names):
        raise ProjectError(
            f"There are {len(phrases)} phrases behind the target prompt but {len(names)} folders of masks in '{root}': "
            f"{', '.join(names)}. Give each phrase its masks."
        )
    if len(phrases) < len(names):
        notes.append(f"There are no phrases for these masks, which are kept: {', '.join(names[len(phrases) :])}.")
    words = [*phrases, *[""] * (len(names) - len(phrases))]
    return tuple(LayoutMasks(root / name, phrase) for name, phrase in zip(names, words, strict=True))


def _holds_masks(folder: Path) -> bool:
    return folder.is_dir() and any(folder.glob("*.png"))


def _located(path: str, roots: tuple[Path, ...], key: str) -> Path:
    for root in roots:
        if (root / path).exists():
            return root / path
    raise ProjectError(
        f"{key} is '{path}', which is in none of: {', '.join(str(root) for root in roots)}. Give the folder from which "
        "the file's paths start with --root."
    )


def _model(path: str, roots: tuple[Path, ...]) -> str:
    """Return a model's place where it lies in one of the folders, else its name."""
    return next((str(root / path) for root in roots if (root / path).exists()), path)
