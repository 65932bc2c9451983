import os
from pathlib import Path

import numpy as np
import pytest
from synthetic_video import make, sound_of

from videograin.media import ffmpeg as limits
from videograin.media.encode import save_part
from videograin.media.join import join_videos
from videograin.media.sound import AudioSource
from videograin.media.video import ClipOptions, load_clip, probe

WHOLE = ClipOptions(short_side=None, multiple=1)


@pytest.mark.parametrize("lengths", [(2, 2, 3), (4, 1, 1, 5, 2)])
def test_joined_parts_show_the_frames_of_each_in_turn_at_their_rate(tmp_path: Path, lengths: tuple[int, ...]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (sum(lengths), 8, 8, 3), np.uint8)
    frames = noise.repeat(8, axis=1).repeat(8, axis=2)
    parts = [tmp_path / f"it's {number}.mp4" for number in range(len(lengths))]
    for part, own in zip(parts, np.split(frames, np.cumsum(lengths)[:-1]), strict=True):
        save_part(part, own, 8)
    join_videos(parts, tmp_path / "whole.mp4", len(frames) / 8)
    whole = load_clip(tmp_path / "whole.mp4", WHOLE)
    assert whole.fps == 8
    assert np.array_equal(whole.frames, np.concatenate([load_clip(part, WHOLE).frames for part in parts]))


def test_the_sound_is_as_long_as_the_joined_picture_and_a_large_one_has_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "sound.mp4", "testsrc=s=64x64:r=8:d=2", "-f", "lavfi", "-i", "sine=440:d=2")
    for name in ("a.mp4", "b.mp4"):
        save_part(tmp_path / name, np.zeros((4, 64, 64, 3), np.uint8), 8)
    audio = AudioSource(tmp_path / "sound.mp4", 0.0, 1.0)
    with monkeypatch.context() as patch:
        patch.setattr(limits, "MAX_SECONDS", 0.001)
        join_videos([tmp_path / "a.mp4", tmp_path / "b.mp4"], tmp_path / "whole.mp4", 1.0, audio)
    assert probe(tmp_path / "whole.mp4").duration == pytest.approx(1.0, abs=0.03)
    assert len(sound_of(tmp_path / "whole.mp4")) == pytest.approx(8000, abs=300)
    assert {file.name for file in tmp_path.iterdir()} == {"a.mp4", "b.mp4", "sound.mp4", "whole.mp4"}


def test_a_name_as_long_as_one_may_be_and_a_folder_that_is_not_utf_8_are_joined(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    save_part(folder / "a.mp4", np.zeros((2, 64, 64, 3), np.uint8), 8)
    target = tmp_path / f"{251 * 'x'}.mp4"
    join_videos([folder / "a.mp4"], target, 0.25)
    assert len(load_clip(target, WHOLE).frames) == 2
    assert sorted(tmp_path.iterdir()) == sorted([folder, target])
