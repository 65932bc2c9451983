"""Every error that a user can cause, each with a message that names the fix.

Message form: what, got, allowed, fix. The page shows these texts as they are; anything else that is raised is a
defect of ours.
"""

import re

_QUOTED_PATH = re.compile(r"'(?:/|[A-Za-z]:[/\\\\])[^'\n]*[/\\\\]([^'/\\\\\n]+)'")
_LONG_QUOTE = re.compile(r"'([^'\n]{60})[^'\n]{61,}'")


def for_visitors(message: str) -> str:
    """Return a message as visitors of a studio may see it.

    Of paths in quotes only the names stay, as the folders are the operator's business; long values are cut.
    """
    return _LONG_QUOTE.sub(r"'\1…'", _QUOTED_PATH.sub(r"'\1'", message))


class VideoGrainError(ValueError):
    """Base of all errors that the caller can mend."""


class VideoError(VideoGrainError):
    """The video file cannot be read or written as asked."""


class RegionError(VideoGrainError):
    """A region's mask or settings do not fit the clip."""


class PromptError(VideoGrainError):
    """A prompt cannot be encoded, or a region's phrase is not in it."""


class SettingsError(VideoGrainError):
    """A setting is outside its allowed range."""


class ModelError(VideoGrainError):
    """A model cannot be found, loaded or used for this purpose."""


class SegmentError(VideoGrainError):
    """Clicks, a box or a frame cannot be turned into a mask."""


class NothingFoundError(SegmentError):
    """The segmenter found no pixel of an object where it was asked."""


class TrackingError(VideoGrainError):
    """Masks cannot be followed through the clip as asked."""


class ProjectError(VideoGrainError):
    """A project file is missing, damaged or of an unknown version."""


class JobError(VideoGrainError):
    """A job cannot be taken, found or carried out."""


class Cancelled(Exception):  # noqa: N818 (it is no error)
    """The user asked to stop; nothing half-written is left behind."""


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise SettingsError unless a setting's value lies from `low` to `high`."""
    if not low <= value <= high:
        raise SettingsError(f"{name} is {value}; choose a value from {low} to {high}.")
