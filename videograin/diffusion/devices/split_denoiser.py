"""The halves of guidance on two devices, at the same time.

An edit of one window takes one device; of each denoising step with guidance half is spent on the unconditional half,
which knows nothing of the conditional one until both are done. So a second device computes it, with networks of its
own. Only latents, the modulation's strengths and the result travel in each step.
"""

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from videograin.diffusion.attention.step import AttentionStep
from videograin.diffusion.denoiser import Conditioning, Denoiser
from videograin.diffusion.devices.mirror import Mirror

Network = TypeVar("Network", bound=nn.Module)


class SecondDevice:
    """A device that computes the unconditional half of guidance beside the one that does all else.

    Args:
        device: of the same kind as the first.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        # One thread for good: cuDNN keeps its plans of convolutions by thread.
        self._thread = ThreadPoolExecutor(1, "second-device", initializer=partial(_make_current, device))

    def split(self, denoiser: Denoiser) -> "SplitDenoiser":
        """Return a denoiser that has its networks also on this device, as they are now, for as long as it is kept."""
        unet, controlnet = twin(denoiser.unet, self.device), denoiser.controlnet
        layers = dict(zip(denoiser.unet.modules(), unet.modules(), strict=True))
        return SplitDenoiser(
            unet=denoiser.unet,
            controlnet=denoiser.controlnet,
            joint_norm=denoiser.joint_norm,
            freeu=denoiser.freeu,
            shared_control=denoiser.shared_control,
            other=replace(denoiser, unet=unet, controlnet=controlnet and twin(controlnet, self.device)),
            mirror=Mirror(self.device, layers),
            thread=self._thread,
        )


@dataclass(frozen=True, kw_only=True)
class SplitDenoiser(Denoiser):
    """A denoiser whose unconditional half is computed on a second device.

    Attributes:
        other: the same networks there.
        mirror: what these are told.
        thread: starts what is computed there.
    """

    other: Denoiser
    mirror: Mirror = field(repr=False)
    thread: ThreadPoolExecutor = field(repr=False)

    @contextmanager
    def for_clip(self) -> Iterator[None]:
        """While open, the ControlNets of both devices embed the images of each conditioning once."""
        with super().for_clip(), self.other.for_clip():
            yield

    @torch.no_grad()
    def predict_noise(self, latents: Tensor, timestep: int, conditioning: Conditioning, step: AttentionStep) -> Tensor:
        """Predict the noise, one half on each device, a single one on the first; arguments as in `Denoiser`."""
        if conditioning.halves == 1:
            return super().predict_noise(latents, timestep, conditioning, step)
        is_one_sample = latents.ndim == 4
        halves = [latents, latents] if is_one_sample else [latents[:1], latents[1:]]
        is_control_shared = is_one_sample and self.shares_control(conditioning)
        own_states: dict[str, Tensor] = {}
        other_states: dict[str, Tensor] = {}
        # Moved before the first device is given its half, behind which its stream would queue the copies.
        forward = partial(
            self.other.predict_noise,
            halves[0].to(self.mirror.device),
            timestep,
            self.mirror.conditioning(conditioning, is_control_shared=is_control_shared),
            _keeping(self.mirror.step(step), other_states),
        )
        future = self.thread.submit(copy_context().run, forward)
        try:
            own_step = _keeping(conditional_half(step), own_states)
            own = super().predict_noise(halves[1], timestep, conditioning.conditional, own_step)
        finally:
            wait([future])  # also after an error: nothing may go on unseen
        unconditional = future.result().to(own.device)
        for name, states in own_states.items():
            assert step.keep_states is not None
            step.keep_states(name, torch.cat([other_states[name].to(states.device), states]))
        return torch.cat([unconditional, own])


def twin(network: Network, device: torch.device) -> Network:
    """Return a copy of a network on another device, with its attention processors and LoRAs as they are now."""
    moved: dict[int, Tensor] = {id(each): each.to(device) for each in network.buffers()}
    for each in network.parameters():
        moved[id(each)] = nn.Parameter(each.detach().to(device), requires_grad=False)
    return copy.deepcopy(network, moved)


def conditional_half(step: AttentionStep) -> AttentionStep:
    """Return what the layers of the conditional half do in a step; it records and injects where the step says."""
    anchors = step.anchor_states
    return replace(
        step,
        modulated_self=step.modulated_self[-1:],
        modulated_cross=step.modulated_cross[-1:],
        anchor_states=anchors and {layer: states[-1:] for layer, states in anchors.items()},
    )


def _keeping(step: AttentionStep, states: dict[str, Tensor]) -> AttentionStep:
    """Return a step that keeps its layers' states here, if it keeps them anywhere."""
    return step if step.keep_states is None else replace(step, keep_states=states.__setitem__)


def _make_current(device: torch.device) -> None:
    """Have a thread's kernels be started on a device; Triton and cuDNN ask for the current one."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
