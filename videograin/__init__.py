"""VideoGrain Studio: edit who is who in a video, region by region, with a frozen Stable Diffusion."""

from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.errors import Cancelled, VideoGrainError
from videograin.files.tensor_cache import TensorCache
from videograin.media.encode import save_video
from videograin.media.video import Clip, ClipOptions, load_clip, probe
from videograin.progress import Phase, Progress
from videograin.region import AttentionMode, Convention, EditRequest, EditResult, EditSettings, Region

__all__ = [
    "AttentionMode",
    "Cancelled",
    "Clip",
    "ClipOptions",
    "Convention",
    "EditRequest",
    "EditResult",
    "EditSettings",
    "Phase",
    "Progress",
    "Region",
    "TensorCache",
    "VideoGrainError",
    "VideoGrainPipeline",
    "load_clip",
    "probe",
    "save_video",
]
