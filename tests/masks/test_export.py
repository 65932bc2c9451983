import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_targets import frames_of, read_masks
from PIL import Image

from videograin.errors import ProjectError, RegionError
from videograin.masks.export import davis_palette, save_indexed_pngs, save_npz, save_png_folders
from videograin.masks.load import MaskSource, load_objects
from videograin.masks.target import MaskTarget


@st.composite
def objects_of(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """Overlapping objects of a small clip, some of them empty or everywhere."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 5), st.integers(1, 5)))
    names = draw(st.lists(st.sampled_from(["left man", "犬", "file", "a.npy", "a", "0"]), min_size=2, unique=True))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return {name: random.random(shape) < draw(st.sampled_from([0, 0.5, 1])) for name in names}


def frames_for(objects: Mapping[str, np.ndarray]) -> MaskTarget:
    return frames_of(*next(iter(objects.values())).shape)


def same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@settings(max_examples=30, deadline=None)
@given(objects_of())
def test_pictures_of_each_object_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, objects: dict[str, np.ndarray]
) -> None:
    folder = tmp_path_factory.mktemp("masks")
    save_png_folders(folder, objects)
    assert same(load_objects(folder, frames_for(objects)).masks, objects)
    for name, masks in objects.items():
        assert np.array_equal(read_masks(MaskSource(folder / name), frames_for(objects)), masks)


@settings(max_examples=30, deadline=None)
@given(objects_of())
def test_arrays_come_back_exactly(tmp_path_factory: pytest.TempPathFactory, objects: dict[str, np.ndarray]) -> None:
    file = tmp_path_factory.mktemp("masks") / "masks.npz"
    save_npz(file, objects)
    assert same(load_objects(file, frames_for(objects)).masks, objects)
    for name, masks in objects.items():
        assert np.array_equal(read_masks(MaskSource(file, key=name), frames_for(objects)), masks)


@settings(max_examples=30, deadline=None)
@given(objects_of())
def test_indexed_pictures_keep_what_shows_of_each_object(
    tmp_path_factory: pytest.TempPathFactory, objects: dict[str, np.ndarray]
) -> None:
    folder = tmp_path_factory.mktemp("masks")
    save_indexed_pngs(folder, objects)
    above = np.zeros_like(next(iter(objects.values())))
    for label in range(len(objects), 0, -1):
        masks = list(objects.values())[label - 1]
        assert np.array_equal(read_masks(MaskSource(folder, label=label), frames_for(objects)), masks & ~above)
        above |= masks


def test_objects_of_indexed_pictures_are_found_by_their_values(tmp_path: Path) -> None:
    left = np.zeros((11, 4, 6), bool)
    left[:, :, :2] = True
    save_indexed_pngs(tmp_path / "davis", {"left": left, "right": ~left, "patch": left & left[:, :, ::-1]})
    assert same(load_objects(tmp_path / "davis", frames_of(11, 4, 6)).masks, {"1": left, "2": ~left})


def test_indexed_pictures_are_those_of_davis(tmp_path: Path) -> None:
    save_indexed_pngs(tmp_path / "davis", {"dog": np.ones((1, 2, 2), bool)})
    with Image.open(tmp_path / "davis" / "00000.png") as image:
        assert image.mode == "P"
        assert (image.getpalette() or [])[:6] == [0, 0, 0, 128, 0, 0]
    assert davis_palette()[[2, 3, 4, 8, 9, 16, 255]].tolist() == [
        [0, 128, 0],
        [128, 128, 0],
        [0, 0, 128],
        [64, 0, 0],
        [192, 0, 0],
        [0, 64, 0],
        [224, 224, 192],
    ]


def test_one_object_is_named_after_its_file(tmp_path: Path) -> None:
    masks = np.eye(4, dtype=bool)[None]
    save_indexed_pngs(tmp_path / "bear", {"dog": masks})
    target = frames_of(1, 4, 4)
    assert same(load_objects(tmp_path / "bear", target).masks, {"bear": masks})
    assert same(load_objects(tmp_path / "bear" / "00000.png", target).masks, {"00000": masks})
    save_npz(tmp_path / "masks.npz", {"dog": masks})
    assert same(load_objects(tmp_path / "masks.npz", target).masks, {"dog": masks})


def test_shades_of_grey_are_one_object(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 90, 140, 255]], np.uint8)).save(tmp_path / "soft.png")
    assert load_objects(tmp_path / "soft.png", frames_of(1, 1, 4)).masks["soft"].tolist() == [
        [[False, False, True, True]]
    ]


def test_an_unlabelled_border_is_no_object(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 1, 2, 255]], np.uint8)).save(tmp_path / "void.png")
    assert list(load_objects(tmp_path / "void.png", frames_of(1, 1, 4)).masks) == ["1", "2"]


def test_masks_are_enlarged_one_by_one_while_they_are_written(tmp_path: Path) -> None:
    masks = np.zeros((40, 8, 8), bool)
    masks[:, 2:6, 3:7] = True
    tracemalloc.start()
    save_png_folders(tmp_path / "masks", {"dog": masks}, (512, 512))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * 512 * 512 * np.float32().nbytes
    written = np.asarray(Image.open(tmp_path / "masks/dog/00039.png")) > 0
    assert np.array_equal(written[32::64, 32::64], masks[0])


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    for save in (save_png_folders, save_indexed_pngs):
        with pytest.raises(ProjectError, match="cannot be written"):
            save(tmp_path, {"dog": np.ones((1, 2, 2), bool)})
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("save", [save_png_folders, save_indexed_pngs, save_npz])
def test_nothing_to_save_is_said_and_nothing_is_written(tmp_path: Path, save) -> None:
    with pytest.raises(RegionError, match="There is no region"):
        save(tmp_path / "masks.npz", {})
    with pytest.raises(RegionError, match="several shapes"):
        save(tmp_path / "masks.npz", {"one": np.ones((1, 2, 2), bool), "two": np.ones((2, 2, 2), bool)})
    assert not list(tmp_path.iterdir())


def test_what_other_programs_leave_in_a_folder_is_no_object(tmp_path: Path) -> None:
    objects = {"dog": np.ones((2, 3, 3), bool)}
    save_png_folders(tmp_path / "masks", objects)
    for name in ("__MACOSX", ".thumbnails"):
        (tmp_path / "masks" / name).mkdir()
    assert same(load_objects(tmp_path / "masks", frames_for(objects)).masks, objects)


def test_files_without_masks_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "none.npz")
    with pytest.raises(RegionError, match=r"none\.npz' holds no array"):
        load_objects(tmp_path / "none.npz", frames_of(1, 2, 2))
    with pytest.raises(RegionError, match=r"no masks at '.*gone'"):
        load_objects(tmp_path / "gone", frames_of(1, 2, 2))
