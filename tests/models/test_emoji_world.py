"""The main job for real: two objects in a moving clip become what was asked, with the embedded model, on a CPU.

Without the modulation the panda appears on the right and the robot on the left.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from whole_requests import load_request

from videograin.diffusion.region_masks import grow_masks
from videograin.evaluation.judge import Judge
from videograin.models.bundles import find_bundle
from videograin.models.loading import load_pipeline
from videograin.project.project import load_project
from videograin.region import EditRequest, EditResult

PROJECT = Path(__file__).parents[2] / "assets/clips/friends/project.json"
FRAMES = slice(0, 12, 3)
LATENT_PIXELS = 8
STEPS = 10
"""Half as many as in the project: the same is seen in half the time."""

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Edit:
    """A request and what came of it."""

    request: EditRequest
    result: EditResult

    def seen(self, region: int) -> list[str]:
        """What the judge sees of a region in every frame."""
        judge = Judge.load(Path(find_bundle("emoji-world").source))
        return judge.name_objects(self.result.frames, self.request.regions[region].masks)


@pytest.fixture(scope="module")
def edit() -> Edit:
    """Four frames of the demo clip, a cat and a dog, edited into a panda and a robot."""
    if not Path(find_bundle("emoji-world").source, "unet").is_dir():
        pytest.skip("the embedded model's weights are not here")
    request, _ = load_request(load_project(PROJECT))
    regions = [replace(region, masks=region.masks[FRAMES]) for region in request.regions]
    settings = replace(request.settings, num_inference_steps=STEPS)
    request = replace(request, frames=request.frames[FRAMES], regions=regions, settings=settings)
    pipeline = load_pipeline("emoji-world", device="cpu", offline=True)
    pipeline.inversion_cache = None
    return Edit(request, pipeline.edit(request))


def test_both_things_become_what_was_asked_and_left_stays_left(edit: Edit):
    assert edit.seen(0).count("panda") >= 3
    assert edit.seen(1).count("robot") >= 3


def test_neither_thing_takes_over_the_other(edit: Edit):
    assert "robot" not in edit.seen(0)
    assert "panda" not in edit.seen(1)


def test_the_background_is_kept(edit: Edit):
    edited = torch.from_numpy(np.any([region.masks for region in edit.request.regions], axis=0))
    kept = ~grow_masks(edited, edit.request.settings.mask_growth + LATENT_PIXELS).numpy()
    error = (edit.result.frames.astype(float) - edit.request.frames)[kept]
    assert np.mean(error**2) < 255**2 / 10**2.8  # 28 dB
