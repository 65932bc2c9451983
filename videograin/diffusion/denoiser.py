"""One forward of UNet and ControlNet over a clip: noisy latents in, noise prediction out."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self, cast

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel
from einops import rearrange, repeat
from torch import Tensor, nn

from videograin.diffusion.attention.freeu import freeu
from videograin.diffusion.attention.joint_norm import joint_group_norm
from videograin.diffusion.attention.recorder import exchange_residuals
from videograin.diffusion.attention.step import AttentionStep
from videograin.diffusion.shortcuts.deep_cache import keeping_deep, no_residual, without_deep

AnyControlNet = ControlNetModel | MultiControlNetModel


def controlnets_in(controlnet: AnyControlNet | None) -> list[ControlNetModel]:
    """Return the ControlNets that one is, or several in one are; none of None."""
    if isinstance(controlnet, MultiControlNetModel):
        return cast(list[ControlNetModel], [*controlnet.nets])
    return [] if controlnet is None else [controlnet]


@dataclass(frozen=True)
class Control:
    """What one ControlNet is given.

    Attributes:
        images: (F, 3, H, W) in [0, 1].
        scale: factor on its residuals.
        above: timestep above which it acts.
        up_to: timestep up to which it acts.
        batches: the images as forwards want them, by number of halves and dtype.
    """

    images: Tensor
    scale: float = 1.0
    above: float = -1
    up_to: float = math.inf
    batches: dict[tuple[int, torch.dtype], Tensor] = field(init=False, default_factory=dict, repr=False)

    def acts_at(self, timestep: int) -> bool:
        """Return whether the ControlNet has a part in a forward at a timestep."""
        return self.scale > 0 and self.above < timestep <= self.up_to

    def batch(self, halves: int, dtype: torch.dtype) -> Tensor:
        """Return the images once for each half, (halves·F, 3, H, W), the same tensor each time."""
        if (halves, dtype) not in self.batches:
            self.batches[halves, dtype] = repeat(self.images.to(dtype), "f c h w -> (b f) c h w", b=halves)
        return self.batches[halves, dtype]


@dataclass(frozen=True)
class Conditioning:
    """What a forward is conditioned on; halves are unconditional first, then conditional, or the latter alone.

    Attributes:
        unet_embeds: (halves, 77, C).
        controlnet_embeds: (halves, 77, C); the ControlNet is given the plain prompt, without local embeddings.
        controls: one for each ControlNet; none leaves the ControlNets out.
        text_keys: what the UNet's layers have made of its text, remembered from forward to forward.
    """

    unet_embeds: Tensor
    controlnet_embeds: Tensor
    controls: Sequence[Control] = ()
    text_keys: dict[nn.Module, tuple[Tensor, Tensor]] = field(init=False, default_factory=dict, repr=False)

    @property
    def halves(self) -> int:
        """Copies of the clip in one batch."""
        return len(self.unet_embeds)

    @cached_property
    def has_one_control_text(self) -> bool:
        """Whether the ControlNet is given the same text in all halves."""
        return bool((self.controlnet_embeds == self.controlnet_embeds[:1]).all())

    @cached_property
    def conditional(self) -> Self:
        """The conditional half alone; to be asked of both halves."""
        return self.last_halves(1)

    def last_halves(self, halves: int) -> Self:
        """Return the same conditioning with the last one or both halves; itself where it has no others."""
        if halves == self.halves:
            return self
        return replace(self, unet_embeds=self.unet_embeds[-halves:], controlnet_embeds=self.controlnet_embeds[-halves:])


@dataclass(frozen=True)
class Denoiser:
    """A UNet with layout attention and perhaps a ControlNet, predicting the noise of whole clips.

    Attributes:
        unet: its attention processors are those of `attention/processors.py`.
        controlnet: one, several in one, or none.
        joint_norm: whether GroupNorm statistics are shared among all frames of a forward.
        freeu: whether the UNet goes by FreeU.
        shared_control: whether the ControlNets are given the conditional half alone, and both halves what they make of
            it; without that it is so only where the halves' text is the same.
    """

    unet: UNet2DConditionModel
    controlnet: AnyControlNet | None = None
    joint_norm: bool = False
    freeu: bool = False
    shared_control: bool = False

    @property
    def controlnets(self) -> list[ControlNetModel]:
        """The ControlNets, none, one or several."""
        return controlnets_in(self.controlnet)

    def shares_control(self, conditioning: Conditioning) -> bool:
        """Return whether halves of one sample take what the ControlNets make of the conditional half."""
        return conditioning.halves > 1 and (self.shared_control or conditioning.has_one_control_text)

    @contextmanager
    def for_clip(self) -> Iterator[None]:
        """While open, the ControlNets embed the images of each conditioning once, not in every forward."""
        with ExitStack() as stack:
            for network in self.controlnets:
                stack.enter_context(_embedding_remembered(network))
            yield

    @torch.no_grad()
    def predict_noise(
        self,
        latents: Tensor,
        timestep: int,
        conditioning: Conditioning,
        step: AttentionStep,
    ) -> Tensor:
        """Predict the noise (or v, as the model was trained) of noisy latents.

        Args:
            latents: (F, C, h, w), the same for all halves, or (halves, F, C, h, w).
            timestep: up to 999; below 0 the latents are clean, and the model is told its lowest, 0.
            conditioning: text, and control images of all frames; each half gets its own text.
            step: what the attention layers do.

        Returns:
            (halves, F, C, h, w) in the dtype of `latents`.
        """
        is_one_sample = latents.ndim == 4
        if is_one_sample:
            latents = repeat(latents, "f c h w -> b f c h w", b=conditioning.halves)
        sample = rearrange(latents, "b f c h w -> (b f) c h w").to(self.unet.dtype)
        timestep = max(timestep, 0)
        embeds = repeat(conditioning.unet_embeds.to(sample.dtype), "b t c -> (b f) t c", f=step.frames)
        with self._changed_networks(step.frames), ExitStack() as stack:
            stack.enter_context(exchange_residuals(self.unet, step.record, step.inject))
            if step.is_shallow and step.deep is not None:
                features, down = step.deep.last(len(sample))
                mid = None if down is None else no_residual(features)
                stack.enter_context(without_deep(self.unet, features))
            else:
                down, mid = self._control_residuals(sample, timestep, conditioning, is_one_sample)
                if step.deep is not None:
                    stack.enter_context(keeping_deep(self.unet, step.deep, down))
            noise_pred = self.unet(
                sample,
                _on_device(timestep, sample.device),
                encoder_hidden_states=embeds,
                cross_attention_kwargs={"step": replace(step, text_keys=conditioning.text_keys)},
                down_block_additional_residuals=down,
                mid_block_additional_residual=mid,
                return_dict=False,
            )[0]
        # Where channels lie last in the networks, they do not in what follows, as in latents from a cache.
        return rearrange(noise_pred, "(b f) c h w -> b f c h w", f=step.frames).to(latents.dtype).contiguous()

    @contextmanager
    def _changed_networks(self, frames: int) -> Iterator[None]:
        with ExitStack() as stack:
            if self.freeu:
                stack.enter_context(freeu(self.unet))
            for network in filter(None, (self.unet, self.controlnet)) if self.joint_norm else ():
                stack.enter_context(joint_group_norm(network, frames))
            yield

    def _control_residuals(
        self, sample: Tensor, timestep: int, conditioning: Conditioning, is_one_sample: bool
    ) -> tuple[list[Tensor] | None, Tensor | None]:
        """Return what the ControlNets that act at a timestep add to the UNet's skip tensors and to its middle.

        Args:
            sample: (halves·F, C, h, w).
            timestep: from 0.
            conditioning: of all halves.
            is_one_sample: whether it is the same for all halves.
        """
        if is_one_sample and self.shares_control(conditioning):
            own = sample[-(len(sample) // conditioning.halves) :]
            down, mid = self._control_residuals(own, timestep, conditioning.last_halves(1), is_one_sample)
            again = (conditioning.halves, 1, 1, 1)
            if down is None or mid is None:
                return None, None
            return [each.repeat(again) for each in down], mid.repeat(again)
        embeds = repeat(
            conditioning.controlnet_embeds.to(sample.dtype), "b t c -> (b f) t c", f=len(sample) // conditioning.halves
        )
        down, mid = None, None
        controls = conditioning.controls if self.controlnets else ()
        for network, control in zip(self.controlnets if controls else (), controls, strict=True):
            if not control.acts_at(timestep):
                continue
            own_down, own_mid = network(
                sample,
                _on_device(timestep, sample.device),
                encoder_hidden_states=embeds,
                controlnet_cond=control.batch(conditioning.halves, sample.dtype),
                conditioning_scale=control.scale,
                return_dict=False,
            )
            down = own_down if down is None else [one + other for one, other in zip(down, own_down, strict=True)]
            mid = own_mid if mid is None else mid + own_mid
        return down, mid


def _on_device(timestep: int, device: torch.device) -> Tensor:
    """Return a timestep as a scalar there; networks copy a mere number, which waits until a GPU has done its work."""
    return torch.full((), timestep, device=device)


class _RememberedEmbedding(nn.Module):
    """A ControlNet's embedding of images, computed once for each tensor; a tensor as a key is equal to itself alone."""

    def __init__(self, embedding: nn.Module) -> None:
        super().__init__()
        self.embedding = embedding
        self._results: dict[Tensor, Tensor] = {}

    def forward(self, images: Tensor) -> Tensor:
        if images not in self._results:
            self._results[images] = self.embedding(images)
        return self._results[images]


@contextmanager
def _embedding_remembered(network: ControlNetModel) -> Iterator[None]:
    """While open, a ControlNet embeds its images once, not in every forward."""
    embedding = network.controlnet_cond_embedding
    network.controlnet_cond_embedding = cast(ControlNetConditioningEmbedding, _RememberedEmbedding(embedding))
    try:
        yield
    finally:
        network.controlnet_cond_embedding = embedding
