"""Stage: the mini CLIP and its judge.

Half the batch are whole scenes, half are crops around one object, as the regional metrics cut them. Every caption has a
hard negative beside it (sides, colours, wearables, one object or the background changed), for random captions teach
neither binding nor relations. The judge is a linear head with one logit an object: which are visible here?

    python -m training.clip --minutes 6
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.captions import Captioner, hard_negative, only, random_wording
from training.compute import Ranks, mixed_precision, speed_up
from training.loop import Options, Trainer, parse_options
from training.networks import CLIP_SIZE, Clip
from training.scene import Casting, Dice, Scene
from training.tokenizer import load as load_tokenizer
from training.world import World, visible_labels

_CASTING = Casting(counts=(0.04, 0.30, 0.40, 0.26), styles=(0.8, 0.1, 0.1), crowded=0.25)
_CROPPED = replace(_CASTING, counts=(0.0, 0.34, 0.40, 0.26))


class TwoTowers(nn.Module):
    """Both towers and the judge in one pass, in mixed precision."""

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        self.towers = clip

    def forward(self, image: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return unit embeddings of images and texts, and the judge's logits."""
        with mixed_precision(image.device):
            seen, labels = self.towers.see(image)
            read = self.towers.read(ids)
        return F.normalize(seen.float(), dim=-1), F.normalize(read.float(), dim=-1), labels.float()


def crop(image: Tensor, x: Tensor, y: Tensor, half: Tensor, mode: str = "bilinear") -> Tensor:
    """Cut squares (centre x, y and half side, canvas units, each (B,)) out of images, at the images' own size."""
    side = image.shape[-1]
    ticks = (torch.arange(side, device=image.device) + 0.5) / side * 2 - 1
    columns = x[:, None, None] + half[:, None, None] * ticks[None, None, :]
    rows = y[:, None, None] + half[:, None, None] * ticks[None, :, None]
    grid = torch.stack(torch.broadcast_tensors(columns, rows), -1)
    return F.grid_sample(image, grid, mode=mode, padding_mode="reflection", align_corners=False)


def crops_of(dice: Dice, scene: Scene, image: Tensor, owner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cut each picture around one of its objects.

    Returns:
        image (B, 3, 256, 256), owner (B, 256, 256), and the slot (B,) of the object.
    """
    batch = len(scene)
    slot = (dice.uniform(0, 1, batch) * scene.count).long()
    x, y, size = (getattr(scene, name).gather(1, slot[:, None])[:, 0] for name in ("x", "y", "size"))
    half = (size * dice.uniform(0.9, 1.6, batch)).clamp(max=1)
    shift = dice.uniform(-0.2, 0.2, 2, batch) * half
    x, y = ((centre + offset).clamp(half - 1, 1 - half) for centre, offset in zip((x, y), shift, strict=True))
    cut = crop(owner[:, None].float(), x, y, half, mode="nearest")[:, 0]
    return crop(image, x, y, half), cut.to(torch.uint8), slot


def worn_down(dice: Dice, image: Tensor) -> Tensor:
    """Halve the size, and blur and speckle at random, so that edited and compressed pictures are seen as well."""
    batch = len(image)
    image = F.avg_pool2d(image, image.shape[-1] // CLIP_SIZE)
    blurred = F.interpolate(F.avg_pool2d(image, 2), scale_factor=2, mode="bilinear")
    blur = (dice.uniform(0, 1, batch) * dice.chance(0.35, batch))[:, None, None, None]
    noise = torch.randn(image.shape, generator=dice.generator, device=image.device)
    return image.lerp(blurred, blur) + 0.04 * dice.uniform(0, 1, batch)[:, None, None, None] * noise


def contrastive_loss(seen: Tensor, read: Tensor, ids: Tensor, scale: Tensor) -> Tensor:
    """Match B images with 2B texts, the second half of which are hard negatives. Equal texts are equally right."""
    batch = len(seen)
    logits = scale * seen @ read.T
    same = (ids[:batch, None] == ids[None]).all(-1).float()
    by_image = F.cross_entropy(logits, same / same.sum(1, keepdim=True))
    mutual = same[:, :batch]
    by_text = F.cross_entropy(logits[:, :batch].T, mutual / mutual.sum(1, keepdim=True))
    return 0.5 * (by_image + by_text)


class Batches:
    """Images (B, 3, 128, 128), token ids (2B, 40), and the judge's labels and weights (B, T)."""

    def __init__(self, world: World, dice: Dice, captioner: Captioner, size: int) -> None:
        self.world, self.dice, self.captioner, self.half = world, dice, captioner, size // 2

    def next(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw one batch: whole scenes, then crops."""
        whole, cut = self._whole(), self._cut()
        images, texts, wrong, labels, weights = (torch.cat(pair) for pair in zip(whole, cut, strict=True))
        return worn_down(self.dice, images), torch.cat([texts, wrong]), labels, weights

    def _whole(self) -> tuple[Tensor, ...]:
        scene = self.world.sample(self.dice, self.half, _CASTING)
        picture, wording = self.world.draw(scene), random_wording(self.dice, scene)
        wrong = self.captioner.caption(hard_negative(self.dice, scene), wording)
        return picture.image, self.captioner.caption(scene, wording), wrong, *visible_labels(scene, picture.owner)

    def _cut(self) -> tuple[Tensor, ...]:
        scene = self.world.sample(self.dice, self.half, _CROPPED)
        picture, wording = self.world.draw(scene), random_wording(self.dice, scene)
        image, owner, slot = crops_of(self.dice, scene, picture.image, picture.owner)
        alone = only(scene, slot)
        silent = replace(wording, told=torch.where(self.dice.chance(0.8, self.half), 3, wording.told))
        wrong = self.captioner.caption(hard_negative(self.dice, alone), silent)
        labels = visible_labels(scene, owner, present=0.01, absent=0.002)
        return image, self.captioner.caption(alone, silent), wrong, *labels


def train(options: Options) -> None:
    """Train CLIP and judge until the time is over."""
    ranks = Ranks()
    tokenizer = load_tokenizer()
    captioner = Captioner(tokenizer, ranks.device)
    dice = Dice(1000 * options.seed + 100 + ranks.rank, ranks.device)
    batches = Batches(World(ranks.device), dice, captioner, options.batch)
    torch.manual_seed(options.seed)
    clip = Clip(tokenizer).to(ranks.device)
    module = TwoTowers(clip)
    speed_up(clip.clip.vision_model, options.compile, lambda: module(*batches.next()[:2]))
    trainer = Trainer("clip", clip, options, ranks, {"": 7e-4}, decay=0.998, weight_decay=0.02, warmup=300)
    while trainer.running():
        image, ids, labels, weights = batches.next()
        seen, read, logits = module(image, ids)
        contrast = contrastive_loss(seen, read, ids, clip.clip.logit_scale.exp().clamp(max=100))
        judged = (weights * F.binary_cross_entropy_with_logits(logits, labels, reduction="none")).mean()
        best = labels.gather(1, logits.argmax(1)[:, None]).mean()
        trainer.step(contrast + 20 * judged, contrast=contrast, judged=judged, best=best)
    trainer.finish()
    ranks.close()


if __name__ == "__main__":
    train(parse_options("clip", batch=512))
