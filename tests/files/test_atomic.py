import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from videograin.errors import ProjectError
from videograin.files.atomic import MAX_NAME, check_writable, file_names, mapped_array, write_whole, written_aside


def break_off(path: Path) -> None:
    with written_aside(path) as aside:
        aside.write_bytes(b"tw")
        raise KeyboardInterrupt


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.json", b"one")
    write_whole(tmp_path / "a.json", b"two")
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == b"two"


def test_what_breaks_off_leaves_the_older_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.json", b"one")
    with pytest.raises(KeyboardInterrupt):
        break_off(tmp_path / "a.json")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"one"]


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    with pytest.raises(KeyboardInterrupt):
        break_off(tmp_path / "new" / "inner")
    with written_aside(tmp_path / "new") as aside:
        (aside / "inner").mkdir(parents=True)
    assert [file.name for file in tmp_path.rglob("*")] == ["new", "inner"]


def test_a_folder_with_something_in_it_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    with pytest.raises(ProjectError, match="cannot be written"), written_aside(tmp_path / "full") as aside:
        aside.mkdir()
    assert [file.name for file in tmp_path.rglob("*")] == ["full", "thesis.txt"]


def test_an_error_without_a_number_is_told_in_its_own_words(tmp_path: Path) -> None:
    with (
        pytest.raises(ProjectError, match=r"a\.png' cannot be written \(encoder error -2\)"),
        written_aside(tmp_path / "a.png"),
    ):
        raise OSError("encoder error -2")  # as Pillow raises it


def test_a_place_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"nowhere/a\.json' cannot be written"):
        write_whole(tmp_path / "nowhere" / "a.json", b"")


def test_a_file_system_that_can_only_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:  # also to remove what is not there
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(ProjectError, match=r"a\.json' cannot be written \(Read-only file system\)"):
        write_whole(tmp_path / "a.json", b"")


def test_no_file_takes_the_place_of_a_device_or_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for write in (check_writable, lambda path: write_whole(path, b"two")):
        with pytest.raises(ProjectError, match="is a device or a pipe, not a file"):
            write(pipe)
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_names_that_some_system_refuses_are_altered() -> None:
    assert file_names(["left man", "a/b", "..", "", "con", "Dog", "dog"]) == [
        "left man",
        "a_b",
        "_",
        "_ 2",
        "_con",
        "Dog",
        "dog 2",
    ]


@given(st.lists(st.text(max_size=100), max_size=20))
def test_every_name_becomes_a_name_of_its_own_within_its_folder(names: list[str]) -> None:
    made = file_names(names)
    assert len({name.casefold() for name in made}) == len(made) == len(names)
    for name in made:
        assert Path(name).name == name
        assert 0 < len(name) <= MAX_NAME + len(" 20")
        assert name == name.strip(" .")
        name.encode()


def test_a_mapped_array_takes_its_room_on_the_disk_at_once(tmp_path: Path) -> None:
    array = mapped_array(tmp_path / "frames", (3, 4, 5), np.uint16)
    array[1] = 7
    assert (tmp_path / "frames").stat().st_blocks * 512 >= array.nbytes
    assert np.fromfile(tmp_path / "frames", np.uint16).sum() == 7 * 20
