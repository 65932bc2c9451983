"""How much windows show: the warp error where one window takes over from another, against that elsewhere."""

from collections.abc import Sequence

import numpy as np

from videograin.diffusion.windows.plan import Window, request_windows
from videograin.evaluation.metrics import warp_error
from videograin.media.flow import OpticalFlow
from videograin.media.shot_cuts import shot_starts
from videograin.region import EditRequest


def seam_ratio(frames: np.ndarray, flow: OpticalFlow, request: EditRequest) -> float:
    """Return the warp error at the windows' joints over that elsewhere; nan where no windows meet.

    It is infinite where nothing moves against the source but at the joints. A cut is the source's own and counts as
    neither.

    Args:
        frames: (F, H, W, 3) uint8 RGB, the edit.
        flow: of the source.
        request: whose windows they are.
    """
    windows = request_windows(request)
    cuts = {start - 1 for start in shot_starts(request.frames)} if len(windows) > 1 else set[int]()
    joints = [pair for window in windows for pair in _joint(window) if pair not in cuts]
    if not joints:
        return float("nan")
    others = [pair for pair in range(len(frames) - 1) if pair not in cuts.union(joints)]
    at_joints, elsewhere = _error(frames, flow, joints), _error(frames, flow, others)
    if not elsewhere:
        return float("inf") if at_joints else 1.0
    return at_joints / elsewhere


def pair_errors(frames: np.ndarray, flow: OpticalFlow) -> list[float]:
    """Return the warp error of each pair of consecutive frames, (F - 1,) in thousandths; nan where nothing is seen."""
    return [warp_error(frames[t : t + 2], flow.pair(t)) for t in range(len(frames) - 1)]


def _joint(window: Window) -> range:
    """Return the pairs (t, t + 1) across which a window takes over from the one before: all those of the overlap."""
    return range(window.start - 1, window.start + window.overlap) if window.start else range(0)


def _error(frames: np.ndarray, flow: OpticalFlow, pairs: Sequence[int]) -> float:
    """Return the mean warp error of some pairs of frames."""
    return float(np.nanmean([warp_error(frames[t : t + 2], flow.pair(t)) for t in pairs]))
