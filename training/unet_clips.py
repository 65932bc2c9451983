"""Stage: the denoiser once more, on clips, with the full-frame self-attention of an edit.

From pictures alone it never learns to look at other frames, and their keys only disturb it. Here all frames of a moving
scene are denoised at one timestep, every query seeing all of them, beside single frames, so that pictures are not
forgotten. Edits start from inverted noise, of which a still background has the same in all frames; so that the model
does not take noise which agrees for content, half of the clips share a part of theirs.

    python -m training.unet_clips --minutes 8 --rate 0.5
"""

from dataclasses import replace

import torch
from einops import rearrange
from torch import Tensor

from training.captions import Captioner, random_wording
from training.clips import joined, moving, random_motion
from training.loop import Options, Ranks, Recorded, Trainer, log, parse_options, working_precision
from training.networks import LATENT_CHANNELS, LATENT_SIZE, Denoiser
from training.scene import Dice
from training.tokenizer import MAX_TOKENS
from training.tokenizer import load as load_tokenizer
from training.trained import frozen, load_clip, load_vae
from training.unet import CASTING, EMPTY, SILENT, Encoder, Noise
from training.world import World
from videograin.attention.processors import install_layout_attention

FRAMES = 8
_CLIPS_SHARE = 0.75


class ClipPool:
    """A ring of clips' latents and captions, refilled with new scenes in motion all the time."""

    def __init__(self, world: World, dice: Dice, captioner: Captioner, encoder: Encoder, chunk: int, size: int) -> None:
        self.world, self.dice, self.captioner, self.encoder = world, dice, captioner, encoder
        self.chunk, self.size, self.filled, self._next = chunk, size // chunk * chunk, 0, 0
        shape = (self.size, FRAMES, LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE)
        self.latents = torch.zeros(shape, dtype=torch.float16, device=world.device)
        self.ids = torch.zeros(self.size, MAX_TOKENS, dtype=torch.int16, device=world.device)

    @torch.no_grad()
    def refill(self) -> None:
        """Draw and encode one chunk of clips in place of the oldest."""
        scene = self.world.sample(self.dice, self.chunk, CASTING)
        clips = [moving(scene[i : i + 1], random_motion(self.dice), FRAMES) for i in range(self.chunk)]
        image = self.world.draw(joined(clips)).image.contiguous(memory_format=torch.channels_last)
        place = slice(self._next, self._next + self.chunk)
        self.latents[place] = rearrange(self.encoder(image).half(), "(b f) c h w -> b f c h w", f=FRAMES)
        self.ids[place] = self.captioner.caption(scene, random_wording(self.dice, scene)).to(torch.int16)
        self._next = (self._next + self.chunk) % self.size
        self.filled = min(self.size, self.filled + self.chunk)


class ClipNoise(Noise):
    """Noise of clips: one timestep a clip, and in half of the clips a part of the noise is the same in all frames."""

    def add_to_clips(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return noisy latents ((B F), C, h, w), timesteps ((B F),) and the noise of latents (B, F, C, h, w)."""
        clips, frames = latents.shape[:2]
        own, common = (self._draw(clips, n, *latents.shape[2:]) for n in (frames, 1))
        part = self.dice.uniform(0, 1, clips, 1, 1, 1, 1) * self.dice.chance(0.5, clips, 1, 1, 1, 1)
        noise = (part.sqrt() * common + (1 - part).sqrt() * own).flatten(0, 1)
        timestep = self.dice.integers(1000, clips).repeat_interleave(frames)
        return self.mix(latents.flatten(0, 1), noise, timestep), timestep, noise

    def _draw(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.dice.generator, device=self.dice.device)


def train(options: Options) -> None:
    """Train denoiser and text tower on, until the time is over."""
    ranks = Ranks()
    device, on_gpu = ranks.device, ranks.device.type == "cuda"
    dice = Dice(1000 * options.seed + 700 + ranks.rank, device)
    captioner = Captioner(load_tokenizer(), device)
    encoder = Encoder(frozen(load_vae(options.folder, device)))
    module = Denoiser(load_clip(options.folder, device).clip.text_model).to(device, working_precision(device))
    install_layout_attention(module.unet)
    module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    options = replace(options, resume=True)
    trainer = Trainer("unet", module, options, ranks, {"": 8e-4, "text.": 2e-4}, decay=0.999, warmup=200, reserve=8)
    empty, noise = captioner.encode([""]), ClipNoise(dice)
    chunk, size, start = (32, 8192, 1024) if on_gpu else (2, 4, 4)
    pool = ClipPool(World(device), dice, captioner, encoder, chunk, size)
    while pool.filled < start:
        pool.refill()
    log(f"unet_clips: pool of {pool.filled} clips")
    clips = int(_CLIPS_SHARE * options.batch / FRAMES)
    singles = options.batch - clips * FRAMES

    def draw(count: int) -> tuple[Tensor, Tensor, Tensor]:
        place = dice.integers(pool.filled, count)
        ids = torch.where(dice.chance(EMPTY, count, 1), empty, pool.ids[place].long())
        return pool.latents[place].float(), ids, dice.chance(SILENT, count)

    def batch_of_clips() -> tuple[Tensor, ...]:
        latents, *captions = draw(clips)
        return *noise.add_to_clips(latents), *captions

    def batch_of_singles() -> tuple[Tensor, ...]:
        latents, *captions = draw(singles)
        return *noise.add(latents[torch.arange(singles), dice.integers(FRAMES, singles)]), *captions

    def learn(share: float, frames: int, *given: Tensor) -> dict[str, Tensor]:
        noisy, timestep, target, ids, silent = given
        loss, error = noise.loss(module(noisy, timestep, ids, frames, silent), target, timestep)
        (share * loss).backward()
        return {"loss": loss.detach(), "error": error.detach()}

    from_clips = Recorded(lambda *given: learn(_CLIPS_SHARE, FRAMES, *given), *batch_of_clips())
    from_singles = Recorded(lambda *given: learn(1 - _CLIPS_SHARE, 1, *given), *batch_of_singles())
    trainer.masters.collect().zero_()  # what recording has left there
    while trainer.running():
        if trainer.steps % 8 == 0:
            pool.refill()
        alone = {f"single {name}": value for name, value in from_singles(*batch_of_singles()).items()}
        trainer.descend(**from_clips(*batch_of_clips()), **alone)
    trainer.finish()
    ranks.close()


if __name__ == "__main__":
    train(parse_options("unet_clips", batch=256))
