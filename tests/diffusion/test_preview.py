from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import tiny_pipeline
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from synthetic_video import moving_scene, psnr
from torch import Tensor

from videograin.diffusion import preview
from videograin.diffusion.autoencoder import decode_latents, encode_frames, to_uint8
from videograin.diffusion.preview import FormingClip, LatentColours
from videograin.media.preview_webp import encode_preview, shrink
from videograin.media.video import ClipOptions, load_clip
from videograin.models.bundles import find_bundle
from videograin.models.loading import load_pipeline
from videograin.progress import ignore

ASSETS = Path(__file__).parents[2] / "assets"
PIPELINE = tiny_pipeline()


class Clock:
    """A time that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(preview.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def some_latents(frames: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(frames, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


def colours_of(latents: Tensor) -> LatentColours:
    return LatentColours(latents, np.random.default_rng(0).integers(0, 256, (len(latents), 16, 16, 3), np.uint8))


def step(forming: FormingClip, latents: Tensor) -> dict[str, Tensor]:
    return forming.step_end(PIPELINE, 0, 0, {"latents": 0 * latents, "pred_original_sample": latents})


# Colours


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), channels=st.sampled_from([4, 16]))
def test_colours_that_are_linear_in_the_latents_are_found_exactly(seed: int, channels: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    latents = torch.rand(2, channels, 8, 8, generator=generator)
    weights = torch.rand(channels, 3, generator=generator) / channels
    small = to_uint8(torch.einsum("fchw,cr->frhw", latents, weights))
    frames = small.repeat(2, axis=1).repeat(2, axis=2)  # each latent pixel is two by two of the clip's
    difference = LatentColours(latents, frames)(latents).astype(int) - small
    assert np.abs(difference).max() <= 1


def test_a_clip_of_one_colour_is_shown_in_that_colour() -> None:
    latents = torch.ones(2, 4, 8, 8)
    shown = LatentColours(latents, np.full((2, 16, 16, 3), (10, 200, 90), np.uint8))(latents)
    assert (shown == (10, 200, 90)).all()


def test_half_precision_and_extreme_latents_stay_colours() -> None:
    colours = colours_of(some_latents())
    shown = colours(some_latents().half() * 1000)
    assert (shown.dtype, shown.shape) == (np.uint8, (3, 8, 8, 3))


@pytest.mark.slow
@pytest.mark.skipif(
    not (ASSETS / "models/emoji-world/vae").is_dir(), reason="assets/models/emoji-world is not assembled"
)
def test_the_embedded_vae_s_latents_look_like_the_clip() -> None:
    vae = load_pipeline(find_bundle("emoji-world"), device="cpu", offline=True).vae
    clip = load_clip(ASSETS / "clips/friends/clip.mp4", ClipOptions(short_side=256, multiple=32, max_frames=4)).frames
    with torch.no_grad():
        latents = encode_frames(vae, clip, 2, torch.device("cpu"), ignore)
        decoded = np.concatenate([to_uint8(pixels) for pixels in decode_latents(vae, latents, 2, ignore)])
    small = decoded.reshape(4, latents.shape[2], 8, latents.shape[3], 8, 3).mean((2, 4))
    shown = LatentColours(latents[:2], clip[:2])(latents)
    assert psnr(shown, small) > 22
    assert psnr(shown[:, ::-1], small) < 18


# When they are shown


def test_the_clean_latents_are_shown_and_nothing_is_changed(clock: Clock) -> None:
    shown: list[np.ndarray] = []
    latents = some_latents()
    colours = colours_of(latents)
    assert step(FormingClip(colours, shown.append), latents) == {}
    assert np.array_equal(shown[0], colours(latents))


def test_previews_keep_below_their_share_of_the_time(clock: Clock) -> None:
    shows: list[float] = []

    def show(_frames: np.ndarray) -> None:
        clock.now += 0.06
        shows.append(clock.now)

    forming = FormingClip(colours_of(some_latents()), show)
    started = clock.now
    while clock.now - started < 100:
        step(forming, some_latents())
        clock.now += 0.25
    assert len(shows) > 40
    assert 0.06 * len(shows) / (clock.now - started) <= preview.MAX_SHARE


def test_cheap_previews_still_leave_a_browser_time_to_load_them(clock: Clock) -> None:
    shows: list[float] = []
    forming = FormingClip(colours_of(some_latents()), lambda _: shows.append(clock.now))
    for _ in range(100):
        step(forming, some_latents())
        clock.now += 0.125
    assert all(later - earlier >= 1 for earlier, later in pairwise(shows))
    assert len(shows) == 13


# Decoded frames as they come


def test_decoded_frames_take_the_places_of_those_to_come(clock: Clock) -> None:
    latents = some_latents(frames=4)
    colours = colours_of(latents)
    frames = to_uint8(torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1)))
    shown: list[np.ndarray] = []
    forming = FormingClip(colours, shown.append)
    step(forming, latents)
    for chunk in np.split(frames, 2):
        clock.now += 10
        forming.frames_end(chunk)
    assert [len(clip) for clip in shown] == [4, 4, 4]
    assert np.array_equal(shown[1][:2], frames[:2])
    assert psnr(shown[1][2:, ::2, ::2], colours(latents)[2:]) > 15  # the rest as the latents have it, enlarged
    assert np.array_equal(shown[2], frames)


def test_a_window_without_steps_shows_its_frames_and_none_of_the_window_before(clock: Clock) -> None:
    frames = to_uint8(torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1)))
    shown: list[np.ndarray] = []
    forming = FormingClip(colours_of(some_latents()), shown.append)
    forming.frames_end(frames)
    step(forming, some_latents())
    assert next(forming.apart([1])) == 1
    clock.now += 10
    forming.frames_end(frames[:2])
    assert [len(clip) for clip in shown] == [4, 2]
    assert np.array_equal(shown[1], frames[:2])


# Pictures


def read(picture: bytes) -> list[np.ndarray]:
    image = Image.open(BytesIO(picture))
    frames = []
    for index in range(getattr(image, "n_frames", 1)):
        image.seek(index)
        frames.append(np.asarray(image.convert("RGB")))
    return frames


@pytest.mark.parametrize("count", [1, 2, 9])
def test_every_frame_is_in_the_picture(count: int) -> None:
    frames = moving_scene(count, 48, 64)
    shown = read(encode_preview(frames, fps=8))
    assert len(shown) == count
    assert min(psnr(a, b) for a, b in zip(shown, frames, strict=True)) > 28


def test_it_plays_at_the_clip_s_speed() -> None:
    image = Image.open(BytesIO(encode_preview(moving_scene(3, 48, 64), fps=8)))
    image.load()
    assert image.info["duration"] == 125
    assert image.info["loop"] == 0  # for ever


def test_large_frames_are_scaled_down_in_their_proportions() -> None:
    assert shrink(moving_scene(2, 512, 1024)).shape == (2, 128, 256, 3)
    assert shrink(np.zeros((1, 2, 4000, 3), np.uint8)).shape == (1, 1, 256, 3)
    small = moving_scene(2, 48, 64)
    assert shrink(small) is small
