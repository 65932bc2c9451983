"""A project's edit as one request for the pipeline, at the size that its clip is read at: no crop, no windows."""

from videograin.diffusion.control import control_images
from videograin.media.video import Clip, load_clip
from videograin.project.project import EditInputs
from videograin.region import EditRequest


def load_request(inputs: EditInputs) -> tuple[EditRequest, Clip]:
    """Read the clip and the masks of a project, and make its control images."""
    clip = load_clip(inputs.clip, inputs.clip_options)
    return make_request(inputs, clip), clip


def make_request(inputs: EditInputs, clip: Clip) -> EditRequest:
    """Ask for the edit of a clip that was loaded already, making its control images."""
    regions = inputs.load_regions(clip)
    controls = [control_images(clip.frames, kind) for kind in inputs.controls]
    return inputs.request_for(clip.frames, regions, controls)
