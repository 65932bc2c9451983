"""Join MP4s that were written one after the other, without encoding them again."""

import os
from collections.abc import Sequence
from pathlib import Path

from videograin.errors import VideoError
from videograin.files.atomic import written_aside
from videograin.media.ffmpeg import run
from videograin.media.sound import AudioSource, add_sound


def join_videos(parts: Sequence[Path], target: Path, seconds: float, audio: AudioSource | None = None) -> None:
    """Write the pictures of MP4s one after the other, and if given the sound, into a file that appears whole.

    Args:
        parts: of one size and rate, as `save_part` writes them.
        target: the .mp4 to write; an older file of that name is replaced.
        seconds: how long they last together; the sound is made as long.
        audio: begins with the first frame.

    Raises:
        VideoError: they cannot be joined.
    """
    with written_aside(target) as aside:
        names, silent = (aside.with_name(f"{aside.stem}.{kind}.part") for kind in ("parts", "silent"))
        try:
            names.write_bytes(os.fsencode("".join(f"file {_quoted(part)}\n" for part in parts)))
            joined = silent if audio else aside
            copy = ["-map", "0:v", "-c", "copy", "-map_metadata", "-1", "-movflags", "+faststart", "-f", "mp4"]
            source = ["-v", "error", "-f", "concat", "-safe", "0", "-i", f"file:{names.absolute()}"]
            content, log = run([*source, *copy, f"file:{joined.absolute()}"], target.name, is_own=True)
            if not content:
                raise VideoError(f"'{target.name}' could not be joined. ffmpeg says: {log.strip()}")
            if audio:
                add_sound(silent, audio, seconds, aside)
        finally:
            names.unlink(missing_ok=True)
            silent.unlink(missing_ok=True)


def _quoted(path: Path) -> str:
    """Return a path as ffmpeg's lists of files have it: a quote stands outside of the quoting."""
    return "'" + str(path.absolute()).replace("'", "'\\''") + "'"
