import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from ui.work.web_files import ABANDONED_SECONDS, cached, keep_web_files_in, purge_web_files

HOUR = 3600.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "elsewhere")  # so that it is put back afterwards
    keep_web_files_in(tmp_path / "data/web")
    return tmp_path / "data/web"


def test_web_files_are_this_user_s_alone(folder: Path) -> None:
    assert get_upload_folder() == str(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def later_than(moment: float, folder: Path) -> float:
    """Wait until the clock of the file system, which ticks more slowly than ours, has moved on; what it says then."""
    probe = folder / "probe"
    while probe.touch() or probe.stat().st_ctime <= moment:
        pass
    return probe.stat().st_ctime


def test_what_was_not_fetched_for_a_while_goes_with_its_folder_and_the_rest_stays(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("old", "fetched", "new"):
        (tmp_path / name).write_text(name)
    old, fetched = (Path(save_file_to_cache(tmp_path / name, str(folder))) for name in ("old", "fetched"))
    between = later_than(fetched.lstat().st_ctime, folder)
    later_than(between, folder)
    save_file_to_cache(tmp_path / "fetched", str(folder))  # asked for again
    new = Path(save_file_to_cache(tmp_path / "new", str(folder)))
    clock = SimpleNamespace(time=lambda: between + HOUR)
    monkeypatch.setattr("ui.work.web_files.time", clock)
    purge_web_files(HOUR)
    assert not old.exists()
    assert fetched.exists()
    assert new.exists()
    clock.time = lambda: between + 3 * HOUR
    purge_web_files(HOUR)
    assert list(folder.iterdir()) == []


def test_an_upload_whose_sender_is_gone_is_removed_and_one_under_way_stays(folder: Path, monkeypatch) -> None:
    abandoned = folder / "tmpabandoned"
    abandoned.write_bytes(b"half")
    whole = folder / "digest/clip.mp4"
    whole.parent.mkdir()
    whole.write_bytes(b"whole")
    started = abandoned.lstat().st_ctime
    monkeypatch.setattr("ui.work.web_files.time", SimpleNamespace(time=lambda: started + ABANDONED_SECONDS - 10))
    purge_web_files(24 * HOUR)
    assert abandoned.exists()
    monkeypatch.setattr("ui.work.web_files.time", SimpleNamespace(time=lambda: started + ABANDONED_SECONDS + 10))
    purge_web_files(24 * HOUR)
    assert (abandoned.exists(), whole.exists()) == (False, True)


def test_a_file_that_is_shown_again_and_again_is_read_once_unless_it_changes_or_its_copy_is_gone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(
        "ui.work.web_files.save_file_to_cache", lambda file, to: (read.append(file), save_file_to_cache(file, to))[1]
    )
    video = tmp_path / "edit.mp4"
    video.write_bytes(b"edit")
    assert cached(video) == cached(video)
    assert len(read) == 1
    Path(cached(video)).unlink()
    assert Path(cached(video)).read_bytes() == b"edit"
    video.write_bytes(b"another")
    assert Path(cached(video)).read_bytes() == b"another"
