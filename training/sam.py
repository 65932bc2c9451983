"""Stage: the promptable segmenter, in `segment_anything`'s own classes.

Each picture is encoded once and asked for several masks: an object with what it wears, the object alone, the worn part
alone, ground, sky, or the whole backdrop. The first prompt is a click, a loose box, or a mask that has slipped (as one
carried over from the frame before has), the next ones click where the last answer was wrong and hand that answer back
as a mask prompt. The three-mask output is trained on its best mask (a
click is ambiguous: hat, or cat with hat?), the single mask on the one that was meant, the IoU head on all four. Hard
cases: crowded scenes, and twins, which differ in nothing but place.

    python -m training.sam --minutes 8
"""

from dataclasses import dataclass
from enum import Enum
from typing import cast

import torch
import torch.nn.functional as F
from segment_anything.modeling import MaskDecoder, Sam
from torch import Tensor, nn

from training.compute import Ranks, mixed_precision, speed_up
from training.loop import Options, Trainer, parse_options
from training.networks import make_sam
from training.scene import CANVAS, SLOTS, Casting, Dice
from training.vae import turn_hues
from training.world import GROUND_OWNER, OWNERS, TOP_OWNER, Picture, World, owner_shares

CASTING = Casting(
    counts=(0.02, 0.18, 0.35, 0.45), styles=(0.7, 0.15, 0.15), crowded=0.5, twins=0.12, heads=0.4, dressed=0.7
)
_PROMPTS = 8
_ROUNDS = 3
_LEAST = 48 / CANVAS**2  # the smallest mask that is asked for
_LOW = 128  # side of the decoder's masks


class Opening(Enum):
    """What is said first about a mask."""

    CLICK = 1
    BOX = 2
    CARRIED = 3  # a mask that has slipped, its box, and a click inside it


_OPENINGS = (Opening.CLICK,) * 5 + (Opening.BOX,) * 2 + (Opening.CARRIED,) * 3  # take turns, one a step


def targets_table(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return which owner codes form each target (12, 8) bool, and how often a target is asked for (12,).

    Targets: 3 objects with what they wear, 3 objects alone, 3 worn parts, ground, sky, both.
    """
    table = torch.zeros(3 * SLOTS + 3, OWNERS, dtype=torch.bool, device=device)
    for slot in range(SLOTS):
        table[slot, [1 + slot, 1 + SLOTS + slot]] = True
        table[SLOTS + slot, 1 + slot] = True
        table[2 * SLOTS + slot, 1 + SLOTS + slot] = True
    table[-3, GROUND_OWNER] = table[-2, TOP_OWNER] = True
    table[-1, [GROUND_OWNER, TOP_OWNER]] = True
    wanted = [1.0] * SLOTS + [0.35] * SLOTS + [2.0] * SLOTS + [0.15, 0.15, 0.15]
    return table, torch.tensor(wanted, device=device)


def choose_targets(dice: Dice, owner: Tensor, prompts: int) -> Tensor:
    """Choose masks to ask for.

    Args:
        owner: (B, 256, 256) uint8.
        prompts: masks a picture.

    Returns:
        masks (B·prompts, 256, 256) bool.
    """
    table, wanted = targets_table(owner.device)
    area = owner_shares(owner) @ table.T.float()
    odds = torch.where(area > _LEAST, wanted, 0.0)
    chosen = torch.multinomial(odds, prompts, replacement=True, generator=dice.generator)
    lookup = table[chosen].flatten(0, 1)
    codes = owner.repeat_interleave(prompts, 0).flatten(1).long()
    return lookup.gather(1, codes).view(-1, *owner.shape[1:])


def click_in(dice: Dice, odds: Tensor) -> Tensor:
    """Draw one pixel of each map (N, h, w), with odds by value; (N, 2) as (x, y) in input pixels."""
    side = odds.shape[-1]
    flat = odds.flatten(1) + 1e-9
    index = torch.multinomial(flat, 1, generator=dice.generator)[:, 0]
    spot = torch.stack([index % side, index // side], -1).float()
    return (spot + 0.5) * (CANVAS / side) - 0.5


def loose_box(dice: Dice, masks: Tensor) -> Tensor:
    """Return boxes (N, 4) as (x0, y0, x1, y1) around masks (N, h, w), each side moved by up to a tenth."""
    side = masks.shape[-1]
    columns, rows = masks.any(1).int(), masks.any(2).int()
    first = torch.stack([columns.argmax(1), rows.argmax(1)], -1)
    last = side - 1 - torch.stack([columns.flip(1).argmax(1), rows.flip(1).argmax(1)], -1)
    shift = dice.uniform(-0.1, 0.1, 2, len(masks), 2) * (last - first + 1)
    corners = torch.cat([first + shift[0], last + 1 + shift[1]], -1) * (CANVAS / side)
    return corners.clamp(0, CANVAS)


def decode(
    decoder: MaskDecoder, embedding: Tensor, position: Tensor, sparse: Tensor, dense: Tensor
) -> tuple[Tensor, Tensor]:
    """Run `MaskDecoder.predict_masks` with one image embedding a prompt, which its own method cannot.

    Args:
        embedding: (N, C, h, w); position: (1, C, h, w); sparse: (N, n, C); dense: (N, C, h, w).

    Returns:
        logits (N, 4, 4h, 4w) and predicted IoU (N, 4); the first is the single mask.
    """
    output_tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([output_tokens.expand(len(sparse), -1, -1), sparse], 1)
    answers, source = decoder.transformer(embedding + dense, position.expand(len(sparse), -1, -1, -1), tokens)
    pixels = decoder.output_upscaling(source.transpose(1, 2).reshape(embedding.shape))
    heads = zip(decoder.output_hypernetworks_mlps, answers[:, 1:].unbind(1), strict=False)
    weights = torch.stack([head(answer) for head, answer in heads], 1)
    return torch.einsum("nkc,nchw->nkhw", weights, pixels), decoder.iou_prediction_head(answers[:, 0])


class Encoder(nn.Module):
    """The image encoder in mixed precision: images (B, 3, 256, 256) in [−1, 1] to (B, C, 32, 32)."""

    def __init__(self, sam: Sam) -> None:
        super().__init__()
        self.sam = sam
        self.mean, self.deviation = cast(tuple[Tensor, Tensor], (sam.pixel_mean, sam.pixel_std))

    def forward(self, image: Tensor) -> Tensor:
        """Normalise as `Sam.preprocess` does, and encode."""
        with mixed_precision(image.device):
            pixels = ((image + 1) * 127.5 - self.mean) / self.deviation
            return self.sam.image_encoder(pixels).float()


def mask_losses(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Compare masks: loss (focal and dice) and IoU, each (N, 4), of logits (N, 4, h, w) and soft targets (N, h, w)."""
    wanted = target[:, None].expand_as(logits)
    probability = logits.sigmoid()
    missed = probability * (1 - wanted) + (1 - probability) * wanted
    focal = (missed.square() * F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")).mean((2, 3))
    dice = 1 - (2 * (probability * wanted).sum((2, 3)) + 1) / ((probability + wanted).sum((2, 3)) + 1)
    said, true = logits > 0, wanted > 0.5
    iou = (said & true).sum((2, 3)) / (said | true).sum((2, 3)).clamp(min=1)
    return 20 * focal + dice, iou


@dataclass
class Prompts:
    """What has been said so far about N masks."""

    points: Tensor  # (N, n, 2)
    labels: Tensor  # (N, n) 1 inside, 0 outside
    boxes: Tensor | None  # (N, 4)
    answer: Tensor | None  # (N, 1, 128, 128) logits of the last round

    def add_click(self, dice: Dice, target: Tensor) -> None:
        """Click where the last answer was wrong; target (N, 128, 128) bool."""
        assert self.answer is not None
        wrong = (self.answer[:, 0] > 0) != target
        wrong = torch.where(wrong.any(2).any(1)[:, None, None], wrong, target).float()
        point = click_in(dice, wrong)
        column, row = (point * (_LOW / CANVAS)).long().clamp(0, _LOW - 1).unbind(-1)
        label = target[torch.arange(len(target), device=target.device), row, column].float()
        self.points = torch.cat([self.points, point[:, None]], 1)
        self.labels = torch.cat([self.labels, label[:, None]], 1)


def core(masks: Tensor, reach: int) -> Tensor:
    """Return odds (N, h, w) of a click away from the edges of masks (N, h, w), which are bool."""
    inside = masks[:, None].float()
    return (F.avg_pool2d(inside, 2 * reach + 1, 1, reach).pow(4) * inside)[:, 0]


def slipped(dice: Dice, target: Tensor) -> Tensor:
    """Move, turn and scale masks (N, 128, 128) a little, by up to a fourteenth of their own size."""
    count = len(target)
    reach = (target.mean((1, 2)).sqrt() * 0.14)[:, None]
    shift = dice.uniform(-1, 1, count, 2) * reach
    angle, scale = dice.uniform(-0.1, 0.1, count), dice.uniform(0.94, 1.06, count)
    ticks = torch.linspace(-1, 1, _LOW, device=target.device)
    weight = target / target.sum((1, 2), keepdim=True).clamp(min=1)
    centre = torch.stack([(weight.sum(1) * ticks).sum(1), (weight.sum(2) * ticks).sum(1)], -1)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).view(count, 2, 2)
    turn = turn * scale[:, None, None]
    offset = centre - (turn @ (centre + shift)[..., None])[..., 0]
    grid = F.affine_grid(torch.cat([turn, offset[..., None]], -1), [count, 1, _LOW, _LOW], align_corners=True)
    return F.grid_sample(target[:, None], grid, align_corners=True)[:, 0]


def first_prompts(dice: Dice, target: Tensor, full: Tensor, opening: Opening) -> Prompts:
    """Say which masks are meant: target (N, 128, 128) in [0, 1], full (N, 256, 256) bool."""
    count, device = len(target), target.device
    if opening is Opening.BOX:
        none = torch.zeros(count, 0, device=device)
        return Prompts(torch.zeros(count, 0, 2, device=device), none, loose_box(dice, full), None)
    one = torch.ones(count, 1, device=device)
    if opening is Opening.CARRIED:
        mask = slipped(dice, target)
        points = click_in(dice, core(mask > 0.5, 3))[:, None]
        certainty = dice.uniform(6, 20, count, 1, 1)
        return Prompts(points, one, loose_box(dice, mask > 0.5), ((mask - 0.5) * certainty)[:, None])
    # Half the clicks fall anywhere inside, half away from the edge, as users click.
    odds = torch.where(dice.chance(0.5, count, 1, 1), full.float(), core(full, 7))
    return Prompts(click_in(dice, odds)[:, None], one, None, None)


def rounds(sam: Sam, embedding: Tensor, full: Tensor, dice: Dice, opening: Opening) -> tuple[Tensor, dict[str, Tensor]]:
    """Play the rounds of prompts on N masks; return the loss and what to log."""
    target = F.avg_pool2d(full[:, None].float(), CANVAS // _LOW)[:, 0]
    prompts = first_prompts(dice, target, full, opening)
    position = sam.prompt_encoder.get_dense_pe()
    total, notes = embedding.new_zeros(()), {}
    for turn in range(_ROUNDS):
        if turn:
            prompts.add_click(dice, target > 0.5)
        points = (prompts.points, prompts.labels) if prompts.points.shape[1] else None
        sparse, dense = sam.prompt_encoder(points=points, boxes=prompts.boxes, masks=prompts.answer)
        with mixed_precision(embedding.device):
            logits, said = decode(sam.mask_decoder, embedding, position, sparse, dense)
        logits, said = logits.float(), said.float()
        loss, iou = mask_losses(logits, target)
        ambiguous = turn == 0 and opening is Opening.CLICK
        total = total + (0.3 if ambiguous else 1.0) * loss[:, 0].mean() + loss[:, 1:].amin(1).mean()
        total = total + (said - iou).square().mean()
        best = 1 + said[:, 1:].argmax(1) if ambiguous else torch.zeros_like(said[:, 0], dtype=torch.long)
        index = torch.arange(len(logits), device=logits.device)
        prompts.answer = logits[index, best][:, None].detach()
        notes[f"iou{turn + 1}"] = iou[index, best].mean()
    return total / _ROUNDS, notes


def train(options: Options) -> None:
    """Train the segmenter until the time is over."""
    ranks = Ranks()
    world, dice = World(ranks.device), Dice(1000 * options.seed + 200 + ranks.rank, ranks.device)
    torch.manual_seed(options.seed)
    sam = make_sam().to(ranks.device)
    encoder = Encoder(sam)

    pictures = world.pictures(dice, options.batch, CASTING)

    def batch() -> Picture:
        picture = next(pictures)
        return Picture(turn_hues(dice, picture.image, 0.3), picture.owner)

    speed_up(encoder, options.compile, lambda: encoder(batch().image))
    trainer = Trainer("sam", sam, options, ranks, {"": 6e-4}, decay=0.998, weight_decay=0.02, warmup=300)
    while trainer.running():
        picture = batch()
        full = choose_targets(dice, picture.owner, _PROMPTS)
        embedding = encoder(picture.image).repeat_interleave(_PROMPTS, 0)
        loss, notes = rounds(sam, embedding, full, dice, _OPENINGS[trainer.steps % len(_OPENINGS)])
        trainer.step(loss, **notes)
    trainer.finish()
    ranks.close()


if __name__ == "__main__":
    train(parse_options("sam", batch=32))
