"""Room on the disk: of all, of one owner, and what stays free."""

import tempfile
from pathlib import Path

import pytest

from videograin.errors import ProjectError
from videograin.files.disk import DiskRoom, free_bytes, keep_temporary_files_in, used_bytes


def write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))


def room(folder: Path, total: float = 1000, reserve: float = 0, owner: float = 600) -> DiskRoom:
    return DiskRoom(folder, total_bytes=total, reserve_bytes=reserve, owner_bytes=owner)


def test_what_is_there_and_what_is_announced_counts(tmp_path: Path) -> None:
    write(tmp_path / "ann/clip.mp4", 300)
    taken = room(tmp_path)
    taken.check(400)
    taken.check(300)
    with pytest.raises(ProjectError, match="disk of this server is full"):
        taken.check(1)


def test_one_owner_has_a_share_and_others_their_own(tmp_path: Path) -> None:
    write(tmp_path / "ann/clip.mp4", 500)
    taken = room(tmp_path)
    taken.check_owner(tmp_path / "ann", 100)
    with pytest.raises(ProjectError, match="new session"):
        taken.check_owner(tmp_path / "ann", 101)
    taken.check_owner(tmp_path / "bob", 400)


def test_some_of_the_disk_stays_free(tmp_path: Path) -> None:
    free = free_bytes(tmp_path)
    with pytest.raises(ProjectError, match="What you have is safe"):
        room(tmp_path, total=1e18, reserve=free + 1e12).check()


def test_a_folder_that_vanished_has_nothing_and_a_disk_all_the_same(tmp_path: Path) -> None:
    assert used_bytes(tmp_path / "gone/for/good") == 0
    assert free_bytes(tmp_path / "gone/for/good") > 0


def test_temporary_files_lie_in_a_folder_without_those_of_a_process_that_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    write(tmp_path / "own" / "videograin-old" / "clip.frames", 3)
    keep_temporary_files_in(tmp_path / "own")
    assert list((tmp_path / "own").iterdir()) == []
    with tempfile.TemporaryDirectory() as scratch:
        assert Path(scratch).parent == tmp_path / "own"
