from pathlib import Path

import numpy as np
import pytest
from synthetic_video import make

from videograin.errors import VideoError
from videograin.media import ffmpeg as limits
from videograin.media import playable
from videograin.media.playable import make_playable
from videograin.media.video import ClipOptions, load_clip

WHOLE = ClipOptions(short_side=None, multiple=2)


def blocks(frames: np.ndarray) -> np.ndarray:
    """Return the mean colour of every 8 by 8 pixels."""
    return frames.reshape(len(frames), 8, 8, 12, 8, 3).mean((2, 4))


def test_a_gif_becomes_an_mp4_of_the_same_frames(tmp_path: Path) -> None:
    gif = make(
        tmp_path / "clip.gif", "color=0xc03020:s=97x64:r=10:d=0.8", "-vf", "drawbox=x=40*t:w=32:h=32:c=0x20a0e0:t=fill"
    )
    make_playable(gif, tmp_path / "clip.mp4")
    before, after = load_clip(gif, WHOLE), load_clip(tmp_path / "clip.mp4", WHOLE)
    assert after.frames.shape == before.frames.shape == (8, 64, 96, 3)
    assert (after.info.codec, after.info.pixel_format, after.fps) == ("h264", "yuv420p", 10)
    assert np.abs(blocks(after.frames) - blocks(before.frames)).max() < 8  # the colours of a dither are shared by four


def test_a_long_gif_has_as_much_time_as_its_frames_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gif = make(tmp_path / "clip.gif", "testsrc=s=32x32:r=25:d=4")
    info = playable.probe(gif)
    monkeypatch.setattr(playable, "probe", lambda _: info)
    monkeypatch.setattr(limits, "MAX_SECONDS", 0.001)
    make_playable(gif, tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").exists()


def test_what_cannot_be_read_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "clip.gif").write_bytes(b"GIF89a" + bytes(40))
    with pytest.raises(VideoError):
        make_playable(tmp_path / "clip.gif", tmp_path / "clip.mp4")
    assert [file.name for file in tmp_path.iterdir()] == ["clip.gif"]
