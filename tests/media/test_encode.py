"""Written files against the real ffmpeg: what they hold, and that they appear whole or not at all."""

import zipfile
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence
from synthetic_video import COUNTER, FPS, count_of, ffmpeg, make, moving_scene, psnr, sound_of

from videograin.errors import RegionError, SettingsError, VideoError
from videograin.files import atomic
from videograin.jobs.failures import is_out_of_space
from videograin.media import ffmpeg as limits
from videograin.media.encode import GREEN, OutputFormat, save_clip, save_video
from videograin.media.sound import AudioSource, Mix, find_sound
from videograin.media.video import ClipOptions, load_clip, probe

BEEP = "aevalsrc='if(gte(t,1),sin(2*PI*440*t),0)':d=2:s=48000"  # silent for one second, then a tone
TWO_TONES = ("-f", "lavfi", "-i", "sine=440:d=2", "-f", "lavfi", "-i", "sine=880:d=2")
TONES = (*TWO_TONES, "-map", "0", "-map", "1", "-map", "2")


def small(**options) -> ClipOptions:
    return replace(ClipOptions(short_side=64, multiple=32), **options)


def seconds_of_sound(path: Path) -> float:
    return len(ffmpeg("-i", path, "-vn", "-ac", "1", "-ar", "48000", "-f", "s16le", "-")) / 2 / 48000


def pitch_of(path: Path) -> float:
    sound = sound_of(path)
    return float(np.argmax(np.abs(np.fft.rfft(sound))) * 8000 / len(sound))


@pytest.fixture(scope="session")
def beep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("sound") / "beep.mp4", COUNTER, "-f", "lavfi", "-i", BEEP, "-shortest")


# Round trip


def test_a_round_trip_keeps_picture_count_and_rate(tmp_path):
    frames = moving_scene()
    save_video(tmp_path / "a.mp4", frames, 30000 / 1001)
    clip = load_clip(tmp_path / "a.mp4", ClipOptions(short_side=None))
    assert clip.frames.shape == frames.shape
    assert clip.fps == 30000 / 1001
    assert psnr(clip.frames, frames) > 38
    assert not clip.is_damaged


@pytest.mark.parametrize("fps", [8, 12.5, 24000 / 1001, 25 / 3, 60, 0.5])
def test_every_frame_rate_survives_exactly(tmp_path, fps):
    save_video(tmp_path / "a.mp4", moving_scene(5, 64, 64), fps)
    clip = load_clip(tmp_path / "a.mp4", small())
    assert (len(clip.frames), clip.fps) == (5, fps)


def test_the_file_is_what_browsers_play(tmp_path):
    save_video(tmp_path / "a.mp4", moving_scene(5), 25)
    info = probe(tmp_path / "a.mp4")
    assert (info.codec, info.pixel_format, info.has_audio) == ("h264", "yuv420p", False)
    assert {info.color_matrix, info.color_primaries, info.color_transfer} == {"bt709"}
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_frames_may_stream(tmp_path):
    scene = moving_scene(5)
    save_video(tmp_path / "streamed.mp4", (frame for frame in scene), 25)
    save_video(tmp_path / "whole.mp4", scene, 25)
    assert (tmp_path / "streamed.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_an_odd_side_is_made_even_by_repeating_its_edge(tmp_path):
    frames = moving_scene(3, 53, 97)
    save_video(tmp_path / "a.mp4", frames, 25, crf=1)
    clip = load_clip(tmp_path / "a.mp4", ClipOptions(short_side=None, multiple=2))
    assert clip.frames.shape == (3, 54, 98, 3)
    assert psnr(clip.frames[:, :53, :97], frames) > 38


def test_a_larger_crf_makes_a_smaller_file(tmp_path):
    for crf in (10, 40):
        save_video(tmp_path / f"{crf}.mp4", moving_scene(5), 25, crf=crf)
    assert (tmp_path / "40.mp4").stat().st_size < (tmp_path / "10.mp4").stat().st_size / 2


# Sound


@pytest.mark.parametrize("start", [0.0, 0.5, 0.52])
def test_the_sound_of_the_clips_time_is_kept_in_sync(tmp_path, beep, start):
    clip = load_clip(beep, small(start=start, end=1.5))
    save_video(tmp_path / "a.mp4", clip.frames, clip.fps, audio=clip.audio)
    sound = sound_of(tmp_path / "a.mp4")
    onset = np.argmax(abs(sound) > 0.3) / 8000
    assert onset == pytest.approx(1 - start, abs=0.01)
    assert len(load_clip(tmp_path / "a.mp4", small()).frames) == len(clip.frames)
    assert len(sound) / 8000 == pytest.approx(clip.duration, abs=0.05)


@pytest.mark.parametrize("start", [0.0, 0.4])
def test_a_picture_that_begins_after_its_sound_as_phones_record_it_is_read_from_its_first_frame(tmp_path, start):
    streams = ("-f", "lavfi", "-i", BEEP, "-map", "0:v", "-map", "1:a", tmp_path / "phone.mp4")
    ffmpeg("-itsoffset", "0.12", "-f", "lavfi", "-i", COUNTER, *streams)
    clip = load_clip(tmp_path / "phone.mp4", small(start=start))
    first = round(start * FPS)
    assert count_of(clip.frames) == list(range(first, 50))
    save_video(tmp_path / "a.mp4", clip.frames, clip.fps, audio=clip.audio)
    onset = np.argmax(abs(sound_of(tmp_path / "a.mp4")) > 0.3) / 8000
    assert onset == pytest.approx(1 - 0.12 - start, abs=0.01)


def test_sound_that_ends_early_is_followed_by_silence(tmp_path, beep):
    save_video(tmp_path / "a.mp4", moving_scene(50, 64, 64), 25, audio=AudioSource(beep, 1.5, 0.5))
    sound = sound_of(tmp_path / "a.mp4")
    assert abs(sound[1000:3000]).max() > 0.3
    assert abs(sound[5000:]).max() < 0.01
    assert probe(tmp_path / "a.mp4").duration == pytest.approx(2, abs=0.05)


def test_a_long_sound_has_its_time_to_be_tried(beep, monkeypatch):
    monkeypatch.setattr(limits, "MAX_SECONDS", 0.001)
    audio, _ = find_sound(beep, 0, 99)
    assert audio is not None


def test_a_clip_without_sound_has_no_audio(tmp_path):
    clip = load_clip(make(tmp_path / "counter.mp4", COUNTER), small(max_frames=2))
    assert clip.audio is None
    save_video(tmp_path / "a.mp4", clip.frames, clip.fps, audio=clip.audio)
    assert not probe(tmp_path / "a.mp4").has_audio


@pytest.mark.parametrize("frames", [1, 13, 80])
@pytest.mark.parametrize("fps", [8, 30000 / 1001])
def test_sound_is_as_long_as_the_picture_to_the_millisecond(tmp_path, beep, frames, fps):
    save_video(tmp_path / "a.mp4", moving_scene(frames, 64, 64), fps, audio=AudioSource(beep, 0.3, 99))
    assert seconds_of_sound(tmp_path / "a.mp4") == pytest.approx(frames / fps, abs=0.001)
    assert probe(tmp_path / "a.mp4").duration == pytest.approx(frames / fps, abs=0.01)


def test_sound_of_an_odd_rate_is_as_long_as_the_picture(shared_cases, tmp_path):
    clip = load_clip(shared_cases / "audio-overrun" / "a8k.mov", small(end=1.6))
    save_video(tmp_path / "a.mp4", clip.frames, clip.fps, audio=clip.audio)
    assert seconds_of_sound(tmp_path / "a.mp4") == pytest.approx(1.6, abs=0.001)


def test_more_channels_than_can_be_encoded_become_stereo(tmp_path):
    ten = make(tmp_path / "ten.mov", COUNTER, "-f", "lavfi", "-i", "sine=440:d=2", "-af", "pan=10c|c0=c0|c9=c0",
               "-c:a", "pcm_s16le")  # fmt: skip
    clip = load_clip(ten, small(end=1))
    assert clip.audio
    assert clip.audio.mix is Mix.STEREO
    assert "stereo" in clip.notes[0]
    save_video(tmp_path / "a.mp4", clip.frames, clip.fps, audio=clip.audio)
    assert pitch_of(tmp_path / "a.mp4") == pytest.approx(440, abs=2)


def test_channels_without_a_layout_are_left_to_the_first_two(tmp_path):
    ten = make(tmp_path / "ten.mkv", COUNTER, "-f", "lavfi", "-i", "sine=440:d=2", "-af", "pan=11C|c0=c0|c9=c0",
               "-c:a", "pcm_s16le")  # fmt: skip
    audio, note = find_sound(ten, 0, 1)
    assert audio
    assert audio.mix is Mix.FIRST_TWO
    assert "stereo" in note


def test_of_two_sound_tracks_the_default_one_is_kept_as_players_choose_it(tmp_path):
    marks = ("-disposition:a:0", "0", "-disposition:a:1", "default")
    clip = load_clip(make(tmp_path / "two.mkv", COUNTER, *TONES, *marks), small(end=1))
    assert clip.notes == ()
    save_video(tmp_path / "a.mp4", clip.frames, clip.fps, audio=clip.audio)
    assert pitch_of(tmp_path / "a.mp4") == pytest.approx(880, abs=2)


def test_a_first_track_that_cannot_be_decoded_gives_way_to_the_next(tmp_path):
    two = make(tmp_path / "two.mov", COUNTER, *TONES, "-c:a:0", "pcm_s16le", "-c:a:1", "aac")
    two.write_bytes(two.read_bytes().replace(b"sowt", b"zzzz"))
    clip = load_clip(two, small(end=1))
    assert "track 2" in clip.notes[0]
    save_video(tmp_path / "a.mp4", clip.frames, clip.fps, audio=clip.audio)
    assert pitch_of(tmp_path / "a.mp4") == pytest.approx(880, abs=2)


def test_sound_that_no_track_gives_is_left_out_with_a_note(tmp_path):
    one = make(tmp_path / "one.mov", COUNTER, "-f", "lavfi", "-i", "sine=440:d=2", "-c:a", "pcm_s16le")
    one.write_bytes(one.read_bytes().replace(b"sowt", b"zzzz"))
    clip = load_clip(one, small(end=1))
    assert clip.info.has_audio
    assert clip.audio is None
    assert "silent" in clip.notes[0]


# Other formats


@pytest.mark.parametrize("output_format", [OutputFormat.WEBM, OutputFormat.PRORES])
def test_a_cutout_is_transparent_around_the_object_and_has_its_sound(tmp_path, beep, output_format):
    file = (tmp_path / "a").with_suffix(output_format.suffix)
    frames, opacity = np.full((9, 48, 64, 3), 200, np.uint8), np.zeros((9, 48, 64), bool)
    opacity[:, 8:40, 8:40] = True
    save_clip(file, frames, 9, output_format, opacity=opacity, audio=AudioSource(beep, 0.5, 1))
    assert probe(file).has_alpha
    clip = load_clip(file, ClipOptions(short_side=None, multiple=1))
    assert clip.frames[:, 44:].min() > 250  # shown over white
    assert abs(clip.frames[:, 12:36, 12:36].astype(int) - 200).max() < 6
    assert seconds_of_sound(file) == pytest.approx(1, abs=0.001)


def test_a_green_screen_is_green_around_the_object(tmp_path):
    frames, opacity = np.full((3, 48, 64, 3), 200, np.uint8), np.zeros((3, 48, 64), np.float32)
    opacity[:, :, 32:] = 1
    save_clip(tmp_path / "a.mp4", frames, 8, OutputFormat.GREEN_SCREEN, opacity=opacity)
    clip = load_clip(tmp_path / "a.mp4", ClipOptions(short_side=None, multiple=2))
    assert abs(clip.frames[:, :, :28].astype(int) - GREEN).max() < 6
    assert abs(clip.frames[:, :, 36:].astype(int) - 200).max() < 6


def test_pngs_hold_the_frames_exactly(tmp_path):
    frames = moving_scene(3, 53, 97)
    save_clip(tmp_path / "a.zip", frames, 8, OutputFormat.PNG)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["00000.png", "00001.png", "00002.png"]
        pictures = [np.asarray(Image.open(BytesIO(archive.read(name)))) for name in archive.namelist()]
    assert np.array_equal(pictures, frames)


@pytest.mark.parametrize(("fps", "frames", "count"), [(8, 10, 10), (50, 10, 5), (60, 1, 1)])
def test_a_gif_has_the_clips_time_at_a_rate_that_gifs_can_have(tmp_path, fps, frames, count):
    save_clip(tmp_path / "a.gif", moving_scene(frames, 90, 1000), fps, OutputFormat.GIF)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.size == (640, 58)
        assert len(list(ImageSequence.Iterator(gif))) == count


@pytest.mark.parametrize("output_format", list(OutputFormat))
def test_no_format_leaves_half_a_file(tmp_path, output_format):
    file = (tmp_path / "a").with_suffix(output_format.suffix)
    opacity = np.ones((5, 192, 256), bool)
    with pytest.raises(RuntimeError, match="the model failed"):
        save_clip(file, interrupted(RuntimeError("the model failed")), 8, output_format, opacity=opacity)
    with pytest.raises(VideoError, match="no frames"):
        save_clip(file, [], 8, output_format, opacity=opacity)
    assert list(tmp_path.iterdir()) == []


def test_a_cutout_without_its_masks_is_refused(tmp_path):
    with pytest.raises(RegionError, match="Pass their masks"):
        save_clip(tmp_path / "a.webm", moving_scene(3), 8, OutputFormat.WEBM)
    with pytest.raises(RegionError, match="frame 2 is missing"):
        save_clip(tmp_path / "a.webm", moving_scene(3), 8, OutputFormat.WEBM, opacity=np.ones((2, 192, 256), bool))
    with pytest.raises(RegionError, match=r"has shape \(9, 9\)"):
        save_clip(tmp_path / "a.webm", moving_scene(3), 8, OutputFormat.WEBM, opacity=np.ones((3, 9, 9), bool))


# Nothing half-written


def interrupted(error: BaseException) -> Iterator[np.ndarray]:
    yield from moving_scene(5)
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("the model failed")])
def test_an_interrupted_save_leaves_the_older_file_and_nothing_else(tmp_path, error):
    (tmp_path / "a.mp4").write_bytes(b"older")
    with pytest.raises(type(error)):
        save_video(tmp_path / "a.mp4", interrupted(error), 25)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == b"older"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_reported_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic.secrets, "token_hex", lambda _: "full")
    (tmp_path / ".full.part").symlink_to("/dev/full")
    with pytest.raises(VideoError, match="does not fit on the disk") as full:
        save_video(tmp_path / "a.mp4", moving_scene(), 25)
    assert is_out_of_space(full.value)
    assert list(tmp_path.iterdir()) == []


def test_frames_that_do_not_fit_together_are_named(tmp_path):
    small_frame, large_frame = moving_scene(1, 32, 32)[0], moving_scene(1, 64, 64)[0]
    with pytest.raises(VideoError, match=r"Frame 1 is uint8 of shape \(64, 64, 3\)"):
        save_video(tmp_path / "a.mp4", [small_frame, large_frame], 25)
    with pytest.raises(VideoError, match="Frame 0 is float32"):
        save_video(tmp_path / "a.mp4", [small_frame.astype(np.float32)], 25)
    with pytest.raises(VideoError, match="no frames"):
        save_video(tmp_path / "a.mp4", [], 25)
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "folder.mp4").mkdir()
    reasons = {"folder.mp4": "is a folder", "a.avi": r"end in \.mp4", "gone/a.mp4": "no folder"}
    for name, reason in reasons.items():
        with pytest.raises(VideoError, match=reason):
            save_video(tmp_path / name, moving_scene(1), 25)


@pytest.mark.parametrize("settings", [{"fps": 0}, {"fps": 25, "crf": 0}, {"fps": 25, "crf": 52}])
def test_an_encoding_setting_out_of_range_is_refused(tmp_path, settings):
    with pytest.raises(SettingsError, match=r"is 0|is 52"):
        save_video(tmp_path / "a.mp4", moving_scene(1), **settings)
