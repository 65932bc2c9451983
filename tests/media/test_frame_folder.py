from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_video import moving_scene

from videograin.cli.main import main
from videograin.errors import VideoError
from videograin.media.playable import pack_frames
from videograin.media.video import ClipOptions, load_clip, probe, stream_frames

WHOLE = ClipOptions(short_side=None, multiple=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve frames by numbers without zeros in front, as some programs write them, beside a file that is none."""
    (tmp_path / "clip").mkdir()
    for number, frame in enumerate(moving_scene(12, 48, 64)):
        Image.fromarray(frame).save(tmp_path / "clip" / f"{number}.png")
    (tmp_path / "clip" / "notes.txt").write_text("filmed in May")
    return tmp_path / "clip"


def test_a_folder_of_pictures_is_a_clip_in_the_order_of_their_numbers(folder: Path) -> None:
    clip = load_clip(folder, WHOLE)
    assert np.array_equal(clip.frames, moving_scene(12, 48, 64))
    assert (clip.fps, clip.audio, clip.is_damaged) == (25, None, False)
    assert np.array_equal(list(stream_frames(clip, WHOLE)), clip.frames)


@pytest.mark.parametrize(
    "part",
    [{"start": 3 / 25, "stride": 2, "max_frames": 4}, {"start": 0.1, "end": 0.4}, {"fps": 10.0}, {"stride": 5}],
)
def test_a_part_of_a_folder_is_that_of_the_same_frames_in_a_video(folder: Path, tmp_path: Path, part: dict) -> None:
    pack_frames(folder, tmp_path / "clip.mkv")
    options = replace(WHOLE, **part)
    ours, videos = load_clip(folder, options), load_clip(tmp_path / "clip.mkv", options)
    assert np.array_equal(ours.frames, videos.frames)
    assert np.array_equal(list(stream_frames(ours, options)), ours.frames)


def test_pictures_are_scaled_and_cropped_as_videos_are(folder: Path, tmp_path: Path) -> None:
    pack_frames(folder, tmp_path / "clip.mkv")
    options = ClipOptions(short_side=32, multiple=32)
    ours, videos = load_clip(folder, options).frames, load_clip(tmp_path / "clip.mkv", options).frames
    assert ours.shape == videos.shape == (12, 32, 32, 3)
    assert np.abs(ours.astype(int) - videos).mean() < 1


def test_a_picture_of_another_size_is_named(folder: Path) -> None:
    Image.new("RGB", (64, 64)).save(folder / "7.png")
    with pytest.raises(VideoError, match=r"'7.png' has 64×64 pixels but the first picture of 'clip' 64×48"):
        load_clip(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("0.png", b"no picture", "'0.png' cannot be read"), (None, b"", "is a folder without pictures")],
)
def test_what_is_no_clip_is_refused_in_plain_words(tmp_path: Path, name: str | None, content: bytes, message: str):
    if name:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(VideoError, match=message):
        probe(tmp_path)


def test_a_transparent_picture_is_shown_over_white_and_16_bits_keep_the_upper_ones(tmp_path: Path) -> None:
    for name, picture in (("clear", Image.new("RGBA", (4, 4))), ("deep", Image.new("I;16", (4, 4), 0x80FF))):
        (tmp_path / name).mkdir()
        picture.save(tmp_path / name / "0.png")
    assert (load_clip(tmp_path / "clear", WHOLE).frames == 255).all()
    assert (load_clip(tmp_path / "deep", WHOLE).frames == 0x80).all()


def test_the_command_line_describes_a_folder_of_pictures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}: 64×48, 25 fps, 0.48 s, png, no sound\n"
