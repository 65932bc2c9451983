"""Which engine follows with which segmenter: SAM 2.1 and EdgeTAM by their video memory, the rest by optical flow."""

import torch
from safetensors import SafetensorError
from transformers import EdgeTamVideoModel, Sam2ImageProcessor, Sam2VideoModel

from videograin.device import choose_device
from videograin.errors import ModelError
from videograin.segment.model import SegmentModel
from videograin.segment.names import DEFAULT_SEGMENTER, GRABCUT, Architecture, architecture, fetch_segmenter
from videograin.segment.zoo import load_pretrained, load_segmenter
from videograin.tracking.flow_engine import FlowEngine
from videograin.tracking.propagator import Engine
from videograin.tracking.video_engine import VideoEngine


def load_engine(
    name: str = DEFAULT_SEGMENTER,
    device: torch.device | str | None = None,
    *,
    model: SegmentModel | None = None,
    offline: bool = False,
) -> Engine:
    """Load what follows objects with a segmenter.

    Any segmenter can be had with optical flow as well: `FlowEngine(load_segmenter(name))`.

    Args:
        name: as `load_segmenter` takes it.
        device: None takes the best there is.
        model: the segmenter, to be shared where flow follows; None loads it.
        offline: as in `load_segmenter`.

    Raises:
        ModelError: it cannot be found, downloaded or loaded.
        SettingsError: the device is not there.
    """
    if not has_video_memory(name, offline=offline):
        return FlowEngine(model or load_segmenter(name, device, offline=True))
    path = fetch_segmenter(name, offline=True)
    kind = architecture(path)
    try:
        is_sam2 = kind is Architecture.SAM2
        follower = load_pretrained(Sam2VideoModel, path) if is_sam2 else load_pretrained(EdgeTamVideoModel, path)
        processor = Sam2ImageProcessor.from_pretrained(path, local_files_only=True)
    except (ImportError, OSError, RuntimeError, LookupError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"Segmenter '{name}' cannot follow from '{path}': {reason}. Choose another.") from error
    follower.to(choose_device(device))  # pyright: ignore[reportArgumentType] (transformers wraps it untyped)
    return VideoEngine(follower, processor)


def has_video_memory(name: str, *, offline: bool = True) -> bool:
    """Return whether a segmenter follows by a memory of its own rather than by optical flow; as `load_engine`."""
    if name == GRABCUT:
        return False
    path = fetch_segmenter(name, offline=offline)
    return architecture(path) is not Architecture.SAM
