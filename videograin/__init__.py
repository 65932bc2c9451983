"""VideoGrain Studio: edit who is who in a video, region by region, with a frozen Stable Diffusion.

The names below are imported when they are first used (PEP 562): `import videograin` loads neither torch nor diffusers.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from videograin.diffusion.pipeline import VideoGrainPipeline
    from videograin.errors import Cancelled, VideoGrainError
    from videograin.files.tensor_cache import TensorCache
    from videograin.media.encode import save_video
    from videograin.media.video import Clip, ClipOptions, load_clip, probe
    from videograin.models.loading import load_pipeline
    from videograin.progress import Phase, Progress
    from videograin.region import AttentionMode, ControlKind, Convention, EditRequest, EditResult, EditSettings, Region

__version__ = "0.1.0"

__all__ = [
    "AttentionMode",
    "Cancelled",
    "Clip",
    "ClipOptions",
    "ControlKind",
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
    "load_pipeline",
    "probe",
    "save_video",
]

_MODULES = {
    "videograin.diffusion.pipeline": ("VideoGrainPipeline",),
    "videograin.errors": ("Cancelled", "VideoGrainError"),
    "videograin.files.tensor_cache": ("TensorCache",),
    "videograin.media.encode": ("save_video",),
    "videograin.media.video": ("Clip", "ClipOptions", "load_clip", "probe"),
    "videograin.models.loading": ("load_pipeline",),
    "videograin.progress": ("Phase", "Progress"),
    "videograin.region": (
        "AttentionMode",
        "ControlKind",
        "Convention",
        "EditRequest",
        "EditResult",
        "EditSettings",
        "Region",
    ),
}
"""The public names of each module, once more for the run time."""


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            globals()[name] = value = getattr(import_module(module), name)
            return value
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
