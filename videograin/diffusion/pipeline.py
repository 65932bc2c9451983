"""`VideoGrainPipeline`: clip, regions and words in, edited clip out, on a frozen Stable Diffusion + ControlNet."""

import time
from collections.abc import Callable, Sequence
from typing import Literal, cast

import numpy as np
import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, DiffusionPipeline, UNet2DConditionModel
from diffusers.configuration_utils import ConfigMixin
from diffusers.loaders import FromSingleFileMixin, StableDiffusionLoraLoaderMixin, TextualInversionLoaderMixin
from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from videograin.diffusion.attention.layout import Layout, build_layout, covered_cells, make_room
from videograin.diffusion.attention.phrase_maps import PhraseMaps
from videograin.diffusion.attention.processors import install_layout_attention
from videograin.diffusion.attention.recorder import can_inject
from videograin.diffusion.attention.step import AttentionStep, modulate_layout
from videograin.diffusion.autoencoder import decode_latents, encode_frames, to_uint8
from videograin.diffusion.compositing import composite
from videograin.diffusion.denoiser import AnyControlNet, Conditioning, Denoiser
from videograin.diffusion.denoising import Denoising
from videograin.diffusion.inversion import inversion_path
from videograin.diffusion.prompt_embeds import Words, read_words
from videograin.diffusion.smoothing import PathMean
from videograin.errors import Cancelled, ModelError, SettingsError
from videograin.files.tensor_cache import TensorCache
from videograin.media.flow import Trajectories, optical_flow, trajectories
from videograin.progress import Progress, Report, ignore
from videograin.region import AttentionMode, Convention, EditRequest, EditResult, EditSettings, Region

OnStepEnd = Callable[["VideoGrainPipeline", int, int, dict[str, Tensor]], dict[str, Tensor]]
"""diffusers' step callback: (pipeline, step index, timestep, tensors) → the tensors to replace.

The tensors, (F, 4, h, w) each: "latents", and "pred_original_sample", the clean latents that the step predicted.
"""


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
        num_inference_steps: int = 50,
        guidance_scale: float = 7.5,
        strength: float = 1.0,
        modulated_fraction: float = 0.3,
        self_strength: float = 0.3,
        cross_strength: float = 1.0,
        mask_growth: int = 0,
        inject_steps: int = 0,
        control_images: Sequence[np.ndarray] = (),
        controlnet_conditioning_scale: float = 1.0,
        convention: Convention = Convention.PAPER,
        attention_mode: AttentionMode = AttentionMode.FULL,
        joint_group_norm: bool = False,
        trajectory_attention: bool = True,
        temporal_smoothing: float = 0.0,
        blend_background: bool = True,
        seed: int = 0,
        generator: torch.Generator | None = None,
        callback_on_step_end: OnStepEnd | None = None,
        report: Report = ignore,
        output_type: Literal["np", "latent"] = "np",
    ) -> EditResult:
        """Edit a clip.

        Args:
            frames: (F, H, W, 3) uint8 RGB; H and W multiples of 8, of 64 for Stable Diffusion's best results.
            regions: what changes into what; masks (F, H, W) bool of the frames' size. They may overlap, be absent in
                some frames and leave pixels uncovered. Those without a prompt keep the source.
            source_prompt: what the clip shows now; the inversion follows it.
            target_prompt: the whole target; it must contain every region's prompt. Empty composes it.
            background: phrase for the rest of the picture in a composed target prompt.
            negative_prompt: what to avoid.
            num_inference_steps: timesteps of the full noise schedule.
            guidance_scale: classifier-free guidance; 1 switches it off.
            strength: noise level from which denoising starts, as a share of the schedule; the inversion goes only
                that far. 1 starts from full noise.
            modulated_fraction: share of the denoising steps, from the first, in which attention is modulated.
            self_strength: λ of self-attention (0.3 in the paper).
            cross_strength: λ of cross-attention (1.0 in the paper, which starts from full noise; an edit from less
                noise needs more, for the modulation fades with the fifth power of the timestep).
            mask_growth: pixels by which prompted regions grow, where no other region is, for a shape unlike theirs.
            inject_steps: steps, from the first, that take features over from the inversion (PnP).
            control_images: one (F, H, W, 3) uint8 array for each ControlNet; none leaves the ControlNet out.
            controlnet_conditioning_scale: factor on the ControlNet's residuals.
            convention: which reading of the method, see docs/architecture.md.
            attention_mode: which frames self-attention sees.
            joint_group_norm: whether GroupNorm statistics span all frames.
            trajectory_attention: whether tokens also attend along optical flow at the highest resolution.
            temporal_smoothing: how far the clean latents that each step predicts are drawn to their mean along
                optical flow, as a factor on the share of noise in them (`smoothing.py`; not in the paper).
            blend_background: whether the source is kept outside the prompted regions: its latents at every step, and
                its pixels in the end.
            seed: of the noise in the kept part, used where no generator is given.
            generator: alternative to `seed`.
            callback_on_step_end: called after every denoising step, may return other latents.
            report: told after every step of every phase; may raise `Cancelled`.
            output_type: "latent" leaves the result's latents undecoded, without frames.

        Returns:
            The edited frames (F, H, W, 3) uint8 RGB with latents, prompt and warnings.

        Raises:
            VideoGrainError: frames, regions, prompts or settings that cannot be edited; the message says why.
            Cancelled: `interrupt` was called, or `report` raised it.
        """
        settings = EditSettings(
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            strength=strength,
            modulated_fraction=modulated_fraction,
            self_strength=self_strength,
            cross_strength=cross_strength,
            mask_growth=mask_growth,
            inject_steps=inject_steps,
            controlnet_conditioning_scale=controlnet_conditioning_scale,
            convention=convention,
            attention_mode=attention_mode,
            joint_group_norm=joint_group_norm,
            trajectory_attention=trajectory_attention,
            temporal_smoothing=temporal_smoothing,
            blend_background=blend_background,
            seed=seed,
        )
        request = EditRequest(
            frames, regions, source_prompt, target_prompt, background, negative_prompt, control_images, settings
        )
        return self.edit(request, generator, callback_on_step_end, report, output_type)

    @torch.no_grad()
    def edit(
        self,
        request: EditRequest,
        generator: torch.Generator | None = None,
        callback_on_step_end: OnStepEnd | None = None,
        report: Report = ignore,
        output_type: Literal["np", "latent"] = "np",
        record_attention: bool = False,
    ) -> EditResult:
        """Carry out a request; arguments, result and errors as in `__call__`.

        With `record_attention` the result holds the phrases' attention maps, for a hundredth more time.
        """
        started = time.monotonic()
        self._interrupt = False
        report = self._stoppable(report)
        try:
            words, latents, maps = self._edit_latents(
                request, generator, callback_on_step_end, report, record_attention
            )
            # 7. Latents to frames
            frames = np.empty((0, *request.frames.shape[1:]), np.uint8)
            if output_type == "np":
                decoded = decode_latents(self.vae, latents, self.frames_per_vae_batch, report)
                frames = np.concatenate([to_uint8(pixels) for pixels in decoded])
                # 8. The source's own pixels where nothing was to change
                frames = keep_source_pixels(request, frames)
        finally:
            self.maybe_free_model_hooks()
        seconds = time.monotonic() - started
        attention = maps.mean().numpy() if maps is not None else None
        return EditResult(frames, latents, words.target_prompt, words.warnings, seconds, attention)

    def _edit_latents(
        self,
        request: EditRequest,
        generator: torch.Generator | None,
        callback_on_step_end: OnStepEnd | None,
        report: Report,
        record_attention: bool,
    ) -> tuple[Words, Tensor, PhraseMaps | None]:
        settings, device = request.settings, self._execution_device
        denoiser = self._denoiser(request)

        # 1. Words to embeddings and token spans
        words = self._read_words(request, device)
        # 2. Frames to latents
        latents = encode_frames(self.vae, request.frames, self.frames_per_vae_batch, device, report)
        # 3. Masks to the layout at every resolution
        grid = (latents.shape[-2], latents.shape[-1])
        masks = _roomy_masks(request, device)
        layout = self._build_layout(request.regions, masks, grid)
        # 4. Control images and trajectories
        controls = [
            torch.from_numpy(np.ascontiguousarray(images)).movedim(-1, 1).to(device) / 255
            for images in request.control_images
        ]
        paths = self._trajectories(request, grid, device)
        path_mean = None
        if paths and settings.temporal_smoothing:
            path_mean = PathMean.along(paths, covered_cells(masks, grid))
        # 5. Latents to noise
        self.scheduler.set_timesteps(settings.num_inference_steps)
        attended = {paths.tokens: paths} if paths and settings.trajectory_attention else {}
        step = AttentionStep(len(latents), settings.attention_mode, trajectories=attended)
        source = Conditioning(words.source, words.source, controls, settings.controlnet_conditioning_scale)
        with denoiser.for_clip(len(latents), settings.joint_group_norm):
            path = inversion_path(
                denoiser, latents, self.scheduler, source.last_halves(1), step, settings, report, self.inversion_cache
            )
            # 6. Noise to edited latents
            halves = len(words.target)
            maps = PhraseMaps(layout, words.token_regions) if record_attention else None
            denoising = Denoising(
                denoiser,
                self.scheduler,
                settings,
                Conditioning(words.target, words.plain_target, controls, settings.controlnet_conditioning_scale),
                source.last_halves(halves),
                step,
                modulate_layout(layout, words.token_regions, settings, halves),
                path,
                covered_cells(_edited_part(request, masks)[None], grid)[0][:, None],
                generator or torch.Generator().manual_seed(settings.seed),
                path_mean,
                maps,
            )
            return words, denoising.run(report, self._step_end(callback_on_step_end)), maps

    def _denoiser(self, request: EditRequest) -> Denoiser:
        networks = self.controlnet.nets if isinstance(self.controlnet, MultiControlNetModel) else [self.controlnet]
        count = sum(network is not None for network in networks)
        if request.control_images and len(request.control_images) != count:
            raise SettingsError(
                f"There are {len(request.control_images)} sets of control images for {count} ControlNets. "
                "Pass one for each, or none."
            )
        height, width = request.frames.shape[1:3]
        if height % self.vae_scale_factor or width % self.vae_scale_factor:
            raise SettingsError(
                f"Frames are {width}×{height}; both sides must be multiples of {self.vae_scale_factor}. "
                "Resize the clip."
            )
        if request.settings.inject_steps and not can_inject(self.unet):
            raise SettingsError(
                f"inject_steps is {request.settings.inject_steps} but this UNet lacks the layers whose features are "
                "injected. Set it to 0."
            )
        return Denoiser(self.unet, self.controlnet)

    def _read_words(self, request: EditRequest, device: torch.device) -> Words:
        def expanded(prompt: str) -> str:  # a textual inversion of several vectors takes up as many tokens
            return cast(str, self.maybe_convert_prompt(prompt, self.tokenizer))

        return read_words(self.tokenizer, self.text_encoder, request, device, expanded)

    def _build_layout(self, regions: Sequence[Region], masks: Tensor, grid: tuple[int, int]) -> Layout:
        levels = len(self.unet.config["block_out_channels"])
        return build_layout(masks, grid, levels, [region.strength for region in regions])

    def _trajectories(self, request: EditRequest, grid: tuple[int, int], device: torch.device) -> Trajectories | None:
        settings = request.settings
        if len(request.frames) < 2 or not (settings.trajectory_attention or settings.temporal_smoothing):
            return None
        return trajectories(optical_flow(request.frames), grid).to(device)

    def _stoppable(self, report: Report) -> Report:
        def stoppable(progress: Progress) -> None:
            report(progress)
            if self._interrupt:
                raise Cancelled("The edit was stopped.")

        return stoppable

    def _step_end(self, callback: OnStepEnd | None) -> Callable[[int, int, Tensor, Tensor], Tensor]:
        def step_end(index: int, timestep: int, latents: Tensor, clean: Tensor) -> Tensor:
            if callback is None:
                return latents
            values = {"latents": latents, "pred_original_sample": clean}
            return callback(self, index, timestep, values).get("latents", latents)

        return step_end


def keep_source_pixels(request: EditRequest, frames: np.ndarray) -> np.ndarray:
    """Put the source's own pixels back where nothing was to change, if the settings say so.

    Args:
        request: what was asked for.
        frames: (F, H, W, 3) uint8 RGB, decoded.
    """
    if not request.settings.blend_background:
        return frames
    return composite(request.frames, frames, _edited_part(request, _roomy_masks(request, torch.device("cpu"))).numpy())


def _roomy_masks(request: EditRequest, device: torch.device) -> Tensor:
    """Return the regions' masks (R, F, H, W) bool, those of edited regions grown as the settings say."""
    masks = torch.from_numpy(np.stack([region.masks for region in request.regions])).to(device)
    return make_room(masks, [region.is_edited for region in request.regions], request.settings.mask_growth)


def _edited_part(request: EditRequest, masks: Tensor) -> Tensor:
    """Return (F, H, W) bool, the union of the edited ones of the masks (R, F, H, W) bool."""
    return masks[[region.is_edited for region in request.regions]].any(0)


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
