"""Edits by files in the authors' layout, on a data set that is made here."""

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import yaml
from fakes import tiny_pipeline
from PIL import Image
from synthetic_video import moving_scene

from videograin.cli.main import OK, USAGE, main
from videograin.errors import ProjectError, RegionError, SettingsError, VideoError, VideoGrainError
from videograin.media.video import load_clip
from videograin.project.authors_config import MODEL, read_authors_config
from videograin.project.project import load_project
from videograin.project.reproduction import reproduce
from videograin.region import AttentionMode, ControlKind, Convention, Region, TimestepSpacing

FIRST, STEP, FRAMES = 2, 3, 4
NUMBERS = range(FIRST, FIRST + FRAMES * STEP, STEP)
TARGET, PHRASES = "a red panda and a fox on grass", ["a fox", "a red panda", ""]

CONFIG: Mapping[str, Any] = {
    "pretrained_model_path": "ckpt/tiny",
    "dataset_config": {
        "path": "data/two_men/frames",
        "prompt": "two men",
        "n_sample_frame": FRAMES,
        "start_sample_frame": FIRST,
        "sampling_rate": STEP,
        "layout_mask_dir": "data/two_men/masks",
        "layout_mask_order": ["right", "left", "wall"],
    },
    "editing_config": {
        "editing_prompts": [[TARGET, *PHRASES]],
        "num_inference_steps": 2,
        "guidance_scale": 5,
        "flatten_res": [64],
    },
    "test_pipeline_config": {"num_inference_steps": "${..num_inference_steps}"},
}
"""Of the smallest edit; the tests change one key at a time."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the authors' repository is: a model, frames, and masks by the numbers of the frames."""
    root = tmp_path_factory.mktemp("authors")
    tiny_pipeline().save_pretrained(root / "ckpt/tiny")
    data = root / "data/two_men"
    (data / "frames").mkdir(parents=True)
    frames = moving_scene(FIRST + FRAMES * STEP + 2, 32, 48)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(data / f"frames/{number:05}.png")
    for name, columns in {"left": slice(0, 16), "right": slice(20, 36), "wall": slice(40, 48)}.items():
        (data / "masks" / name).mkdir(parents=True)
        for number in NUMBERS:
            mask = np.zeros((32, 48), np.uint8)
            mask[4 : 20 + number, columns] = 255
            Image.fromarray(mask).save(data / f"masks/{name}/{number:05}.png")
    return root


def write(folder: Path, **changes: object) -> Path:
    """A config in which some keys are others, or gone where they are None."""
    sections = {
        name: {key: changes.get(key, value) for key, value in section.items()} if isinstance(section, dict) else section
        for name, section in CONFIG.items()
    }
    known = {key for section in sections.values() if isinstance(section, dict) for key in section}
    sections["extra"] = {key: value for key, value in changes.items() if key not in known}
    (folder / "edit.yaml").write_text(yaml.safe_dump(sections))
    return folder / "edit.yaml"


def pictures(archive: Path) -> np.ndarray:
    """The frames of a result as lossless pictures."""
    with ZipFile(archive) as opened:
        return np.stack([np.asarray(Image.open(BytesIO(opened.read(name)))) for name in sorted(opened.namelist())])


def load_regions(config: Path, root: Path) -> list[Region]:
    """The regions of a config's first edit, with all that is read on the way to them."""
    edit = reproduce(read_authors_config(config), (root,))
    return edit.load_regions(load_clip(edit.clip, edit.clip_options))


def test_an_edit_in_the_authors_layout_is_that_of_our_own_project_frame_for_frame(root: Path, tmp_path: Path) -> None:
    config = write(tmp_path)
    masks = {name: tmp_path / name for name in ("left", "right", "wall")}
    for name, folder in masks.items():
        folder.mkdir()
        for place, number in enumerate(NUMBERS):
            (folder / f"{place}.png").write_bytes((root / f"data/two_men/masks/{name}/{number:05}.png").read_bytes())
    ours = {
        "version": 1,
        "clip": str(root / "data/two_men/frames"),
        "source_prompt": "two men",
        "model": str(root / "ckpt/tiny"),
        "target_prompt": TARGET,
        "clip_options": {"start": FIRST / 25, "stride": STEP, "max_frames": FRAMES},
        "regions": [
            {"masks": {"path": str(masks[name])}, "prompt": phrase, "name": name}
            for name, phrase in zip(("right", "left", "wall"), PHRASES, strict=True)
        ],
        "settings": {
            "num_inference_steps": 2, "guidance_scale": 5, "modulated_fraction": 1, "convention": "release",
            "attention_mode": "full", "joint_group_norm": True, "focus": False,
        },
    }  # fmt: skip
    (tmp_path / "ours.json").write_text(json.dumps(ours))
    common = ["--device", "cpu", "--offline"]
    assert main(["reproduce", str(config), "--root", str(root), "-o", str(tmp_path / "theirs.zip"), *common]) == OK
    assert main(["edit", str(tmp_path / "ours.json"), "-o", str(tmp_path / "ours.zip"), *common]) == OK
    own = load_project(tmp_path / "ours.json")
    clip = load_clip(own.clip, own.clip_options)
    theirs = pictures(tmp_path / "theirs.zip")
    assert np.array_equal(theirs, pictures(tmp_path / "ours.zip"))
    assert theirs.shape == clip.frames.shape
    assert np.abs(theirs.astype(int) - clip.frames)[:, 4:10, 15:22].mean() > 10  # and it is an edit
    for region, same in zip(load_regions(config, root), own.load_regions(clip), strict=True):
        assert np.array_equal(region.masks, same.masks)
        assert (region.name, region.prompt) == (same.name, same.prompt)


def test_every_key_becomes_what_the_page_of_docs_says(root: Path, tmp_path: Path) -> None:
    config = write(
        tmp_path, control_type="dwpose", controlnet_conditioning_scale=0.8, negative_prompt="blurry", inject_step=2,
        num_inference_steps=50, blending_percentage=0.2, modulated_percentage=0.3, flatten_res=[[64, 64], 32], seed=7,
        use_freeu=True, use_pnp=True,
        mixed_precision="fp16",
    )  # fmt: skip
    edit = reproduce(read_authors_config(config), (root,))
    settings = edit.settings
    assert (edit.controls, edit.negative_prompt, edit.target_prompt) == ((ControlKind.POSE,), "blurry", TARGET)
    assert (settings.steps_run, settings.modulated_steps, settings.inject_steps, settings.seed) == (40, 15, 2, 7)
    assert (settings.convention, settings.spacing) == (Convention.RELEASE, TimestepSpacing.LEADING)
    assert (settings.attention_mode, settings.joint_group_norm) == (AttentionMode.FULL, True)
    assert (settings.trajectory_attention, settings.trajectory_levels, settings.freeu) == (True, 2, True)
    assert settings.controlnet_conditioning_scale == 0.8
    assert [note.split()[0] for note in edit.notes] == ["blending_percentage", "mixed_precision"]
    config = write(tmp_path, use_pnp=False, inject_step=2, flatten_res=[])
    settings = reproduce(read_authors_config(config), (root,)).settings
    assert (settings.inject_steps, settings.trajectory_attention) == (0, False)


def test_one_edit_needs_no_list_of_edits_and_a_phrase_that_is_left_out_keeps(tmp_path: Path) -> None:
    config = read_authors_config(write(tmp_path, editing_prompts=[TARGET, "a fox", None]))
    assert config.editing_prompts == ((TARGET, "a fox", ""),)
    assert read_authors_config(write(tmp_path), ["pretrained_model_path"]).pretrained_model_path == MODEL


def test_masks_without_a_phrase_are_kept_and_said(root: Path, tmp_path: Path) -> None:
    config = write(tmp_path, editing_prompts=[TARGET, "a fox"], layout_mask_order=None)
    edit = reproduce(read_authors_config(config), (root,))
    assert [(each.folder.name, each.prompt) for each in edit.masks] == [("left", "a fox"), ("right", ""), ("wall", "")]
    assert edit.notes == ("There are no phrases for these masks, which are kept: right, wall.",)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"flaten_res": [64], "logdir": "out"}, ProjectError,
         r"unknown here: extra.flaten_res \(did you mean 'flatten_res'\?\), extra.logdir"),
        ({"prompt": 7}, ProjectError, "prompt is 7; give a text"),
        ({"editing_prompts": []}, ProjectError, "editing_prompts is empty"),
        ({"editing_prompts": [TARGET, "a fox", "a fox", "a fox", "a fox"]}, ProjectError, "There are 4 phrases"),
        ({"layout_mask_order": ["right", "tree"]}, ProjectError, "no folder 'tree'"),
        ({"path": "data/gone"}, ProjectError, "path is 'data/gone', which is in none of"),
        ({"sampling_rate": 0}, ProjectError, "sampling_rate is 0; give 1 or more"),
        ({"start_sample_frame": 3}, RegionError, "has no 00003.png, the mask of frame 0"),
        ({"n_sample_frame": 9}, VideoError, "has 5 frames from number 2 on in steps of 3; n_sample_frame asks for 9"),
        ({"control_type": "scribble"}, ProjectError, "control_type is 'scribble'; choose one of: dwpose"),
        ({"flatten_res": [32]}, ProjectError, r"flatten_res is \[32\]; give the first of"),
        ({"guidance_scale": 0}, SettingsError, "guidance_scale is 0"),
        ({"num_inference_steps": 3}, ProjectError, "'num_inference_steps' twice"),
        ({"seed": "${..seeds}"}, ProjectError, "refers to no value"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_named(
    root: Path, tmp_path: Path, changes: dict[str, object], error: type[VideoGrainError], message: str
) -> None:
    if "num_inference_steps" in changes:
        (tmp_path / "edit.yaml").write_text(yaml.safe_dump({**CONFIG, "other": changes}))
    else:
        write(tmp_path, **changes)
    with pytest.raises(error, match=message):
        load_regions(tmp_path / "edit.yaml", root)


def test_it_is_saved_as_a_project_that_the_studio_opens(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, logdir="results")
    command = ["reproduce", str(config), "--root", str(root), "--save", str(tmp_path / "work.zip")]
    assert main(command) == USAGE
    assert "extra.logdir" in capsys.readouterr().err
    assert main([*command, "--ignore", "logdir"]) == OK
    with ZipFile(tmp_path / "work.zip") as archive:
        work = json.loads(archive.read("project.json"))
    assert work["clip"] == "clip-1"
    assert [(each["name"], each["prompt"]) for each in work["objects"]] == [
        ("right", "a fox"), ("left", "a red panda"), ("wall", ""),
    ]  # fmt: skip
