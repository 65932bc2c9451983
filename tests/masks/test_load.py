from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mask_targets import frames_of, read_masks
from PIL import Image, PngImagePlugin
from synthetic_video import COUNTER, count_of, make, moving_scene

from videograin.errors import RegionError
from videograin.masks.export import save_indexed_pngs, save_png_folders
from videograin.masks.load import MaskSource, load_masks, load_objects
from videograin.masks.planes import read_plane
from videograin.masks.target import MaskTarget, fit_masks
from videograin.media.encode import save_video
from videograin.media.video import Clip, ClipOptions, load_clip


def save_masks(folder: Path, masks: np.ndarray, names: str = "{}.png") -> Path:
    folder.mkdir()
    for index, mask in enumerate(masks):
        Image.fromarray(mask).save(folder / names.format(index))
    return folder


@pytest.fixture(scope="module")
def wide_clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """3 frames of 88×64, loaded as 64×64: the sides are cropped."""
    path = tmp_path_factory.mktemp("clip") / "wide.mp4"
    save_video(path, moving_scene(3, 64, 88), 8)
    return load_clip(path, OPTIONS)


OPTIONS = ClipOptions(short_side=64, multiple=64)


def test_frames_of_a_folder_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    masks = np.zeros((12, 4, 12), np.uint8)
    masks[np.arange(12), :, np.arange(12)] = 255
    loaded = read_masks(MaskSource(save_masks(tmp_path / "masks", masks)), frames_of(12, 4, 12))
    assert np.array_equal(loaded, masks > 0)


def test_one_picture_stands_for_all_frames(tmp_path: Path, wide_clip: Clip) -> None:
    folder = save_masks(tmp_path / "masks", np.eye(64, dtype=np.uint8)[None] * 255)
    masks = read_masks(MaskSource(folder / "0.png"), MaskTarget.of(wide_clip, OPTIONS))
    assert masks.shape == (3, 64, 64)
    assert masks.all(0).sum() == 64


def test_masks_that_stay_as_they_are_stored_are_as_large_as_the_largest(tmp_path: Path) -> None:
    for number, side in enumerate((2, 4)):
        save_masks(tmp_path / str(number), np.eye(side, dtype=np.uint8)[None] * 255)
        (tmp_path / str(number) / "0.png").rename(tmp_path / f"{number:05}.png")
        (tmp_path / str(number)).rmdir()
    masks = read_masks(MaskSource(tmp_path), replace(frames_of(2, 2, 2), as_stored=True))
    assert masks.shape == (2, 4, 4)
    assert masks.sum((1, 2)).tolist() == [8, 4]


def test_a_label_picks_one_object_of_indexed_pictures(tmp_path: Path) -> None:
    indices = np.array([[0, 1], [2, 2]], np.uint8)
    image = Image.fromarray(indices)
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    image.save(tmp_path / "davis.png")
    target = frames_of(1, 2, 2)
    assert read_masks(MaskSource(tmp_path / "davis.png", label=2), target).tolist() == [[[False, False], [True, True]]]
    assert read_masks(MaskSource(tmp_path / "davis.png"), target).sum() == 3


def test_what_several_regions_name_is_decoded_once(tmp_path: Path, monkeypatch) -> None:
    folder = save_masks(tmp_path / "masks", np.array([[[0, 1], [2, 2]]] * 3, np.uint8))
    decoded = []
    monkeypatch.setattr(
        "videograin.masks.load.read_plane", lambda file, target: (decoded.append(file), read_plane(file, target))[1]
    )
    masks = load_masks([MaskSource(folder, label=label) for label in (2, 1, 3)], frames_of(3, 2, 2))
    assert [int(mask.sum()) for mask in masks] == [6, 3, 0]
    assert len(decoded) == 3


@pytest.mark.parametrize("white", [1, 255])
def test_masks_of_ones_and_of_white_both_count(tmp_path: Path, white: int) -> None:
    folder = save_masks(tmp_path / "masks", np.full((1, 2, 2), white, np.uint8))
    assert read_masks(MaskSource(folder), frames_of(1, 2, 2)).all()


def test_arrays_are_read_by_key(tmp_path: Path) -> None:
    left, right = np.zeros((3, 4, 4), bool), np.ones((3, 4, 4), bool)
    np.savez(tmp_path / "masks.npz", left=left, right=right)
    assert read_masks(MaskSource(tmp_path / "masks.npz", key="right"), frames_of(3, 4, 4)).all()
    with pytest.raises(RegionError, match="Set the key to one of: left, right"):
        read_masks(MaskSource(tmp_path / "masks.npz"), frames_of(3, 4, 4))


def test_a_pickle_within_an_npz_is_not_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "masks.npz", masks=np.array([print], dtype=object))
    with pytest.raises(RegionError, match="dtype object"):
        read_masks(MaskSource(tmp_path / "masks.npz"), frames_of(3, 4, 4))


def test_masks_of_the_source_are_cropped_as_the_clip(wide_clip: Clip) -> None:
    masks = np.zeros((3, 128, 176), bool)  # twice the source's size
    masks[:, :, 24:26] = True  # the first column that the crop leaves
    fitted = fit_masks(masks, wide_clip, OPTIONS, "dog")
    assert fitted.shape == (3, 64, 64)
    assert fitted[:, :, 0].all()
    assert not fitted[:, :, 1:].any()


def test_a_wrong_number_of_masks_is_named(wide_clip: Clip) -> None:
    with pytest.raises(RegionError, match="Region 'dog' has 2 masks for 3 frames"):
        fit_masks(np.ones((2, 64, 64), bool), wide_clip, OPTIONS, "dog")


def test_masks_of_other_proportions_are_refused(wide_clip: Clip) -> None:
    with pytest.raises(RegionError, match="masks of 50×64 pixels but the video is 88×64"):
        fit_masks(np.ones((3, 64, 50), bool), wide_clip, OPTIONS, "dog")


def test_masks_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "broken.npz").write_bytes(b"no arrays")
    for name, problem in (("broken.png", "cannot be read"), ("broken.npz", "cannot be read"), ("gone", "no masks at")):
        with pytest.raises(RegionError, match=problem):
            read_masks(MaskSource(tmp_path / name), frames_of(3, 4, 4))
    for name, remedy in (("a.zip", "Unpack it and name the folder"), ("a.doc", "is no file of masks")):
        (tmp_path / name).touch()
        with pytest.raises(RegionError, match=remedy):
            read_masks(MaskSource(tmp_path / name), frames_of(3, 4, 4))
    (tmp_path / "empty").mkdir()
    with pytest.raises(RegionError, match="no masks in 'empty'"):
        read_masks(MaskSource(tmp_path / "empty"), frames_of(3, 4, 4))
    np.savez(tmp_path / "floats.npz", masks=np.ones((3, 4, 4)))
    with pytest.raises(RegionError, match="dtype float64"):
        read_masks(MaskSource(tmp_path / "floats.npz"), frames_of(3, 4, 4))


def test_masks_of_several_sizes_are_refused_before_any_is_decoded(tmp_path: Path) -> None:
    folder = save_masks(tmp_path / "masks", np.ones((2, 4, 4), np.uint8))
    Image.fromarray(np.ones((5, 7), np.uint8)).save(folder / "2.png")
    (folder / "0.png").write_bytes((folder / "0.png").read_bytes()[:-20])  # its header is whole, its pixels are not
    with pytest.raises(RegionError, match=r"'2\.png' has masks of 7×5 pixels but the video is 4×4"):
        read_masks(MaskSource(folder), frames_of(3, 4, 4))


def test_of_several_folders_all_are_checked_before_any_is_decoded(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "all").mkdir()
    for name, frames in (("cat", 2), ("dog", 3)):
        save_masks(tmp_path / "all" / name, np.ones((frames, 4, 4), np.uint8))
    monkeypatch.setattr("videograin.masks.load.read_plane", None)
    with pytest.raises(RegionError, match="'dog' has 3 masks for 2 frames"):
        load_objects(tmp_path / "all", frames_of(2, 4, 4))


def test_masks_of_another_clip_are_refused_by_their_number_first(tmp_path: Path) -> None:
    folder = save_masks(tmp_path / "masks", np.ones((3, 4, 4), np.uint8))
    (folder / "1.png").write_bytes(b"broken")
    with pytest.raises(RegionError, match="'masks' has 3 masks for 2 frames"):
        read_masks(MaskSource(folder), frames_of(2, 4, 4))
    np.save(tmp_path / "masks.npy", np.ones((3, 4, 4), np.uint8))
    with pytest.raises(RegionError, match=r"'masks.npy' has 3 masks for 2 frames"):
        read_masks(MaskSource(tmp_path / "masks.npy"), frames_of(2, 4, 4))


def test_a_picture_far_larger_than_the_video_is_refused_by_its_header(tmp_path: Path) -> None:
    Image.new("1", (9000, 8667)).save(tmp_path / "huge.png")
    with pytest.raises(RegionError, match="masks of 9000×8667 pixels; 16 million pixels are allowed"):
        read_masks(MaskSource(tmp_path / "huge.png"), frames_of(4, 64, 96))


def test_pictures_are_opened_as_png_or_jpeg_and_as_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EOF\n")
    Image.new("L", (4, 4)).save(tmp_path / "gif.png", format="GIF")
    texts = PngImagePlugin.PngInfo()
    texts.add_text("bomb", "x" * (2 << 20), zip=True)
    Image.new("L", (4, 4)).save(tmp_path / "text.png", pnginfo=texts)
    for name in ("script", "gif", "text"):
        with pytest.raises(RegionError, match=rf"'{name}\.png' cannot be read: it is damaged or no PNG or JPEG"):
            read_masks(MaskSource(tmp_path / f"{name}.png"), frames_of(3, 4, 4))


@pytest.mark.parametrize(
    "options",
    [{"start": 0.5}, {"start": 0.5, "end": 1.0}, {"fps": 3.0, "start": 0.3}, {"stride": 3}, {"max_frames": 4}],
)
@pytest.mark.parametrize("kind", ["pictures", "array", "video"])
def test_of_masks_of_the_whole_video_those_of_the_clip_s_frames_are_taken(tmp_path: Path, options, kind: str) -> None:
    masks = np.zeros((16, 64, 64), np.uint8)
    for frame in range(16):
        masks[frame, :, 4 * frame : 4 * frame + 4] = 255
    save_video(tmp_path / "clip.mp4", np.repeat(masks[..., None], 3, -1), 8)
    if kind == "pictures":
        source = save_masks(tmp_path / "masks", masks)
    elif kind == "array":
        source = tmp_path / "masks.npy"
        np.save(source, masks)
    else:
        source = tmp_path / "clip.mp4"
    chosen = ClipOptions(short_side=None, multiple=1, **options)
    clip = load_clip(tmp_path / "clip.mp4", chosen)
    shown = read_masks(MaskSource(source), MaskTarget.of(clip, chosen))
    assert np.array_equal(shown, clip.frames[..., 0] > 127)


@pytest.mark.parametrize("options", [{"start": 0.5, "end": 1.0}, {"start": 0.5}, {"start": 0.5, "fps": 5.0}])
def test_masks_of_the_whole_video_are_known_where_its_sound_is_longer_than_its_picture(tmp_path: Path, options) -> None:
    video = make(tmp_path / "clip.mp4", "color=gray:s=64x64:r=30:d=2", "-f", "lavfi", "-i", "sine=d=2.1")
    chosen = ClipOptions(short_side=None, multiple=1, **options)
    clip = load_clip(video, chosen)
    numbers = np.arange(60, dtype=np.uint8)[:, None, None].repeat(64, 1).repeat(64, 2)
    np.save(tmp_path / "masks.npy", numbers)
    step = round(30 / clip.fps)
    for number, mask in enumerate(numbers[15::step][: len(clip.frames)]):
        source = MaskSource(tmp_path / "masks.npy", label=int(mask[0, 0]))
        shown = np.flatnonzero(read_masks(source, MaskTarget.of(clip, chosen)).all((1, 2)))
        assert shown.tolist() == [number]
    with pytest.raises(RegionError, match="has 40 masks"):
        MaskTarget.of(clip, chosen).places(40, "it")


@pytest.mark.parametrize("options", [{}, {"start": 0.2, "max_frames": 9}, {"fps": 10.0}])
@pytest.mark.parametrize("kind", ["pictures", "array"])
def test_masks_of_another_program_follow_the_times_of_the_file_s_own_frames(tmp_path: Path, kind: str, options) -> None:
    gap = "select='not(between(n,6,12))'"  # frames at 25 a second, but for seven
    video = make(tmp_path / "clip.mp4", f"{COUNTER},{gap}", "-fps_mode", "vfr", "-bf", "2", "-crf", "1")
    numbers = [number for number in range(50) if not 6 <= number <= 12]
    masks = np.zeros((len(numbers), 64, 96), np.uint8)
    for number, mask in zip(numbers, masks, strict=True):
        mask[:, number] = 255
    if kind == "pictures":
        source = save_masks(tmp_path / "masks", masks)
    else:
        source = tmp_path / "masks.npy"
        np.save(source, masks)
    chosen = ClipOptions(short_side=None, multiple=1, **options)
    clip = load_clip(video, chosen)
    found = read_masks(MaskSource(source), MaskTarget.of(clip, chosen))
    assert found.argmax(2)[:, 0].tolist() == count_of(clip.frames)


def test_exported_masks_come_back_as_those_of_the_frames_that_they_were_made_of(tmp_path: Path) -> None:
    video = make(tmp_path / "clip.mp4", f"{COUNTER},select='not(between(n,6,12))'", "-fps_mode", "vfr")
    chosen = ClipOptions(short_side=None, multiple=1)
    clip = load_clip(video, chosen)
    masks = np.zeros(clip.frames.shape[:3], bool)
    for frame, mask in enumerate(masks):
        mask[:, frame] = True
    target = MaskTarget.of(clip, chosen)
    for save in (save_png_folders, save_indexed_pngs):
        folder = tmp_path / save.__name__
        save(folder, {"ball": masks})
        [found] = load_objects(folder, target).masks.values()
        assert np.array_equal(found, masks)
