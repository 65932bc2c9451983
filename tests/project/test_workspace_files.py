import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_work import any_clip, make_clip, small_work, workspaces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from videograin.errors import ProjectError, VideoError, VideoGrainError
from videograin.media.npz import write_npz
from videograin.models.bundles import DEFAULT_MODEL
from videograin.project import workspace_files
from videograin.project.project import load_project
from videograin.project.workspace import MarkedObject, SavedResult, Workspace
from videograin.project.workspace_files import gather_files, load_workspace, save_workspace
from videograin.region import EditSettings

CLIPS = Path(__file__).parents[2] / "assets/clips"


def same(one: Workspace, other: Workspace) -> bool:
    """Whether two are equal with every array; `==` leaves the masks out."""
    return (
        one == other
        and one.masks.keys() == other.masks.keys()
        and all(
            np.array_equal(one.masks[number].masks, other.masks[number].masks)
            and np.array_equal(one.masks[number].confidence, other.masks[number].confidence)
            and one.masks[number].states == other.masks[number].states
            and one.masks[number].anchors == other.masks[number].anchors
            for number in one.masks
        )
    )


def files(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved folder of small work, the clip beside it."""
    save_workspace(small_work(make_clip(tmp_path)), tmp_path / "work")
    return tmp_path / "work"


def change(folder: Path, **changes: object) -> None:
    document = json.loads((folder / "project.json").read_text())
    (folder / "project.json").write_text(json.dumps(document | changes))


def object_file(folder: Path, number: int) -> Path:
    return next((folder / "masks").glob(f"{number}-*.npz"))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_is_saved_is_loaded_as_it_was(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("work")
    for work in data.draw(st.lists(workspaces(folder), min_size=1, max_size=3)):
        save_workspace(work, folder)
        loaded = load_workspace(folder)
        assert same(loaded.workspace, work)
        assert all("is gone" in problem for problem in loaded.problems)  # the strategy's clip and results
        stored = [file for file in files(folder) if file.startswith("masks/")]
        assert len(stored) >= len(work.masks)


def test_a_folder_can_be_moved(folder: Path, tmp_path: Path) -> None:
    work = gather_files(load_workspace(folder).workspace, folder)
    save_workspace(work, folder)
    (tmp_path / "holiday.mp4").unlink()
    folder.rename(tmp_path / "elsewhere")
    loaded = load_workspace(tmp_path / "elsewhere")
    assert not loaded.problems
    assert loaded.workspace.clip == tmp_path / "elsewhere" / "clip-1.mp4"
    assert len(loaded.workspace.load_regions(workspace_files.load_clip(loaded.workspace.clip, work.clip_options))) == 3


def test_only_masks_that_changed_are_written_anew(folder: Path) -> None:
    work = load_workspace(folder).workspace
    man, shirt = object_file(folder, 1), object_file(folder, 2)
    written = man.stat().st_mtime_ns
    save_workspace(replace(work, masks=dict(work.masks) | {2: work.masks[1]}), folder)
    assert man.stat().st_mtime_ns == written
    assert shirt.is_file()  # the save before is still whole
    save_workspace(replace(work, masks={1: work.masks[1]}), folder)
    save_workspace(replace(work, masks={1: work.masks[1]}), folder)
    assert files(folder) == {"project.json", "project.backup.json", f"masks/{man.name}"}


def test_a_save_that_breaks_off_leaves_the_one_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_workspace(folder).workspace
    for broken in ("store_masks", "write_whole", "_back_up"):
        with monkeypatch.context() as patch:
            patch.setattr(workspace_files, broken, lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                save_workspace(replace(before, masks={1: before.masks[2]}, source_prompt="new"), folder)
        assert same(load_workspace(folder).workspace, before)


def test_the_person_s_own_files_are_left_alone(folder: Path) -> None:
    for name in ("masks/mine.png", "masks/notes-1.npz", "thesis.txt"):
        (folder / name).touch()
    save_workspace(replace(load_workspace(folder).workspace, objects=(), masks={}), folder)
    assert {"masks/mine.png", "masks/notes-1.npz", "thesis.txt"} < files(folder)


def test_damaged_masks_of_one_object_lose_nothing_else(folder: Path) -> None:
    before = load_workspace(folder).workspace
    content = bytearray(object_file(folder, 2).read_bytes())
    content[len(content) // 2] ^= 255
    object_file(folder, 2).write_bytes(content)
    loaded = load_workspace(folder)
    assert len(loaded.problems) == 1
    assert loaded.problems[0].startswith("Object 'shirt' has lost its masks")
    assert same(loaded.workspace, replace(before, masks={1: before.masks[1]}))
    save_workspace(before, folder)  # the same content again: the damaged file is replaced
    assert not load_workspace(folder).problems


@pytest.mark.parametrize(
    "arrays",
    [
        {"packed": np.zeros((3, 64, 12), np.uint8)},
        {"packed": np.zeros((3, 64, 2), np.uint8), "width": np.array(96)},
        {"packed": np.zeros((3, 64, 12), np.uint8), "width": np.array(10**9)},
        {"packed": np.zeros((3, 64, 12), bool), "width": np.array(96)},
        {"packed": np.array(3), "width": np.array(96)},
        {"packed": np.zeros((3, 64, 12), np.uint8), "width": np.array(96), "confidence": np.ones(2, np.float32)},
    ],
)
def test_masks_that_are_something_else_are_told(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    rest = {
        "width": np.array(96),
        "confidence": np.ones(3, np.float32),
        "states": np.array([]),
        "anchors": np.array([]),
    }
    write_npz(object_file(folder, 1), arrays if len(arrays) == 1 else rest | arrays)
    loaded = load_workspace(folder)
    assert loaded.problems[0].startswith("Object 'man' has lost its masks: the file holds something else")
    assert list(loaded.workspace.masks) == [2]


def test_a_value_that_does_not_belong_keeps_its_default_and_is_told(folder: Path) -> None:
    objects = json.loads((folder / "project.json").read_text())["objects"]
    objects[0] |= {"strength": 9, "colour": 3, "clicks": [{"frame": 0, "x": 1, "y": 2}, "nonsense"]}
    settings = {"seed": "x", "num_inference_steps": 9}
    change(folder, objects=[*objects, 5], settings=settings, controls=["cany"], background=3, mood="good")
    loaded = load_workspace(folder)
    man = loaded.workspace.objects[0]
    assert (man.name, man.strength, man.colour, len(man.clicks)) == ("man", 1, "", 1)
    assert loaded.workspace.settings.num_inference_steps == 9
    assert (loaded.workspace.controls, loaded.workspace.background) == ((), "")
    assert set(loaded.workspace.masks) == {1, 2}
    told = "\n".join(loaded.problems)
    for words in (
        "Object 'man': strength is 9.0; choose 0 to 4",
        "objects[0].colour is 3; give a text",
        "objects[0].clicks[1] is 'nonsense'; give an object",
        "objects[3] is 5; give an object",
        "settings.seed is 'x'; give a whole number",
        "controls[0] is 'cany'; choose one of",
        "background is 3; give a text",
        "mood is unknown",
    ):
        assert words in told
    assert len(loaded.problems) == 8


def test_objects_of_one_number_are_both_kept(folder: Path) -> None:
    objects = json.loads((folder / "project.json").read_text())["objects"]
    objects[2]["id"] = 1
    change(folder, objects=objects)
    loaded = load_workspace(folder)
    assert [each.name for each in loaded.workspace.objects] == ["man", "shirt", "rest"]
    assert len({each.id for each in loaded.workspace.objects}) == 3
    assert loaded.problems[0].startswith("Object 'rest' has the number of another object")


@pytest.mark.parametrize("content", [b"", b'{"version": 2, "clip', b"[]", b'{"version": "\xff"}', None])
def test_behind_a_damaged_file_stands_the_save_before(folder: Path, content: bytes | None) -> None:
    before = load_workspace(folder).workspace
    save_workspace(replace(before, background="in the sun"), folder)
    if content is None:
        (folder / "project.json").unlink()
    else:
        (folder / "project.json").write_bytes(content)
    loaded = load_workspace(folder)
    assert same(loaded.workspace, before)
    assert "project.json" in loaded.problems[0]
    assert loaded.problems[0].endswith("The save before it is shown instead.")
    save_workspace(loaded.workspace, folder)
    assert load_workspace(folder).problems == ()


def test_a_damaged_file_without_a_save_before_is_named_and_left(folder: Path) -> None:
    (folder / "project.json").write_text('{"version": 2,\n  "clip" "x"}')
    with pytest.raises(ProjectError, match=r"'project\.json' is damaged at line 2, column 10"):
        load_workspace(folder)
    assert (folder / "project.json").read_text() == '{"version": 2,\n  "clip" "x"}'
    assert len(list((folder / "masks").iterdir())) == 2


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_ends_in_work_or_one_clear_error(folder: Path, data: st.DataObject) -> None:
    save_workspace(small_work(folder.parent / "holiday.mp4"), folder)
    (folder / "project.backup.json").unlink(missing_ok=True)
    document = json.loads((folder / "project.json").read_text())
    place: dict | list = document
    while True:
        key = data.draw(st.sampled_from(sorted(place))) if isinstance(place, dict) else len(place) - 1
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):  # pyright: ignore
            break
        place = place[key]  # pyright: ignore
    place[key] = data.draw(
        st.sampled_from([None, 3, -1.5, 10**400, "x", "a\0b", "\ud800", "x" * 300, [], [[]], {}, {"a": 1}, True])
    )  # pyright: ignore
    (folder / "project.json").write_text(json.dumps(document))
    try:
        loaded = load_workspace(folder, check=data.draw(st.sampled_from([None, any_clip])))
    except VideoGrainError:
        return
    assert isinstance(loaded.workspace, Workspace)


def test_a_missing_clip_is_told_and_nothing_is_lost(folder: Path) -> None:
    before = load_workspace(folder).workspace
    before.clip.unlink()
    loaded = load_workspace(folder)
    assert same(loaded.workspace, before)
    assert loaded.problems == (f"The clip '{before.clip.name}' is gone. Choose it again; all else is here.",)
    with pytest.raises(VideoError, match="There is no file"):
        gather_files(loaded.workspace, folder)


@pytest.mark.parametrize(("version", "told"), [(3, "version 3; this program reads 1 and 2"), (None, "version None")])
def test_a_version_from_the_future_is_named(folder: Path, version: object, told: str) -> None:
    change(folder, version=version)
    with pytest.raises(ProjectError, match=told):
        load_workspace(folder)


def test_a_folder_without_a_project_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="cannot be opened"):
        load_workspace(tmp_path)


def test_an_edit_s_folder_of_version_1_is_work_too(tmp_path: Path) -> None:
    shutil.copytree(CLIPS / "twins", tmp_path / "twins")
    old = load_workspace(tmp_path / "twins")
    project = load_project(tmp_path / "twins" / "project.json")
    assert not old.problems
    assert [each.prompt for each in old.workspace.objects] == [region.prompt for region in project.regions]
    save_workspace(old.workspace, tmp_path / "twins")
    assert same(load_workspace(tmp_path / "twins").workspace, old.workspace)
    assert json.loads((tmp_path / "twins" / "project.backup.json").read_text())["version"] == 1
    with pytest.raises(ProjectError, match="belongs to a whole folder of work"):
        load_project(tmp_path / "twins" / "project.json")


@pytest.mark.parametrize("clip", ["/etc/passwd", "../secret.mp4", "masks/../../secret.mp4", "link.mp4"])
def test_a_clip_outside_is_refused_where_the_folder_is_not_trusted(folder: Path, clip: str) -> None:
    (folder / "link.mp4").symlink_to("/etc/passwd")
    change(folder, clip=clip)
    assert load_workspace(folder).workspace.clip.is_absolute()
    with pytest.raises(ProjectError, match="outside of its folder; a project from elsewhere may not go there"):
        load_workspace(folder, check=any_clip)


def test_an_untrusted_folder_opens_nothing_but_its_own(folder: Path) -> None:
    work = gather_files(load_workspace(folder).workspace, folder)
    result = SavedResult(folder / "edit.mp4", "2026-01-01", "sd15", "a man", EditSettings())
    save_workspace(replace(work, results=(result,)), folder)
    (folder / "edit.mp4").touch()
    document = json.loads((folder / "project.json").read_text())
    outside = [document["results"][0] | {"video": "/etc/passwd"}]
    masks = [{"object": 1, "file": "../elsewhere.npz"}, document["masks"][1]]
    change(folder, results=outside, masks=masks, model="evil/weights", segmenter="/tmp/evil.pth", output="/etc/x.mp4")
    loaded = load_workspace(folder, check=any_clip)
    assert (loaded.workspace.model, loaded.workspace.segmenter) == (DEFAULT_MODEL, "")
    assert (loaded.workspace.results, loaded.workspace.output) == ((), None)
    assert list(loaded.workspace.masks) == [2]
    assert len(loaded.problems) == 4


def test_untrusted_edits_of_version_1_stay_in_their_folder(tmp_path: Path) -> None:
    shutil.copytree(CLIPS / "twins", tmp_path / "twins")
    assert not load_workspace(tmp_path / "twins", check=any_clip).problems
    document = json.loads((tmp_path / "twins" / "project.json").read_text())
    document["regions"][0]["masks"]["path"] = "../../masks.npz"
    (tmp_path / "twins" / "project.json").write_text(json.dumps(document))
    with pytest.raises(ProjectError, match=r"regions\[0\].masks.path is '../../masks.npz', outside"):
        load_workspace(tmp_path / "twins", check=any_clip)


def test_gathering_copies_once(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"first")
    result = SavedResult(tmp_path / "out.mp4", "2026-01-01", "sd15", "a man", EditSettings(seed=3))
    work = gather_files(replace(load_workspace(folder).workspace, results=(result,)), folder)
    (tmp_path / "out.mp4").write_bytes(b"second")
    work = gather_files(replace(work, results=(*work.results, result)), folder)
    save_workspace(work, folder)
    assert {"clip-1.mp4", "results/edit-1.mp4", "results/edit-2.mp4"} < files(folder)
    assert "clip-2.mp4" not in files(folder)
    assert [each.video.read_bytes() for each in load_workspace(folder).workspace.results] == [b"first", b"second"]


def test_a_folder_that_cannot_be_written_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ProjectError, match="cannot be written"):
        save_workspace(load_workspace(folder).workspace, tmp_path / "file")


def test_another_model_can_be_asked_for(folder: Path) -> None:
    assert load_workspace(folder, model="sd15").workspace.model == "sd15"


def test_an_object_without_masks_is_saved_with_its_clicks(tmp_path: Path) -> None:
    work = replace(small_work(make_clip(tmp_path)), masks={}, objects=(MarkedObject(4, "cat"),))
    save_workspace(work, tmp_path / "work")
    assert same(load_workspace(tmp_path / "work").workspace, work)
