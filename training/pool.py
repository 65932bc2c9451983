"""A rolling pool of scenes, drawn and encoded on the device, from which the denoiser and the ControlNet learn."""

from collections.abc import Sequence

import torch
from diffusers import AutoencoderKL
from einops import rearrange
from torch import Tensor, nn

from training.captions import Captioner, random_wording, tells_backdrop
from training.clips import Motion, joined, moving, random_motion
from training.compute import mixed_precision
from training.networks import LATENT_CHANNELS, LATENT_SIZE, encode
from training.scene import CANVAS, Casting, Dice, Scene, is_moulded
from training.tokenizer import MAX_TOKENS
from training.traces import former_scene
from training.world import Picture, World

CASTING = Casting(counts=(0.04, 0.32, 0.42, 0.22), crowded=0.25)
EVERY_LEVEL, MOULDED_LEVELS = 1000, 900
"""Timesteps at which scenes are learnt: of what is moulded, only the outline is given, so it must be seen already."""
_CELL = CANVAS // LATENT_SIZE


class Encoder(nn.Module):
    """The frozen encoder: images to latents, in mixed precision."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, image: Tensor) -> Tensor:
        """Return latent means (B, 8, 32, 32) of images (B, 3, 256, 256)."""
        with mixed_precision(image.device):
            return encode(self.vae, image)[:, :LATENT_CHANNELS]


class Pool:
    """A ring of clips, each used a few times and then replaced by a new scene in motion; pictures are clips of a frame.

    Attributes:
        latents: (size, F, 8, 32, 32) float16.
        former: the same, of what the clips showed before (`training.traces`); the latents themselves without traces.
        owners: (size, F, 32, 32) uint8, whose the middle of a latent cell is, codes of `training.world`.
        ids: (size, 40) int16, the captions' tokens.
        told: (size, 40) uint8, whom a token speaks of.
        levels: (size,) int64, the timesteps below which a clip is learnt.
    """

    def __init__(
        self,
        world: World,
        dice: Dice,
        captioner: Captioner,
        encoder: Encoder,
        chunk: int,
        size: int,
        frames: int = 1,
        casting: Casting = CASTING,
        traces: bool = False,
    ) -> None:
        self.world, self.dice, self.captioner, self.encoder, self.casting = world, dice, captioner, encoder, casting
        self.chunk, self.size, self.frames, self.traces = chunk, size // chunk * chunk, frames, traces
        self.filled = self._next = 0
        cells, tokens = (self.size, frames, LATENT_SIZE, LATENT_SIZE), (self.size, MAX_TOKENS)
        shape = (self.size, frames, LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE)
        self.latents = torch.zeros(shape, dtype=torch.float16, device=world.device)
        self.former = torch.zeros_like(self.latents) if traces else self.latents
        self.owners = torch.zeros(cells, dtype=torch.uint8, device=world.device)
        self.ids = torch.zeros(tokens, dtype=torch.int16, device=world.device)
        self.told = torch.zeros(tokens, dtype=torch.uint8, device=world.device)
        self.levels = torch.zeros(self.size, dtype=torch.int64, device=world.device)

    def fill(self, least: int) -> None:
        """Draw scenes until `least` are there."""
        while self.filled < least:
            self.refill()

    @torch.no_grad()
    def refill(self) -> tuple[slice, Picture]:
        """Draw and encode one chunk of scenes in place of the oldest; return where, and the pictures of all frames."""
        scene = self.world.sample(self.dice, self.chunk, self.casting)
        wording = random_wording(self.dice, scene)
        motions = [random_motion(self.dice) for _ in range(self.chunk)] if self.frames > 1 else []
        place = slice(self._next, self._next + self.chunk)
        if self.traces:
            former = former_scene(self.dice, scene, tells_backdrop(scene, wording))
            self.former[place] = self._encode(self._draw(former, motions))
        picture = self._draw(scene, motions)
        self.latents[place] = self._encode(picture)
        owners = picture.owner[:, _CELL // 2 :: _CELL, _CELL // 2 :: _CELL]
        self.owners[place] = rearrange(owners, "(b f) h w -> b f h w", f=self.frames)
        ids, told = self.captioner.caption_and_told(scene, wording)
        self.ids[place], self.told[place] = ids.to(torch.int16), told
        self.levels[place] = torch.where(is_moulded(scene), MOULDED_LEVELS, EVERY_LEVEL)
        self._next = (self._next + self.chunk) % self.size
        self.filled = min(self.size, self.filled + self.chunk)
        return place, picture

    def _draw(self, scene: Scene, motions: Sequence[Motion]) -> Picture:
        """Draw all frames of scenes in motion; without motions they are pictures."""
        clips = [moving(scene[i : i + 1], motion, self.frames) for i, motion in enumerate(motions)]
        return self.world.draw(joined(clips) if clips else scene)

    def _encode(self, picture: Picture) -> Tensor:
        """Return latents (clips, F, 8, 32, 32) float16."""
        latents = self.encoder(picture.image.contiguous(memory_format=torch.channels_last)).half()
        return rearrange(latents, "(b f) c h w -> b f c h w", f=self.frames)

    def draw(self, batch: int) -> Tensor:
        """Return random places (batch,) of the pool."""
        return self.dice.integers(self.filled, batch)
