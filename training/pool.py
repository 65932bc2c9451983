"""A rolling pool of scenes, drawn and encoded on the device, from which the denoiser and the ControlNet learn."""

import torch
from diffusers import AutoencoderKL
from einops import rearrange
from torch import Tensor, nn

from training.captions import Captioner, random_wording
from training.clips import joined, moving, random_motion
from training.compute import mixed_precision
from training.networks import LATENT_CHANNELS, LATENT_SIZE, encode
from training.scene import CANVAS, Casting, Dice
from training.tokenizer import MAX_TOKENS
from training.world import Picture, World

CASTING = Casting(counts=(0.04, 0.32, 0.42, 0.22), crowded=0.25)
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
        owners: (size, F, 32, 32) uint8, whose the middle of a latent cell is, codes of `training.world`.
        ids: (size, 40) int16, the captions' tokens.
        told: (size, 40) uint8, whom a token speaks of.
    """

    def __init__(
        self, world: World, dice: Dice, captioner: Captioner, encoder: Encoder, chunk: int, size: int, frames: int = 1
    ) -> None:
        self.world, self.dice, self.captioner, self.encoder = world, dice, captioner, encoder
        self.chunk, self.size, self.frames = chunk, size // chunk * chunk, frames
        self.filled = self._next = 0
        cells, tokens = (self.size, frames, LATENT_SIZE, LATENT_SIZE), (self.size, MAX_TOKENS)
        shape = (self.size, frames, LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE)
        self.latents = torch.zeros(shape, dtype=torch.float16, device=world.device)
        self.owners = torch.zeros(cells, dtype=torch.uint8, device=world.device)
        self.ids = torch.zeros(tokens, dtype=torch.int16, device=world.device)
        self.told = torch.zeros(tokens, dtype=torch.uint8, device=world.device)

    def fill(self, least: int) -> None:
        """Draw scenes until so many are there."""
        while self.filled < least:
            self.refill()

    @torch.no_grad()
    def refill(self) -> tuple[slice, Picture]:
        """Draw and encode one chunk of scenes in place of the oldest; return where, and the pictures of all frames."""
        scene = self.world.sample(self.dice, self.chunk, CASTING)
        wording = random_wording(self.dice, scene)
        in_motion = scene
        if self.frames > 1:
            clips = (moving(scene[i : i + 1], random_motion(self.dice), self.frames) for i in range(self.chunk))
            in_motion = joined(list(clips))
        picture = self.world.draw(in_motion)
        latents = self.encoder(picture.image.contiguous(memory_format=torch.channels_last)).half()
        owners = picture.owner[:, _CELL // 2 :: _CELL, _CELL // 2 :: _CELL]
        place = slice(self._next, self._next + self.chunk)
        self.latents[place] = rearrange(latents, "(b f) c h w -> b f c h w", f=self.frames)
        self.owners[place] = rearrange(owners, "(b f) h w -> b f h w", f=self.frames)
        ids, told = self.captioner.caption_and_told(scene, wording)
        self.ids[place], self.told[place] = ids.to(torch.int16), told
        self._next = (self._next + self.chunk) % self.size
        self.filled = min(self.size, self.filled + self.chunk)
        return place, picture

    def draw(self, batch: int) -> Tensor:
        """Return random places (batch,) of the pool."""
        return self.dice.integers(self.filled, batch)
