"""The clips in assets/clips: what they show, and that they are ready to be edited."""

import json
from pathlib import Path

import numpy as np
import pytest
from whole_requests import load_request

from training.scripts import SCRIPTS
from training.tokenizer import load as load_tokenizer
from videograin.diffusion.prompt import find_token_spans
from videograin.project.project import load_project
from videograin.region import means_removal

CLIPS = Path(__file__).parents[2] / "assets/clips"
FOLDERS = sorted(CLIPS.iterdir())


def truth(folder: Path) -> dict:
    return json.loads((folder / "clip.json").read_text())


def test_there_is_a_clip_for_every_level():
    levels = {truth(folder)["level"] for folder in FOLDERS}
    assert levels == {"class", "instance", "part", "background", "solely-edit", "occlusion", "removal"}
    assert {folder.name for folder in FOLDERS} == {script.name for script in SCRIPTS}


def test_the_clips_weigh_little():
    assert sum(file.stat().st_size for file in CLIPS.rglob("*") if file.is_file()) < 3_000_000


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_clip_is_a_project_with_a_mask_for_every_frame(folder):
    request, clip = load_request(load_project(folder / "project.json"))
    assert clip.frames.shape == (truth(folder)["frames"], 256, 256, 3)
    assert 16 <= len(clip.frames) <= 48
    assert clip.fps == truth(folder)["fps"]
    assert [region.name for region in request.regions] == [region["name"] for region in truth(folder)["regions"]]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_click_of_the_truth_lies_in_its_mask(folder):
    with np.load(folder / "masks.npz") as masks:
        for region in truth(folder)["regions"]:
            click = region["click"]
            assert masks[region["name"]][click["frame"], click["y"], click["x"]]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_target_prompt_holds_every_region_s_phrase_and_fits(folder):
    told = truth(folder)
    phrases = ["" if means_removal(region["prompt"]) else region["prompt"] for region in told["regions"]]
    found = find_token_spans(load_tokenizer(), told["target_prompt"], phrases)
    assert not found.dropped
    assert all(span or not phrase for span, phrase in zip(found.spans, phrases, strict=True))
