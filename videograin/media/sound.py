"""The sound of a clip: a track that can be encoded, chosen by trial before the edit, and laid under its picture after.

The picture decides how long the sound is, to the sample: silence fills gaps and the end, a longer sound is cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from videograin.errors import VideoError
from videograin.media.ffmpeg import check_file, input_arguments, run

MAX_TRACKS = 8
"""Sound tracks that are tried, from the first; a film with more languages than that has the default one, or silence."""

AAC = ("-c:a", "aac", "-b:a", "192k")
"""What every browser plays in an MP4; 192 kbit/s is transparent for stereo."""


SHARE_OF_SOUND = 0.25
"""Of a sound's duration, that encoding may take beyond the usual limit: one core needs an eightieth."""


class Mix(StrEnum):
    """How a track's channels become those of the result."""

    KEEP = "keep"
    STEREO = "stereo"
    FIRST_TWO = "first two"  # recorders keep their stereo mix there; all that can be done without a known layout


@dataclass(frozen=True)
class AudioSource:
    """The sound of a part of a file.

    Attributes:
        path: any file with sound.
        start: seconds into it.
        duration: seconds.
        track: which of its sound tracks, from 0.
        mix: what becomes of its channels.
    """

    path: Path
    start: float
    duration: float
    track: int = 0
    mix: Mix = Mix.KEEP


def find_sound(path: Path, start: float, duration: float, default: int = 0) -> tuple[AudioSource | None, str]:
    """Choose a sound track of a file that can be encoded, by encoding the part that is wanted.

    Args:
        path: a file with at least one sound track.
        start: seconds into it.
        duration: seconds.
        default: the track that is tried first, from 0; the others follow in their order.

    Returns:
        The sound to give to `save_video`, None where no track can be encoded; and what the user should know, empty
        where the sound is the default track as it is.
    """
    for track in (default, *(other for other in range(MAX_TRACKS) if other != default)):
        for mix in Mix:
            audio = AudioSource(path, start, duration, track, mix)
            arguments = [*_input(audio), *_output(audio, duration), *AAC, "-f", "null", "-"]
            content, log = run(arguments, path.name, more=SHARE_OF_SOUND * duration)
            if content:
                return audio, _note(audio, default)
            if "matches no streams" in log:
                return None, _NO_SOUND
    return None, _NO_SOUND


def add_sound(
    picture: Path, audio: AudioSource, seconds: float, target: Path, muxer: str = "mp4", codec: Sequence[str] = AAC
) -> None:
    """Copy a picture beside its sound into one file.

    Args:
        picture: a video without sound.
        audio: begins with the first frame.
        seconds: that the picture lasts.
        target: file to write; its ending does not matter.
        muxer: ffmpeg's name of its container.
        codec: ffmpeg's output arguments for the sound.

    Raises:
        VideoError: the sound's file is gone or cannot be encoded, or the disk is full.
    """
    check_file(audio.path)
    inputs = ["-v", "error", "-i", f"file:{picture.absolute()}", *_input(audio)]
    streams = ["-map", "0:v", "-c:v", "copy", *_output(audio, seconds, number=1), *codec]
    # What the file says of its sound is private; of the picture it says whether there is transparency.
    said = ["-map_metadata", "-1", "-map_metadata:s:v", "0:s:v", "-map_metadata:s:a", "-1"]
    end = [*said, "-movflags", "+faststart", "-f", muxer, f"file:{target.absolute()}"]
    content, log = run([*inputs, *streams, *end], audio.path.name, is_own=True)  # `find_sound` has tried the sound
    if not content:
        raise VideoError(f"The sound of '{audio.path.name}' cannot be added. ffmpeg says: {log.strip()}")


_NO_SOUND = "The sound of this video cannot be read, so the result will be silent. Convert it to AAC to keep it."
_MIXED = "The sound has more channels than a result can have, so it will be stereo."
_OTHER = "Sound track {} of this video cannot be read, so the result will have track {}."


def _note(audio: AudioSource, default: int) -> str:
    notes = [_OTHER.format(default + 1, audio.track + 1)] if audio.track != default else []
    return " ".join([*notes, *([_MIXED] if audio.mix is not Mix.KEEP else [])])


def _input(audio: AudioSource) -> list[str]:
    return ["-ss", f"{audio.start:.6f}", "-t", f"{audio.duration:.6f}", *input_arguments(audio.path)]


def _output(audio: AudioSource, seconds: float, number: int = 0) -> list[str]:
    """Return the arguments that take the sound from the input of this number and make it so long."""
    mix = ["pan=stereo|c0=c0|c1=c1"] if audio.mix is Mix.FIRST_TWO else []
    # Padding alone never ends and -shortest ends it seconds late: a sound trimmed to its length is exact.
    filters = [*mix, "aresample=async=1:first_pts=0", "apad", f"atrim=duration={seconds:.6f}"]
    channels = ["-ac", "2"] if audio.mix is Mix.STEREO else []
    return ["-map", f"{number}:a:{audio.track}", "-af", ",".join(filters), *channels]
