"""Scores of whole edits: what is right ranks above the source and what leaks, by every measure that can see it."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from benchmarks.clips import Folders, Told
from videograin.cli.main import OK, USAGE, main
from videograin.errors import RegionError, VideoError
from videograin.evaluation.metrics import ClipScorer
from videograin.evaluation.report import EditReport, as_document, score_request
from videograin.files.assets import EMBEDDED_MODEL
from videograin.masks.export import save_npz
from videograin.media.encode import save_video
from videograin.region import EditRequest, EditSettings, Region

LIBRARY = Folders()
SETTINGS = EditSettings()
PROMPTS = {"left": "a wolf", "right": "a llama"}
TARGET = "a wolf and a llama on grass in front of a city skyline"


def clip_of(name: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A held-out clip by the name in its clip.json, 8 frames."""
    number = next(number for number, told in LIBRARY.documents().items() if Told.read(told).name == name)
    frames, masks = LIBRARY.pixels(number)
    return frames[:8], {name: mask[:8] for name, mask in masks.items()}


def pasted(frame: np.ndarray, mask: np.ndarray, other: np.ndarray, other_mask: np.ndarray) -> np.ndarray:
    """Put the object of another picture into the box around a mask, as an edit without a fault would."""

    def box(where: np.ndarray) -> tuple[slice, slice]:
        rows, columns = np.nonzero(where.any(1))[0], np.nonzero(where.any(0))[0]
        return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)

    place, taken = box(mask), box(other_mask)
    size = frame[place].shape[1::-1]
    drawn = frame.copy()
    drawn[mask] = np.median(frame[~mask], axis=0)
    alpha = cv2.resize(other_mask[taken].astype(np.float32), size)[..., None]
    drawn[place] = drawn[place] + alpha * (cv2.resize(other[taken], size) - drawn[place].astype(np.float32))
    return drawn


@pytest.fixture(scope="module")
def scorer() -> ClipScorer:
    return ClipScorer.load(EMBEDDED_MODEL / "clip")


@pytest.fixture(scope="module")
def score(scorer: ClipScorer) -> Callable[..., EditReport]:
    """Score the source with the objects of given clips in the places of its own."""
    frames, masks = clip_of("solely-04")  # a snail on the left, a fish on the right
    sprites = {"a wolf": ("solely-01", "right"), "a llama": ("solely-00", "right")}
    regions = [Region(masks[side], prompt, side) for side, prompt in PROMPTS.items()]
    request = EditRequest(frames, regions, "a snail and a fish", TARGET)

    def score(**becomes: str) -> EditReport:
        result = frames.copy()
        for side, prompt in becomes.items():
            name, place = sprites[prompt]
            others, other_masks = clip_of(name)
            for t in range(len(frames)):
                result[t] = pasted(result[t], masks[side][t], others[t], other_masks[place][t])
        return score_request(scorer, request, result, TARGET, "mini CLIP")

    return score


@pytest.mark.slow
def test_the_right_edit_ranks_above_its_source_and_above_one_that_leaks(score: Callable[..., EditReport]) -> None:
    right, leaking, source = score(**PROMPTS), score(left="a llama", right="a llama"), score()
    assert right.whole.clip_t > leaking.whole.clip_t > source.whole.clip_t
    assert right.regional_clip_t > leaking.regional_clip_t > source.regional_clip_t
    assert right.leakage == 0
    assert leaking.leakage == 0.5
    assert [each.own for each in leaking.regions] == [0, 1]
    assert right.whole.q_edit > source.whole.q_edit or right.whole.warp_error > source.whole.warp_error
    assert math.isinf(source.outside_psnr)
    assert math.isnan(right.seam_ratio)


def tiny_request(settings: EditSettings = SETTINGS, count: int = 6) -> EditRequest:
    frames = np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), np.uint8)
    masks = np.zeros((count, 64, 64), bool)
    masks[:, 8:24, 8:24] = True
    return EditRequest(frames, [Region(masks, "a cat"), Region(~masks)], "a dog", settings=settings)


def test_what_changes_outside_is_seen_and_the_rim_is_not(scorer: ClipScorer) -> None:
    request = tiny_request()
    inside, outside = request.frames.copy(), request.frames.copy()
    inside[:, 8:28, 8:28] = 0  # 4 pixels beyond the mask
    outside[:, 50:, 50:] = 0
    scores = [score_request(scorer, request, result, "a cat", "mini CLIP") for result in (inside, outside)]
    assert math.isinf(scores[0].outside_psnr)
    assert scores[1].outside_psnr < 25


def test_the_worst_frames_and_the_joints_of_windows_are_found(scorer: ClipScorer) -> None:
    request = tiny_request(EditSettings(window_frames=3, anchor_frames=0, window_overlap=0))
    still = replace(request, frames=np.repeat(request.frames[:1], 6, axis=0))
    result = still.frames.copy()
    result[1] += 1
    result[3:] = 255 - result[3:]  # where the second window begins
    report = score_request(scorer, still, result, "a cat", "mini CLIP")
    assert report.worst[0] == 3
    assert report.seam_ratio > 10
    result[1] = result[0]
    assert math.isinf(score_request(scorer, still, result, "a cat", "mini CLIP").seam_ratio)


def test_weights_of_words_are_no_words_to_clip(scorer: ClipScorer) -> None:
    plain = tiny_request(count=2)
    weighed = replace(plain, regions=[replace(plain.regions[0], prompt="a (cat:1.3)"), plain.regions[1]])
    scores = [
        score_request(scorer, request, plain.frames, words, "mini CLIP")
        for request, words in ((plain, "a cat"), (weighed, "a (cat:1.3)"))
    ]
    assert as_document(scores[0]) == as_document(scores[1])


def test_where_objects_are_removed_and_no_more_there_are_no_regions_to_tell(scorer: ClipScorer) -> None:
    plain = tiny_request(count=2)
    removed = replace(plain, regions=[replace(plain.regions[0], prompt="nothing")])
    report = score_request(scorer, removed, plain.frames, "nothing", "mini CLIP")
    assert report.regions == ()
    assert as_document(report)["regional_clip_t"] is as_document(report)["leakage"] is None


def test_a_result_of_another_clip_is_refused(scorer: ClipScorer) -> None:
    request = tiny_request()
    with pytest.raises(VideoError, match="The result has 5 frames of 64×64, its source 6"):
        score_request(scorer, request, request.frames[:5], "a cat", "mini CLIP")
    kept = replace(request.regions[0], prompt="")
    with pytest.raises(RegionError, match="No region has a prompt"):
        replace(request, regions=[kept])


def test_a_result_is_scored_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request = tiny_request()
    save_video(tmp_path / "clip.mp4", request.frames, 8)
    save_video(tmp_path / "result.mp4", request.frames[..., ::-1].copy(), 8)
    removed = np.roll(request.regions[0].masks, 28, axis=2)
    save_npz(tmp_path / "masks.npz", {"cat": request.regions[0].masks, "dog": removed})
    document = {
        "version": 1, "clip": "clip.mp4", "source_prompt": "a dog", "clip_options": {"short_side": 64},
        "regions": [
            {"masks": {"path": "masks.npz", "key": "cat"}, "prompt": "a cat", "name": "cat"},
            {"masks": {"path": "masks.npz", "key": "dog"}, "prompt": "nothing", "name": "dog"},
        ],
    }  # fmt: skip
    (tmp_path / "project.json").write_text(json.dumps(document))
    files = [str(tmp_path / name) for name in ("project.json", "result.mp4", "scores.json", "worst.png")]
    assert main(["score", *files[:2], "--json", files[2], "--worst", files[3], "--device", "cpu"]) == OK
    said = capsys.readouterr().out
    assert "6 frames at 64×64, 'a cat'" in said
    assert "cat: CLIP-T" in said
    assert "dog: CLIP-T" not in said  # it is removed
    assert "Measured by mini CLIP of Emoji World" in said
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["whole"]["clip_f"] == pytest.approx(float(said.split("CLIP-F, %")[1].split()[0]), abs=0.01)
    assert scores["seam_ratio"] is None
    assert Image.open(files[3]).size == (4 * 64, 2 * 64)
    assert main(["score", *files[:2], "--frames", "3", "--device", "cpu"]) == OK
    assert "3 frames at 64×64" in capsys.readouterr().out
    assert main(["score", files[0], str(tmp_path / "masks.npz")]) == USAGE
    assert main(["score", *files[:2], "--worst", "worst.jpg"]) == USAGE
    assert "must end in .png" in capsys.readouterr().err
