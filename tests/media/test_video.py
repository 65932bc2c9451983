"""The video module against real files: made here by ffmpeg, and the clips in the folder VIDEOGRAIN_CLIPS."""

import os
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_video import COUNTER, FPS, QUADRANTS, count_of, ffmpeg, make, psnr

from videograin.errors import SettingsError, VideoError
from videograin.media import ffmpeg as limits
from videograin.media import filters, video
from videograin.media.encode import save_video
from videograin.media.video import Clip, ClipOptions, VideoInfo, clip_shape, clip_size, load_clip, probe

RED, LIME, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
BEEP = "aevalsrc='if(gte(t,1),sin(2*PI*440*t),0)':d=2:s=48000"  # silent for one second, then a tone


def small(**options) -> ClipOptions:
    return replace(ClipOptions(short_side=64, multiple=32), **options)


def corners(clip: Clip) -> np.ndarray:
    """Return the colours of the four corners of the first frame: upper left, upper right, lower left, lower right."""
    return clip.frames[0].astype(int)[[8, 8, -8, -8], [8, -8, 8, -8]]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="session")
def counter(folder: Path) -> Path:
    return make(folder / "counter.mp4", COUNTER, "-g", "12", "-crf", "1")


@pytest.fixture(scope="session")
def beep(folder: Path) -> Path:
    return make(folder / "beep.mp4", COUNTER, "-f", "lavfi", "-i", BEEP, "-shortest")


# Any file that ffmpeg reads

PALETTE = "split[a][b];[a]palettegen[p];[b][p]paletteuse"
CODECS = {
    "h264": ("mp4", "-c:v", "libx264"),
    "hevc": ("mp4", "-c:v", "libx265", "-x265-params", "log-level=none"),
    "vp9": ("webm", "-c:v", "libvpx-vp9", "-cpu-used", "8"),
    "av1": ("mp4", "-c:v", "libsvtav1", "-preset", "12"),
    "gif": ("gif", "-vf", PALETTE),
    "prores": ("mov", "-c:v", "prores_ks"),
    "mpeg2video": ("ts", "-q:v", "2"),
    "mpeg4": ("avi", "-q:v", "2"),
    "ffv1": ("mkv", "-c:v", "ffv1"),
}


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_is_read_with_its_colours_and_frames(tmp_path, codec):
    suffix, *arguments = CODECS[codec]
    clip = load_clip(make(tmp_path / f"a.{suffix}", QUADRANTS, *arguments), small(short_side=96))
    assert (clip.info.codec, clip.fps, clip.frames.shape) == (codec, FPS, (10, 96, 128, 3))
    assert abs(corners(clip) - [RED, LIME, BLUE, WHITE]).max() < 12
    assert not clip.is_damaged


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "flv", "avi", "h264"])
@pytest.mark.parametrize("start", [0.0, 0.48, 1.2])
def test_the_frame_on_show_at_the_start_comes_first_in_every_container(folder, counter, suffix, start):
    path = folder / f"same.{suffix}"
    if not path.exists():
        ffmpeg("-i", counter, *(("-c:v", "mpeg4", "-q:v", "1") if suffix == "avi" else ("-c", "copy")), path)
    clip = load_clip(path, small(start=start, max_frames=5))
    first = round(start * FPS)
    assert count_of(clip.frames) == list(range(first, first + 5))
    assert (clip.start, clip.duration) == (start, 0.2)


def test_a_start_between_two_frames_holds_the_earlier_one(counter):
    assert count_of(load_clip(counter, small(start=0.505, max_frames=2)).frames) == [12, 13]


def test_the_end_is_left_out(counter):
    assert count_of(load_clip(counter, small(start=0.2, end=0.4)).frames) == [5, 6, 7, 8, 9]


def test_an_end_beyond_the_video_means_its_end(counter):
    assert count_of(load_clip(counter, small(start=1.8, end=99)).frames) == [45, 46, 47, 48, 49]


def test_as_many_frames_are_foretold_as_there_are_though_headers_tell_hundredths_of_seconds(tmp_path):
    info = probe(make(tmp_path / "clip.mp4", "testsrc=s=64x64:r=8:d=0.375"))
    assert info.duration == 0.38
    assert clip_shape(info, ClipOptions())[0] == 3


@given(st.integers(1, 100_000), st.floats(video.MIN_FPS, video.MAX_FPS))
def test_no_clip_has_more_frames_beyond_those_that_are_foretold_than_its_masks_may_have(hundredths, fps):
    info = cast(VideoInfo, SimpleNamespace(width=64, height=64, duration=hundredths / 100, fps=fps))
    options = ClipOptions(max_frames=video.MAX_FRAMES)
    most = video._frame_count(info, options, fps, Path("clip.mp4"))
    assert clip_shape(info, options)[0] <= most <= clip_shape(info, options)[0] + video.MOST_BEYOND


def test_a_stride_takes_every_nth_source_frame(counter):
    clip = load_clip(counter, small(start=0.2, stride=7))
    assert count_of(clip.frames) == list(range(5, 50, 7))
    assert clip.fps == pytest.approx(FPS / 7)


@pytest.mark.parametrize(("fps", "counts"), [(5, [0, 5, 10, 15]), (10, [0, 2, 5, 7]), (50, [0, 0, 1, 1])])
def test_another_rate_samples_and_holds(counter, fps, counts):
    clip = load_clip(counter, small(fps=fps, max_frames=4))
    assert (count_of(clip.frames), clip.fps) == (counts, fps)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_variable_rate_becomes_constant_and_keeps_every_time(tmp_path, suffix):
    gaps = "select='lt(n,10)+gt(n,29)*mod(n,2)'"  # 25 fps, then nothing for 0.8 s, then 12.5 fps
    path = make(tmp_path / f"a.{suffix}", f"{COUNTER},{gaps}", "-fps_mode", "vfr", "-bf", "0", "-crf", "1")
    clip = load_clip(path, small(fps=FPS))
    assert count_of(clip.frames)[:31] == [*range(10), *[9] * 21]
    assert count_of(clip.frames)[31:37] == [31, 31, 33, 33, 35, 35]
    assert abs(clip.duration - clip.info.duration) <= 1 / FPS
    assert count_of(load_clip(path, small(start=0.8, fps=FPS, max_frames=1)).frames) == [9]
    own = load_clip(path, small())
    assert 10 <= own.fps <= 25
    assert abs(own.duration - own.info.duration) <= 1 / own.fps


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_rotated_video_stands_upright(tmp_path, rotation):
    flat = make(tmp_path / "flat.mp4", QUADRANTS)
    ffmpeg("-display_rotation", str(-rotation), "-i", flat, "-c", "copy", tmp_path / "turned.mp4")
    clip = load_clip(tmp_path / "turned.mp4", small(short_side=96))
    assert clip.info.is_turned
    assert (clip.info.width, clip.info.height) == ((128, 96) if rotation == 180 else (96, 128))
    upright = np.rot90(load_clip(flat, small(short_side=96)).frames, -rotation // 90, axes=(1, 2))
    assert psnr(clip.frames, upright) > 35


@pytest.mark.parametrize("flip", ["hflip", "vflip"])
def test_a_mirrored_video_is_shown_as_players_show_it(tmp_path, flip):
    flat = make(tmp_path / "flat.mov", QUADRANTS)
    ffmpeg(f"-display_{flip}", "-i", flat, "-c", "copy", tmp_path / "mirrored.mov")
    clip = load_clip(tmp_path / "mirrored.mov", small(short_side=96))
    mirrored = np.flip(load_clip(flat, small(short_side=96)).frames, 2 if flip == "hflip" else 1)
    assert (clip.info.width, clip.info.height) == (128, 96)
    assert psnr(clip.frames, mirrored) > 35


def combs(frames: np.ndarray) -> float:
    """Return how much more a line differs from the next than from the one after that; over 1 where lines alternate."""
    luma = frames.astype(float).mean(-1)
    return abs(np.diff(luma, axis=1)).mean() / abs(luma[:, 2:] - luma[:, :-2]).mean()


@pytest.mark.parametrize("lines", ["tff", "bff"])
@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "libx264"), ("ts", "mpeg2video"), ("mkv", "ffv1"), ("mov", "prores_ks")]
)
def test_interlaced_lines_are_not_woven_into_combs(tmp_path, lines, suffix, codec):
    weave = f"testsrc2=s=192x128:r=50:d=0.4,scroll=h=0.02,interlace=scan={lines}:lowpass=off,setfield={lines}"
    how = ("-x264opts", lines) if codec == "libx264" else ("-flags", "+ildct+ilme")
    path = make(tmp_path / f"a.{suffix}", weave, "-c:v", codec, *how, "-field_order", "tt" if lines == "tff" else "bb")
    stored = load_without_deinterlacing(path)
    clip = load_clip(path, small(short_side=128))
    assert clip.info.is_interlaced
    assert (clip.fps, len(clip.frames)) == (25, 10)
    assert combs(stored) > 1.1
    assert combs(clip.frames) < 0.8


def load_without_deinterlacing(path: Path) -> np.ndarray:
    raw = ffmpeg("-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, 128, 192, 3)


def test_a_progressive_video_is_not_touched_by_deinterlacing(tmp_path):
    assert not probe(make(tmp_path / "a.mp4", QUADRANTS)).is_interlaced


def test_odd_sizes_are_read(tmp_path):
    path = make(tmp_path / "a.mkv", "rgbtestsrc=s=97x53:r=25:d=0.2", "-c:v", "ffv1")
    assert (probe(path).width, probe(path).height) == (97, 53)
    assert load_clip(path, ClipOptions(short_side=None, multiple=1)).frames.shape == (5, 53, 97, 3)


def test_pixels_that_are_not_square_are_stretched(tmp_path):
    info = probe(make(tmp_path / "a.mp4", f"{QUADRANTS},setsar=2/1"))
    assert (info.width, info.height) == (256, 96)


ALPHA = {
    "gif": ("gif", "-vf", PALETTE),
    "vp9": ("webm", "-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p"),
    "vp8": ("webm", "-c:v", "libvpx", "-auto-alt-ref", "0", "-pix_fmt", "yuva420p"),
    "prores": ("mov", "-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"),
    "png": ("mov", "-c:v", "png"),
}


@pytest.mark.parametrize("codec", ALPHA)
def test_transparent_pixels_are_shown_over_white(tmp_path, codec):
    suffix, *arguments = ALPHA[codec]
    left_half_blue = "color=blue:s=128x64:r=25:d=0.2,format=rgba,geq=r=0:g=0:b='255':a='255*lt(X,64)'"
    clip = load_clip(make(tmp_path / f"a.{suffix}", left_half_blue, *arguments), small())
    assert clip.info.has_alpha
    assert clip.frames.shape == (5, 64, 128, 3)
    assert abs(corners(clip) - [BLUE, WHITE, BLUE, WHITE]).max() < 12


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_hdr_is_tone_mapped_to_bt709(tmp_path, monkeypatch, transfer):
    source = "testsrc2=s=192x128:r=25:d=0.2,format=yuv444p"
    tagged = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=smpte170m:range=tv"
    to_hdr = f"zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt2020:t={transfer}:m=bt2020nc:r=tv:npl=203"
    hdr = make(
        tmp_path / "hdr.mp4", f"{source},{tagged},{to_hdr},format=yuv420p10le", "-c:v", "libx265",
        "-x265-params", "log-level=none",
    )  # fmt: skip
    sdr = load_clip(make(tmp_path / "sdr.mp4", source), small()).frames.astype(float)
    clip = load_clip(hdr, small())
    mapped_error = abs(clip.frames - sdr).mean()
    monkeypatch.setattr(filters, "_has_zscale", lambda: False)
    plain_error = abs(load_clip(hdr, small()).frames - sdr).mean()
    assert clip.info.is_hdr
    assert mapped_error < 25 < plain_error


@pytest.mark.parametrize("color_range", ["tv", "pc"])
@pytest.mark.parametrize("matrix", ["smpte170m", "bt709", "bt2020nc"])
def test_every_matrix_and_range_gives_the_same_rgb(tmp_path, matrix, color_range):
    tags = f"setparams=colorspace={matrix}:range={color_range}:color_primaries=bt709:color_trc=bt709"
    source = f"{QUADRANTS},format=gbrp,scale=out_color_matrix={matrix}:out_range={color_range},format=yuv444p,{tags}"
    clip = load_clip(make(tmp_path / "a.mp4", source, "-crf", "1"), small(short_side=96))
    assert clip.info.color_matrix == matrix
    assert abs(corners(clip) - [RED, LIME, BLUE, WHITE]).max() <= 4


@pytest.mark.parametrize(("size", "matrix"), [("640x480", "smpte170m"), ("1280x720", "bt709")])
def test_untagged_video_is_taken_for_bt601_below_720_lines_and_bt709_above(tmp_path, size, matrix):
    source = f"color=lime:s={size}:r=25:d=0.08,format=gbrp,scale=out_color_matrix={matrix},format=yuv420p"
    clip = load_clip(make(tmp_path / "a.mp4", f"{source},setparams=colorspace=unknown"), small())
    assert clip.info.color_matrix == "unknown"
    assert abs(corners(clip) - LIME).max() <= 4


def test_a_size_that_changes_midway_keeps_time_and_shape(tmp_path):
    parts = [make(tmp_path / f"{size}.h264", f"testsrc2=s={size}:r=25:d=0.4") for size in ("96x64", "192x128")]
    (tmp_path / "both.h264").write_bytes(b"".join(part.read_bytes() for part in parts))
    assert load_clip(tmp_path / "both.h264", small()).frames.shape == (20, 64, 96, 3)


def test_a_stream_without_duration_is_counted(tmp_path):
    info = probe(make(tmp_path / "a.h264", COUNTER))
    assert (info.duration, info.fps) == (2.0, 25.0)


def test_an_absurd_rate_is_replaced_by_a_sane_one(tmp_path):
    path = make(tmp_path / "a.mkv", "testsrc2=s=64x64:r=1000:d=0.5", "-c:v", "mpeg4", "-fps_mode", "passthrough")
    clip = load_clip(path, small(max_frames=1000))
    assert clip.fps <= limits.MAX_FPS
    assert abs(clip.duration - 0.5) <= 1 / clip.fps


def test_a_cover_picture_is_not_the_video(tmp_path, beep):
    cover = make(tmp_path / "cover.png", "color=red:s=500x500:d=0.04", "-frames:v", "1")
    arguments = ("-map", "1:0", "-map", "0", "-c", "copy", "-disposition:v:0", "attached_pic")
    ffmpeg("-i", beep, "-i", cover, *arguments, tmp_path / "video.mp4")
    assert (probe(tmp_path / "video.mp4").width, probe(tmp_path / "video.mp4").codec) == (96, "h264")
    ffmpeg("-i", beep, "-i", cover, "-map", "0:a", "-map", "1:0", "-c", "copy", "-disposition:v", "attached_pic",
           tmp_path / "song.m4a")  # fmt: skip
    with pytest.raises(VideoError, match="only sound"):
        probe(tmp_path / "song.m4a")


# Several video tracks


@pytest.mark.parametrize(
    ("first", "second", "default", "chosen"),
    [
        ("96x64", "384x256", 0, "384x256"),  # what is marked as the default is a thumbnail
        ("288x192", "384x256", 0, "288x192"),
        ("384x256", "288x192", 1, "288x192"),
        ("288x192", "384x256", None, "384x256"),
    ],
)
def test_of_two_tracks_the_default_one_is_read_unless_it_is_a_thumbnail(tmp_path, first, second, default, chosen):
    parts = [make(tmp_path / f"{size}.mp4", f"testsrc2=s={size}:r=8:d=1") for size in (first, second)]
    marks = [f"-disposition:{number} {'default' if number == default else 0}".split() for number in (0, 1)]
    inputs = ["-i", parts[0], "-i", parts[1], "-map", "0", "-map", "1", "-c", "copy"]
    ffmpeg(*inputs, *marks[0], *marks[1], tmp_path / "both.mkv")
    clip = load_clip(tmp_path / "both.mkv", ClipOptions(short_side=None, multiple=2))
    height, width = clip.frames.shape[1:3]
    assert f"{width}x{height}" == f"{clip.info.width}x{clip.info.height}" == chosen


def test_the_shared_file_with_a_thumbnail_track_gives_its_video(shared_cases):
    clip = load_clip(shared_cases / "two-video-tracks" / "twovid.mp4", small())
    assert (clip.info.width, clip.info.height, clip.fps, len(clip.frames)) == (320, 240, 10, 20)


# Sizes


@given(
    width=st.integers(1, 10_000),
    height=st.integers(1, 10_000),
    short_side=st.none() | st.integers(64, 2048),
    multiple=st.sampled_from([1, 2, 32, 64]),
)
def test_both_sides_are_multiples_and_the_scaled_picture_covers_them(width, height, short_side, multiple):
    crop = ClipOptions(short_side=short_side, multiple=multiple)
    scaled, size = clip_size(width, height, crop)
    ideal = np.array([width, height]) * ((short_side or min(width, height)) / min(width, height))
    assert all(side % multiple == 0 and side > 0 for side in size)
    assert all(abs(np.array(size) - ideal) <= np.maximum(multiple / 2, multiple - ideal) + 1e-6)
    assert scaled[0] >= size[0]
    assert scaled[1] >= size[1]
    assert scaled[0] == size[0] or scaled[1] == size[1]
    assert abs(scaled[0] / scaled[1] - width / height) <= width / height * (1 / min(scaled) + 1e-9)
    fit = ClipOptions(short_side=short_side, multiple=multiple, fit="fit")
    assert clip_size(width, height, fit) == (size, size)


@pytest.mark.parametrize(
    ("source", "scaled", "size"),
    [
        ((1920, 1080), (910, 512), (896, 512)),
        ((720, 1280), (512, 910), (512, 896)),
        ((300, 300), (512, 512), (512, 512)),
    ],
)
def test_the_short_side_becomes_512(source, scaled, size):
    assert clip_size(source[0], source[1], ClipOptions()) == (scaled, size)


def test_crop_cuts_the_edges_evenly_and_fit_keeps_them(tmp_path):
    bars = "color=red:s=120x64:r=25:d=0.08,drawbox=x=12:w=96:h=64:color=lime:t=fill"
    path = make(tmp_path / "a.mp4", bars, "-pix_fmt", "yuv444p")
    cropped, fitted = (load_clip(path, small(fit=fit)).frames[0].astype(int) for fit in ("crop", "fit"))
    assert cropped.shape == fitted.shape == (64, 128, 3)
    assert fitted[32, 2, 0] > 200
    assert fitted[32, -3, 0] > 200
    assert abs(cropped[:, ::-1] - cropped).mean() < 3


# Errors and limits


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": -1}, "start is -1"),
        ({"start": float("nan")}, "start is nan"),
        ({"start": 2, "end": 1}, "end is 1 s but start is 2 s"),
        ({"fps": 10, "stride": 2}, "fps and stride are both set"),
        ({"fps": 0}, "fps is 0"),
        ({"stride": 0}, "stride is 0"),
        ({"max_frames": 0}, "max_frames is 0. Give 1 to 3600"),
        ({"max_frames": 3601}, "max_frames is 3601"),
        ({"short_side": 16}, "short_side is 16"),
        ({"multiple": 0}, "multiple is 0"),
        ({"fit": "squeeze"}, "fit is 'squeeze'. Give 'crop' or 'fit'"),
    ],
)
def test_an_option_out_of_range_is_named(options, message):
    with pytest.raises(SettingsError, match=re.escape(message)):
        ClipOptions(**options)


def test_what_is_no_video_is_refused_by_name(tmp_path):
    (tmp_path / "letter.mp4").write_text("Dear Sir or Madam, this is not a video.\n" * 100)
    (tmp_path / "empty.mp4").touch()
    make(tmp_path / "song.m4a", "sine=d=0.2")
    make(tmp_path / "song.mp3", "sine=d=0.2")
    reasons = {
        "letter.mp4": "not a video", "empty.mp4": "empty", "song.m4a": "only sound", "song.mp3": "not a video",
        ".": "folder", "gone.mp4": "no file",
    }  # fmt: skip
    for name, reason in reasons.items():
        with pytest.raises(VideoError, match=reason):
            load_clip(tmp_path / name)


@pytest.fixture(scope="session")
def detailed(folder: Path) -> Path:
    return make(folder / "detailed.mkv", "testsrc2=s=192x128:r=25:d=2", "-g", "10")


def test_a_file_that_breaks_off_gives_the_frames_before_the_break(detailed, tmp_path):
    data = detailed.read_bytes()
    (tmp_path / "half.mkv").write_bytes(data[: len(data) // 2])
    whole, half = (load_clip(path, small()).frames for path in (detailed, tmp_path / "half.mkv"))
    assert 10 < len(half) < 40
    assert (half[:10] == whole[:10]).all()


def test_an_mp4_without_its_index_was_cut_off_while_it_was_copied(counter, tmp_path):
    (tmp_path / "a.mp4").write_bytes(counter.read_bytes().partition(b"moov")[0])
    with pytest.raises(VideoError, match=r"'a.mp4' has no index: it was cut off .* Copy or upload it again"):
        load_clip(tmp_path / "a.mp4")


def test_damage_within_is_reported_but_does_not_stop(detailed, tmp_path):
    data = bytearray(detailed.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = np.random.default_rng(0).bytes(2000)
    (tmp_path / "a.mkv").write_bytes(data)
    clip = load_clip(tmp_path / "a.mkv", small())
    assert clip.is_damaged
    assert len(clip.frames) > 40


def test_a_start_beyond_the_end_names_both_times(counter):
    with pytest.raises(VideoError, match=r"The start, 5 s, is beyond the end of 'counter.mp4', 2 s"):
        load_clip(counter, small(start=5))


def test_a_range_too_short_for_a_frame_is_refused(counter):
    with pytest.raises(VideoError, match="no frame at 25 fps"):
        load_clip(counter, small(start=1, end=1.005))


def test_a_frame_of_too_many_pixels_is_refused(tmp_path):
    path = make(tmp_path / "a.mkv", "color=gray:s=8200x8200:r=25:d=0.04", "-c:v", "libx264", "-preset", "ultrafast")
    with pytest.raises(VideoError, match="more than 67108864 pixels"):
        load_clip(path)


def test_an_extreme_shape_that_would_explode_when_scaled_is_refused(tmp_path):
    path = make(tmp_path / "a.mkv", "color=gray:s=4096x2:r=25:d=0.04", "-c:v", "ffv1")
    with pytest.raises(VideoError, match="too large"):
        load_clip(path)


def test_a_clip_of_too_many_bytes_is_refused(counter, monkeypatch):
    monkeypatch.setattr(video, "MAX_CLIP_BYTES", 100_000)
    with pytest.raises(VideoError, match="Choose fewer frames"):
        load_clip(counter, small())


def test_decoding_that_takes_too_long_is_stopped(counter, monkeypatch):
    monkeypatch.setattr(limits, "MAX_SECONDS", 0.001)
    with pytest.raises(VideoError, match=r"more than 0.001 s"):
        load_clip(counter, small())


@pytest.mark.parametrize("mebibytes", [60, 200])
def test_decoding_that_takes_too_much_memory_is_stopped(counter, monkeypatch, mebibytes):
    monkeypatch.setattr(limits, "MAX_MEMORY", mebibytes * 2**20)
    with pytest.raises(VideoError, match="more than 4 GiB"):
        load_clip(counter, small())


@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4", "list.txt"])
@pytest.mark.parametrize("target", ["{counter}", "file://{counter}", "http://127.0.0.1:9/a.mp4"])
@pytest.mark.parametrize("kind", ["hls", "concat"])
def test_a_playlist_cannot_open_other_files_or_addresses(tmp_path, counter, name, target, kind):
    target = target.format(counter=counter)
    playlists = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\n{target}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile '{target}'\n",
    }
    (tmp_path / name).write_text(playlists[kind])
    with pytest.raises(VideoError, match="not a video"):
        load_clip(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["-i.mp4", "a:b.mp4", "%03d.mp4", "http:x.mp4", "it's a [clip];.mp4", "línea\nnueva.mp4"]
)
def test_odd_file_names_are_harmless(tmp_path, beep, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(beep.read_bytes())
    clip = load_clip(name, small(max_frames=3))
    save_video(f"{name}-out.mp4", clip.frames, clip.fps, audio=clip.audio)
    assert probe(f"{name}-out.mp4").has_audio


def test_a_flood_of_messages_is_cut_and_does_not_block(counter):
    content, log = limits.run(["-v", "trace", *limits.input_arguments(counter), "-f", "null", "-"], "counter")
    assert content
    assert len(log) <= limits.MAX_LOG


# Nothing half-written


def test_ctrl_c_at_the_terminal_does_not_end_a_child_before_the_program_has_decided_what_to_do():
    with limits.FFmpeg(["-f", "lavfi", "-i", "anullsrc", "-f", "null", "-"], "silence") as child:
        assert os.getpgid(child._process.pid) != os.getpgrp()


def test_an_interrupted_load_kills_its_child(counter, monkeypatch):
    children = []

    def interrupt(child: limits.FFmpeg, buffer: memoryview, frames: int) -> int:
        children.append(child)
        raise KeyboardInterrupt

    monkeypatch.setattr(limits.FFmpeg, "read_into", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_clip(counter, small())
    assert children[0]._process.returncode is not None


# Real clips


@pytest.mark.parametrize(
    ("name", "size", "fps", "has_audio"),
    [
        ("wolf.mp4", (512, 512), 20, False),
        ("blackswan.mp4", (854, 480), 30, False),
        ("dog.mp4", (1280, 720), 30000 / 1001, True),
        ("pingpong.mp4", (1280, 720), 24, True),
    ],
)
def test_real_clips_load_and_save(real_clips, tmp_path, name, size, fps, has_audio):
    clip = load_clip(real_clips / name, ClipOptions(start=0.5, max_frames=8, short_side=256, multiple=32))
    assert ((clip.info.width, clip.info.height), clip.fps, clip.info.has_audio) == (size, fps, has_audio)
    assert clip.frames.shape[:2] == (8, 256)
    save_video(tmp_path / name, clip.frames, clip.fps, audio=clip.audio)
    again = load_clip(tmp_path / name, ClipOptions(short_side=None, multiple=32))
    assert again.fps == fps
    assert again.info.has_audio == has_audio
    assert psnr(again.frames, clip.frames) > 30


def test_a_whole_clip_has_more_time_to_be_decoded_than_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_SECONDS", 0.5)
    in_a_second = ["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc=s=16x16:r=10:d=1.5"]
    frames = np.empty((15, 16, 16, 3), np.uint8)
    for count, is_enough in ((1, False), (len(frames), True)):
        with limits.FFmpeg([*in_a_second, "-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"], "clip") as child:
            if is_enough:
                assert child.read_into(frames.data.cast("B"), count) == frames.nbytes
            else:
                with pytest.raises(VideoError, match=r"busy for more than 0\.5 s"):
                    child.read_into(frames.data.cast("B"), count)
