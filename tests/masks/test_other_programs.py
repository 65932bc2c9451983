"""Masks as other programs write them: what they mean is decided once, and said."""

import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mask_targets import frames_of
from PIL import Image

from videograin.errors import RegionError
from videograin.masks.export import davis_palette
from videograin.masks.load import MASK_FILES, load_objects
from videograin.media.video import ClipOptions
from videograin.project.archive import unpack_archive

CASES = frames_of(8, 256, 256)
SMALL = frames_of(2, 24, 32)
LEFT, RIGHT = np.zeros((2, 24, 32), bool), np.zeros((2, 24, 32), bool)
LEFT[:, 6:18, 2:12] = True
RIGHT[:, 6:18, 16:28] = True
LABELS = LEFT + 2 * RIGHT.astype(np.uint8)


def shares(masks: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {name: round(float(mask[0].mean()), 4) for name, mask in masks.items()}


def save(folder: Path, planes: np.ndarray, mode: str | None = None, ending: str = "png") -> Path:
    folder.mkdir(parents=True)
    for index, plane in enumerate(planes):
        image = Image.fromarray(plane)
        if mode == "P":
            image.putpalette(davis_palette().tobytes())
        image.save(folder / f"{index:05}.{ending}", format="JPEG" if ending == "jpg" else "PNG")
    return folder


def zipped(folder: Path, tmp_path: Path) -> Path:
    """Pack a folder with its name, as systems do, and unpack it as an upload is."""
    with zipfile.ZipFile(tmp_path / "upload.zip", "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder.parent))
    unpack_archive(tmp_path / "upload.zip", tmp_path / "unpacked", MASK_FILES)
    return tmp_path / "unpacked"


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("one-object-with-void", {"masks": 0.0649}),
        ("rgb-coloured-labels", {"1": 0.0732, "2": 0.0824}),
        ("rgba-cutout", {"masks": 0.0732}),
        ("bw-palette-reversed", {"masks": 0.0732}),
        ("png8-grey-edges", {"masks": 0.0732}),
        ("jpg-masks", {"masks": 0.0732}),
        ("appledouble", {"masks": 0.0732}),
    ],
)
def test_shared_files_of_other_programs_are_read(shared_cases: Path, case: str, expected: dict[str, float]) -> None:
    found = shares(load_objects(shared_cases / case / "masks", CASES).masks)
    assert found == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize("name", ["flat", "wrapped"])
def test_labels_are_found_however_the_archive_is_packed(shared_cases: Path, tmp_path: Path, name: str) -> None:
    unpack_archive(shared_cases / "davis-zip-wrapped" / f"{name}.zip", tmp_path / "masks", MASK_FILES)
    assert shares(load_objects(tmp_path / "masks", CASES).masks) == {"1": 0.0732, "2": 0.0824}


def same(found: Mapping[str, np.ndarray], **expected: np.ndarray) -> bool:
    names = {name.removeprefix("_").replace("_", " "): mask for name, mask in expected.items()}
    return list(found) == list(names) and all(np.array_equal(found[name], names[name]) for name in names)


def test_deep_folders_of_labels_beside_the_frames_they_belong_to(tmp_path: Path) -> None:
    save(tmp_path / "davis/Annotations/480p/swing", LABELS, "P")
    save(tmp_path / "davis/JPEGImages/480p/swing", np.full((2, 24, 32, 3), 90, np.uint8), ending="jpg")
    found = load_objects(zipped(tmp_path / "davis", tmp_path), SMALL)
    assert same(found.masks, _1=LEFT, _2=RIGHT)
    assert found.note == "2 objects read: each entry of the palette is an object."


@pytest.mark.parametrize("mode", ["P", None])
def test_255_beside_small_labels_is_void_and_said(tmp_path: Path, mode: str | None) -> None:
    planes = LABELS.copy()
    planes[:, 0] = 255
    found = load_objects(save(tmp_path / "masks", planes, mode), SMALL)
    assert same(found.masks, _1=LEFT, _2=RIGHT)
    assert found.note.endswith("255 taken as void.")


@pytest.mark.parametrize(("low", "high"), [(100, 200), (63, 64), (300, 40_000)])
def test_labels_above_62_are_objects_too(tmp_path: Path, low: int, high: int) -> None:
    planes = (LEFT * low + RIGHT * high).astype(np.uint16 if high > 255 else np.uint8)
    assert same(load_objects(save(tmp_path / "masks", planes), SMALL).masks, **{f"_{low}": LEFT, f"_{high}": RIGHT})


def test_more_labels_than_an_edit_has_regions_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "masks.npy", np.kron(np.arange(80).reshape(8, 10), np.ones((4, 4), int)))
    with pytest.raises(RegionError, match="79 objects; at most 62"):
        load_objects(tmp_path / "masks.npy", frames_of(1, 32, 40))


def test_coloured_labels_keep_their_soft_edges_to_the_nearer_colour(tmp_path: Path) -> None:
    colours = np.array([[0, 0, 0], [250, 20, 30], [10, 90, 240]], np.uint8)[LABELS]
    colours[:, 5, 2:12] = [200, 16, 24]  # an edge, nearer to the first
    colours[:, 18, 16:28] = [2, 9, 24]  # an edge, nearer to black
    found = load_objects(save(tmp_path / "masks", colours), SMALL)
    edge = LEFT.copy()
    edge[:, 5, 2:12] = True
    assert list(found.masks) == ["#0a5af0", "#fa141e"]
    assert np.array_equal(found.masks["#fa141e"], edge)
    assert np.array_equal(found.masks["#0a5af0"], RIGHT)
    assert found.note == "2 objects read: each colour is an object, black is the background."


def test_photographs_are_not_taken_for_masks(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (2, 24, 32, 3), np.uint8)
    for ending in ("png", "jpg"):
        with pytest.raises(RegionError, match="is a picture in colour, not a mask"):
            load_objects(save(tmp_path / ending, noise, ending=ending), SMALL)


def test_cvat_s_instances_win_and_are_named_by_their_classes(tmp_path: Path) -> None:
    palette = davis_palette()
    save(tmp_path / "job/SegmentationObject", palette[LABELS])
    save(tmp_path / "job/SegmentationClass", np.array([[0, 0, 0], [250, 50, 83]], np.uint8)[(LABELS > 0).astype(int)])
    table = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,50,83::\n"
    (tmp_path / "job/labelmap.txt").write_text(table)
    assert same(load_objects(zipped(tmp_path / "job", tmp_path), SMALL).masks, cat=LEFT, cat_2=RIGHT)
    shutil.rmtree(tmp_path / "job/SegmentationObject")
    assert same(load_objects(tmp_path / "job", SMALL).masks, cat=LEFT | RIGHT)


def test_each_folder_of_pictures_is_an_object(tmp_path: Path) -> None:
    save(tmp_path / "masks/cat", LEFT)
    save(tmp_path / "masks/dog", RIGHT * np.uint8(255))
    assert same(load_objects(tmp_path / "masks", SMALL).masks, cat=LEFT, dog=RIGHT)


@pytest.mark.parametrize("ending", ["PNG", "npy"])
def test_capital_endings_and_arrays_of_each_frame_are_read(tmp_path: Path, ending: str) -> None:
    folder = save(tmp_path / "masks", LABELS, "P", ending)
    if ending == "npy":
        for index, plane in enumerate(LABELS):
            (folder / f"{index:05}.npy").unlink()
            np.save(folder / f"{index:05}.npy", plane)
    assert same(load_objects(zipped(folder, tmp_path), SMALL).masks, _1=LEFT, _2=RIGHT)


def test_a_single_picture_in_an_archive_stands_for_all_frames(tmp_path: Path) -> None:
    folder = save(tmp_path / "masks", LEFT[:1])
    assert same(load_objects(zipped(folder, tmp_path), SMALL).masks, masks=LEFT)


def test_an_empty_frame_may_be_stored_in_another_mode_than_the_rest(tmp_path: Path) -> None:
    folder = save(tmp_path / "masks", LABELS, "P")
    Image.new("1", (32, 24)).save(folder / "00001.png")
    shown = np.array([[[True]], [[False]]])
    assert same(load_objects(folder, SMALL).masks, _1=LEFT & shown, _2=RIGHT & shown)


COCO = {
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    "images": [
        {"id": 8, "file_name": "10.jpg", "width": 32, "height": 24},
        {"id": 7, "file_name": "9.jpg", "width": 32, "height": 24},
    ],
    "annotations": [
        {"image_id": 7, "category_id": 1, "segmentation": [[2, 6, 12, 6, 12, 18, 2, 18]]},
        {"image_id": 8, "category_id": 1, "segmentation": {"size": [24, 32], "counts": [54, *[12, 12] * 9, 12, 486]}},
        {"image_id": 8, "category_id": 2, "attributes": {"track_id": 4},
         "segmentation": {"size": [24, 32], "counts": "V<<<000000000000000000000j2"}},
    ],
}  # fmt: skip


def test_polygons_and_run_lengths_of_coco_are_read(tmp_path: Path) -> None:
    (tmp_path / "coco.json").write_text(json.dumps(COCO))
    found = load_objects(tmp_path / "coco.json", SMALL).masks
    assert list(found) == ["cat", "dog 4"]
    assert np.array_equal(found["cat"], LEFT)
    assert np.array_equal(found["dog 4"][1], RIGHT[1])
    assert not found["dog 4"][0].any()


def test_of_coco_s_objects_those_with_a_box_alone_have_no_pixel_and_a_file_of_boxes_is_refused(tmp_path: Path) -> None:
    boxes = [{**each, "segmentation": [], "bbox": [2, 6, 10, 12]} for each in COCO["annotations"]]
    half = replace(SMALL, shape=(2, 12, 16), options=ClipOptions(short_side=12, multiple=4))
    (tmp_path / "some.json").write_text(json.dumps({**COCO, "annotations": [COCO["annotations"][0], *boxes[1:]]}))
    assert load_objects(tmp_path / "some.json", half).masks["cat"].any((1, 2)).tolist() == [True, False]
    (tmp_path / "boxes.json").write_text(json.dumps({**COCO, "annotations": boxes}))
    with pytest.raises(RegionError, match=r"'boxes\.json' holds boxes alone"):
        load_objects(tmp_path / "boxes.json", half)


def test_frames_beside_coco_s_file_are_no_masks_and_another_list_beside_masks_is_none_of_coco_s(tmp_path: Path) -> None:
    save(tmp_path / "cvat/images", np.full((2, 24, 32, 3), 90, np.uint8), ending="jpg")
    (tmp_path / "cvat/annotations").mkdir()
    (tmp_path / "cvat/annotations/instances_default.json").write_text(json.dumps(COCO))
    assert list(load_objects(zipped(tmp_path / "cvat", tmp_path), SMALL).masks) == ["cat", "dog 4"]
    save(tmp_path / "vos/swing", LABELS, "P")
    (tmp_path / "vos/meta.json").write_text('{"videos": {}}')
    assert same(load_objects(tmp_path / "vos", SMALL).masks, _1=LEFT, _2=RIGHT)


def test_json_that_is_empty_or_none_of_coco_s_is_named(shared_cases: Path, tmp_path: Path) -> None:
    with pytest.raises(RegionError, match=r"'a\.json' holds no annotation"):
        load_objects(shared_cases / "coco-json/a.json", CASES)
    unpack_archive(shared_cases / "coco-json/a.zip", tmp_path / "masks", MASK_FILES)
    with pytest.raises(RegionError, match=r"'instances_default\.json'"):
        load_objects(tmp_path / "masks", CASES)
    for content in ("[1]", "{", '{"images": [{}], "annotations": [3]}', '{"images": 3, "annotations": [3]}'):
        (tmp_path / "x.json").write_text(content)
        with pytest.raises(RegionError, match=r"'x\.json'"):
            load_objects(tmp_path / "x.json", SMALL)


@pytest.mark.parametrize("shape", [(0, 0), (2, 0, 4), (3,), (1, 2, 3, 4)])
def test_arrays_without_a_pixel_are_refused_in_plain_words(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.savez(tmp_path / "masks.npz", masks=np.zeros(shape, np.uint8))
    with pytest.raises(RegionError, match=r"Array 'masks' of 'masks\.npz' has shape"):
        load_objects(tmp_path / "masks.npz", SMALL)
