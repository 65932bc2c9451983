"""Files under an fsspec URL appear whole, are claimed by one, and say when they change."""

from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest
from s3_server import s3_bucket

from videograin.errors import SettingsError
from videograin.files.object_store import ObjectStore


@pytest.fixture(params=["memory", "file", pytest.param("s3", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    if request.param == "s3":
        with s3_bucket() as url:
            yield ObjectStore(url)
    else:
        yield ObjectStore(f"memory://{token_hex(8)}" if request.param == "memory" else f"file://{tmp_path}/store")


def test_a_file_travels_says_when_it_changes_and_goes(store: ObjectStore, tmp_path: Path) -> None:
    store.check()
    sent, brought = tmp_path / "sent.txt", tmp_path / "there" / "brought.txt"
    sent.write_text("fox")
    store.put("job/results/word.txt", sent)
    before = store.marks("job")
    assert set(before) == {"results/word.txt"}
    assert store.get("job/results/word.txt", brought)
    assert brought.read_text() == "fox"
    assert store.marks("job") == before
    sent.write_text("owl")
    store.put("job/results/word.txt", sent)
    assert store.marks("job") != before
    assert store.read("job/results/word.txt") == b"owl"
    assert store.folders() == {"job"}
    store.remove("job")
    assert store.marks("job") == {}
    assert store.read("job/results/word.txt") is None
    assert not store.get("job/results/word.txt", brought)
    assert brought.read_text() == "fox", "what is gone there stays here"
    store.remove("job")


def test_of_several_who_create_a_file_one_succeeds(store: ObjectStore) -> None:
    assert [store.create("job/claim", name) for name in (b"ann", b"bob")] == [True, False]
    assert store.read("job/claim") == b"ann"


def test_a_file_that_is_half_written_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, sent = ObjectStore(f"file://{tmp_path}/store"), tmp_path / "sent.txt"
    sent.write_text("fox")

    def break_off(_path: str, target: str) -> None:
        Path(target).write_text("f")
        raise ConnectionError("the line is down")

    monkeypatch.setattr(store._system, "put_file", break_off)
    with pytest.raises(ConnectionError):
        store.put("job/word.txt", sent)
    assert not (tmp_path / "store/job/word.txt").exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nowhere://bucket", "'nowhere://bucket' cannot be used for the jobs' files .* pip install"),
        ("file:///proc/nothing", "'/proc/nothing' cannot be written .* Check the address"),
    ],
)
def test_a_store_that_cannot_be_used_is_told_in_a_sentence(url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ObjectStore(url).check()


def test_a_store_without_exclusive_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    store = ObjectStore(f"memory://{token_hex(8)}")
    monkeypatch.setattr(store, "create", lambda _key, _content: True)
    with pytest.raises(SettingsError, match="cannot create a file only where there is none"):
        store.check()
