"""An edit that is being carried out: some frames of its clip at a time are brought to noise and back."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from videograin.diffusion.attention.layout import build_layout
from videograin.diffusion.attention.phrase_maps import PhraseMaps
from videograin.diffusion.attention.reference import RegionReference
from videograin.diffusion.attention.step import AttentionStep, Forward, PrepareStep, unprepared
from videograin.diffusion.attention.trajectories import LOWER_WINDOW, TOP_WINDOW, Trajectories, trajectories
from videograin.diffusion.autoencoder import decode_latents, encode_frames, to_uint8
from videograin.diffusion.compositing import composite
from videograin.diffusion.denoiser import Control, Denoiser
from videograin.diffusion.denoising import Denoising, StepHook, noised_path
from videograin.diffusion.edit_tensors import EditTensors
from videograin.diffusion.inversion import inversion_path
from videograin.diffusion.prompt_embeds import PromptEmbeds
from videograin.diffusion.region_masks import RegionMasks
from videograin.diffusion.schedule import NoiseSchedule
from videograin.diffusion.shortcuts.key_frames import key_frame_table
from videograin.diffusion.smoothing import PathMean
from videograin.diffusion.windows.anchor_bank import AnchorBank, BankRoom
from videograin.diffusion.windows.anchors import Anchors
from videograin.diffusion.windows.noise import Noise, frame_generators
from videograin.diffusion.windows.plan import Window
from videograin.files.tensor_cache import TensorCache
from videograin.masks.inpaint import fill_masked
from videograin.media.flow import optical_flow
from videograin.progress import Report
from videograin.region import MAX_STEPS, AttentionMode, Convention, EditRequest
from videograin.threads import map_in_threads


@dataclass(frozen=True, eq=False)
class EditedWindow:
    """A finished window of an edit.

    Attributes:
        window: which frames were denoised.
        count: how many windows the clip has.
        frames: (n, H, W, 3) uint8 RGB, final, from the window's first frame to where the next window begins; none
            where only latents were asked for.
        tail: (window.next_overlap, H, W, 3) uint8, the frames behind them, which are to fade into the next window.
        latents: (window's frames without its overlap, C, h, w) float32.
        target_prompt, warnings: as in `EditResult`, of the whole edit.
        attention: as in `EditResult`, of the frames of `latents`.
    """

    window: Window
    count: int
    frames: np.ndarray
    tail: np.ndarray
    latents: Tensor
    target_prompt: str
    warnings: tuple[str, ...]
    attention: np.ndarray | None


@dataclass(frozen=True, eq=False)
class WindowApart:
    """A window of an edit by itself, before it is joined with those around it.

    Attributes:
        window, count: as in `EditedWindow`.
        chunks: all its frames in order, (n, H, W, 3) uint8 RGB each; they are decoded when they are asked for.
        latents: (F, C, h, w) float32, of all its frames.
        target_prompt, warnings: as in `EditResult`, of the whole edit.
        attention: as in `EditResult`, of all its frames.
    """

    window: Window
    count: int
    chunks: Iterable[np.ndarray]
    latents: Tensor
    target_prompt: str
    warnings: tuple[str, ...]
    attention: np.ndarray | None

    def joined(self, frames: np.ndarray, tail: np.ndarray) -> EditedWindow:
        """Return the finished window, given what fading made of its frames."""
        overlap = self.window.overlap
        return EditedWindow(
            window=self.window,
            count=self.count,
            frames=frames,
            tail=tail,
            latents=self.latents[overlap:],
            target_prompt=self.target_prompt,
            warnings=self.warnings,
            attention=None if self.attention is None else self.attention[:, overlap:],
        )


@dataclass(frozen=True, eq=False)
class Denoised:
    """Frames that were brought to noise and back.

    Attributes:
        latents: (F, C, h, w), edited.
        attention: (R, F, h, w) float32, as in `EditResult`; None where it was not asked for.
    """

    latents: Tensor
    attention: np.ndarray | None


@dataclass(frozen=True)
class EditLoops:
    """The two loops of an edit, to noise and back; a comparison puts those of other methods in their place.

    Attributes:
        invert: called as `inversion_path` is.
        denoising: called as `Denoising` is.
    """

    invert: Callable[..., Tensor] = inversion_path
    denoising: Callable[..., Denoising] = Denoising


@dataclass(frozen=True, eq=False)
class ClipEdit:
    """A request and the networks that carry it out.

    Attributes:
        request: the edit.
        prompts: its embeddings.
        vae: frames to latents and back.
        denoiser: predicts noise.
        schedule: the noise levels, up and down again.
        device: where the networks work.
        frames_per_vae_batch: frames that the VAE works on at once.
        bank_room: how much of the anchors' forwards is kept for the windows.
        inversion_cache: where inversion paths are kept; None keeps none.
        references: pictures that regions are drawn after.
        loops: how frames are brought to noise and back.
    """

    request: EditRequest
    prompts: PromptEmbeds
    vae: AutoencoderKL
    denoiser: Denoiser
    schedule: NoiseSchedule
    device: torch.device
    frames_per_vae_batch: int
    bank_room: BankRoom
    inversion_cache: TensorCache | None
    references: Sequence[RegionReference] = ()
    loops: EditLoops = EditLoops()

    def denoise_anchors(
        self, frames: tuple[int, ...], report: Report, landmarks: Anchors | None = None, share: float = 1.0
    ) -> Anchors:
        """Edit anchors of a shot by themselves, and keep where each of their steps begins.

        Args:
            frames: their numbers.
            report: told after every step of every phase.
            landmarks: what they see besides one another.
            share: of the room for banks, what theirs may take.
        """
        after_steps: list[Tensor] = []

        def keep(_index: int, _timestep: int, values: dict[str, Tensor]) -> dict[str, Tensor]:
            after_steps.append(values["latents"])
            return {}

        bank, tensors = AnchorBank(self.bank_room.part(share)), self._prepare(frames, landmarks, report)

        def prepare(forward: Forward, step: AttentionStep) -> AttentionStep:
            return bank.keeping(forward, landmarks.beside(forward, step) if landmarks else step)

        with self.denoiser.for_clip():
            noise = frame_generators(self.request.settings.seed, frames)
            seen = landmarks.determinants if landmarks else []
            denoising = self._inverted(tensors, noise, report, prepare, seen)
            denoising.run(report, keep)
        latents = torch.stack([denoising.start, *after_steps[:-1]])
        return Anchors(frames=frames, denoising=denoising, latents=latents, bank=bank, landmarks=landmarks)

    def denoise(
        self,
        frames: Sequence[int],
        noise: Noise,
        report: Report,
        anchors: Anchors | None = None,
        on_step_end: StepHook | None = None,
        record_attention: bool = False,
    ) -> Denoised:
        """Bring frames to noise and back.

        Args:
            frames: their numbers; those in a range follow each other, all others lie apart.
            noise: of the kept part.
            report: told after every step of every phase.
            anchors: what they see besides themselves.
            on_step_end: called after every denoising step.
            record_attention: whether the phrases' attention maps are gathered.
        """
        tensors = self._prepare(frames, anchors, report)
        maps = PhraseMaps(tensors.layout, self.prompts.token_regions) if record_attention else None
        latents = tensors.latents
        if tensors.edited.any() or not self.request.settings.blend_background:  # else the source is the result
            prepare, seen = (anchors.beside, anchors.determinants) if anchors else (unprepared, [])
            with self.denoiser.for_clip():
                denoising = self._inverted(tensors, noise, report, prepare, seen, maps)
                latents = denoising.run(report, on_step_end)
        return Denoised(latents, None if maps is None else maps.mean().numpy())

    def decode(self, frames: Sequence[int], latents: Tensor, report: Report) -> Iterator[np.ndarray]:
        """Yield frames (n, H, W, 3) uint8 of their edited latents in order, some at a time."""
        regions = RegionMasks.of(self.request, frames)
        changed, kept = regions.edited_part.numpy(), regions.kept_part.numpy()
        decoded = decode_latents(self.vae, latents, self.frames_per_vae_batch, report)
        first, pixels = 0, next(decoded, None)
        while pixels is not None:
            finished, part = to_uint8(pixels), slice(first, first + len(pixels))
            pixels = next(decoded, None)  # a GPU decodes them while the host lays these over the source
            if self.request.settings.blend_background:
                finished = composite(self.request.frames[list(frames[part])], finished, changed[part], kept[part])
            yield finished
            first = part.stop

    def _prepare(self, frames: Sequence[int], anchors: Anchors | None, report: Report) -> EditTensors:
        request, settings = self.request, self.request.settings
        seen = anchors.shown if anchors else ()
        # 2. Frames to latents
        latents = encode_frames(self.vae, request.frames[list(frames)], self.frames_per_vae_batch, self.device, report)
        # 3. Masks to the layout at every resolution
        grid = (latents.shape[-2], latents.shape[-1])
        regions, own = (RegionMasks.of(request, numbers, self.device) for numbers in ([*frames, *seen], frames))
        levels = len(self.denoiser.unet.config["block_out_channels"])
        strengths = [each.strength for each in request.regions]
        layout = build_layout(regions.masks, grid, levels, strengths, regions.resize, anchors=len(seen))
        # 4. Control images and trajectories
        controls = [self._control(index, frames) for index in range(len(request.control_images))]
        paths = self._trajectories(frames, grid)
        smoothed = paths[0] if paths and settings.temporal_smoothing else None
        step = AttentionStep(
            frames=len(frames),
            mode=AttentionMode.FULL if settings.attention_mode.is_joint else settings.attention_mode,
            trajectories={each.tokens: each for each in paths} if settings.trajectory_attention else {},
            key_frames=self._key_frames(len(frames), len(seen), grid),
        )
        return EditTensors(
            settings=settings,
            prompts=self.prompts,
            latents=latents,
            kept=self._kept_latents(frames, latents, own, report),
            layout=layout,
            edited=own.edited_cells(grid)[:, None],
            fresh=own.fresh_share(grid, request),
            controls=controls,
            step=step,
            path_mean=PathMean.along(smoothed, own.cells(grid)) if smoothed else None,
        )

    def _kept_latents(self, frames: Sequence[int], latents: Tensor, regions: RegionMasks, report: Report) -> Tensor:
        """Return the source's latents without what they show of edited regions; the release keeps them as they are.

        The latents of a cell show in those beside it: whiskers and tips of the old object, of which too little lies in
        a cell for it to be edited, would stay in the result, and its colours would shine along its outline.
        """
        settings = self.request.settings
        if settings.convention == Convention.RELEASE or not settings.blend_background:
            return latents
        grid = (latents.shape[-2], latents.shape[-1])
        shown = regions.shown_cells(grid) & ~regions.edited_cells(grid)
        places = shown.any((1, 2)).nonzero().flatten()
        if not len(places):
            return latents
        parts = regions.edited_part[places].cpu().numpy()
        pictures = [self.request.frames[frames[place]] for place in places.tolist()]
        empty = np.stack(map_in_threads(fill_masked, pictures, parts))
        behind = encode_frames(self.vae, empty, self.frames_per_vae_batch, self.device, report)
        kept = latents.clone()
        kept[places] = torch.where(shown[places][:, None], behind, latents[places])
        return kept

    def _inverted(
        self,
        tensors: EditTensors,
        noise: Noise,
        report: Report,
        prepare: PrepareStep,
        seen: Sequence[Tensor] = (),
        maps: PhraseMaps | None = None,
    ) -> Denoising:
        """Bring frames to noise; returns their way back."""
        if tensors.settings.inversion:
            path = self.loops.invert(
                self.denoiser, tensors.latents, self.schedule, tensors.source.last_halves(1), tensors.step,
                tensors.settings, report, self.inversion_cache, prepare, seen,
            )  # fmt: skip
        else:
            path = noised_path(tensors.latents, self.schedule, tensors.settings.seed)
        return self.loops.denoising(
            denoiser=self.denoiser,
            schedule=self.schedule,
            settings=tensors.settings,
            conditioning=tensors.target,
            source_conditioning=tensors.source.last_halves(tensors.halves),
            step=tensors.step,
            modulation=tensors.modulation,
            path=path,
            edited=tensors.edited,
            kept=tensors.kept,
            generator=noise,
            path_mean=tensors.path_mean,
            phrase_maps=maps,
            references=[each.placed(tensors.layout) for each in self.references],
            prepare=prepare,
            fresh=tensors.fresh,
        )

    def _key_frames(self, own: int, anchors: int, grid: tuple[int, int]) -> dict[int, Tensor]:
        """Return which frames each one sees at the largest resolution, where it does not see all."""
        settings = self.request.settings
        table = key_frame_table(own, anchors, settings.key_frames, self.device)
        return {} if table is None or not settings.attention_mode.is_joint else {grid[0] * grid[1]: table}

    def _control(self, index: int, frames: Sequence[int]) -> Control:
        """Return what a ControlNet is given of some frames; levels are by the noise that the edit starts from."""
        request, settings = self.request, self.request.settings
        images = torch.from_numpy(np.ascontiguousarray(request.control_images[index][list(frames)]))
        images = images.movedim(-1, 1).to(self.device) / 255
        if not request.control_guidance:
            return Control(images, settings.controlnet_conditioning_scale)
        guidance, top = request.control_guidance[index], settings.strength * MAX_STEPS
        return Control(
            images=images,
            scale=settings.controlnet_conditioning_scale * guidance.scale,
            above=top * (1 - guidance.end) - 1,
            up_to=top * (1 - guidance.start),
        )

    def _trajectories(self, frames: Sequence[int], grid: tuple[int, int]) -> list[Trajectories]:
        """Return the paths through consecutive frames at each resolution that follows them, the highest first.

        Frames that lie apart have none.
        """
        settings = self.request.settings
        if len(frames) < 2 or not isinstance(frames, range):
            return []
        if not (settings.trajectory_attention or settings.temporal_smoothing):
            return []
        flow = optical_flow(self.request.frames[list(frames)])
        grids = [(-(-grid[0] // 2**level), -(-grid[1] // 2**level)) for level in range(settings.trajectory_levels)]
        return [
            trajectories(flow, each, LOWER_WINDOW if level else TOP_WINDOW).to(self.device)
            for level, each in enumerate(grids)
        ]
