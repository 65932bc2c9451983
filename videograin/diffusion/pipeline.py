"""`VideoGrainPipeline`: clip, regions and words in, edited clip out, on a frozen Stable Diffusion + ControlNet."""

import time
from collections.abc import Callable, Iterator, Sequence
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

from videograin.diffusion.attention.layout import build_layout, covered_cells
from videograin.diffusion.attention.phrase_maps import PhraseMaps
from videograin.diffusion.attention.processors import install_layout_attention
from videograin.diffusion.attention.recorder import can_inject
from videograin.diffusion.attention.step import AttentionStep
from videograin.diffusion.autoencoder import check_frame_size, decode_latents, encode_frames, to_uint8
from videograin.diffusion.compositing import composite
from videograin.diffusion.denoiser import AnyControlNet, Denoiser
from videograin.diffusion.denoising import Denoising
from videograin.diffusion.edit_tensors import EditTensors
from videograin.diffusion.inversion import inversion_path
from videograin.diffusion.prompt_embeds import embed_prompts
from videograin.diffusion.region_masks import RegionMasks
from videograin.diffusion.smoothing import PathMean
from videograin.errors import Cancelled, ModelError, SettingsError
from videograin.files.tensor_cache import TensorCache
from videograin.media.flow import Trajectories, optical_flow, trajectories
from videograin.progress import Progress, Report, ignore
from videograin.region import EditRequest, EditResult, EditSettings, Region

OnStepEnd = Callable[["VideoGrainPipeline", int, int, dict[str, Tensor]], dict[str, Tensor]]
"""diffusers' step callback: (pipeline, step index, timestep, tensors) → the tensors to replace.

The tensors, (F, 4, h, w) each: "latents", and "pred_original_sample", the clean latents that the step predicted.
"""

OnFrames = Callable[[np.ndarray], None]
"""Receives the next finished frames of a result in order, some at a time: (n, H, W, 3) uint8 RGB."""


class VideoGrainPipeline(
    DiffusionPipeline, StableDiffusionLoraLoaderMixin, TextualInversionLoaderMixin, FromSingleFileMixin
):
    """Edits several regions of a clip in one denoising pass (VideoGrain, arXiv 2502.17258).

    Any Stable Diffusion 1.x or 2.x checkpoint loads by `from_pretrained` or `from_single_file`, with epsilon or v
    prediction; the scheduler is replaced by a DDIM of the same noise schedule.

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
    """

    model_cpu_offload_seq = "text_encoder->unet->vae"
    _optional_components = ["controlnet"]  # noqa: RUF012 (diffusers reads a list)

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
        self._interrupt = False

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
        self._check(request)
        self._interrupt = False
        report = self._stoppable(report)
        try:
            # 1.-4. Prompts, frames, masks, control images and motion to tensors
            tensors = self._prepare(request, report)
            self.scheduler.set_timesteps(request.settings.num_inference_steps)
            maps = PhraseMaps(tensors.layout, tensors.prompts.token_regions) if record_attention else None
            denoiser = Denoiser(self.unet, self.controlnet)
            with denoiser.for_clip(len(tensors.latents), request.settings.joint_group_norm):
                # 5. Latents to noise
                path = inversion_path(
                    denoiser, tensors.latents, self.scheduler, tensors.source.last_halves(1), tensors.step,
                    request.settings, report, self.inversion_cache,
                )  # fmt: skip
                # 6. Noise to edited latents
                generator = generator or torch.Generator().manual_seed(request.settings.seed)
                denoising = self._denoising(denoiser, tensors, path, generator, maps)
                latents = denoising.run(report, callback_on_step_end and partial(callback_on_step_end, self))
            # 7. Latents to frames, with the source's own pixels where nothing changes
            frames = [np.empty((0, *request.frames.shape[1:]), np.uint8)]
            for finished in self._finish(request, latents, report) if output_type == "np" else ():
                frames.append(finished)
                if callback_on_frames is not None:
                    callback_on_frames(finished)
        finally:
            self.maybe_free_model_hooks()
        return EditResult(
            frames=np.concatenate(frames),
            latents=latents,
            target_prompt=tensors.prompts.target_prompt,
            warnings=tensors.prompts.warnings,
            seconds=time.monotonic() - started,
            attention=maps.mean().numpy() if maps is not None else None,
        )

    def _check(self, request: EditRequest) -> None:
        """Raise SettingsError where the request does not fit the networks."""
        networks = self.controlnet.nets if isinstance(self.controlnet, MultiControlNetModel) else [self.controlnet]
        count = sum(network is not None for network in networks)
        if request.control_images and len(request.control_images) != count:
            raise SettingsError(
                f"There are {len(request.control_images)} sets of control images for {count} ControlNets. "
                "Pass one for each, or none."
            )
        check_frame_size(request.frames, self.vae_scale_factor)
        if request.settings.inject_steps and not can_inject(self.unet):
            raise SettingsError(
                f"inject_steps is {request.settings.inject_steps} but this UNet lacks the layers whose features are "
                "injected. Set it to 0."
            )

    def _prepare(self, request: EditRequest, report: Report) -> EditTensors:
        settings, device = request.settings, self._execution_device
        # 1. Prompts to embeddings and token spans
        prompts = embed_prompts(self.tokenizer, self.text_encoder, request, device, self._expand)
        # 2. Frames to latents
        latents = encode_frames(self.vae, request.frames, self.frames_per_vae_batch, device, report)
        # 3. Masks to the layout at every resolution
        grid = (latents.shape[-2], latents.shape[-1])
        regions = RegionMasks.of(request, device)
        levels = len(self.unet.config["block_out_channels"])
        layout = build_layout(regions.masks, grid, levels, [region.strength for region in request.regions])
        # 4. Control images and trajectories
        controls = [
            torch.from_numpy(np.ascontiguousarray(images)).movedim(-1, 1).to(device) / 255
            for images in request.control_images
        ]
        paths = _trajectories(request, grid, device)
        attended = {paths.tokens: paths} if paths and settings.trajectory_attention else {}
        smoothed = paths if settings.temporal_smoothing else None
        return EditTensors(
            settings=settings,
            prompts=prompts,
            latents=latents,
            layout=layout,
            edited=covered_cells(regions.edited_part[None], grid)[0][:, None],
            control_images=controls,
            step=AttentionStep(len(latents), settings.attention_mode, trajectories=attended),
            path_mean=PathMean.along(smoothed, covered_cells(regions.masks, grid)) if smoothed else None,
        )

    def _denoising(
        self,
        denoiser: Denoiser,
        tensors: EditTensors,
        path: Tensor,
        generator: torch.Generator,
        maps: PhraseMaps | None,
    ) -> Denoising:
        return Denoising(
            denoiser=denoiser,
            scheduler=self.scheduler,
            settings=tensors.settings,
            conditioning=tensors.target,
            source_conditioning=tensors.source.last_halves(tensors.halves),
            step=tensors.step,
            modulation=tensors.modulation,
            path=path,
            edited=tensors.edited,
            generator=generator,
            path_mean=tensors.path_mean,
            phrase_maps=maps,
        )

    def _finish(self, request: EditRequest, latents: Tensor, report: Report) -> Iterator[np.ndarray]:
        """Yield the finished frames (n, H, W, 3) uint8 in order, some at a time."""
        regions = RegionMasks.of(request)
        changed, kept = regions.edited_part.numpy(), regions.kept_part.numpy()
        first = 0
        for pixels in decode_latents(self.vae, latents, self.frames_per_vae_batch, report):
            frames, part = to_uint8(pixels), slice(first, first + len(pixels))
            if request.settings.blend_background:
                frames = composite(request.frames[part], frames, changed[part], kept[part])
            yield frames
            first = part.stop

    def _expand(self, prompt: str) -> str:
        """Write out textual inversions of several vectors, which take up as many tokens."""
        return cast(str, self.maybe_convert_prompt(prompt, self.tokenizer))

    def _stoppable(self, report: Report) -> Report:
        def stoppable(progress: Progress) -> None:
            report(progress)
            if self._interrupt:
                raise Cancelled("The edit was stopped.")

        return stoppable


def _trajectories(request: EditRequest, grid: tuple[int, int], device: torch.device) -> Trajectories | None:
    settings = request.settings
    if len(request.frames) < 2 or not (settings.trajectory_attention or settings.temporal_smoothing):
        return None
    return trajectories(optical_flow(request.frames), grid).to(device)


def _ddim_of(scheduler: ConfigMixin) -> DDIMScheduler:
    """Return the DDIM scheduler that the method is defined on, with the checkpoint's own noise schedule."""
    config = scheduler.config
    if config.get("prediction_type", "epsilon") not in ("epsilon", "v_prediction"):
        raise ModelError(
            f"The model predicts '{config['prediction_type']}'; only epsilon and v_prediction can be inverted. "
            "Choose a Stable Diffusion 1.x or 2.x checkpoint."
        )
    ddim = DDIMScheduler.from_config(
        config, clip_sample=False, set_alpha_to_one=False, timestep_spacing="leading", steps_offset=1
    )
    return cast(DDIMScheduler, ddim)
