"""Print the table of the models' figures on held-out seeds.

python -m training.evaluate --folder output/training [--only vae prompts sam] [--out DIR]
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from PIL import Image
from segment_anything import SamPredictor
from torch import Tensor

from training.captions import Captioner
from training.compute import mixed_precision
from training.log import log
from training.networks import CLIP_SIZE, LATENT_CHANNELS, Denoiser, encode
from training.sampling import pictures, sample
from training.scene import SLOTS, Casting, Dice
from training.tokenizer import load as load_tokenizer
from training.trained import frozen, load_clip, load_denoiser, load_sam, load_vae
from training.vocabulary import GROUNDS, NAMES, SKIES, with_article
from training.world import World
from videograin.segment.model import SegmentModel
from videograin.segment.networks import SamNetwork
from videograin.segment.segmenter import Segmenter

HELD_OUT = 987_654_321
GUIDANCES = (3.0, 4.5, 6.0)
Figures = dict[str, float]
SHOWN = (
    "a panda on grass|a red car on a road under a sunset sky|a cat in sunglasses|a dog wearing a blue cap|"
    "an astronaut in space|a polar bear in the snow|a purple balloon under a clear sky|a robot and an alien in space|"
    "a panda and a red car on grass under a sunset sky|a cat and a dog on a wooden floor|"
    "a fox next to a cactus in the desert|a lion and an elephant on grass|"
    "a shark to the left of an octopus underwater|a monkey above a banana|"
    "a superhero on the left and a firefighter on the right in a city|a police car and an ambulance on a city road|"
    "a rabbit, a carrot and a mushroom on grass|a cat, a fish and a duck on the ocean|"
    "a koala in a top hat|a bear with a pink bow and a pig in a green cap|"
    "a yellow butterfly and a purple tulip on grass|a green car next to a pink car on a road|an owl and a bat at night|"
    "a white dress and a black shirt on a blue background"
).split("|")


class Bench:
    """The trained models of a run, on a device, with what the measurements share."""

    def __init__(self, folder: Path, device: torch.device, size: int, steps: int) -> None:
        self.folder, self.device, self.size, self.steps = folder, device, size, steps
        self.world, self.captioner = World(device), Captioner(load_tokenizer(), device)
        self.judge = load_clip(folder, device).eval()

    def drawers(self) -> tuple[AutoencoderKL, Denoiser]:
        """Load what draws pictures."""
        return frozen(load_vae(self.folder, self.device)), frozen(load_denoiser(self.folder, self.device))

    @torch.no_grad()
    def judged(self, image: Tensor) -> Tensor:
        """Return the judge's logits (N, T) of images (N, 3, 256, 256)."""
        with mixed_precision(self.device):
            parts = [self.judge.see(F.avg_pool2d(x, x.shape[-1] // CLIP_SIZE))[1] for x in image.split(128)]
        return torch.cat(parts).float()

    def scenes(self, things: int, seed: int) -> tuple[Tensor, Tensor]:
        """Return held-out pictures of n objects each, uncrowded, and the objects (N, n)."""
        dice = Dice(HELD_OUT + seed, self.device)
        wanted = dice.distinct(len(NAMES), self.size, things)
        scene = self.world.sample(dice, self.size, Casting(crowded=0, dressed=0.15), wanted)
        return torch.cat([self.world.draw(scene[i : i + 128]).image for i in range(0, self.size, 128)]), wanted


def first(logits: Tensor, things: Tensor) -> float:
    """Return how often the judge's first choice is the one object."""
    return float((logits.argmax(1) == things[:, 0]).float().mean())


def over(score: float, ceiling: float) -> float:
    """Return a score as a share of what real scenes reach."""
    return score / max(ceiling, 1e-6)


def found(logits: Tensor, things: Tensor) -> tuple[float, float]:
    """Return how often the judge sees each of the objects, and all of them."""
    seen = logits.gather(1, things) > 0
    return float(seen.float().mean()), float(seen.all(1).float().mean())


def measure_ceilings(bench: Bench) -> Figures:
    """Judge real scenes: nothing that is generated can be expected to score higher."""
    single, one = bench.scenes(1, 0)
    pair, two = bench.scenes(2, 1)
    each, both = found(bench.judged(pair), two)
    return {"ceiling, single": first(bench.judged(single), one), "ceiling, each of two": each, "ceiling, both": both}


@torch.no_grad()
def measure_vae(bench: Bench) -> Figures:
    """Compare scenes with their reconstructions, by PSNR and by the judge over its ceiling."""
    vae = frozen(load_vae(bench.folder, bench.device))

    def rebuilt(image: Tensor) -> Tensor:
        with mixed_precision(bench.device):
            latents = [encode(vae, x)[:, :LATENT_CHANNELS].float() for x in image.split(32)]
        return pictures(vae, torch.cat(latents))

    ceilings = measure_ceilings(bench)
    single, one = bench.scenes(1, 0)
    pair, two = bench.scenes(2, 1)
    single_again, pair_again = rebuilt(single), rebuilt(pair)
    error = torch.cat([(a - b).square().mean((1, 2, 3)) / 4 for a, b in ((single, single_again), (pair, pair_again))])
    both = found(bench.judged(pair_again), two)[1]
    return {
        "VAE PSNR, dB": float(-10 * error.log10().mean()),
        "VAE, judge over ceiling, single": over(first(bench.judged(single_again), one), ceilings["ceiling, single"]),
        "VAE, judge over ceiling, both of two": over(both, ceilings["ceiling, both"]),
    }


def measure_prompts(bench: Bench) -> Figures:
    """Draw single objects and pairs by name, and let the judge say what it sees."""
    vae, denoiser = bench.drawers()
    ceilings, empty = measure_ceilings(bench), bench.captioner.encode([""])
    rng = np.random.default_rng(HELD_OUT)
    singles = np.arange(len(NAMES) * 2)[: bench.size] % len(NAMES)
    pairs = np.stack([rng.choice(len(NAMES), 2, replace=False) for _ in range(bench.size // 2)])
    settings = [
        f" {rng.choice([w[0][0] for w in GROUNDS.values()])} {rng.choice([w[0][0] for w in SKIES.values()])}"
        for _ in pairs
    ]
    named = [[with_article(NAMES[i]) for i in pair] for pair in pairs]

    def judged(prompts: list[str], guidance: float, seed: int) -> Tensor:
        ids = bench.captioner.encode(prompts)
        latents = [
            sample(denoiser, part, empty, guidance, bench.steps, seed + i) for i, part in enumerate(ids.split(128))
        ]
        return bench.judged(pictures(vae, torch.cat(latents)))

    figures: Figures = {}
    truth, both = torch.tensor(singles[:, None], device=bench.device), torch.tensor(pairs, device=bench.device)
    for guidance in GUIDANCES:
        score = first(judged([with_article(NAMES[i]) for i in singles], guidance, 1000), truth)
        figures[f"single, guidance {guidance:g}"] = score
        figures[f"single over ceiling, guidance {guidance:g}"] = over(score, ceilings["ceiling, single"])
        each, all_ = found(judged([f"{a} and {b}" for a, b in named], guidance, 2000), both)
        figures |= {f"two, each, guidance {guidance:g}": each, f"two, both, guidance {guidance:g}": all_}
        prompts = [f"{a} and {b}{setting}" for (a, b), setting in zip(named, settings, strict=True)]
        each, all_ = found(judged(prompts, guidance, 3000), both)
        figures |= {
            f"two in a setting, each, guidance {guidance:g}": each,
            f"two in a setting, both, guidance {guidance:g}": all_,
        }
    return figures


def deepest(mask: np.ndarray) -> tuple[int, int]:
    """Return the pixel (x, y) of a mask (H, W) farthest from its edge."""
    distance = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(distance.argmax(), distance.shape)
    return int(column), int(row)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Return the intersection of two masks over their union."""
    return float((a & b).sum() / max((a | b).sum(), 1))


def clicked(predictor: SamPredictor, target: np.ndarray, clicks: int) -> tuple[float, float, float]:
    """Click on a mask (H, W), then where the answer is wrong.

    Returns:
        IoU after one click by the predictor's own choice, of the best of its three masks, and after all clicks.
    """
    points, labels = [deepest(target)], [1]
    masks, scores, low = map(np.asarray, predictor.predict(np.array(points), np.array(labels)))
    ious = [overlap(mask, target) for mask in masks]
    chosen = int(scores.argmax())
    mask, prior = masks[chosen], low[chosen : chosen + 1]
    for _ in range(clicks - 1):
        missed, added = target & ~mask, mask & ~target
        wrong = missed if missed.sum() >= added.sum() else added
        if not wrong.any():
            break
        points, labels = [*points, deepest(wrong)], [*labels, int(missed.sum() >= added.sum())]
        masks, _, low = predictor.predict(np.array(points), np.array(labels), mask_input=prior, multimask_output=False)
        mask, prior = np.asarray(masks[0]), np.asarray(low)
    return ious[chosen], max(ious), overlap(mask, target)


def clicked_in_studio(segmenter: Segmenter, target: np.ndarray) -> float:
    """Return the IoU after one click on a mask (H, W) of the frame that is set, answered as the studio does."""
    return overlap(segmenter.click([deepest(target)], [1]).mask, target)


def _masks(world: World, scenes: int) -> Iterator[tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]]:
    """Yield held-out pictures (H, W, 3) uint8, the masks of their objects, and of what these wear."""
    dice = Dice(HELD_OUT + 5, world.device)
    scene = world.sample(dice, scenes, Casting(counts=(0, 0.3, 0.4, 0.3), heads=0.4, dressed=0.7))
    for i in range(0, scenes, 64):
        picture = world.draw(scene[i : i + 64])
        pixels = ((picture.image + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        for image, owner in zip(pixels, picture.owner.cpu().numpy(), strict=True):
            things = [(owner == 1 + k) | (owner == 1 + SLOTS + k) for k in range(SLOTS)]
            parts = [owner == 1 + SLOTS + k for k in range(SLOTS)]
            yield image, [m for m in things if m.sum() > 300], [m for m in parts if m.sum() > 100]


def measure_sam(bench: Bench) -> Figures:
    """Click on objects and on what they wear, through `segment_anything`'s own predictor and as the studio does."""
    sam = load_sam(bench.folder, bench.device).eval()
    predictor, segmenter = SamPredictor(sam), Segmenter(SegmentModel("the run's", SamNetwork(sam)))
    things, parts, in_studio = [], [], []
    for image, whole, worn in _masks(bench.world, bench.size // 2):
        predictor.set_image(image)
        segmenter.set_frame(image)
        in_studio += [clicked_in_studio(segmenter, mask) for mask in whole]
        things += [clicked(predictor, mask, 3) for mask in whole]
        parts += [clicked(predictor, mask, 3) for mask in worn]
    one, best, three = np.mean(things, 0)
    part_one, part_best, part_three = np.mean(parts, 0) if parts else (np.nan,) * 3
    return {
        "segmenter, things, 1 click": one,
        "segmenter, things, 1 click, best of 3": best,
        "segmenter, things, 3 clicks": three,
        "segmenter, things, 1 click in the studio": float(np.mean(in_studio)),
        "segmenter, parts, 1 click": part_one,
        "segmenter, parts, 1 click, best of 3": part_best,
        "segmenter, parts, 3 clicks": part_three,
    }


def save_samples(bench: Bench, path: Path, prompts: list[str]) -> None:
    """Save a sheet of pictures, eight a row."""
    vae, denoiser = bench.drawers()
    ids, empty = bench.captioner.encode(prompts), bench.captioner.encode([""])
    images = pictures(vae, sample(denoiser, ids, empty, guidance=4.5, steps=bench.steps, seed=5))
    rows = images.view(-1, 8, 3, 256, 256).permute(0, 3, 1, 4, 2).reshape(-1, 2048, 3)
    Image.fromarray(((rows + 1) * 127.5).round().byte().cpu().numpy()).save(path, quality=92)


MEASURES: dict[str, Callable[[Bench], Figures]] = {
    "ceilings": measure_ceilings,
    "vae": measure_vae,
    "sam": measure_sam,
    "prompts": measure_prompts,
}


def main() -> None:
    """Measure what was asked for, print it, and write it to metrics.json."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("output/training"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(MEASURES), default=list(MEASURES))
    parser.add_argument("--size", type=int, default=512, help="pictures a measurement")
    parser.add_argument("--steps", type=int, default=30, help="denoising steps")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bench = Bench(arguments.folder, device, arguments.size, arguments.steps)
    figures: Figures = {}
    out = arguments.out or arguments.folder
    out.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        try:
            figures |= MEASURES[name](bench)
        except Exception as error:  # one figure that fails must not cost the others
            log(f"could not measure {name}: {type(error).__name__}: {error}")
            continue
        (out / f"metrics-{'-'.join(arguments.only)}.json").write_text(json.dumps(figures, indent=1))
        log(f"measured {name}")
    for name, value in figures.items():
        print(f"{name:45s} {value:.3f}")
    if "prompts" in arguments.only:
        save_samples(bench, out / "samples.jpg", [*SHOWN[: 24 if arguments.size > 64 else 8]])


if __name__ == "__main__":
    main()
