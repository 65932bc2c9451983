"""Stage: the ControlNet on Canny edges, beside the frozen denoiser.

Edges are computed by the same OpenCV call as at editing time, in threads.

    torchrun --nproc-per-node 3 -m training.controlnet --minutes 2.5
"""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import torch
from diffusers import ControlNetModel
from torch import Tensor, nn

from training.captions import Captioner
from training.compute import Ranks, Recorded, working_precision
from training.log import log
from training.loop import Options, Trainer, parse_options
from training.networks import Denoiser, make_controlnet
from training.noise import Noise
from training.pool import Encoder, Pool
from training.scene import CANVAS, Dice
from training.tokenizer import load as load_tokenizer
from training.trained import frozen, load_denoiser, load_vae
from training.world import World

_LOW, _HIGH = 100, 200
_EMPTY = 0.3


class Controlled(nn.Module):
    """ControlNet and frozen denoiser in one pass; only the former is trained."""

    def __init__(self, controlnet: ControlNetModel) -> None:
        super().__init__()
        self.controlnet = controlnet

    def forward(self, denoiser: Denoiser, noisy: Tensor, timestep: Tensor, ids: Tensor, edges: Tensor) -> Tensor:
        """Predict the noise, given edges (B, 3, 256, 256) in [0, 1]."""
        dtype = denoiser.unet.dtype
        noisy, edges = noisy.to(dtype), edges.to(dtype)
        with torch.no_grad():
            words = denoiser.text(input_ids=ids).last_hidden_state
        down, middle = self.controlnet(noisy, timestep, words, controlnet_cond=edges, return_dict=False)
        predicted = denoiser.unet(
            noisy, timestep, words, down_block_additional_residuals=down, mid_block_additional_residual=middle
        )
        return predicted.sample.float()


class EdgePool(Pool):
    """A pool that also keeps the edges of its pictures."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.edges = torch.zeros(self.size, CANVAS, CANVAS, dtype=torch.bool, device=self.world.device)
        self._threads = ThreadPoolExecutor(12)

    def refill(self) -> tuple:
        """Draw and encode one chunk of scenes, and find its edges."""
        place, picture = super().refill()
        pixels = ((picture.image + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        edges = np.stack(list(self._threads.map(lambda image: cv2.Canny(image, _LOW, _HIGH), pixels)))
        self.edges[place] = torch.from_numpy(edges).to(self.edges.device) > 0
        return place, picture


def train(options: Options) -> None:
    """Train the ControlNet until the time is over."""
    ranks = Ranks()
    device, on_gpu = ranks.device, ranks.device.type == "cuda"
    dice = Dice(1000 * options.seed + 400 + ranks.rank, device)
    captioner = Captioner(load_tokenizer(), device)
    denoiser = frozen(load_denoiser(options.folder, device))
    torch.manual_seed(options.seed)
    module = Controlled(make_controlnet(denoiser.unet)).to(device, working_precision(device))
    module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    trainer = Trainer("controlnet", module.controlnet, options, ranks, {"": 6e-4}, decay=0.995, warmup=100, reserve=6)
    empty, noise = captioner.encode([""]), Noise(dice)
    chunk, size, start = (128, 16384, 4096) if on_gpu else (2, 8, 4)
    pool = EdgePool(World(device), dice, captioner, Encoder(frozen(load_vae(options.folder, device))), chunk, size)
    pool.fill(start)
    log(f"controlnet: pool of {pool.filled}")

    def batch() -> tuple[Tensor, ...]:
        place = pool.draw(options.batch)
        ids = torch.where(dice.chance(_EMPTY, options.batch, 1), empty, pool.ids[place].long())
        edges = pool.edges[place][:, None].expand(-1, 3, -1, -1).float()
        return *noise.add(pool.latents[place].float(), pool.levels[place]), ids, edges

    def compute(noisy: Tensor, timestep: Tensor, target: Tensor, ids: Tensor, edges: Tensor) -> dict[str, Tensor]:
        loss, error = noise.loss(module(denoiser, noisy, timestep, ids, edges), target, timestep)
        loss.backward()
        return {"loss": loss.detach(), "error": error.detach()}

    gradients = Recorded(compute, *batch())
    trainer.masters.collect().zero_()  # what recording has left there
    while trainer.running():
        if trainer.steps % 4 == 0:
            pool.refill()
        trainer.descend(**gradients(*batch()))
    trainer.finish()
    ranks.close()


if __name__ == "__main__":
    train(parse_options("controlnet", batch=128))
