"""Stage: the denoiser, with the mini CLIP's text tower trained along at a quarter of the rate.

Epsilon prediction with min-SNR weights, 10 % empty captions for guidance, cross-attention grounded in who is where. The
world is drawn in the Noto style only. The weights compute in bfloat16 and follow float32 masters.

    torchrun --nproc-per-node 4 -m training.unet --minutes 8
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from training.captions import Captioner
from training.compute import Ranks, Recorded, working_precision
from training.grounding import Grounding
from training.log import log
from training.loop import Options, Trainer, parse_options
from training.networks import TEXT_WIDTH, Denoiser
from training.noise import Noise
from training.pool import CASTING, Encoder, Pool
from training.scene import Dice
from training.tokenizer import load as load_tokenizer
from training.trained import frozen, load_clip, load_vae
from training.world import NO_OWNER, World
from videograin.diffusion.attention.processors import install_layout_attention

_EMPTY = 0.1
_GROUNDING = 0.05  # at first it weighs about as much as the error of the noise


@dataclass(frozen=True)
class Course:
    """What the denoiser learns from, and what of it learns.

    Attributes:
        frames: F of the clips in the pool, one for pictures.
        clips: share of a batch that are whole clips, whose frames see each other; the rest are single frames.
        moulded: share of objects that are drawn in the outline of another.
        traces: share of scenes in whose noise a former state is left, see `training.traces`.
        kept: beginnings of the names of weights that stay as they are.
        mantissa: bits that the saved weights keep of theirs, see `training.weights.shortened`.
    """

    frames: int = 1
    clips: float = 0.0
    moulded: float = 0.0
    traces: float = 0.0
    kept: tuple[str, ...] = ()
    mantissa: int = 10


class Batches:
    """What a step learns from: noisy latents, timesteps, the noise to predict, captions, and whom what speaks of.

    Args:
        course: what is drawn.
        dice: draws it.
        pool: where it is drawn from.
        empty: (1, 40) token ids of the empty caption.
    """

    def __init__(self, course: Course, dice: Dice, pool: Pool, empty: Tensor) -> None:
        self.course, self.dice, self.pool, self.empty = course, dice, pool, empty
        self.noise = Noise(dice)

    def clips(self, count: int) -> tuple[Tensor, ...]:
        """Draw whole clips."""
        return self._draw(count, torch.arange(self.course.frames, device=self.dice.device)[None])

    def singles(self, count: int) -> tuple[Tensor, ...]:
        """Draw one frame of each of `count` clips."""
        return self._draw(count, self.dice.integers(self.course.frames, count, 1))

    def _draw(self, count: int, shown: Tensor) -> tuple[Tensor, ...]:
        """Draw clips of the frames `shown`, (count or 1, F)."""
        dice, pool = self.dice, self.pool
        place = pool.draw(count)
        latents, former, owners = (values[place[:, None], shown] for values in (pool.latents, pool.former, pool.owners))
        unsaid = dice.chance(_EMPTY, count, 1)
        ids = torch.where(unsaid, self.empty, pool.ids[place].long())
        told = torch.where(unsaid, NO_OWNER, pool.told[place].long())
        # Without words nothing says what has changed.
        traced = (dice.chance(self.course.traces, count, 1) & ~unsaid)[:, :, None, None, None]
        former = torch.where(traced, former, latents).float()
        noisy, timestep, noise = self.noise.add(latents.float(), pool.levels[place], former)
        return noisy, timestep, noise, ids, owners.flatten(0, 1).long(), told


def train(options: Options, course: Course) -> None:
    """Train denoiser and text tower until the time is over."""
    ranks = Ranks()
    device, frames = ranks.device, course.frames
    dice = Dice(1000 * options.seed + 300 + frames + ranks.rank + (500 if options.resume else 0), device)
    captioner = Captioner(load_tokenizer(), device)
    torch.manual_seed(options.seed)
    module = make_module(options, course, device)
    grounding = Grounding(module.unet)
    module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    rates = {"": 8e-4, "text.": 2e-4}
    trainer = Trainer(
        "unet", module, options, ranks, rates, decay=0.9993, warmup=300, reserve=8, mantissa=course.mantissa
    )
    pool = make_pool(options, course, World(device), dice, captioner)
    batches = Batches(course, dice, pool, captioner.encode([""]))

    def learn(share: float, frames: int, *given: Tensor) -> dict[str, Tensor]:
        noisy, timestep, target, ids, owners, told = given
        grounding.expect(owners, told.repeat_interleave(frames, 0))
        loss, error = batches.noise.loss(module(noisy, timestep, ids, frames), target, timestep)
        missed = grounding.loss()
        (share * (loss + _GROUNDING * missed)).backward()
        return {"loss": loss.detach(), "error": error.detach(), "missed": missed.detach()}

    clips = int(course.clips * options.batch / frames)
    singles = options.batch - clips * frames
    share = clips * frames / options.batch
    from_singles = Recorded(lambda *given: learn(1 - share, 1, *given), *batches.singles(singles))
    from_clips = Recorded(lambda *given: learn(share, frames, *given), *batches.clips(clips)) if clips else None
    trainer.masters.collect().zero_()  # what recording has left there
    while trainer.running():
        if trainer.steps % 8 == 0:
            pool.refill()
        notes = from_singles(*batches.singles(singles))
        if from_clips is not None:
            notes |= {f"clip {name}": value for name, value in from_clips(*batches.clips(clips)).items()}
        trainer.descend(**notes)
    trainer.finish()
    ranks.close()


def make_module(options: Options, course: Course, device: torch.device) -> Denoiser:
    """Return the denoiser, its text tower from CLIP, ready to learn what the course says."""
    text = load_clip(options.folder, device).clip.text_model
    module = Denoiser(text).to(device, working_precision(device))
    install_layout_attention(module.unet)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(not name.startswith(course.kept))
    return module


def make_pool(options: Options, course: Course, world: World, dice: Dice, captioner: Captioner) -> Pool:
    """Return a pool with a first stock of scenes."""
    frames, on_gpu = course.frames, world.device.type == "cuda"
    chunk, size, start = (256 // frames, 65536 // frames, 8192 // frames) if on_gpu else (2, 8, 4)
    encoder = Encoder(frozen(load_vae(options.folder, world.device)))
    casting = replace(CASTING, moulded=course.moulded)
    pool = Pool(world, dice, captioner, encoder, chunk, size, frames, casting, traces=course.traces > 0)
    pool.fill(start)
    log(f"unet: pool of {pool.filled}, words {TEXT_WIDTH} wide")
    return pool


if __name__ == "__main__":
    train(parse_options("unet", batch=256), Course())
