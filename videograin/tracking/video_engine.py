"""Follow objects by the video memory of SAM 2.1 (arXiv 2408.00714) or EdgeTAM (arXiv 2501.07256), of transformers.

Every object has an inference session of its own, so that objects are added, corrected and removed without the others
noticing; the sessions share what the image encoder made of the frame that all of them are at.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import (
    EdgeTamVideoInferenceSession,
    EdgeTamVideoModel,
    Sam2ImageProcessor,
    Sam2VideoInferenceSession,
    Sam2VideoModel,
)

from videograin.tracking.object_memory import LIMIT
from videograin.tracking.propagator import Walk
from videograin.tracking.tracked_object import ABSENCE_CONFIDENCE
from videograin.tracking.tracks import Estimate, Leg, Track, visited

STABILITY_OFFSET = 1.0
"""Log-odds by which a mask's threshold is moved to see whether it stays the same (SAM's stability score)."""

MAX_ANCHORS = 8
"""Marked frames that a leg is told of, the nearest ones: memory attention grows with each of them."""

_OBJECT = 0  # its number in its own session

Session = Sam2VideoInferenceSession | EdgeTamVideoInferenceSession


class VideoEngine:
    """Follows objects with one video model, which many clips may share; threads take turns at it.

    Args:
        model: frozen, on its device.
        processor: resizes and normalises frames as the model was trained.
    """

    def __init__(self, model: Sam2VideoModel | EdgeTamVideoModel, processor: Sam2ImageProcessor) -> None:
        self.model, self.processor = model.eval().requires_grad_(False), processor
        self._lock = threading.Lock()

    def walk(self, frames: np.ndarray, tracks: Mapping[str, Track]) -> Walk:
        """Get ready to follow objects through a clip; as `videograin.tracking.propagator.Engine.walk`."""
        return partial(self._follow, frames, tracks)

    def _follow(
        self, frames: np.ndarray, tracks: Mapping[str, Track], legs: Sequence[Leg]
    ) -> Iterator[tuple[int, dict[str, Estimate]]]:
        shared = self._session(_Frames(frames, self.processor))
        sessions: dict[str, Session] = {}
        for t in visited(legs):
            for leg in legs:
                if t == leg.frames[0]:
                    sessions[leg.name] = self._started(shared, leg, tracks[leg.name])
            active = [leg for leg in legs if t in leg.frames]
            sessions = {leg.name: sessions[leg.name] for leg in active}
            yield t, {leg.name: self._estimate(sessions[leg.name], t, leg, frames.shape[1:3]) for leg in active}

    def _session(self, frames: "_Frames") -> Session:
        kind = EdgeTamVideoInferenceSession if isinstance(self.model, EdgeTamVideoModel) else Sam2VideoInferenceSession
        session = kind(inference_device=self.model.device, dtype=self.model.dtype)
        session.processed_frames = cast(dict, frames)
        return session

    def _started(self, shared: Session, leg: Leg, track: Track) -> Session:
        """Return a session that knows the marked frames and the one where the leg starts."""
        session = self._session(cast(_Frames, shared.processed_frames))
        session.cache = shared.cache  # pyright: ignore[reportAttributeAccessIssue] (both are of the model's kind)
        index = session.obj_id_to_idx(_OBJECT)
        marked = [t for t in track.anchors if track.masks[t].any()]
        nearest = sorted(marked, key=lambda t: abs(t - leg.start))[:MAX_ANCHORS]
        for t in sorted({*nearest, leg.start}):
            if track.masks[t].any():
                session.add_mask_inputs(index, t, self._input(track.masks[t]))
                session.obj_with_new_inputs = [_OBJECT]
                self._run(session, t, is_backward=False)
        return session

    def _estimate(self, session: Session, frame: int, leg: Leg, size: tuple[int, int]) -> Estimate:
        if not self._memories(session)["cond_frame_outputs"]:  # marked as absent everywhere: the model refuses to look
            return Estimate(np.full(size, -LIMIT, np.float32), ABSENCE_CONFIDENCE)
        logits, score = self._run(session, frame, is_backward=leg.stop < leg.start)
        self._forget(session, frame)
        logits = F.interpolate(logits.float(), size, mode="bilinear", align_corners=False)[0, 0].cpu().numpy()
        presence = float(score.float().sigmoid())
        if not (logits > 0).any():
            return Estimate(logits, 1 - presence)
        surely, perhaps = np.count_nonzero(logits > STABILITY_OFFSET), np.count_nonzero(logits > -STABILITY_OFFSET)
        return Estimate(logits, presence * surely / perhaps)

    def _forget(self, session: Session, frame: int) -> None:
        """Drop the memories that are too old to be read again, so that a long clip takes no more than a short one."""
        config = self.model.config
        reach = max(cast(int, config.num_maskmem), cast(int, config.max_object_pointers_in_encoder))
        memories = self._memories(session)["non_cond_frame_outputs"]
        for old in [t for t in memories if abs(t - frame) >= reach]:
            del memories[old]

    def _memories(self, session: Session) -> dict[str, dict[int, object]]:
        """Return what the session's object left in frames by their numbers: in marked ones, and in the others."""
        return session.output_dict_per_obj[session.obj_id_to_idx(_OBJECT)]

    def _run(self, session: Session, frame: int, *, is_backward: bool) -> tuple[Tensor, Tensor]:
        """Return the logits (1, 1, h, w) of the session's object in a frame, and that it is there at all, (1,)."""
        with self._lock, torch.inference_mode():
            answer = self.model(session, frame_idx=frame, reverse=is_backward)
        return answer.pred_masks, answer.object_score_logits

    def _input(self, mask: np.ndarray) -> Tensor:
        side = cast(int, self.model.config.image_size)
        shares = torch.from_numpy(mask)[None, None].float()
        return (F.interpolate(shares, (side, side), mode="bilinear", antialias=True) >= 0.5).float()


class _Frames:
    """The frames of a clip as the model takes them, made when they are asked for."""

    def __init__(self, frames: np.ndarray, processor: Sam2ImageProcessor) -> None:
        self._frames, self._processor = frames, processor

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Tensor:
        return self._processor(self._frames[index], return_tensors="pt")["pixel_values"][0]
