"""What the forwards of the unconditional half are told, on the second device."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from videograin.diffusion.attention.modulation import SharedRegions
from videograin.diffusion.attention.recorder import Features
from videograin.diffusion.attention.reference import PlacedReference
from videograin.diffusion.attention.step import AttentionStep, LevelModulation
from videograin.diffusion.attention.trajectories import Trajectories
from videograin.diffusion.denoiser import Conditioning, Control
from videograin.diffusion.shortcuts.deep_cache import DeepFeatures

T = TypeVar("T")
Moved = TypeVar("Moved", Tensor, Trajectories)
Left = TypeVar("Left", Features, DeepFeatures)


class Mirror:
    """The unconditional half of what forwards are told, on another device.

    What stays the same from forward to forward is copied once, and its copy is forgotten with it. What a forward leaves
    for later ones, such as deep features, stays on the device that computed it.

    Args:
        device: the other one.
        layers: the layers there, by those of the first device.
    """

    def __init__(self, device: torch.device, layers: Mapping[nn.Module, nn.Module]) -> None:
        self.device = device
        self._layers = layers
        self._copies = WeakIdKeyDictionary()

    def conditioning(self, own: Conditioning, *, is_control_shared: bool) -> Conditioning:
        """Return the unconditional half of a conditioning.

        Args:
            own: of both halves.
            is_control_shared: whether both halves take what ControlNets make of the conditional one; they make it on
                either device, which costs no time.
        """

        def copy(own: Conditioning) -> Conditioning:
            control_text = own.controlnet_embeds[-1:] if is_control_shared else own.controlnet_embeds[:1]
            return Conditioning(
                unet_embeds=own.unet_embeds[:1].to(self.device),
                controlnet_embeds=control_text.to(self.device),
                controls=[self._once(each, self._control) for each in own.controls],
            )

        return self._once(own, copy)

    def step(self, own: AttentionStep) -> AttentionStep:
        """Return what the layers of the unconditional half do in a step; phrase maps are not of this half."""
        anchors = own.anchor_states
        return replace(
            own,
            modulations={tokens: self._level(each) for tokens, each in own.modulations.items()},
            modulated_self=own.modulated_self[:1],
            modulated_cross=own.modulated_cross[:1],
            trajectories={tokens: self._once(each, self._moved) for tokens, each in own.trajectories.items()},
            record=own.record and self._once(own.record, _empty),
            inject=own.inject and self._once(own.inject, _empty),
            phrase_maps=None,
            references=[self._once(each, self._reference) for each in own.references],
            anchor_states=anchors and {layer: self._states(each) for layer, each in anchors.items()},
            key_frames={tokens: self._once(each, self._moved) for tokens, each in own.key_frames.items()},
            deep=own.deep and self._once(own.deep, _empty),
        )

    def _once(self, own: T, copy: Callable[[T], T]) -> T:
        if own not in self._copies:
            self._copies[own] = copy(own)
        return self._copies[own]

    def _moved(self, own: Moved) -> Moved:
        return own.to(self.device)

    def _control(self, own: Control) -> Control:
        return replace(own, images=own.images.to(self.device))

    def _level(self, own: LevelModulation) -> LevelModulation:
        """Move a level, whose strengths are others in each step."""
        return LevelModulation(
            self_strength=own.self_strength.to(self.device),
            self_regions=self._once(own.self_regions, self._regions),
            cross_strength=own.cross_strength.to(self.device),
            cross_regions=self._once(own.cross_regions, self._regions),
        )

    def _regions(self, own: SharedRegions) -> SharedRegions:
        return SharedRegions(*(each.to(self.device) for each in (own.query_classes, own.key_classes, own.shares)))

    def _reference(self, own: PlacedReference) -> PlacedReference:
        keys = {
            self._layers[layer]: (key[:1].to(self.device), value[:1].to(self.device))
            for layer, (key, value) in own.reference.keys.items()
        }
        cells = {tokens: each.to(self.device) for tokens, each in own.cells.items()}
        return PlacedReference(replace(own.reference, keys=keys), cells)

    def _states(self, own: Tensor) -> Tensor:
        """Return the anchors' states of this half; a layer that needs those of the host's memory moves them itself."""
        return own[:1] if own.device.type == "cpu" else own[:1].to(self.device)


def _empty(own: Left) -> Left:
    """Return where the other half leaves its part of what this is for."""
    return type(own)()
