"""The arithmetic of a whole edit, forward by forward, with what its shortcuts leave out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.windows.plan import Window, anchor_sets
from videograin.models.flops import ForwardKeys, Operations, controlnet_flops, unet_flops, vae_flops
from videograin.models.footprint import ClipShape, clip_windows, latent_grid
from videograin.region import Convention, EditSettings

NO_OPERATIONS = Operations()


@dataclass(frozen=True)
class EditFlops:
    """Operations of an edit.

    Attributes:
        inversion: of all its forwards.
        edit: of denoising, features to be injected included.
        modulated: of the self-attention in it that is modulated; how much longer that takes comes on top.
        pixels: of encoding and decoding.
    """

    inversion: Operations
    edit: Operations
    modulated: float
    pixels: Operations


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

    whole: Operations = NO_OPERATIONS
    plain: Operations = NO_OPERATIONS
    shallow: Operations = NO_OPERATIONS
    control: Operations = NO_OPERATIONS
    modulated: float = 0.0

    @classmethod
    def of(
        cls, pipeline: VideoGrainPipeline, clip_shape: ClipShape, settings: EditSettings, lacking: float
    ) -> "ForwardFlops":
        """Count the operations; arguments as in `edit_flops`."""
        windows = clip_windows(clip_shape, settings)
        forwards = [(len(window.frames), len(window.anchors), 1.0) for window in windows]
        forwards += _anchor_forwards(windows, lacking)
        grid = latent_grid(pipeline, clip_shape)
        control = sum(controlnet_flops(each, *clip_shape[1:], grid) for each in pipeline.controlnets)
        first = 1 if settings.convention == Convention.RELEASE else 0  # the release leaves the largest grid plain
        counted = cls()
        for frames, beside, times in forwards:
            keys = ForwardKeys(frames, settings.attention_mode, beside, settings.key_frames)
            own = unet_flops(pipeline.unet, grid, keys)
            counted = cls(
                whole=counted.whole + own.whole.times(times),
                plain=counted.plain + own.plain.times(times),
                shallow=counted.shallow + own.shallow.times(times),
                control=counted.control + Operations(times * frames * control),
                modulated=counted.modulated + times * sum(own.levels[first:]),
            )
        return counted

    def step(self, settings: EditSettings, index: int, halves: int) -> Operations:
        """Return the operations of one or both halves of the denoising step of an index."""
        if settings.deep_step(index) != index:
            return self.shallow.times(halves)
        own = self.whole if index < settings.modulated_steps else self.plain
        done = own.times(halves) + self.control.times(1 if settings.shared_control else halves)
        if index < min(settings.inject_steps, settings.inversion_steps):
            done += (self.plain + self.control).times(halves)
        return done


def _anchor_forwards(windows: Sequence[Window], lacking: float) -> Iterator[tuple[int, int, float]]:
    """Yield, for each set of anchors, their number, the landmarks that they see, and how often a forward is run.

    It is run once by itself, and again for each window that sees them where the bank lacks it.
    """
    for window, sets in zip(windows, anchor_sets(windows), strict=True):
        for own in sets:
            seen_by = sum(set(own) <= set(each.anchors) for each in windows)
            beside = 0 if own == window.landmarks else len(window.landmarks)
            yield len(own), beside, 1 + lacking * seen_by


def edit_flops(
    pipeline: VideoGrainPipeline, clip_shape: ClipShape, settings: EditSettings, lacking: float = 0.0
) -> EditFlops:
    """Count what an edit takes of its device; a second one beside it does as much at the same time.

    Args:
        pipeline: loaded on any device; all of its ControlNets are counted in.
        clip_shape: (F, H, W).
        settings: steps, guidance, modulation, windows and shortcuts.
        lacking: share of the anchors' forwards that windows have to run again.
    """
    forward = ForwardFlops.of(pipeline, clip_shape, settings, lacking)
    most = 1 if pipeline.splits_guidance else 2
    halves = [min(most, settings.halves_at(index)) for index in range(settings.steps_run)]
    edit = sum((forward.step(settings, index, each) for index, each in enumerate(halves)), NO_OPERATIONS)
    modulated = halves[: settings.modulated_steps]
    modulated_halves = len(modulated) if settings.convention == Convention.RELEASE else sum(modulated)
    deep = sum(settings.deep_inversion_step(index) == index for index in range(settings.inversion_steps))
    inversion = (forward.plain + forward.control).times(deep) + forward.shallow.times(settings.inversion_steps - deep)
    denoised = sum(len(window.frames) for window in clip_windows(clip_shape, settings))
    pixels = Operations(vae_flops(pipeline.vae, *clip_shape[1:]) * denoised)
    return EditFlops(inversion, edit, forward.modulated * modulated_halves, pixels)
