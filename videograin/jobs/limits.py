"""The operator's limits, checked here for the page, the API and the queue alike."""

from pathlib import Path

from videograin.errors import ModelError, SettingsError, VideoError
from videograin.jobs.settings import OperatorSettings
from videograin.media.video import ClipOptions, VideoInfo, clip_shape, probe
from videograin.project.project import EditInputs
from videograin.segment.names import GRABCUT, is_here


def check_model(name: str, limits: OperatorSettings) -> None:
    """Raise ModelError where a model is not offered by the operator."""
    if name not in limits.models:
        raise ModelError(f"Model '{name}' is not offered here. Choose one of: {', '.join(limits.models)}.")


def check_segmenter(name: str, limits: OperatorSettings, *, may_download: bool = False) -> None:
    """Raise ModelError where a segmenter is not offered by the operator, or not on this machine.

    Args:
        name: of the segmenter.
        limits: the operator's.
        may_download: whether one that is not on this machine will do.
    """
    if name not in limits.segmenters:
        raise ModelError(f"Segmenter '{name}' is not offered here. Choose one of: {', '.join(limits.segmenters)}.")
    if not (may_download or is_here(name)):
        raise ModelError(f"Segmenter '{name}' is not on this machine yet. Download it first, or choose '{GRABCUT}'.")


def check_video(file: Path, limits: OperatorSettings) -> VideoInfo:
    """Return a video's header.

    Raises:
        VideoError: it cannot be read, or is larger or longer than allowed.
    """
    megabytes = (
        sum(each.stat().st_size for each in (file.glob("*") if file.is_dir() else [file]) if each.is_file()) / 1e6
    )
    if megabytes > limits.max_upload_mb:
        raise VideoError(
            f"The video has {megabytes:.4g} MB; at most {limits.max_upload_mb:g} MB are allowed here. Compress it or "
            "cut it first."
        )
    info = probe(file)
    if info.duration > limits.max_video_seconds:
        raise VideoError(
            f"The video lasts {info.duration:.4g} s; at most {limits.max_video_seconds:g} s are allowed here. Cut it "
            "first."
        )
    return info


def check_clip(file: Path, options: ClipOptions, limits: OperatorSettings) -> tuple[int, int, int]:
    """Return the shape (F, H, W) of the clip that options make of a video, by the video's header.

    Raises:
        VideoError: as `check_video`, or the clip has more or larger frames than allowed.
    """
    frames, height, width = clip_shape(check_video(file, limits), options)
    if max(height, width) > limits.max_side:
        raise VideoError(
            f"The frames would be {width}×{height}; at most {limits.max_side} pixels a side are allowed here. Choose a "
            "smaller size."
        )
    if options.max_frames > limits.max_frames:
        raise VideoError(
            f"There would be up to {options.max_frames} frames; at most {limits.max_frames} are allowed here. Choose a "
            "shorter part."
        )
    return frames, height, width


def check_edit(inputs: EditInputs, limits: OperatorSettings) -> tuple[int, int, int]:
    """Return the shape (F, H, W) of the clip of an edit.

    Raises:
        ModelError: the model is not offered.
        VideoError: as `check_clip`.
        SettingsError: there are more steps than allowed.
    """
    check_model(inputs.model, limits)
    shape = check_clip(inputs.clip, inputs.clip_options, limits)
    steps = inputs.settings.num_inference_steps
    if steps > limits.max_steps:
        raise SettingsError(f"The edit has {steps} steps; at most {limits.max_steps} are allowed here. Choose fewer.")
    return shape
