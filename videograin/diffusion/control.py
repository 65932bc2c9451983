"""Control images for ControlNet: edges, depth or poses of the source frames, which the edit must keep.

`control_images` does it in one call. Who serves several clips loads a detector once and calls it on each of them.
"""

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from videograin.controls import DEPTH_MODEL, DEPTH_MODELS, NO_POSES, PEOPLE_MODEL, POSE_MODEL
from videograin.errors import ModelError, SettingsError
from videograin.files.atomic import mapped_array, write_whole
from videograin.files.hub import WEIGHTS_LOCK, Layout, fetch, user_cache_dir
from videograin.region import ControlKind

if TYPE_CHECKING:
    from transformers import PretrainedConfig

NEAREST_SHARE, FARTHEST_SHARE = 0.02, 0.85
"""Shares of a clip's pixels by distance that are white and black where it is in metres, as ControlNet's own ZoeDepth
has them: a sky kilometres away would leave one grey to all else."""

BODY_JOINTS = 18
"""The first joints of OpenPose's whole body; behind them are feet, hands and face."""

DEPTH_FRAMES_AT_ONCE = 8

MEASURED_PIXELS = 2**24
"""Pixels of a clip, evenly spread, by which shares of it are told at most: to sort all of a long one takes minutes."""

PEOPLE_SIDES = (640, 640)
POSE_SIDES = (192, 256)
"""(width, height) of what `PEOPLE_MODEL` and `POSE_MODEL` are shown."""

POSE_CONFIDENCE = 0.43  # the least score of a joint that is drawn; rtmlib's own for this model


class Detector(ABC):
    """Turns frames (F, H, W, 3) uint8 RGB into control images of the same shape and type."""

    @abstractmethod
    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Return the control images of a whole clip."""

    def write(self, frames: np.ndarray, images: np.ndarray, parts: Iterable[slice], scratch: Path) -> None:  # noqa: ARG002
        """Write the control images of a clip that is looked at in parts; they are those of the whole.

        Args:
            frames: (F, H, W, 3) uint8 RGB; they may be a memory map.
            images: of the same shape and type, to be written.
            parts: of the clip, all of it together; each is asked for before its frames are looked at.
            scratch: a folder for what is known of the frames until all have been looked at.
        """
        for part in parts:
            images[part] = self(np.asarray(frames[part]))


def control_images(
    frames: np.ndarray,
    kind: ControlKind,
    *,
    canny_thresholds: tuple[int, int] = (100, 200),
    depth_model: str | None = None,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Return the control images of a clip.

    Args:
        frames: (F, H, W, 3) uint8 RGB.
        kind: which ControlNet they are for.
        canny_thresholds: (low, high) gradients: edges start above the second and continue above the first.
        depth_model: folder or hub id of a `transformers` model for depth (Depth Anything, DPT, ZoeDepth); None is the
            kind's own.
        device: where the depth or pose model runs.

    Returns:
        (F, H, W, 3) uint8 RGB.
    """
    detector = load_detector(kind, canny_thresholds=canny_thresholds, depth_model=depth_model, device=device)
    return detector(frames)


def load_detector(
    kind: ControlKind,
    *,
    canny_thresholds: tuple[int, int] = (100, 200),
    depth_model: str | None = None,
    device: torch.device | str = "cpu",
) -> Detector:
    """Return what makes control images of one kind; arguments as for `control_images`."""
    match kind:
        case ControlKind.CANNY:
            return CannyDetector(*canny_thresholds)
        case ControlKind.DEPTH | ControlKind.DEPTH_DPT | ControlKind.DEPTH_ZOE:
            return DepthDetector.load(depth_model or DEPTH_MODELS[kind], device)
        case ControlKind.POSE:
            return PoseDetector.load(device)
        case ControlKind.POSE_BODY:
            return PoseDetector.load(device, BODY_JOINTS)
    kinds = ", ".join(ControlKind)
    raise SettingsError(f"Control kind '{kind}' is unknown. Use one of: {kinds}.")


@dataclass(frozen=True)
class CannyDetector(Detector):
    """White edges on black, by Canny's detector."""

    low: int = 100
    high: int = 200

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise SettingsError(
                f"Canny thresholds are ({self.low}, {self.high}). Use 0 ≤ low ≤ high, for example (100, 200)."
            )

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Detect edges in frames (F, H, W, 3) uint8 RGB; the result has the same shape, values 0 and 255."""
        edges = np.stack([cv2.Canny(frame, self.low, self.high) for frame in frames])
        return np.repeat(edges[..., None], 3, axis=-1)


@dataclass(frozen=True)
class DepthDetector(Detector):
    """Nearness as grey, white = nearest, by a `transformers` model for depth.

    Attributes:
        model: estimates nearness up to a scale, or metres.
        processor: makes its input of pictures.
        is_metric: whether it estimates metres.
    """

    model: torch.nn.Module
    processor: Callable
    is_metric: bool = False

    @classmethod
    def load(cls, name: str = DEPTH_MODEL, device: torch.device | str = "cpu") -> Self:
        """Load the model from a folder, or from the hub and its local cache."""
        from transformers import AutoImageProcessor, AutoModelForDepthEstimation

        folder = fetch(name, Layout.NETWORK)
        try:
            with WEIGHTS_LOCK:
                processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
                model = AutoModelForDepthEstimation.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise ModelError(
                f"Depth model '{name}' cannot be loaded ({str(error).splitlines()[0]}). Give the folder of a "
                f"transformers depth model, or fetch the default once: hf download {DEPTH_MODEL}"
            ) from error
        return cls(model.eval().to(device), processor, _is_metric(model.config))

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Estimate depth of frames (F, H, W, 3) uint8 RGB; the result has the same shape, values 0 to 255.

        The range is stretched over the whole clip: frame by frame the grey of an object at rest would jump
        whenever another came nearer, and the edit would flicker with it.
        """
        nearness = self._nearness(frames)
        return _grey(nearness, *self._range(nearness))

    def write(self, frames: np.ndarray, images: np.ndarray, parts: Iterable[slice], scratch: Path) -> None:
        """Write the control images of a clip that is looked at in parts; its range is known after all of them."""
        nearness, seen = mapped_array(scratch / "nearness", frames.shape[:3], np.float32), []
        for part in parts:
            nearness[part] = self._nearness(np.asarray(frames[part]))
            seen.append(part)
        low, high = self._range(nearness)
        for part in seen:
            images[part] = _grey(nearness[part], low, high)

    def _range(self, nearness: np.ndarray) -> tuple[np.float32, np.float32]:
        """Return what is black and what is white."""
        if not self.is_metric:
            return nearness.min(), nearness.max()
        some = nearness.reshape(-1)[:: -(-nearness.size // MEASURED_PIXELS)]
        low, high = np.quantile(some, [1 - FARTHEST_SHARE, 1 - NEAREST_SHARE]).astype(np.float32)
        return low, high

    @torch.inference_mode()
    def _nearness(self, frames: np.ndarray) -> np.ndarray:
        """Return how near each pixel is, (F, H, W) float32, up to a scale or in metres below 0."""
        chunks = np.split(frames, range(DEPTH_FRAMES_AT_ONCE, len(frames), DEPTH_FRAMES_AT_ONCE))
        return np.concatenate([self._nearness_of_some(chunk) for chunk in chunks])

    def _nearness_of_some(self, frames: np.ndarray) -> np.ndarray:
        device = next(self.model.parameters()).device
        whole = {"do_pad": False} if self.is_metric else {}  # a margin would be a part of the depth
        inputs = self.processor(images=list(frames), return_tensors="pt", input_data_format="channels_last", **whole)
        depth = self.model(inputs["pixel_values"].to(device)).predicted_depth.float()
        nearness = -depth if self.is_metric else depth
        return F.interpolate(nearness[:, None], frames.shape[1:3], mode="bilinear")[:, 0].cpu().numpy()


def _is_metric(config: "PretrainedConfig") -> bool:
    """Return whether a model for depth estimates metres: ZoeDepth, or a Depth Anything that was made to."""
    return config.model_type == "zoedepth" or getattr(config, "depth_estimation_type", "relative") == "metric"


def _grey(nearness: np.ndarray, low: np.float32, high: np.float32) -> np.ndarray:
    """Return nearness (F, H, W) float32 as grey pictures (F, H, W, 3) uint8, black and white at the ends of a range."""
    share = (nearness - low) / max(high - low, np.finfo(np.float32).tiny)
    return np.repeat(np.rint(share.clip(0, 1) * 255).astype(np.uint8)[..., None], 3, axis=-1)


@dataclass(frozen=True)
class PoseDetector(Detector):
    """Coloured skeletons with hands and faces on black, by DWPose as packed in `rtmlib`.

    Attributes:
        find_people: BGR image → joints (people, joints, 2) in pixels, scores (people, joints).
        draw: rtmlib's `draw_skeleton`.
        joints: how many are drawn, from the first; None draws all.
    """

    find_people: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    draw: Callable[..., np.ndarray]
    joints: int | None = None

    @classmethod
    def load(cls, device: torch.device | str = "cpu", joints: int | None = None) -> Self:
        """Load rtmlib's whole-body model from files of a hub, or from its local cache."""
        try:
            from rtmlib import Wholebody, draw_skeleton  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ModelError(f"{NO_POSES} ({error})") from error
        people = Wholebody(
            det=str(_network_of(PEOPLE_MODEL)),
            det_input_size=PEOPLE_SIDES,
            pose=str(_network_of(POSE_MODEL)),
            pose_input_size=POSE_SIDES,
            to_openpose=True,
            backend="onnxruntime",
            device=torch.device(device).type,
        )
        return cls(people, draw_skeleton, joints)

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Draw the people of frames (F, H, W, 3) uint8 RGB; the result has the same shape and type."""
        return np.stack([self._skeletons(frame) for frame in frames])

    def _skeletons(self, frame: np.ndarray) -> np.ndarray:
        joints, scores = self.find_people(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        joints, scores = joints[:, : self.joints], scores[:, : self.joints]
        return self.draw(np.zeros_like(frame), joints, scores, openpose_skeleton=True, kpt_thr=POSE_CONFIDENCE)


def _network_of(archive: str) -> Path:
    """Return the ONNX file of an archive on a hub, taken out once."""
    target = user_cache_dir() / "poses" / f"{Path(archive).stem}.onnx"
    if not target.exists():
        with zipfile.ZipFile(fetch(archive, Layout.FILE)) as opened:
            (name,) = (name for name in opened.namelist() if name.endswith(".onnx"))
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, opened.read(name))
    return target
