"""The scores of an edit, on clips whose scores are known exactly."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import tiny_tokenizer
from transformers import CLIPConfig, CLIPModel

from videograin.evaluation.judge import Judge
from videograin.evaluation.metrics import (
    FRAMES_PER_BATCH,
    ClipScorer,
    clip_f,
    clip_t,
    crop_regions,
    psnr,
    q_edit,
    score_edit,
    share_seen,
    warp_error,
)
from videograin.files.assets import EMBEDDED_MODEL
from videograin.media.flow import OpticalFlow


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory) -> Path:
    """A CLIP of random weights, as a folder that `from_pretrained` reads."""
    folder = tmp_path_factory.mktemp("clip")
    tokenizer = tiny_tokenizer()
    width = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    torch.manual_seed(0)
    model = CLIPModel(
        CLIPConfig(text_config=width | ids, vision_config=width | {"image_size": 32, "patch_size": 8}, projection_dim=8)
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}))
    return folder


@pytest.fixture(scope="module")
def scorer(clip_folder) -> ClipScorer:
    return ClipScorer.load(clip_folder)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def flow_of(x: int, frames: int = 3, side: int = 32, occluded: bool = False) -> OpticalFlow:
    forward = np.zeros((frames - 1, 2, side, side), np.float32)
    forward[:, 0] = x
    flow = OpticalFlow.from_pair(forward, -forward)
    hidden = np.full_like(flow.forward_occluded, occluded) | flow.forward_occluded
    return OpticalFlow(forward, -forward, flow.forward_error, hidden, hidden)


# CLIP


def test_equal_frames_are_wholly_consistent(scorer):
    still = np.repeat(noise(1, 40, 32, 3), 4, axis=0)
    assert clip_f(scorer, still) == pytest.approx(100, abs=1e-3)


def test_clip_f_compares_consecutive_frames_only(scorer):
    a, b = noise(2, 32, 32, 3)
    cosine = float((scorer.embed_frames(a[None]) @ scorer.embed_frames(b[None]).T).item())
    assert clip_f(scorer, np.stack([a, b])) == pytest.approx(100 * cosine, abs=1e-3)
    assert clip_f(scorer, np.stack([a, a, b])) == pytest.approx(50 + 50 * cosine, abs=1e-3)


def test_clip_t_is_the_mean_cosine_with_the_prompt_in_percent(scorer):
    frames = noise(2, 32, 32, 3)
    text = scorer.embed_texts(["a red panda"])[0]
    cosines = [float(embed @ text) for embed in scorer.embed_frames(frames)]
    assert clip_t(scorer, frames, "a red panda") == pytest.approx(50 * sum(cosines), abs=1e-3)


def test_embeddings_are_the_model_s_own(scorer):
    frames, texts = noise(2, 32, 32, 3), ["a fox", "a dog on grass"]
    tokens = scorer.tokenizer(texts, padding=True, return_tensors="pt")
    pixels = (torch.from_numpy(frames).movedim(-1, 1) / 255 - 0.5) / 0.25
    with torch.no_grad():
        out = scorer.model(**tokens, pixel_values=pixels)
    torch.testing.assert_close(scorer.embed_frames(frames), out.image_embeds)
    torch.testing.assert_close(scorer.embed_texts(texts), out.text_embeds)


def test_only_the_middle_square_of_a_wide_frame_counts(scorer):
    wide = noise(1, 32, 64, 3)
    other = wide.copy()
    other[:, :, :16] = 0
    other[:, :, 48:] = 255
    torch.testing.assert_close(scorer.embed_frames(wide), scorer.embed_frames(other))
    torch.testing.assert_close(scorer.embed_frames(wide), scorer.embed_frames(wide[:, :, 16:48]))


def test_a_long_clip_is_seen_batch_by_batch_and_once(scorer, monkeypatch):
    seen = []
    frames, forward = noise(FRAMES_PER_BATCH + 3, 32, 32, 3), scorer.model.vision_model.forward
    monkeypatch.setattr(
        scorer.model.vision_model,
        "forward",
        lambda **given: seen.append(len(given["pixel_values"])) or forward(**given),
    )
    flow = flow_of(0, frames=len(frames))
    scores = score_edit(scorer, frames, frames, "a fox", flow)
    assert seen == [FRAMES_PER_BATCH, 3]
    each = torch.cat([scorer.embed_frames(frame[None]) for frame in frames])
    assert scores.clip_f == pytest.approx(100 * float((each[1:] * each[:-1]).sum(-1).mean()), abs=1e-3)


def test_the_text_with_the_greatest_cosine_is_chosen(scorer):
    frames, texts = noise(3, 32, 32, 3), ["a red fox", "grass", "the men of the road"]
    best = (scorer.embed_frames(frames) @ scorer.embed_texts(texts).T).argmax(1)
    assert scorer.choose(frames, texts) == [texts[i] for i in best]


# Motion


def test_a_clip_that_moves_as_the_source_does_has_no_warp_error():
    still = noise(32, 64, 3)
    moving = np.stack([still[:, 8 - 2 * t : 40 - 2 * t] for t in range(3)])
    assert warp_error(moving, flow_of(2)) == 0


def test_the_warp_error_is_the_mean_square_in_thousandths():
    frames = np.zeros((3, 32, 32, 3), np.uint8)
    frames[1] = 51
    assert warp_error(frames, flow_of(0)) == pytest.approx(1000 * 0.2**2)


def test_pixels_that_are_hidden_in_the_next_frame_do_not_count():
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    frames[1, :, 30:] = 255  # where the flow of two pixels leaves nothing to compare, but for columns 28 and 29
    assert warp_error(frames, flow_of(2, frames=2)) == pytest.approx(1000 * 2 / 30)
    assert np.isnan(warp_error(frames, flow_of(0, frames=2, occluded=True)))


def test_q_edit_is_the_fit_over_the_error_as_in_the_paper():
    assert q_edit(36.56, 1.42) == pytest.approx(25.75, abs=0.005)
    assert q_edit(1.0, 0.0) == float("inf")


def test_all_scores_of_an_edit_at_once(scorer):
    source, result = noise(3, 32, 32, 3), noise(3, 32, 32, 3, seed=1)
    flow = flow_of(1)
    scores = score_edit(scorer, source, result, "a fox", flow)
    assert scores.clip_f == clip_f(scorer, result)
    assert scores.clip_t == clip_t(scorer, result, "a fox")
    assert scores.warp_error == warp_error(result, flow)
    assert scores.q_edit == scores.clip_t / scores.warp_error
    assert score_edit(scorer, source, result, "a fox").warp_error > 0


# Regions


def test_psnr_counts_the_chosen_pixels_only():
    frames, reference = np.zeros((1, 2, 2, 3), np.uint8), np.zeros((1, 2, 2, 3), np.uint8)
    reference[0, 0, 0], reference[0, 1, 1] = 51, 255
    where = np.array([[[True, True], [False, False]]])
    assert psnr(frames, reference, where) == pytest.approx(10 * np.log10(2 / 0.2**2))
    assert psnr(frames, reference, np.array([[[False, True], [False, False]]])) == float("inf")


def test_scores_of_pixels_hold_a_few_frames_of_a_long_clip_at_a_time():
    frames = np.full((48, 64, 64, 3), 9, np.uint8)
    still, seen = np.zeros((47, 2, 64, 64), np.float32), np.zeros((47, 64, 64), bool)
    flow = OpticalFlow(still, still, still[:, 0], seen, seen)
    tracemalloc.start()
    assert psnr(frames, frames + np.uint8(1), np.ones(frames.shape[:3], bool)) == pytest.approx(20 * np.log10(255))
    assert warp_error(frames, flow) == 0
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * frames[0].size * np.float64().nbytes


def test_regional_accuracy_and_mixing_are_shares_of_the_frames():
    seen = ["panda", "panda", "robot", "dog"]
    assert share_seen(seen, ["panda"]) == 0.5
    assert share_seen(seen, ["robot", "cat"]) == 0.25


def test_a_crop_is_the_square_around_the_region_with_a_margin():
    frame = noise(1, 64, 64, 3)
    mask = np.zeros((1, 64, 64), bool)
    mask[:, 20:36, 24:32] = True  # 16 high, so 20 wide: rows 18 to 38 around 28, columns 18 to 38 around 28
    assert np.array_equal(crop_regions(frame, mask, 20), frame[:, 18:38, 18:38])


def test_frames_without_the_region_have_no_crop():
    masks = np.zeros((3, 16, 16), bool)
    assert crop_regions(noise(3, 16, 16, 3), masks, 8).shape == (0, 8, 8, 3)
    masks[1, 4:8, 4:8] = True
    assert crop_regions(noise(3, 16, 16, 3), masks, 8).shape == (1, 8, 8, 3)


@pytest.mark.parametrize(("corner", "shown"), [(0, slice(0, 10)), (56, slice(54, 64))])
def test_a_crop_at_the_edge_is_moved_inwards(corner, shown):
    frame = noise(1, 64, 64, 3)
    mask = np.zeros((1, 64, 64), bool)
    mask[:, corner : corner + 8, corner : corner + 8] = True
    assert np.array_equal(crop_regions(frame, mask, 10), frame[:, shown, shown])


def test_a_region_as_large_as_the_picture_is_shown_whole():
    frame = noise(1, 32, 32, 3)
    assert np.array_equal(crop_regions(frame, np.ones((1, 32, 32), bool), 32), frame)


class Watched:
    """A lock that tells whether it is held."""

    is_held = False

    def __enter__(self) -> None:
        self.is_held = True

    def __exit__(self, *_: object) -> None:
        self.is_held = False


@pytest.mark.parametrize(
    ("module", "load"),
    [("judge", lambda: Judge.load(EMBEDDED_MODEL)), ("metrics", lambda: ClipScorer.load(EMBEDDED_MODEL / "clip"))],
)
def test_no_layer_is_made_while_another_thread_loads_weights(
    module: str, load: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Diffusers has all layers of the process begin on no device meanwhile, and one that was caught cannot be used."""
    lock, is_held = Watched(), []
    make = torch.nn.Linear.reset_parameters
    monkeypatch.setattr(f"videograin.evaluation.{module}.WEIGHTS_LOCK", lock)
    monkeypatch.setattr(torch.nn.Linear, "reset_parameters", lambda layer: (is_held.append(lock.is_held), make(layer)))
    load()
    assert is_held
    assert all(is_held)
