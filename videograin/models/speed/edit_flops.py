"""The arithmetic of a whole edit, forward by forward, with what its shortcuts leave out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.windows.plan import Window, anchor_sets
from videograin.models.flops import ForwardKeys, controlnet_flops, unet_flops, vae_flops
from videograin.models.footprint import ClipShape, clip_windows, controlnets_of, latent_grid
from videograin.region import Convention, EditSettings


@dataclass(frozen=True)
class EditFlops:
    """Operations of an edit.

    Attributes:
        inversion: of all its forwards.
        edit: of denoising, features to be injected included.
        modulated: of the self-attention in it that is modulated; how much longer that takes comes on top.
        pixels: of encoding and decoding.
    """

    inversion: float
    edit: float
    modulated: float
    pixels: float


@dataclass(frozen=True)
class ForwardFlops:
    """Operations of one half of a forward over all windows of a clip.

    Attributes:
        whole: of a forward in which every frame sees all others.
        plain: of an unmodulated one, in which it may see fewer.
        shallow: of one without the deep part.
        control: of the ControlNets besides, where the deep part is computed.
        modulated: of the self-attention in `whole` that may be modulated.
    """

    whole: float
    plain: float
    shallow: float
    control: float
    modulated: float

    @classmethod
    def of(
        cls, pipeline: VideoGrainPipeline, clip_shape: ClipShape, settings: EditSettings, lacking: float
    ) -> "ForwardFlops":
        """Count the operations.

        Args:
            pipeline: loaded on any device.
            clip_shape: (F, H, W).
            settings: windows, and which frames see which.
            lacking: share of the anchors' forwards that windows have to run again.
        """
        grid = latent_grid(pipeline, clip_shape)
        first = 1 if settings.convention == Convention.RELEASE else 0  # the release leaves the largest grid plain
        windows = clip_windows(clip_shape, settings)
        forwards = [(len(window.frames), len(window.anchors), 1.0) for window in windows]
        forwards += _anchor_forwards(windows, lacking)
        control = sum(controlnet_flops(each, *clip_shape[1:], grid) for each in controlnets_of(pipeline))
        whole = plain = shallow = modulated = frames_seen = 0.0
        for frames, beside, times in forwards:
            keys = ForwardKeys(frames, settings.attention_mode, beside, settings.key_frames)
            counted = unet_flops(pipeline.unet, grid, keys)
            whole += times * counted.whole
            plain += times * counted.plain
            shallow += times * counted.shallow
            modulated += times * sum(counted.attention[first:])
            frames_seen += times * frames
        return cls(whole, plain, shallow, frames_seen * control, modulated)


def _anchor_forwards(windows: Sequence[Window], lacking: float) -> Iterator[tuple[int, int, float]]:
    """Yield the frames of each set of anchors, those that they see besides, and how often they are denoised.

    That is once by themselves, and in each window that share of the forwards that the bank is lacking.
    """
    for window, fresh in zip(windows, anchor_sets(windows), strict=True):
        for frames, seen in ((window.landmarks, 0), (window.near_anchors, len(window.landmarks))):
            if frames:
                yield len(frames), seen, (frames in fresh) + lacking


def edit_flops(
    pipeline: VideoGrainPipeline, clip_shape: ClipShape, settings: EditSettings, lacking: float = 0.0
) -> EditFlops:
    """Count what an edit takes.

    Args:
        pipeline: loaded on any device; all of its ControlNets are counted in.
        clip_shape: (F, H, W).
        settings: steps, guidance, modulation, windows and shortcuts.
        lacking: share of the anchors' forwards that windows have to run again.
    """
    forward = ForwardFlops.of(pipeline, clip_shape, settings, lacking)
    injected = min(settings.inject_steps, settings.inversion_steps)
    edit = modulated = 0.0
    for index in range(settings.steps_run):
        halves = settings.halves_at(index)
        is_modulated = index < settings.modulated_steps
        if settings.deep_step(index) == index:
            edit += halves * (forward.whole if is_modulated else forward.plain)
            edit += forward.control * (1 if settings.shared_control else halves)
        else:
            edit += halves * forward.shallow
        if index < injected:
            edit += halves * (forward.plain + forward.control)
        if is_modulated:
            modulated += forward.modulated * (1 if settings.convention == Convention.RELEASE else halves)
    deep = sum(settings.deep_inversion_step(index) == index for index in range(settings.inversion_steps))
    inversion = deep * (forward.plain + forward.control) + (settings.inversion_steps - deep) * forward.shallow
    denoised = sum(len(window.frames) for window in clip_windows(clip_shape, settings))
    pixels = vae_flops(pipeline.vae, *clip_shape[1:]) * denoised
    return EditFlops(inversion, edit, modulated, pixels)
