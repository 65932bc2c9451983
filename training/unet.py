"""Stage: the denoiser, with the mini CLIP's text tower trained along at a quarter of the rate.

Epsilon prediction with min-SNR weights, 10 % empty captions for guidance, cross-attention grounded in who is where. The
world is drawn in the Noto style only. The weights compute in bfloat16 and follow float32 masters.

    torchrun --nproc-per-node 4 -m training.unet --minutes 8
"""

import torch
from torch import Tensor

from training.captions import Captioner
from training.compute import Ranks, Recorded, working_precision
from training.grounding import Grounding
from training.log import log
from training.loop import Options, Trainer, parse_options
from training.networks import TEXT_WIDTH, Denoiser
from training.noise import Noise
from training.pool import Encoder, Pool
from training.scene import Dice
from training.tokenizer import load as load_tokenizer
from training.trained import frozen, load_clip, load_vae
from training.world import NOBODY, World
from videograin.attention.processors import install_layout_attention

_EMPTY = 0.1
_GROUNDING = 0.05  # at first it weighs about as much as the error of the noise


def train(options: Options, frames: int = 1, clips_share: float = 0.0) -> None:
    """Train denoiser and text tower until the time is over.

    Args:
        options: of the command line.
        frames: frames F of the clips in the pool, one for pictures.
        clips_share: share of a batch that are whole clips, whose frames see each other; the rest are single frames.
    """
    ranks = Ranks()
    device, on_gpu = ranks.device, ranks.device.type == "cuda"
    dice = Dice(1000 * options.seed + 300 + frames + ranks.rank + (500 if options.resume else 0), device)
    captioner = Captioner(load_tokenizer(), device)
    encoder = Encoder(frozen(load_vae(options.folder, device)))
    torch.manual_seed(options.seed)
    module = Denoiser(load_clip(options.folder, device).clip.text_model).to(device, working_precision(device))
    install_layout_attention(module.unet)
    grounding = Grounding(module.unet)
    module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    trainer = Trainer("unet", module, options, ranks, {"": 8e-4, "text.": 2e-4}, decay=0.9993, warmup=300, reserve=8)
    empty, noise = captioner.encode([""]), Noise(dice)
    chunk, size, start = (256 // frames, 65536 // frames, 8192 // frames) if on_gpu else (2, 8, 4)
    pool = Pool(World(device), dice, captioner, encoder, chunk, size, frames)
    pool.fill(start)
    log(f"unet: pool of {pool.filled}, words {TEXT_WIDTH} wide")

    def batch(count: int, shown: Tensor) -> tuple[Tensor, ...]:
        place = pool.draw(count)
        latents, owners = (values[place[:, None], shown] for values in (pool.latents, pool.owners))
        unsaid = dice.chance(_EMPTY, count, 1)
        ids = torch.where(unsaid, empty, pool.ids[place].long())
        told = torch.where(unsaid, NOBODY, pool.told[place].long())
        return *noise.add(latents.float()), ids, owners.flatten(0, 1).long(), told

    def batch_of_clips() -> tuple[Tensor, ...]:
        return batch(clips, torch.arange(frames, device=device)[None])

    def batch_of_singles() -> tuple[Tensor, ...]:
        return batch(singles, dice.integers(frames, singles, 1))

    def learn(share: float, frames: int, *given: Tensor) -> dict[str, Tensor]:
        noisy, timestep, target, ids, owners, told = given
        grounding.expect(owners, told.repeat_interleave(frames, 0))
        loss, error = noise.loss(module(noisy, timestep, ids, frames), target, timestep)
        missed = grounding.loss()
        (share * (loss + _GROUNDING * missed)).backward()
        return {"loss": loss.detach(), "error": error.detach(), "missed": missed.detach()}

    clips = int(clips_share * options.batch / frames)
    singles = options.batch - clips * frames
    share = clips * frames / options.batch
    from_singles = Recorded(lambda *given: learn(1 - share, 1, *given), *batch_of_singles())
    from_clips = Recorded(lambda *given: learn(share, frames, *given), *batch_of_clips()) if clips else None
    trainer.masters.collect().zero_()  # what recording has left there
    while trainer.running():
        if trainer.steps % 8 == 0:
            pool.refill()
        notes = from_singles(*batch_of_singles())
        if from_clips is not None:
            notes |= {f"clip {name}": value for name, value in from_clips(*batch_of_clips()).items()}
        trainer.descend(**notes)
    trainer.finish()
    ranks.close()


if __name__ == "__main__":
    train(parse_options("unet", batch=256))
