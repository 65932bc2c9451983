import json
import shutil
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_work import any_clip, make_clip, small_work
from hypothesis import given, settings
from hypothesis import strategies as st

from videograin.errors import ProjectError, RegionError, VideoError, VideoGrainError
from videograin.media.video import ClipOptions
from videograin.project import archive
from videograin.project.archive import export_workspace, import_workspace, pack_folder, unpack_archive
from videograin.project.workspace import SavedResult
from videograin.project.workspace_files import load_workspace
from videograin.region import EditSettings

CLIPS = Path(__file__).parents[2] / "assets/clips"


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """An archive of small work, alone in its folder."""
    (tmp_path / "here").mkdir()
    export_workspace(small_work(make_clip(tmp_path / "here")), tmp_path / "work.zip")
    shutil.rmtree(tmp_path / "here")
    return tmp_path / "work.zip"


def pack(path: Path, **contents: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in contents.items():
            file.writestr(name, content)
    return path


def test_work_arrives_whole_on_another_machine(packed: Path, tmp_path: Path) -> None:
    loaded = import_workspace(packed, tmp_path / "there", any_clip)
    assert not loaded.problems
    assert loaded.workspace.clip == tmp_path / "there" / "clip-1.mp4"
    original = small_work(loaded.workspace.clip)
    assert loaded.workspace == original
    assert all(np.array_equal(loaded.workspace.masks[n].masks, original.masks[n].masks) for n in (1, 2))
    assert load_workspace(tmp_path / "there").workspace == original


def test_results_travel_unless_they_are_gone(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"video")
    here, gone = (
        SavedResult(tmp_path / name, "2026-01-01", "sd15", "a man", EditSettings()) for name in ("out.mp4", "gone.mp4")
    )
    work = replace(small_work(make_clip(tmp_path)), results=(here, gone), output=tmp_path / "out.mp4")
    export_workspace(work, tmp_path / "work.zip")
    (result,) = import_workspace(tmp_path / "work.zip", tmp_path / "there", any_clip).workspace.results
    assert result.video.read_bytes() == b"video"


def test_work_without_its_clip_is_not_packed(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="There is no file"):
        export_workspace(small_work(tmp_path / "gone.mp4"), tmp_path / "work.zip")
    assert not list(tmp_path.iterdir())


def test_a_folder_packed_by_hand_is_read(tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "friends"), "zip", CLIPS, "friends")
    with zipfile.ZipFile(tmp_path / "friends.zip", "a") as file:
        file.writestr("__MACOSX/friends/._clip.mp4", b"junk")
    loaded = import_workspace(tmp_path / "friends.zip", tmp_path / "there", any_clip)
    assert not loaded.problems
    assert len(loaded.workspace.masks) == len(loaded.workspace.objects) >= 2


@pytest.mark.parametrize(
    "name", ["../evil.json", "/etc/evil.json", "masks/../../evil.json", "C:/evil.json", "..\\evil.json", "\\evil.json"]
)
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    pack(tmp_path / "evil.zip", **{"project.json": b"{}", name: b"{}"})
    with pytest.raises(ProjectError, match="a place outside of its folder"):
        import_workspace(tmp_path / "evil.zip", tmp_path / "there", any_clip)
    assert [file.name for file in tmp_path.iterdir()] == ["evil.zip"]


def test_a_link_arrives_as_a_plain_file(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("clip.mp4")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as file:
        file.writestr(entry, "/etc/passwd")
    unpack_archive(tmp_path / "link.zip", tmp_path / "there")
    assert not (tmp_path / "there" / "clip.mp4").is_symlink()
    assert (tmp_path / "there" / "clip.mp4").read_text() == "/etc/passwd"


def test_only_files_of_known_kinds_are_unpacked(tmp_path: Path) -> None:
    pack(tmp_path / "a.zip", **{"a.PNG": b"", "run.sh": b"", ".hidden.png": b"", "x.html": b"", "dog/0.png": b""})
    unpack_archive(tmp_path / "a.zip", tmp_path / "there")
    assert {file.name for file in (tmp_path / "there").rglob("*")} == {"a.PNG", "dog", "0.png"}


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 1 << 20)
    pack(tmp_path / "bomb.zip", **{"a.png": bytes(1 << 20), "b.png": b"1"})
    with pytest.raises(ProjectError, match="holds 2 files of 1 MiB; 20000 of 1 MiB are allowed"):
        unpack_archive(tmp_path / "bomb.zip", tmp_path / "there")
    monkeypatch.setattr(archive, "MAX_ENTRIES", 3)
    pack(tmp_path / "many.zip", **{f"{number}.png": b"" for number in range(4)})
    with pytest.raises(ProjectError, match="holds 4 files"):
        unpack_archive(tmp_path / "many.zip", tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_a_bomb_that_lies_about_its_size_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 1 << 20)
    pack(tmp_path / "bomb.zip", **{"a.png": bytes(5 << 20)})
    content = (tmp_path / "bomb.zip").read_bytes().replace((5 << 20).to_bytes(4, "little"), (9).to_bytes(4, "little"))
    (tmp_path / "bomb.zip").write_bytes(content)
    with pytest.raises(ProjectError, match=r"'bomb\.zip' cannot be read"):
        unpack_archive(tmp_path / "bomb.zip", tmp_path / "there")
    assert not (tmp_path / "there").exists()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_archive_ends_in_work_or_one_clear_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    pack(
        folder / "a.zip", **{"project.json": b'{"version": 2, "clip": "a.mp4", "source_prompt": ""}', "a.mp4": b"x" * 9}
    )
    content = bytearray((folder / "a.zip").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "a.zip").write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        import_workspace(folder / "a.zip", folder / "there", any_clip)
    except VideoGrainError:
        assert [file.name for file in folder.iterdir()] == ["a.zip"]


def test_an_archive_without_a_project_leaves_nothing(tmp_path: Path) -> None:
    pack(tmp_path / "a.zip", **{"holiday.mp4": b"x"})
    with pytest.raises(ProjectError, match=r"holds no project\.json"):
        import_workspace(tmp_path / "a.zip", tmp_path / "there", any_clip)
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]


def test_a_folder_with_something_in_it_is_left_alone(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "thesis.txt").touch()
    with pytest.raises(ProjectError, match="cannot be written"):
        import_workspace(packed, tmp_path / "there", any_clip)
    assert [file.name for file in (tmp_path / "there").iterdir()] == ["thesis.txt"]


def test_pictures_of_masks_travel_too(tmp_path: Path) -> None:
    (tmp_path / "masks" / "dog").mkdir(parents=True)
    (tmp_path / "masks" / "dog" / "00000.png").write_bytes(b"png")
    pack_folder(tmp_path / "masks", tmp_path / "masks.zip")
    unpack_archive(tmp_path / "masks.zip", tmp_path / "there")
    assert (tmp_path / "there" / "dog" / "00000.png").read_bytes() == b"png"


def bomb(path: Path, clip: Path, objects: int, shape: tuple[int, int, int]) -> Path:
    """Write an archive of a few kilobytes whose objects all claim one file of masks of a shape (F, H, W)."""
    frames, height, width = shape
    arrays = {
        "packed": np.zeros((frames, height, width // 8), np.uint8), "width": np.array(width),
        "confidence": np.ones(frames, np.float32), "states": np.array([], np.str_), "anchors": np.array([], np.int64),
    }  # fmt: skip
    masks = path.with_suffix(".npz")
    np.savez_compressed(masks, **arrays)
    stored = [{"object": number, "file": "masks/1.npz"} for number in range(1, objects + 1)]
    document = {
        "version": 2, "clip": "a.mp4", "source_prompt": "", "masks": stored,
        "objects": [{"id": each["object"]} for each in stored],
        "clip_options": {"short_side": 64, "multiple": 32},
    }  # fmt: skip
    contents = {"project.json": json.dumps(document).encode(), "a.mp4": clip.read_bytes()}
    return pack(path, **contents, **{"masks/1.npz": masks.read_bytes()})


def test_masks_of_another_clip_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("videograin.project.workspace_files.unpack_masks", None)
    path = bomb(tmp_path / "bomb.zip", make_clip(tmp_path), 2, (2040, 1024, 1024))
    assert path.stat().st_size < 500_000
    loaded = import_workspace(path, tmp_path / "there", any_clip)
    assert loaded.workspace.masks == {}
    assert "holds 2040 masks of 1024×1024 pixels; the clip has 3 frames of 96×64" in loaded.problems[0]
    assert len(loaded.problems) == 2


def test_masks_that_do_not_fit_into_the_memory_together_are_left_out(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("videograin.project.workspace_files.MAX_CLIP_BYTES", 3 * 64 * 96 * 2)
    loaded = import_workspace(bomb(tmp_path / "a.zip", make_clip(tmp_path), 3, (3, 64, 96)), tmp_path / "b", any_clip)
    assert list(loaded.workspace.masks) == [1, 2]
    assert "all masks together exceed" in loaded.problems[0]


def test_more_objects_than_an_edit_has_regions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RegionError, match="63 objects; at most 62"):
        import_workspace(bomb(tmp_path / "a.zip", make_clip(tmp_path), 63, (3, 64, 96)), tmp_path / "b", any_clip)


@pytest.mark.parametrize("version", [1, 2])
def test_a_clip_beyond_the_operator_s_limits_is_not_decoded(tmp_path: Path, monkeypatch, version: int) -> None:
    def refuse(file: Path, options: ClipOptions) -> tuple[int, int, int]:
        raise VideoError("There would be up to 900 frames")

    for name in ("load_clip", "unpack_masks"):
        monkeypatch.setattr(f"videograin.project.workspace_files.{name}", None)
    if version == 1:
        shutil.make_archive(str(tmp_path / "a"), "zip", CLIPS, "friends")
    else:
        bomb(tmp_path / "a.zip", make_clip(tmp_path), 1, (3, 64, 96))
    with pytest.raises(VideoError, match="900 frames"):
        import_workspace(tmp_path / "a.zip", tmp_path / "there", refuse)
    assert not (tmp_path / "there").exists()


def test_a_project_file_of_many_megabytes_is_not_parsed(tmp_path: Path) -> None:
    pack(tmp_path / "a.zip", **{"project.json": b" " * (17 << 20)})
    with pytest.raises(ProjectError, match="has 17 MiB; a project file has at most 16"):
        import_workspace(tmp_path / "a.zip", tmp_path / "there", any_clip)
