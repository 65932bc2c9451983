import io
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from videograin.errors import RegionError
from videograin.media import npz
from videograin.media.npz import read_npz, write_npz

ARRAYS = {"file": np.eye(3, dtype=bool), "a": np.arange(4), "a.npy": np.ones((2, 0))}


def test_arrays_come_back_under_any_name(tmp_path: Path) -> None:
    write_npz(tmp_path / "x.npz", ARRAYS)
    read = read_npz(tmp_path / "x.npz")
    assert list(read) == list(ARRAYS)
    assert all(np.array_equal(read[name], array) for name, array in ARRAYS.items())


def test_numpy_reads_what_is_written(tmp_path: Path) -> None:
    write_npz(tmp_path / "x.npz", {"left man": np.eye(3, dtype=bool)})
    with np.load(tmp_path / "x.npz") as arrays:
        assert np.array_equal(arrays["left man"], np.eye(3, dtype=bool))


@given(st.data())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "x.npz"
    write_npz(path, ARRAYS)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(RegionError):
        read_npz(path)


def test_a_file_that_unpacks_to_more_than_a_clip_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npz, "MAX_CLIP_BYTES", 1 << 20)
    write_npz(tmp_path / "bomb.npz", {"zeros": np.zeros(2 << 20, bool)})
    assert (tmp_path / "bomb.npz").stat().st_size < 10_000
    with pytest.raises(RegionError, match="unpack to 2 MiB; 1 are allowed"):
        read_npz(tmp_path / "bomb.npz")


def test_an_array_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|b1", "fortran_order": False, "shape": (2**50,)})
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("masks.npy", header.getvalue())
    with pytest.raises(RegionError, match="cannot be read"):
        read_npz(tmp_path / "x.npz")
