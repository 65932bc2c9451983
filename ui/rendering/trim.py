"""The strip of pictures on which the user chooses a part of a video."""

import math

import numpy as np

from ui.rendering.pictures import data_url

STEP = 0.1
"""Seconds by which the handles move."""


def trim_strip(pictures: np.ndarray, duration: float) -> str:
    """Return a strip with a handle for the start and one for the end of the part, which is all at first.

    Args:
        pictures: (F, H, W, 3) uint8 RGB, evenly spread over the video.
        duration: of the video in seconds.
    """
    longest = math.ceil(duration / STEP) * STEP
    film = "".join(f"<img src='{data_url(picture)}' alt=''>" for picture in pictures)
    return (
        f"<div class='vg-trim' data-duration='{duration:.2f}' style='--from:0;--to:1'><div class='vg-film'>{film}</div>"
        + _handle("start", "Start of the part in seconds", 0, longest)
        + _handle("end", "End of the part in seconds", longest, longest)
        + "</div>"
    )


def _handle(name: str, label: str, value: float, longest: float) -> str:
    return (
        f"<input type='range' name='{name}' min='0' max='{longest:.1f}' step='{STEP}' value='{value:.1f}' "
        f"aria-label='{label}'>"
    )
