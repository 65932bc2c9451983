"""Stage: the autoencoder, 256-pixel pictures to 8 × 32 × 32 latents of unit variance.

Losses: L1 and L2 (twice as heavy on objects), edges, low-resolution chroma, a perceptual one on the mini CLIP once that
stage has saved its first weights, and a light KL. Hues are turned at random, else the latents keep luma and one
warm–cold axis. Each latent channel is normalised, the factors folded into quant_conv and post_quant_conv, so
scaling_factor is 1.

    torchrun --nproc-per-node 2 -m training.vae --minutes 8
"""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor, nn

from training.compute import Ranks, mixed_precision, speed_up
from training.log import log
from training.loop import Options, Trainer, parse_options
from training.networks import LATENT_CHANNELS, LATENT_SIZE, decode, encode, make_vae
from training.scene import Casting, Dice
from training.trained import load_clip
from training.world import GROUND_OWNER, TOP_OWNER, World

CASTING = Casting(counts=(0.05, 0.25, 0.35, 0.35), styles=(0.8, 0.1, 0.1), crowded=0.3)
_CHROMA = ((-0.169, -0.331, 0.5), (0.5, -0.419, -0.081))


class Autoencoder(nn.Module):
    """Encode, sample and decode, in mixed precision."""

    def __init__(self) -> None:
        super().__init__()
        self.vae = make_vae()

    def forward(self, image: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the reconstruction (B, 3, H, W), and mean and log variance (B, 8, h, w)."""
        with mixed_precision(image.device):
            moments = encode(self.vae, image)
            mean, log_variance = moments.float().chunk(2, 1)
            log_variance = log_variance.clamp(-20, 10)
            latents = mean + (0.5 * log_variance).exp() * noise
            image = decode(self.vae, latents)
        return image.float(), mean, log_variance


def turn_hues(dice: Dice, image: Tensor, share: float = 0.5) -> Tensor:
    """Rotate the colours of a share of the images about the grey axis, and change their saturation."""
    batch = len(image)
    angle = dice.uniform(-math.pi, math.pi, batch) * dice.chance(share, batch)
    saturation = torch.where(angle == 0, 1.0, dice.uniform(0.5, 1.3, batch))
    grey = torch.full((3, 3), 1 / 3, device=image.device)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=image.device) / math.sqrt(3)
    across = torch.eye(3, device=image.device) - grey
    cos, sin = (value[:, None, None] for value in (angle.cos(), angle.sin()))
    turn = grey + saturation[:, None, None] * (cos * across + sin * cross)
    return torch.einsum("bij,bjhw->bihw", turn, image).clamp(-1, 1)


def reconstruction_loss(output: Tensor, image: Tensor, weight: Tensor) -> Tensor:
    """Compare images (B, 3, H, W): pixels, edges and low-resolution chroma, under weights (B, 1, H, W)."""
    error = output - image
    pixels = (weight * error.abs()).mean() + 4 * (weight * error.square()).mean()
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    chroma = torch.einsum("ij,bjhw->bihw", torch.tensor(_CHROMA, device=error.device), error)
    return pixels + 0.5 * edges + F.avg_pool2d(chroma, 8).abs().mean()


class Perception:
    """The distance of two images in the layers of the mini CLIP's eye, once that is there."""

    def __init__(self, options: Options, ranks: Ranks) -> None:
        self.options, self.ranks, self.clip, self._seen = options, ranks, None, 0.0

    def look_for_weights(self) -> None:
        """Load what the CLIP stage has saved since the last look; all ranks do so at the same step."""
        saved = max((file.stat().st_mtime for file in self.options.folder.glob("clip-*.safetensors")), default=0.0)
        newest = self.ranks.from_leader([saved])[0]
        if newest > self._seen:
            self._seen = newest
            vision = load_clip(self.options.folder, self.ranks.device).clip.vision_model
            self.clip = vision.eval().requires_grad_(False)
            log("vae: perceptual loss by newer eyes")

    def distance(self, output: Tensor, image: Tensor) -> Tensor:
        """Compare images (B, 3, 256, 256); 0 before the weights are there."""
        if self.clip is None:
            return output.new_zeros(())
        with mixed_precision(output.device):
            seen = self._layers(output)
            with torch.no_grad():
                wanted = self._layers(image)
        return torch.stack([F.mse_loss(a, b) for a, b in zip(seen, wanted, strict=True)]).mean()

    def _layers(self, image: Tensor) -> list[Tensor]:
        assert self.clip is not None
        states = self.clip(pixel_values=F.avg_pool2d(image, 2), output_hidden_states=True).hidden_states
        return [F.layer_norm(states[i].float(), states[i].shape[-1:]) for i in (1, 3, 5)]


@torch.no_grad()
def normalised(vae: AutoencoderKL, world: World, pictures: int) -> AutoencoderKL:
    """Fold each latent channel's mean and deviation over random scenes into the convolutions around the latents."""
    dice = Dice(7, world.device)
    latents = []
    for _ in range(max(1, pictures // 32)):
        image = world.draw(world.sample(dice, min(32, pictures), CASTING)).image
        latents.append(encode(vae, image)[:, :LATENT_CHANNELS])
    channels = torch.cat(latents).transpose(0, 1).flatten(1)
    mean, deviation = channels.mean(1), channels.std(1).clamp(min=1e-4)
    before, after = vae.quant_conv, vae.post_quant_conv
    assert before is not None
    assert after is not None
    assert before.bias is not None
    assert after.bias is not None
    after.bias += after.weight[:, :, 0, 0] @ mean
    after.weight *= deviation[None, :, None, None]
    before.weight[:LATENT_CHANNELS] /= deviation[:, None, None, None]
    before.bias[:LATENT_CHANNELS] = (before.bias[:LATENT_CHANNELS] - mean) / deviation
    before.bias[LATENT_CHANNELS:] -= 2 * deviation.log()
    return vae


def train(options: Options) -> None:
    """Train the autoencoder until the time is over."""
    ranks = Ranks()
    world, dice = World(ranks.device), Dice(1000 * options.seed + ranks.rank, ranks.device)
    torch.manual_seed(options.seed)
    module = Autoencoder().to(ranks.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    shape = (options.batch, LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE)

    pictures = world.pictures(dice, options.batch, CASTING)

    def batch() -> tuple[Tensor, Tensor, Tensor]:
        picture = next(pictures)
        image = turn_hues(dice, picture.image).contiguous(memory_format=torch.channels_last)
        things = (picture.owner != TOP_OWNER) & (picture.owner != GROUND_OWNER)
        return image, torch.randn(shape, device=ranks.device), 1 + things[:, None].float()

    def export(state: dict[str, Tensor]) -> dict[str, Tensor]:
        copy = Autoencoder().to(ranks.device)
        copy.load_state_dict(state)
        normalised(copy.vae, world, 256 if options.batch >= 32 else 8)
        return copy.state_dict()

    speed_up(module, options.compile, lambda: module(*batch()[:2]))
    perception = Perception(options, ranks)
    trainer = Trainer("vae", module, options, ranks, {"": 1e-3}, decay=0.998, export=export, reserve=8)
    while trainer.running():
        if trainer.steps % 50 == 0:
            perception.look_for_weights()
        image, noise, weight = batch()
        output, mean, log_variance = module(image, noise)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        seen = perception.distance(output, image)
        loss = reconstruction_loss(output, image, weight) + 0.1 * seen + 1e-3 * divergence
        trainer.step(loss, mse=F.mse_loss(output, image), seen=seen, divergence=divergence)
    trainer.finish()
    if ranks.leads and options.out:
        plain = Autoencoder().to(ranks.device)  # the trained one is compiled for another batch size
        plain.load_state_dict(trainer.weights())
        save_strip(plain, world, options.out)
    ranks.close()


@torch.no_grad()
def save_strip(module: Autoencoder, world: World, folder: Path) -> None:
    """Save a picture of eight scenes over their reconstructions."""
    image = world.draw(world.sample(Dice(11, world.device), 8, CASTING)).image
    noise = torch.zeros(8, LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE, device=image.device)
    both = torch.cat([image, module(image, noise)[0].clamp(-1, 1)])
    rows = both.view(2, 8, 3, 256, 256).permute(0, 3, 1, 4, 2).reshape(512, 2048, 3)
    Image.fromarray(((rows + 1) * 127.5).byte().cpu().numpy()).save(folder / "vae.png")


if __name__ == "__main__":
    train(parse_options("vae", batch=32))
