"""Clips that browsers do not play, as MP4s that they do: GIFs, and folders of pictures packed into one file."""

from pathlib import Path

from videograin.errors import VideoError
from videograin.files.atomic import written_aside
from videograin.media.ffmpeg import SECONDS_A_FRAME, FFmpeg, alpha_decoder, input_arguments, probe, run
from videograin.media.filters import picture_filters, sampling_filters, track_filters, yuv_filters
from videograin.media.frame_folder import frame_files, probe_folder, read_frames
from videograin.media.video import MAX_FRAMES, ClipOptions, clip_size

NEARLY_LOSSLESS = 12
"""CRF of H.264 at which the few colours of a GIF stay what they are to the eye."""


def make_playable(path: Path, target: Path) -> None:
    """Write a video as an H.264 MP4 of its own rate and size, but for a last odd row or column.

    Raises:
        VideoError: it cannot be read, or a limit is met.
        ProjectError: the target cannot be written.
    """
    info = probe(path)
    scaled, size = clip_size(info.width, info.height, ClipOptions(short_side=None, multiple=2))
    filters = [
        *track_filters(info),
        *sampling_filters(info, 0.0, info.fps),
        *picture_filters(info, scaled, size),
        *yuv_filters("yuv420p"),
    ]
    h264 = ["-c:v", "libx264", "-crf", str(NEARLY_LOSSLESS), "-movflags", "+faststart"]
    with written_aside(target) as aside:
        output = [*h264, "-f", "mp4", f"file:{aside.absolute()}"]
        picture = ["-map", f"0:{info.track}", "-vf", ",".join(filters), "-an"]
        arguments = ["-v", "error", *alpha_decoder(info), *input_arguments(path), *picture, *output]
        content, log = run(arguments, path.name, more=SECONDS_A_FRAME * min(MAX_FRAMES, info.duration * info.fps))
        if not content:
            raise VideoError(f"'{path.name}' cannot be shown ({log.strip()[:200]}). Convert it to MP4 and upload that.")


def pack_frames(folder: Path, target: Path) -> None:
    """Write the pictures of a folder as one video without loss, an H.264 MKV of RGB pixels.

    Raises:
        VideoError: a picture cannot be read, or a limit is met.
        ProjectError: the target cannot be written.
    """
    info = probe_folder(folder)
    size = (info.width, info.height)
    pictures = [
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        f"{size[0]}x{size[1]}",
        "-r",
        f"{info.fps:g}",
        "-i",
        "pipe:0",
    ]
    lossless = ["-c:v", "libx264rgb", "-crf", "0", "-preset", "veryfast", "-f", "matroska"]
    with written_aside(target) as aside:
        output = [*lossless, f"file:{aside.absolute()}"]
        with FFmpeg(["-v", "error", *pictures, *output], folder.name, reads_frames=True) as child:
            for frame in read_frames(folder, list(range(len(frame_files(folder)))), size):
                if not child.write(frame.tobytes()):
                    break
            content, log = child.finish()
        if not content:
            raise VideoError(
                f"The pictures of '{folder.name}' cannot be packed ({log.strip()[:200]}). Make it a video."
            )
