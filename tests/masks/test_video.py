from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_targets import frames_of, read_masks
from synthetic_video import make, moving_scene, psnr

from videograin.errors import RegionError
from videograin.masks.load import MaskSource, load_objects
from videograin.masks.shapes import feather
from videograin.masks.target import MaskTarget
from videograin.masks.video import load_matte
from videograin.media.encode import OutputFormat, save_clip, save_video
from videograin.media.video import ClipOptions, load_clip, probe

FRAMES = moving_scene(3, 47, 65)
TARGET, MATTE = frames_of(3, 47, 65), frames_of(3, 48, 64)


def save_cutout(file: Path, frames: np.ndarray, opacity: np.ndarray, fps: float) -> None:
    save_clip(file, frames, fps, OutputFormat.PRORES, opacity=opacity)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5, 1.0]))
def test_masks_come_back_exactly_from_a_cutout(
    tmp_path_factory: pytest.TempPathFactory, seed: int, density: float
) -> None:
    file = tmp_path_factory.mktemp("cutout") / "dog.mov"
    masks = np.random.default_rng(seed).random(FRAMES.shape[:3]) < density
    save_cutout(file, FRAMES, masks, 8)
    assert np.array_equal(read_masks(MaskSource(file), TARGET), masks)


def test_every_level_of_opacity_comes_back_exactly(tmp_path: Path) -> None:
    levels = np.arange(3 * 47 * 65).reshape(3, 47, 65) % 256
    save_cutout(tmp_path / "dog.mov", FRAMES, (levels / 255).astype(np.float32), 8)
    assert np.array_equal([plane.values for plane in load_matte(tmp_path / "dog.mov", TARGET)], levels)


def test_a_feathered_cutout_holds_the_same_mask(tmp_path: Path) -> None:
    masks = np.zeros(FRAMES.shape[:3], bool)
    masks[:, 10:30, 20:50] = True
    save_cutout(tmp_path / "dog.mov", FRAMES, feather(masks, 6), 8)
    assert np.array_equal(load_objects(tmp_path / "dog.mov", TARGET).masks["dog"], masks)


def test_a_cutout_keeps_the_colours_and_the_rate(tmp_path: Path) -> None:
    save_cutout(tmp_path / "dog.mov", FRAMES, np.ones(FRAMES.shape[:3], bool), 30000 / 1001)
    clip = load_clip(tmp_path / "dog.mov", ClipOptions(short_side=None, multiple=1))
    assert psnr(clip.frames, FRAMES) > 45
    info = probe(tmp_path / "dog.mov")
    assert (info.codec, info.has_alpha, info.color_matrix) == ("prores", True, "bt709")
    assert info.fps == pytest.approx(30000 / 1001)


def test_a_black_and_white_video_is_a_matte(tmp_path: Path) -> None:
    masks = np.zeros((3, 48, 64), bool)
    masks[1, :24] = True
    masks[2, :, 32:] = True
    save_video(tmp_path / "matte.mp4", np.repeat(masks[..., None], 3, -1) * np.uint8(255), 8)
    assert np.array_equal(read_masks(MaskSource(tmp_path / "matte.mp4"), MATTE), masks)


@pytest.mark.parametrize(("name", "codec"), [("a.gif", ()), ("a.mov", ("-c:v", "qtrle", "-pix_fmt", "argb"))])
def test_a_matte_that_could_be_transparent_and_is_nowhere_is_known_by_its_brightness(
    tmp_path: Path, name: str, codec: tuple[str, ...]
) -> None:
    matte = make(tmp_path / name, "color=black:s=32x24:r=10:d=0.3,drawbox=x=8:y=4:w=10:h=12:c=white:t=fill", *codec)
    wanted = np.zeros((3, 24, 32), bool)
    wanted[:, 4:16, 8:18] = True
    assert np.array_equal(read_masks(MaskSource(matte), frames_of(3, 24, 32)), wanted)


def test_a_dark_matte_is_empty_in_spite_of_noise(tmp_path: Path) -> None:
    save_video(tmp_path / "matte.mp4", np.full((3, 48, 64, 3), 20, np.uint8), 8)
    assert not read_masks(MaskSource(tmp_path / "matte.mp4"), MATTE).any()


@pytest.mark.parametrize("encoder", ["libvpx-vp9", "libvpx"])
def test_the_transparency_of_webm_is_read(tmp_path: Path, encoder: str) -> None:
    alpha = "geq=r=255:g=0:b=0:a='255*lt(X,32)',format=yuva420p"
    source = f"color=red:s=64x48:d=0.2,format=rgba,{alpha}"
    file = make(tmp_path / "dog.webm", source, "-c:v", encoder, "-b:v", "2M", "-auto-alt-ref", "0")
    masks = read_masks(MaskSource(file), frames_of(5, 48, 64))
    assert masks[:, :, :30].all()
    assert not masks[:, :, 34:].any()


def test_a_matte_whose_pixels_are_not_square_is_not_sheared(shared_cases: Path) -> None:
    options = ClipOptions(short_side=288, multiple=32)
    clip = load_clip(shared_cases / "matte-nonsquare-pixels" / "clip.mov", options)
    target = MaskTarget.of(clip, options)
    masks = read_masks(MaskSource(shared_cases / "matte-nonsquare-pixels" / "matte.mov"), target)
    _, rows, columns = np.nonzero(masks)
    assert masks[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].mean() > 0.99  # an upright box


def test_a_matte_of_another_length_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch) -> None:
    save_video(tmp_path / "matte.mp4", np.zeros((3, 48, 64, 3), np.uint8), 8)
    monkeypatch.setattr("videograin.masks.video._read_planes", None)
    with pytest.raises(RegionError, match=r"'matte.mp4' has 3 masks for 5 frames"):
        read_masks(MaskSource(tmp_path / "matte.mp4"), frames_of(5, 48, 64))
