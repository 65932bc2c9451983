"""Tracks in files, as a job takes and leaves them."""

import numpy as np
import pytest

from videograin.errors import RegionError
from videograin.jobs.track import read_tracks, write_tracks
from videograin.media.npz import write_npz
from videograin.tracking.tracks import Track


def test_tracks_come_back_as_they_were_written(tmp_path):
    mask = np.eye(6, dtype=bool)
    tracks = {"1": Track.untracked((3, 6, 6)).corrected(1, mask), "2": Track.untracked((3, 6, 6)).corrected(0, ~mask)}
    write_tracks(tmp_path / "tracks.npz", tracks)
    found = read_tracks(tmp_path / "tracks.npz")
    assert found.keys() == tracks.keys()
    for name, track in tracks.items():
        assert np.array_equal(found[name].masks, track.masks)
        assert np.array_equal(found[name].confidence, track.confidence)
        assert (found[name].states, found[name].anchors) == (track.states, track.anchors)


def test_a_file_that_holds_something_else_is_refused(tmp_path):
    write_npz(tmp_path / "tracks.npz", {"1 masks": np.zeros((3, 6, 6), bool)})
    with pytest.raises(RegionError, match="Follow the objects again"):
        read_tracks(tmp_path / "tracks.npz")
