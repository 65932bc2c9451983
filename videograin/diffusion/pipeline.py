"""`VideoGrainPipeline`: clip, regions and words in, edited clip out, on a frozen Stable Diffusion + ControlNet."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, cast

import numpy as np
import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, DiffusionPipeline, UNet2DConditionModel
from diffusers.configuration_utils import ConfigMixin
from diffusers.loaders import FromSingleFileMixin, StableDiffusionLoraLoaderMixin, TextualInversionLoaderMixin
from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from videograin.diffusion.attention.processors import foreign_processors, install_layout_attention
from videograin.diffusion.attention.recorder import can_inject
from videograin.diffusion.attention.reference import RegionReference
from videograin.diffusion.autoencoder import check_frame_size
from videograin.diffusion.denoiser import AnyControlNet, Denoiser, controlnets_in
from videograin.diffusion.devices.split_denoiser import SecondDevice
from videograin.diffusion.prompt_embeds import embed_prompts
from videograin.diffusion.schedule import NoiseSchedule
from videograin.diffusion.shortcuts.distilled import few_steps_note, sampler_of_scheduler
from videograin.diffusion.windows.anchor_bank import BankRoom
from videograin.diffusion.windows.clip_edit import ClipEdit, EditedWindow, EditLoops, WindowApart
from videograin.diffusion.windows.cross_fade import CrossFade
from videograin.diffusion.windows.noise import noise_source
from videograin.diffusion.windows.plan import part_sizes, request_windows
from videograin.diffusion.windows.shot_anchors import ShotAnchors
from videograin.errors import Cancelled, ModelError, SettingsError
from videograin.files.tensor_cache import TensorCache
from videograin.progress import Parts, Progress, Report, ignore
from videograin.region import ControlGuidance, EditRequest, EditResult, EditSettings, Region

OnStepEnd = Callable[["VideoGrainPipeline", int, int, dict[str, Tensor]], dict[str, Tensor]]
"""diffusers' step callback: (pipeline, step index, timestep, tensors) → the tensors to replace.

The tensors, (F, C, h, w) each: "latents", and "pred_original_sample", the clean latents that the step predicted.
"""

OnFrames = Callable[[np.ndarray], None]
"""Receives the next finished frames of a result in order, some at a time: (n, H, W, 3) uint8 RGB."""


class VideoGrainPipeline(
    DiffusionPipeline, StableDiffusionLoraLoaderMixin, TextualInversionLoaderMixin, FromSingleFileMixin
):
    """Edits several regions of a clip in one denoising pass (VideoGrain, arXiv 2502.17258).

    Any Stable Diffusion 1.x or 2.x checkpoint loads by `from_pretrained` or `from_single_file`, with epsilon or v
    prediction; the scheduler is replaced by a DDIM of the same noise schedule. Where it was one for few steps, edits
    by another sampler say so in their warnings.

    Args:
        vae: frames to latents and back.
        text_encoder: CLIP's text tower.
        tokenizer: its tokenizer.
        unet: gets the layout attention processors.
        scheduler: any scheduler of the checkpoint.
        controlnet: none, one, or a list.

    Attributes:
        inversion_cache: where inversion paths are kept between edits; None keeps none.
        frames_per_vae_batch: frames that the VAE works on at once.
        bank_room: what is kept of the anchors of a long clip, so that its windows need not compute it again.
        references: pictures that regions of the next edit are drawn after (`videograin.models.references.drawn_after`).
        second_device: computes the unconditional half of guidance; None has the pipeline's own device compute both.
        loops: how edits go to noise and back; `videograin.comparison` lends those of other methods.
    """

    model_cpu_offload_seq = "text_encoder->unet->vae"
    # ControlNets stay on the device: diffusers would fetch several when all are called as one, which they never are.
    _exclude_from_cpu_offload = ["controlnet"]  # noqa: RUF012 (diffusers reads a list)
    _optional_components = ["controlnet"]  # noqa: RUF012

    def __init__(
        self,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        unet: UNet2DConditionModel,
        scheduler: SchedulerMixin,
        controlnet: AnyControlNet | Sequence[ControlNetModel] | None = None,
    ) -> None:
        super().__init__()
        if isinstance(controlnet, list | tuple):
            controlnet = MultiControlNetModel(list(controlnet))
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=_ddim_of(cast(ConfigMixin, scheduler)),
            controlnet=controlnet,
        )
        install_layout_attention(unet)
        self.vae_scale_factor = 2 ** (len(vae.config["block_out_channels"]) - 1)
        self.inversion_cache: TensorCache | None = None
        self.frames_per_vae_batch = 4
        self.bank_room = BankRoom()
        self.references: Sequence[RegionReference] = ()
        self.second_device: SecondDevice | None = None
        self.loops = EditLoops()
        self._own_sampler = sampler_of_scheduler(type(scheduler).__name__)
        self._interrupt = False

    @property
    def splits_guidance(self) -> bool:
        """Whether the halves of guidance are computed on two devices.

        They are not where networks take turns on a device that is short of memory, nor by the loops of other methods,
        which look at both halves in one forward.
        """
        is_offloaded = self.unet.device != self._execution_device
        return self.second_device is not None and not is_offloaded and self.loops == EditLoops()

    @property
    def controlnets(self) -> list[ControlNetModel]:
        """The ControlNets, none, one or several."""
        return controlnets_in(self.controlnet)

    def expanded(self, prompt: str) -> str:
        """Return a prompt in which textual inversions of several vectors are as many words, "zorb" as "zorb zorb_1".

        To be done to a prompt once: the first of these words is the inversion's own and would be written out again.
        """
        return cast(str, self.maybe_convert_prompt(prompt, self.tokenizer))

    def interrupt(self) -> None:
        """Stop the running edit before its next step; it raises `Cancelled`. Safe to call from any thread."""
        self._interrupt = True

    def __call__(
        self,
        frames: np.ndarray,
        regions: Sequence[Region],
        source_prompt: str,
        target_prompt: str = "",
        background: str = "",
        negative_prompt: str = "",
        control_images: Sequence[np.ndarray] = (),
        control_guidance: Sequence[ControlGuidance] = (),
        generator: torch.Generator | None = None,
        callback_on_step_end: OnStepEnd | None = None,
        report: Report = ignore,
        output_type: Literal["np", "latent"] = "np",
        **settings: Any,
    ) -> EditResult:
        """Edit a clip.

        Args:
            frames: (F, H, W, 3) uint8 RGB; H and W multiples of 8, of 64 for Stable Diffusion's best results.
            regions: what changes into what; masks (F, H, W) bool of the frames' size. They may overlap (the
                smaller one decides there), be absent in some frames and leave pixels uncovered. Those without a prompt
                keep the source.
            source_prompt: what the clip shows now; the inversion follows it.
            target_prompt: the whole target; it must contain every region's prompt. Empty composes it.
            background: phrase for the rest of the picture in a composed target prompt.
            negative_prompt: what to avoid.
            control_images: one (F, H, W, 3) uint8 array for each ControlNet; none leaves the ControlNet out.
            control_guidance: one for each of them, its scale, start and end; none lets all act throughout.
            generator: source of the noise in the kept part, instead of the settings' `seed`.
            callback_on_step_end: called after every denoising step, may return other latents.
            report: told after every step of every phase; may raise `Cancelled`.
            output_type: "latent" leaves the result's latents undecoded, without frames.
            **settings: any field of `EditSettings`, such as `num_inference_steps=20`; see there.

        Returns:
            The edited frames (F, H, W, 3) uint8 RGB with latents, prompt and warnings.

        Raises:
            VideoGrainError: frames, regions, prompts or settings that cannot be edited; the message says why.
            Cancelled: `interrupt` was called, or `report` raised it.
            TypeError: a keyword that is no field of `EditSettings`.
        """
        request = EditRequest(
            frames=frames,
            regions=regions,
            source_prompt=source_prompt,
            target_prompt=target_prompt,
            background=background,
            negative_prompt=negative_prompt,
            control_images=control_images,
            control_guidance=control_guidance,
            settings=EditSettings(**settings),
        )
        return self.edit(request, generator, callback_on_step_end, report=report, output_type=output_type)

    @torch.no_grad()
    def edit(
        self,
        request: EditRequest,
        generator: torch.Generator | None = None,
        callback_on_step_end: OnStepEnd | None = None,
        callback_on_frames: OnFrames | None = None,
        report: Report = ignore,
        output_type: Literal["np", "latent"] = "np",
        record_attention: bool = False,
    ) -> EditResult:
        """Carry out a request; arguments, result and errors as in `__call__`, and beyond them:

        Args:
            request: frames, regions, words and settings, checked when it was made.
            generator: see `__call__`.
            callback_on_step_end: see `__call__`.
            callback_on_frames: receives the finished frames as they are decoded.
            report: see `__call__`.
            output_type: see `__call__`.
            record_attention: whether the result holds the phrases' attention maps, for a hundredth more time.
        """
        started = time.monotonic()
        windows = list(
            self.edit_windows(
                request, generator, callback_on_step_end, callback_on_frames, report, output_type, record_attention
            )
        )
        maps = [window.attention for window in windows if window.attention is not None]
        return EditResult(
            frames=np.concatenate([window.frames for window in windows]),
            latents=torch.cat([window.latents for window in windows]),
            target_prompt=windows[0].target_prompt,
            warnings=windows[0].warnings,
            seconds=time.monotonic() - started,
            attention=np.concatenate(maps, axis=1) if maps else None,
        )

    @torch.no_grad()
    def edit_windows(
        self,
        request: EditRequest,
        generator: torch.Generator | None = None,
        callback_on_step_end: OnStepEnd | None = None,
        callback_on_frames: OnFrames | None = None,
        report: Report = ignore,
        output_type: Literal["np", "latent"] = "np",
        record_attention: bool = False,
        finished: int = 0,
        tail: np.ndarray | None = None,
    ) -> Iterator[EditedWindow]:
        """Carry out a request window by window, holding no more than one of them; arguments and errors as in `edit`.

        Args:
            request: its frames, masks and control images may be memory maps.
            generator: see `__call__`.
            callback_on_step_end: see `__call__`.
            callback_on_frames: see `edit`.
            report: see `__call__`.
            output_type: see `__call__`.
            record_attention: see `edit`.
            finished: windows that an earlier run has finished, which are left out.
            tail: that of the last of them.
        """
        fade = CrossFade(request, tail)
        for apart in self.windows_apart(
            request, None, generator, callback_on_step_end, report, record_attention, finished
        ):
            frames = [np.empty((0, *request.frames.shape[1:]), np.uint8)]
            if output_type == "np":
                for chunk in fade.join(apart.window, apart.chunks):
                    frames.append(chunk)
                    if callback_on_frames is not None:
                        callback_on_frames(chunk)
            yield apart.joined(np.concatenate(frames), fade.tail)

    @torch.no_grad()
    def windows_apart(
        self,
        request: EditRequest,
        numbers: Iterable[int] | None = None,
        generator: torch.Generator | None = None,
        callback_on_step_end: OnStepEnd | None = None,
        report: Report = ignore,
        record_attention: bool = False,
        finished: int = 0,
    ) -> Iterator[WindowApart]:
        """Carry out windows of a request without fading one into the next; arguments and errors as in `edit_windows`.

        Args:
            request: see `edit_windows`.
            numbers: of the windows, counted from 0, each asked for when the one before is done; None is all that are
                not finished, in their order.
            generator: see `__call__`.
            callback_on_step_end: see `__call__`.
            report: see `__call__`.
            record_attention: see `edit`.
            finished: see `edit_windows`.
        """
        self._check(request)
        self._interrupt = False
        windows = request_windows(request)
        reports = Parts(part_sizes(windows, finished), finished)
        notes = few_steps_note("This model", self._own_sampler, request.settings)
        hook = callback_on_step_end and partial(callback_on_step_end, self)
        try:
            # 1. Prompts to embeddings and token spans
            clip_edit = self._clip_edit(request)
            shot = ShotAnchors(clip_edit, lambda: reports.next(self._stoppable(report)))
            for window in windows[finished:] if numbers is None else map(windows.__getitem__, numbers):
                anchors = shot.seen_by(window)
                part_report = reports.next(self._stoppable(report))
                # 2.-6. Frames to latents, to noise, to edited latents
                noise = noise_source(request.settings.seed, generator, window)
                done = clip_edit.denoise(window.frames, noise, part_report, anchors, hook, record_attention)
                yield WindowApart(
                    window=window,
                    count=len(windows),
                    # 7. Latents to frames, with the source's own pixels where nothing changes
                    chunks=clip_edit.decode(window.frames, done.latents, part_report),
                    latents=done.latents,
                    target_prompt=clip_edit.prompts.target_prompt,
                    warnings=(*clip_edit.prompts.warnings, *notes),
                    attention=done.attention,
                )
        finally:
            self.maybe_free_model_hooks()

    def _clip_edit(self, request: EditRequest) -> ClipEdit:
        device = self._execution_device
        return ClipEdit(
            request=request,
            prompts=embed_prompts(self.tokenizer, self.text_encoder, request, device, self.expanded),
            vae=self.vae,
            denoiser=self._denoiser(request.settings),
            schedule=NoiseSchedule.of(self.scheduler, request.settings),
            device=device,
            frames_per_vae_batch=self.frames_per_vae_batch,
            bank_room=self.bank_room,
            inversion_cache=self.inversion_cache,
            references=self.references,
            loops=self.loops,
        )

    def _denoiser(self, settings: EditSettings) -> Denoiser:
        """Return what predicts the noise of an edit, on two devices where that helps."""
        denoiser = Denoiser(
            unet=self.unet,
            controlnet=self.controlnet,
            joint_norm=settings.joint_group_norm,
            freeu=settings.freeu,
            shared_control=settings.shared_control,
        )
        second = self.second_device if self.splits_guidance and settings.guidance_scale > 1 else None
        return denoiser if second is None else second.split(denoiser)

    def _check(self, request: EditRequest) -> None:
        """Raise SettingsError where the request does not fit the networks."""
        count = len(self.controlnets)
        if request.control_images and len(request.control_images) != count:
            raise SettingsError(
                f"There are {len(request.control_images)} sets of control images for {count} ControlNets. "
                "Pass one for each, or none."
            )
        check_frame_size(request.frames, self.vae_scale_factor)
        if strangers := foreign_processors(self.unet):
            raise SettingsError(
                f"The UNet's attention is computed by {', '.join(strangers)}, to which regions mean nothing. Leave out "
                "enable_attention_slicing and the like, which save no memory here; to undo it, call "
                "install_layout_attention(pipeline.unet)."
            )
        if request.settings.inject_steps and not can_inject(self.unet):
            raise SettingsError(
                f"inject_steps is {request.settings.inject_steps} but this UNet lacks the layers whose features are "
                "injected. Set it to 0."
            )

    def _stoppable(self, report: Report) -> Report:
        def stoppable(progress: Progress) -> None:
            report(progress)
            if self._interrupt:
                raise Cancelled("The edit was stopped.")

        return stoppable


def _ddim_of(scheduler: ConfigMixin) -> DDIMScheduler:
    """Return the DDIM scheduler that the method is defined on, with the checkpoint's own noise schedule."""
    config = scheduler.config
    if config.get("prediction_type", "epsilon") not in ("epsilon", "v_prediction"):
        raise ModelError(
            f"The model predicts '{config['prediction_type']}'; only epsilon and v_prediction can be inverted. "
            "Choose a Stable Diffusion 1.x or 2.x checkpoint."
        )
    ddim = DDIMScheduler.from_config(config, clip_sample=False, set_alpha_to_one=False)
    return cast(DDIMScheduler, ddim)
