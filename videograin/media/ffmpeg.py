"""Run ffmpeg on untrusted files, and read what it says about them.

Each file is opened by a child process with limits on time, memory, pixels per frame, protocols and containers, so
that a hostile or damaged upload ends in one `VideoError`. Playlists, scripts and image lists, which name other files
or addresses, are not opened at all: their kinds are not among `CONTAINERS`.
"""

import errno
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from io import BufferedReader
from pathlib import Path
from typing import Self, cast

from videograin.errors import VideoError

if sys.platform == "linux":
    from resource import RLIMIT_AS, prlimit

MAX_SECONDS = 30.0  # of waiting for a child that reads someone's file
SECONDS_A_FRAME = 0.25  # more for each frame that is decoded at once: twenty times what full HD takes one core
ENCODE_SECONDS = 600.0  # of waiting for a child that works on our own files, or may have fifty of our frames to finish
MAX_FRAME_PIXELS = 64 * 2**20
MAX_MEMORY = 4 * 2**30  # bytes of the child's address space (Linux)
MAX_LOG = 2**20  # bytes of the child's stderr that are kept
THREADS = 4  # each codec thread holds frames of its own, so the memory limit bounds them too
PROTOCOLS = "file,pipe"
CONTAINERS = (
    "mov,matroska,avi,gif,mpegts,mpeg,mpegvideo,m4v,h261,h263,h264,hevc,vvc,obu,ivf,flv,asf,ogg,mxf,dv,nut,rm,vc1,wtv,"
    "yuv4mpegpipe,mjpeg,apng,webp_anim,dirac,cavsvideo,gxf,3dostr,nsv,swf"
)
MIN_FPS, MAX_FPS, DEFAULT_FPS = 0.1, 240.0, 25.0

_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # ffmpeg's own decoders drop the transparency
_NOT_A_VIDEO = "is not a video that can be opened. Choose an MP4, MOV, WebM, MKV, AVI or GIF."
_CUT_OFF = "has no index: it was cut off while it was copied or recorded. Copy or upload it again."
_TOO_MUCH_MEMORY = f"needs more than {MAX_MEMORY >> 30} GiB to decode. Scale it down first."
_FULL = "No space left on device"
_REFUSALS = {  # what ffmpeg's stderr says when a limit is met, and what we say
    "exceeds specified max pixel count": f"has more than {MAX_FRAME_PIXELS} pixels in a frame. Scale it down first.",
    "Cannot allocate memory": _TOO_MUCH_MEMORY,
    "Resource temporarily unavailable": _TOO_MUCH_MEMORY,  # no room for another thread
    "failed to map segment": _TOO_MUCH_MEMORY,  # no room for ffmpeg itself, under a lower limit of the machine's
    "cannot map zero-fill pages": _TOO_MUCH_MEMORY,
    "not on whitelist": _NOT_A_VIDEO,
}


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video file, as it is meant to be seen.

    Attributes:
        width, height: pixels after rotation and with square pixels.
        fps: frames per second: the declared rate, or the average where that is variable, missing or absurd.
        duration: seconds that the picture lasts, where its sound is no longer.
        picture_start: seconds that sound comes before the picture, as phones record it.
        container, codec, pixel_format: ffmpeg's names, such as "matroska,webm", "h264" and "yuv420p".
        track: number of the video stream among all streams: the default one, or the largest where that is a thumbnail.
        is_turned: whether ffmpeg turns or mirrors the stored picture, so that it stands upright.
        is_interlaced: whether a frame holds the lines of two moments, as television and old camcorders store them.
        has_audio, has_alpha: whether there is a sound track; whether pixels can be transparent.
        sound_track: number of the sound track that players choose among all sound tracks, the default one or the first.
        color_matrix, color_primaries, color_transfer: ffmpeg's names, "unknown" where the file is silent.
        is_seekable: whether the file states its duration, so that ffmpeg can jump to a time.
    """

    width: int
    height: int
    fps: float
    duration: float
    picture_start: float
    container: str
    codec: str
    pixel_format: str
    track: int
    is_turned: bool
    is_interlaced: bool
    has_audio: bool
    sound_track: int
    has_alpha: bool
    color_matrix: str
    color_primaries: str
    color_transfer: str
    is_seekable: bool

    @property
    def is_hdr(self) -> bool:
        """Whether brightness is coded for high dynamic range (PQ or HLG)."""
        return self.color_transfer in ("smpte2084", "arib-std-b67")


class FFmpeg:
    """One ffmpeg child process; leaving its `with` block kills whatever is left of it.

    Args:
        arguments: ffmpeg's.
        name: of the file, for messages.
        reads_frames: whether `write` feeds it.
        is_own: whether it works on files of our own, which may be large.
    """

    def __init__(self, arguments: Sequence[str], name: str, *, reads_frames: bool = False, is_own: bool = False):
        from imageio_ffmpeg import get_ffmpeg_exe  # all but video files works without it

        command = [get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-y", "-filter_threads", str(THREADS), *arguments]
        stdin = subprocess.PIPE if reads_frames else subprocess.DEVNULL
        self._name = name
        self._log = bytearray()
        self._timed_out = False
        self._patience = ENCODE_SECONDS if reads_frames or is_own else MAX_SECONDS
        # In a group of its own: Ctrl-C at a terminal would end it before the program has decided what to do.
        self._process = subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0
        )
        self._stdout = cast(BufferedReader, self._process.stdout)
        self._stderr = cast(BufferedReader, self._process.stderr)
        if sys.platform == "linux":
            with suppress(OSError):  # it may have ended already, or live under a lower limit
                prlimit(self._process.pid, RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
        self._drain = threading.Thread(target=self._keep_log, daemon=True)
        self._drain.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._drain.join()
        for stream in (self._process.stdin, self._stdout, self._stderr):
            if stream:
                with suppress(BrokenPipeError):  # closing flushes
                    stream.close()

    def read_into(self, buffer: memoryview, frames: int = 1) -> int:
        """Fill `buffer`, of a number of frames, from ffmpeg's output and return the bytes that came before its end."""
        with self._time_limit(self._patience + SECONDS_A_FRAME * (frames - 1)):
            return self._stdout.readinto(buffer)

    def write(self, data: bytes) -> bool:
        """Feed `data` to ffmpeg; False when it has stopped reading, for which `finish` has the reason."""
        assert self._process.stdin
        with self._time_limit(self._patience):
            try:
                self._process.stdin.write(data)
            except BrokenPipeError:
                return False
        return True

    def finish(self, more: float = 0.0) -> tuple[bool, str]:
        """Wait for the end, some seconds more than usual, and return whether ffmpeg was content, and its log.

        Raises:
            VideoError: a limit was met.
        """
        with self._time_limit(self._patience + more):
            if self._process.stdin:
                with suppress(BrokenPipeError):
                    self._process.stdin.close()
            status = self._process.wait()
        self._drain.join()
        log = self._log.decode(errors="replace")
        if _FULL in log:
            raise VideoError(
                f"'{self._name}' does not fit on the disk. Free some space or choose another folder."
            ) from OSError(errno.ENOSPC, _FULL)
        for sign, reason in _REFUSALS.items():
            if sign in log:
                raise VideoError(f"'{self._name}' {reason}")
        if status < 0:
            raise VideoError(f"'{self._name}' crashes ffmpeg: it is damaged or {_TOO_MUCH_MEMORY}")
        return status == 0, log

    def _keep_log(self) -> None:
        while chunk := self._stderr.read1(65536):
            self._log += chunk[: MAX_LOG - len(self._log)]

    def _kill_late(self) -> None:
        self._timed_out = True
        self._process.kill()

    @contextmanager
    def _time_limit(self, seconds: float) -> Iterator[None]:
        timer = threading.Timer(seconds, self._kill_late)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
        if self._timed_out:
            raise VideoError(
                f"'{self._name}' keeps ffmpeg busy for more than {seconds:g} s. Choose fewer frames or an earlier "
                "start, or scale the video down first."
            )


def run(arguments: Sequence[str], name: str, *, is_own: bool = False, more: float = 0.0) -> tuple[bool, str]:
    """Run ffmpeg to its end; arguments are those of `FFmpeg` and of `FFmpeg.finish`, and so is what is returned."""
    with FFmpeg(arguments, name, is_own=is_own) as child:
        return child.finish(more)


def input_arguments(path: Path) -> list[str]:
    """Return the arguments that open `path` within the limits; a "file:" address keeps odd names harmless."""
    limits = ["-protocol_whitelist", PROTOCOLS, "-format_whitelist", CONTAINERS, "-max_pixels", str(MAX_FRAME_PIXELS)]
    return [*limits, "-threads", str(THREADS), "-i", f"file:{path.absolute()}"]


def alpha_decoder(info: VideoInfo) -> list[str]:
    """Return the arguments before the input that make ffmpeg read a video's transparency."""
    return [f"-c:{info.track}", _ALPHA_DECODERS[info.codec]] if info.has_alpha and info.codec in _ALPHA_DECODERS else []


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Read what the video file at `path` holds, by decoding its first frame.

    Raises:
        VideoError: it is missing, empty, no video, damaged beyond its first frame, or beyond a limit.
    """
    path = Path(path)
    check_file(path)
    log = _decode_first_frame(path, "V:0")  # V leaves out cover pictures
    track = _choose_track(_header(log), path).number
    if f"Stream #0:{track} -> #0:0" not in log:
        log = _decode_first_frame(path, str(track))
    return _read_info(log, path, track)


def count_frames(path: Path, track: int) -> tuple[int, float]:
    """Count the packets of a video track without decoding; the seconds are 0 where no packet has a time."""
    _, log = run([*input_arguments(path), "-map", f"0:{track}", "-c", "copy", "-f", "null", "-"], path.name)
    frames = re.findall(r"frame= *(\d+)", log)
    clocks = re.findall(r"time=(\d+):(\d+):([\d.]+)", log)
    hours, minutes, seconds = clocks[-1] if clocks else (0, 0, 0)
    return int(frames[-1]) if frames else 0, int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def check_file(path: Path) -> None:
    """Raise `VideoError` unless `path` is a file with something in it."""
    if not path.exists():
        raise VideoError(f"There is no file '{path}'. Check its name and folder.")
    if not path.is_file():
        raise VideoError(f"'{path}' is a folder or device, not a video file. Name a file.")
    if path.stat().st_size == 0:
        raise VideoError(f"'{path.name}' is empty (0 bytes). Upload or copy it again.")


_STREAM = re.compile(r"^ {2,4}Stream #0:(\d+).*?: (Video|Audio|Data|Subtitle|Attachment): ?(.*)$", re.MULTILINE)
_ALPHA_FORMAT = re.compile(r"yuva|rgba|bgra|argb|abgr|gbrap|ya\d|ayuv|vuya|pal8")
_INTERLACED = re.compile(r"top first|bottom first|top coded|bottom coded| i:[TB] ")

_THUMBNAIL = 4
"""A track this many times smaller in pixels than another one is its thumbnail, whatever its file calls the default."""


@dataclass(frozen=True)
class _Track:
    """A video stream.

    Attributes:
        number: among all streams of the file.
        description: codec, size, rate and tags, as ffmpeg prints them on the stream's line.
        details: lines below it, such as metadata and side data.
    """

    number: int
    description: str
    details: str

    @property
    def pixels(self) -> int:
        """Pixels of a frame, 0 where the file does not say."""
        size = re.search(r" (\d+)x(\d+)[ ,]", self.description)
        return int(size[1]) * int(size[2]) if size else 0

    @property
    def is_default(self) -> bool:
        """Whether the file names it as the one to play."""
        return "(default)" in self.description


def _decode_first_frame(path: Path, track: str) -> str:
    """Return ffmpeg's log; showinfo sees the frame upright and states rate, size and colours exactly."""
    output = ["-map", f"0:{track}", "-frames:v", "1", "-vf", "showinfo=checksum=0", "-f", "null", "-"]
    return run([*input_arguments(path), *output], path.name)[1]


def _header(log: str) -> str:
    return re.split(r"^Stream mapping:", log, maxsplit=1, flags=re.MULTILINE)[0]


def _read_info(log: str, path: Path, track: int) -> VideoInfo:
    """Build a `VideoInfo` from what `ffmpeg -i` and its showinfo filter wrote to stderr."""
    header = _header(log)
    chosen = next(each for each in _video_tracks(header) if each.number == track)
    description, details = chosen.description, chosen.details
    frame = re.search(r"fmt:(\w+) .*?sar:(\d+)/(\d+) s:(\d+)x(\d+)( i:\w )?", log)
    colors = re.search(r"color_space:(\S+) color_primaries:(\S+) color_trc:(\S+)", log)
    if not frame or not colors:
        raise VideoError(f"No frame of '{path.name}' can be decoded; it is damaged. Convert or download it again.")
    pixel_format = frame[1]
    sar_numerator, sar_denominator, width, height = (int(number) for number in frame.groups()[1:5])
    fps, duration, is_seekable = _read_timing(header, chosen, log, path)
    sounds = [stream[3] for stream in _STREAM.finditer(header) if stream[2] == "Audio"]
    shown = re.search(r"pts_time:(\d[\d.e+-]*)", log)
    picture_start = float(shown[1]) if shown else 0.0
    return VideoInfo(
        width=max(1, round(width * sar_numerator / sar_denominator)) if sar_numerator else width,
        height=height,
        fps=fps,
        duration=duration - picture_start if picture_start < duration else duration,
        picture_start=picture_start,
        container=header.partition("Input #0, ")[2].partition(", from ")[0],
        codec=description.split()[0].rstrip(","),
        pixel_format=pixel_format,
        track=track,
        is_turned=bool(re.search(r"display ?matrix", details, re.IGNORECASE)),
        is_interlaced=bool(_INTERLACED.search(description) or _INTERLACED.search(frame[6] or "")),
        has_audio=bool(sounds),
        sound_track=next((number for number, sound in enumerate(sounds) if "(default)" in sound), 0),
        has_alpha=bool(_ALPHA_FORMAT.match(pixel_format) or re.search(r"alpha_mode +: 1", details, re.IGNORECASE)),
        color_matrix=colors[1],
        color_primaries=colors[2],
        color_transfer=colors[3],
        is_seekable=is_seekable,
    )


def _choose_track(header: str, path: Path) -> _Track:
    """Return the video track that is meant to be played: the default one, or the largest where that is a thumbnail.

    Raises:
        VideoError: there is none.
    """
    tracks = _video_tracks(header)
    if not tracks:
        kinds = [stream[2] for stream in _STREAM.finditer(header)]
        if not kinds:
            raise VideoError(f"'{path.name}' {_CUT_OFF if _is_cut_off(header, path) else _NOT_A_VIDEO}")
        holds = "only sound" if "Audio" in kinds else "no picture"
        raise VideoError(f"'{path.name}' holds {holds}. Choose a file with a video track.")
    largest = max(tracks, key=lambda track: track.pixels)
    defaults = [track for track in tracks if track.is_default and track.pixels * _THUMBNAIL > largest.pixels]
    return defaults[0] if defaults else largest


def _is_cut_off(log: str, path: Path) -> bool:
    """Whether a file begins as MP4 or MOV but lacks the index, which most programs write last."""
    with path.open("rb") as file:
        return file.read(8)[4:] in (b"ftyp", b"mdat", b"wide", b"free") and "moov atom not found" in log


def _video_tracks(header: str) -> list[_Track]:
    """Return the tracks of moving pictures, without covers and previews."""
    streams = list(_STREAM.finditer(header))
    ends = [stream.start() for stream in streams[1:]] + [len(header)]
    return [
        _Track(int(stream[1]), stream[3], header[stream.end() : end])
        for stream, end in zip(streams, ends, strict=False)
        if stream[2] == "Video" and not re.search(r"\((attached pic|timed thumbnails)\)", stream[3])
    ]


def _read_timing(header: str, track: _Track, log: str, path: Path) -> tuple[float, float, bool]:
    """Return frames per second, seconds, and whether the file itself states the seconds.

    The declared rate is exact (30000/1001) but absurd in some containers and wrong for variable rates; the average,
    rounded to hundredths, is the second choice; counting the packets is the last.
    """
    clock = re.search(r"^  Duration: (\d+):(\d+):([\d.]+)", header, re.MULTILINE)
    seconds = int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3]) if clock else 0.0
    ratio = re.search(r"frame_rate: (\d+)/(\d+)", log)
    declared = float(Fraction(int(ratio[1]), int(ratio[2]))) if ratio and int(ratio[2]) else 0.0
    stated = re.search(r"([\d.]+)(k?) fps", track.description)
    average = float(stated[1]) * (1000 if stated[2] else 1) if stated else 0.0
    is_constant = not average or abs(declared / average - 1) < 0.05
    fps = declared if is_constant and _is_sane(declared) else average
    if _is_sane(fps) and seconds:
        return fps, seconds, True
    frames, counted_seconds = count_frames(path, track.number)
    seconds_known = seconds or counted_seconds
    if not _is_sane(fps):
        fps = min(max(frames / seconds_known, MIN_FPS), MAX_FPS) if seconds_known else DEFAULT_FPS
    return fps, seconds_known or frames / fps, bool(seconds)


def _is_sane(fps: float) -> bool:
    return MIN_FPS <= fps <= MAX_FPS
