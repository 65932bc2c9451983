"""A file of a folder that several hosts share is made by one of them, and a disk that cannot do that says so."""

import errno
import os
from pathlib import Path

import pytest

from videograin.files.shared_folder import SharedFolder


def test_a_file_is_ours_where_nfs_made_the_link_and_lost_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def asked_again(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", asked_again)
    folder = SharedFolder(tmp_path)
    assert folder.create("claim", b"mine")
    assert not folder.create("claim", b"another's")
    assert (folder.read("claim"), folder.names()) == (b"mine", {"claim"})


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPERM])
def test_a_full_disk_or_one_without_links_is_told_and_no_file_of_another_s(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_source: Path, _target: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(OSError, match=os.strerror(number)):
        SharedFolder(tmp_path).create("claim", b"mine")
    assert not list(tmp_path.iterdir())


def test_where_the_folder_is_gone_nothing_is_made(tmp_path: Path) -> None:
    assert not SharedFolder(tmp_path / "ended").create("claim", b"mine")
