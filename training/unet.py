"""Stage: the denoiser, with the mini CLIP's text tower trained along at a quarter of the rate.

Epsilon prediction, min-SNR weights (Hang et al. 2023, γ = 5), 10 % empty captions for guidance. Latents come from a
rolling pool: each is used a few times, then replaced by a new scene. The world is drawn in the Noto style only. The
weights compute in bfloat16 and follow float32 masters.

    torchrun --nproc-per-node 4 -m training.unet --minutes 8
"""

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from training.captions import Captioner, random_wording
from training.loop import Options, Ranks, Recorded, Trainer, log, mixed_precision, parse_options, working_precision
from training.networks import LATENT_CHANNELS, LATENT_SIZE, TEXT_WIDTH, Denoiser, encode
from training.scene import Casting, Dice
from training.tokenizer import MAX_TOKENS
from training.tokenizer import load as load_tokenizer
from training.trained import frozen, load_clip, load_vae
from training.world import Picture, World

CASTING = Casting(counts=(0.04, 0.32, 0.42, 0.22), crowded=0.25)
_GAMMA = 5.0
EMPTY = 0.1
SILENT = 0.5  # share of captions whose padding says nothing, so that the words themselves are read


class Encoder(nn.Module):
    """The frozen encoder: images to latents, in mixed precision."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, image: Tensor) -> Tensor:
        """Return latent means (B, 8, 32, 32) of images (B, 3, 256, 256)."""
        with mixed_precision(image.device):
            return encode(self.vae, image)[:, :LATENT_CHANNELS]


def cumulative_alphas(device: torch.device) -> Tensor:
    """Return ᾱ (1000,) of Stable Diffusion's scaled-linear schedule."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0).float().to(device)


class Pool:
    """A ring of latents and captions, refilled with new scenes all the time."""

    def __init__(self, world: World, dice: Dice, captioner: Captioner, encoder: Encoder, chunk: int, size: int) -> None:
        self.world, self.dice, self.captioner, self.encoder = world, dice, captioner, encoder
        self.chunk, self.size, self.filled, self._next = chunk, size // chunk * chunk, 0, 0
        shape = (self.size, LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE)
        self.latents = torch.zeros(shape, dtype=torch.float16, device=world.device)
        self.ids = torch.zeros(self.size, MAX_TOKENS, dtype=torch.int16, device=world.device)

    @torch.no_grad()
    def refill(self) -> tuple[slice, Picture]:
        """Draw and encode one chunk of scenes in place of the oldest; return where, and the pictures."""
        scene = self.world.sample(self.dice, self.chunk, CASTING)
        picture = self.world.draw(scene)
        place = slice(self._next, self._next + self.chunk)
        self.latents[place] = self.encoder(picture.image.contiguous(memory_format=torch.channels_last)).half()
        self.ids[place] = self.captioner.caption(scene, random_wording(self.dice, scene)).to(torch.int16)
        self._next = (self._next + self.chunk) % self.size
        self.filled = min(self.size, self.filled + self.chunk)
        return place, picture

    def draw(self, batch: int) -> Tensor:
        """Return random places (batch,) of the pool."""
        return self.dice.integers(self.filled, batch)


class Noise:
    """Noisy latents and the weights of their losses."""

    def __init__(self, dice: Dice) -> None:
        self.dice, self.alphas = dice, cumulative_alphas(dice.device)
        ratio = self.alphas / (1 - self.alphas)
        weights = ratio.clamp(max=_GAMMA) / ratio
        self.weights = weights / weights.mean()

    def add(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return noisy latents, timesteps (B,) and the noise."""
        noise = torch.randn(latents.shape, generator=self.dice.generator, device=latents.device)
        timestep = self.dice.integers(1000, len(latents))
        return self.mix(latents, noise, timestep), timestep, noise

    def mix(self, latents: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """Return latents at their timesteps (B,), with this noise in them."""
        alpha = self.alphas[timestep][:, None, None, None]
        noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
        return noisy.contiguous(memory_format=torch.channels_last)

    def loss(self, predicted: Tensor, noise: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighted loss and the plain squared error."""
        error = (predicted - noise).square().mean((1, 2, 3))
        return (error * self.weights[timestep]).mean(), error.mean()


def train(options: Options) -> None:
    """Train denoiser and text tower until the time is over."""
    ranks = Ranks()
    device, on_gpu = ranks.device, ranks.device.type == "cuda"
    dice = Dice(1000 * options.seed + 300 + ranks.rank + (500 if options.resume else 0), device)
    captioner = Captioner(load_tokenizer(), device)
    encoder = Encoder(frozen(load_vae(options.folder, device)))
    torch.manual_seed(options.seed)
    module = Denoiser(load_clip(options.folder, device).clip.text_model).to(device, working_precision(device))
    module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    trainer = Trainer("unet", module, options, ranks, {"": 8e-4, "text.": 2e-4}, decay=0.9993, warmup=300, reserve=8)
    empty, noise = captioner.encode([""]), Noise(dice)
    chunk, size, start = (256, 65536, 8192) if on_gpu else (2, 8, 4)
    pool = Pool(World(device), dice, captioner, encoder, chunk, size)
    while pool.filled < start:
        pool.refill()
    log(f"unet: pool of {pool.filled}, words {TEXT_WIDTH} wide")

    def batch() -> tuple[Tensor, ...]:
        place = pool.draw(options.batch)
        ids = torch.where(dice.chance(EMPTY, options.batch, 1), empty, pool.ids[place].long())
        return *noise.add(pool.latents[place].float()), ids, dice.chance(SILENT, options.batch)

    def compute(noisy: Tensor, timestep: Tensor, target: Tensor, ids: Tensor, silent: Tensor) -> dict[str, Tensor]:
        loss, error = noise.loss(module(noisy, timestep, ids, silent=silent), target, timestep)
        loss.backward()
        return {"loss": loss.detach(), "error": error.detach()}

    gradients = Recorded(compute, *batch())
    trainer.masters.collect().zero_()  # what recording has left there
    while trainer.running():
        if trainer.steps % 8 == 0:
            pool.refill()
        trainer.descend(**gradients(*batch()))
    trainer.finish()
    ranks.close()


if __name__ == "__main__":
    train(parse_options("unet", batch=256))
