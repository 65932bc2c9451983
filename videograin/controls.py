"""What holds an edit to its source: kinds of ControlNets, what finds their images, and how far and when one acts."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from typing import Self

from videograin.errors import ModelError, SettingsError, check_range


class ControlKind(StrEnum):
    """What a ControlNet follows, and by which network that is found; several kinds may share a ControlNet."""

    CANNY = "canny"
    DEPTH = "depth"
    DEPTH_DPT = "depth_dpt"
    DEPTH_ZOE = "depth_zoe"
    POSE = "pose"
    POSE_BODY = "pose_body"


DEPTH_MODEL = "depth-anything/Depth-Anything-V2-Small-hf"
DEPTH_MODELS = {
    ControlKind.DEPTH: DEPTH_MODEL,
    ControlKind.DEPTH_DPT: "Intel/dpt-hybrid-midas",
    ControlKind.DEPTH_ZOE: "Intel/zoedepth-nyu-kitti",
}
"""What finds the depth of each kind; the ControlNets for depth were trained on the second one's."""

PEOPLE_MODEL = "Tau-J/RTMPose/rtmposev1/onnx_sdk/yolox_m_8xb8-300e_humanart-c2c7a14a.zip"
POSE_MODEL = "Tau-J/RTMPose/rtmw/onnx_sdk/rtmw-dw-x-l_simcc-cocktail14_270e-256x192_20231122.zip"
"""What finds people, and their joints: rtmlib's own choice ("balanced")."""

NO_POSES = (
    "Poses are found by the optional package 'rtmlib', which is not installed. Run in the studio's clone: "
    "uv tool install '.[pose]' or pip install '.[pose]'. Or hold the edit to edges or depth."
)


@dataclass(frozen=True)
class ControlGuidance:
    """How far, and in which part of an edit, one ControlNet holds it to the source.

    Attributes:
        kind: of the ControlNet.
        scale: factor on its residuals, beside `EditSettings.controlnet_conditioning_scale`.
        start, end: the part of denoising in which it acts, as shares of the steps; inversion follows it at the same
            noise levels.

    Raises:
        SettingsError: a value outside its range, or an end that is not behind the start.
    """

    kind: ControlKind
    scale: float = 1.0
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        check_range(f"scale of control '{self.kind}'", self.scale, 0, 2)
        check_range(f"start of control '{self.kind}'", self.start, 0, 1)
        if not self.start < self.end <= 1:
            raise SettingsError(
                f"end of control '{self.kind}' is {self.end}; choose a value above its start, {self.start}, up to 1."
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "canny", "canny:0.6" (scale) or "canny:0.6:0:0.5" (scale, start, end).

        Raises:
            SettingsError: another kind, anything that is no number, or a value out of range.
        """
        kind, *numbers = text.split(":")
        if kind not in list(ControlKind):
            raise SettingsError(f"There is no ControlNet '{kind}'. Known are: {', '.join(ControlKind)}.")
        try:
            values = [float(number) for number in numbers]
        except ValueError:
            values = None
        if values is None or len(values) not in (0, 1, 3):
            raise SettingsError(f"Control '{text}' is not understood. Give kind, kind:scale or kind:scale:start:end.")
        return cls(ControlKind(kind), *values)


def check_packages(kinds: Iterable[ControlKind]) -> None:
    """Raise ModelError where images of a kind cannot be found, before gigabytes are downloaded for it."""
    if {ControlKind.POSE, ControlKind.POSE_BODY} & set(kinds) and find_spec("rtmlib") is None:
        raise ModelError(NO_POSES)
