"""Where a step's time goes, and what each way of computing the same in less time gives, at SD 1.5's architecture.

Weights are random, so only time, memory and errors mean anything. Run on a CUDA device; it takes two minutes:

    python -m benchmarks.step
    python -m benchmarks.step --profile 30    # the longest kernels by name as well
"""

import argparse
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any, cast

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.models.activations import GEGLU
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.edit import GIB, PhaseClock, request
from benchmarks.sd15 import plain_sd15
from benchmarks.table import print_table
from videograin.diffusion.fused.blocks import FUSED, fuse
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.progress import Phase, Progress
from videograin.region import Convention

STEPS, TIMESTEP = 4, 501

KINDS = {
    "ST-Layout attention": r"_one_pass_kernel|_row_range_kernel|index_kernel|gather",
    "trajectory attention": r"_trajectory_kernel",
    "plain attention": r"fmha|flash|attention|sdpa",
    "change of layout": r"nchwToNhwc|nhwcToNchw|convertTensor|transpose",
    "group norm": r"RowwiseMoments|GroupNorm|group_norm|ComputeFusedParams|_moments|_factors|_normalise",
    "layer norm": r"layer_norm|LayerNorm",
    "convolution": r"conv|fprop|implicit",
    "matrix product": r"gemm|nvjet|cublas|cutlass",
    "copies": r"copy|Memcpy|CatArray|Memset",
    "elementwise": r"elementwise|_add_kernel|_gated_gelu|reduce",
}
"""Kinds of kernels by what their names contain; the first that fits."""


def main() -> None:
    """Print the tables."""
    args = _arguments()
    pipeline = plain_sd15(torch.device("cuda"), torch.float16)
    given, exact = noise_inputs(), exact_noise(pipeline)
    device = (
        f"{torch.cuda.get_device_name()}, fp16, {args.frames} frames of 512×512, 4 regions, ControlNet, trajectories"
    )
    rows, profiles = [], {}
    for name, change in ways():
        change(pipeline)
        seconds, profiles[name] = step_seconds(pipeline, args.frames), kernel_times(pipeline, args.frames)
        kernels = f"{sum(profiles[name].values()):.1f}"
        rows.append([name, kernels, *seconds, error(noise(pipeline, *given), exact)])
        print(*rows[-1], flush=True)
    steps = ["inversion, s", "both halves, s", "modulated, s"]
    columns = ["way", "kernels of the first two, ms", *steps, "decode, s", "peak GiB", "error to fp32"]
    print_table(f"{device}: seconds of one step; each way on top of those above it", columns, rows)
    first, last = next(iter(profiles)), min(profiles, key=lambda name: sum(profiles[name].values()))
    print_profile(device, {name: profiles[name] for name in (first, last)})
    for name, longest in profiles.items() if args.profile else ():
        kernels = sorted(longest.items(), key=lambda each: -each[1])[: args.profile]
        print_table(name, ["kernel", "ms"], [[kernel[:90], f"{time:.1f}"] for kernel, time in kernels])


def ways() -> Iterator[tuple[str, Callable[[VideoGrainPipeline], None]]]:
    """Yield what is measured, and what changes a pipeline from the way before to this one."""
    transformers = {each: FUSED[each] for each in (Transformer2DModel, GEGLU)}
    residual = {each: FUSED[each] for each in FUSED if each not in transformers}
    yield "diffusers' blocks", lambda _pipeline: None
    yield "channels last", partial(_fuse_all, fused={})
    yield "fused norms and residual blocks", partial(_fuse_all, fused=residual)
    yield "fused transformers", partial(_fuse_all, fused={Transformer2DModel: FUSED[Transformer2DModel]})
    yield "fused gates", partial(_fuse_all, fused={GEGLU: FUSED[GEGLU]})


def step_seconds(pipeline: VideoGrainPipeline, frames: int) -> list[str]:
    """Return seconds of a step of inversion, of both halves, plain and modulated, of decoding, and the peak memory."""
    clocks = {}
    pipeline.edit(request(frames, 2, Convention.PAPER, 1.0))  # kernels are chosen and compiled
    torch.cuda.reset_peak_memory_stats()
    for fraction in (0.0, 1.0):
        clocks[fraction] = PhaseClock()
        pipeline.edit(request(frames, STEPS, Convention.PAPER, fraction), report=clocks[fraction])
    plain, modulated = (clock.seconds for clock in clocks.values())
    seconds = [plain[Phase.INVERT] / STEPS, plain[Phase.EDIT] / STEPS, modulated[Phase.EDIT] / STEPS]
    return [f"{x:.4f}" for x in [*seconds, plain[Phase.DECODE]]] + [f"{torch.cuda.max_memory_allocated() / GIB:.2f}"]


def kernel_times(pipeline: VideoGrainPipeline, frames: int) -> dict[str, float]:
    """Return the milliseconds of each kernel by its name, of a step of inversion and one of both halves, plain."""
    profiler = profile(activities=[ProfilerActivity.CUDA])

    def report(progress: Progress) -> None:
        torch.cuda.synchronize()
        if (progress.phase, progress.done) == (Phase.INVERT, 0):
            profiler.start()
        if (progress.phase, progress.done) == (Phase.EDIT, 1):
            profiler.stop()

    pipeline.edit(request(frames, 1, Convention.PAPER, 0.0), report=report, output_type="latent")
    times: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        if event.device_type == DeviceType.CUDA:
            times[event.key] += event.self_device_time_total / 1000
    return times


def print_profile(device: str, profiles: dict[str, dict[str, float]]) -> None:
    """Print milliseconds by kind of kernel, and their shares."""
    sums = {name: by_kind(times) for name, times in profiles.items()}
    totals = {name: sum(kinds.values()) for name, kinds in sums.items()}
    rows = [
        [kind, *(f"{sums[name][kind]:.1f} ({sums[name][kind] / totals[name]:.0%})" for name in sums)]
        for kind in [*KINDS, "rest"]
    ]
    rows.append(["all", *(f"{total:.1f}" for total in totals.values())])
    columns = ["kernels", *(f"{name}, ms" for name in sums)]
    print_table(f"{device}: a step of inversion and a plain one of both halves", columns, rows)


def by_kind(times: dict[str, float]) -> dict[str, float]:
    """Add up the times of kernels by the kinds that their names tell."""
    sums: dict[str, float] = defaultdict(float)
    for kernel, time in times.items():
        kinds = (kind for kind, pattern in KINDS.items() if re.search(pattern, kernel, re.IGNORECASE))
        sums[next(kinds, "rest")] += time
    return sums


def noise_inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Return noisy latents of two frames, text embeddings and control images."""
    generator = torch.Generator().manual_seed(0)
    latents, embeds = torch.randn(2, 4, 64, 64, generator=generator), torch.randn(2, 77, 768, generator=generator)
    return latents.cuda(), embeds.cuda(), torch.rand(2, 3, 512, 512, generator=generator).cuda()


def exact_noise(pipeline: VideoGrainPipeline) -> Tensor:
    """Return the noise prediction of the same weights in fp32, without TF32."""
    unet, controlnet = deepcopy(pipeline.unet).float(), deepcopy(cast(ControlNetModel, pipeline.controlnet)).float()
    tf32, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    try:
        return predict(unet, controlnet, *noise_inputs())
    finally:
        torch.backends.cudnn.allow_tf32 = tf32


def noise(pipeline: VideoGrainPipeline, latents: Tensor, embeds: Tensor, images: Tensor) -> Tensor:
    """Return the noise prediction of a pipeline's UNet and ControlNet for two frames."""
    controlnet = cast(ControlNetModel, pipeline.controlnet)
    return predict(pipeline.unet, controlnet, latents.half(), embeds.half(), images.half())


@torch.no_grad()
def predict(
    unet: UNet2DConditionModel, controlnet: ControlNetModel, latents: Tensor, embeds: Tensor, images: Tensor
) -> Tensor:
    """Return the noise prediction of two networks, whose attention is plain."""
    down, mid = controlnet(latents, TIMESTEP, embeds, images, return_dict=False)
    residuals: dict[str, Any] = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
    return unet(latents, TIMESTEP, embeds, return_dict=False, **residuals)[0]


def error(noise_pred: Tensor, exact: Tensor) -> str:
    """Return how far a prediction is from the exact one, as a share of it."""
    return f"{((noise_pred.double() - exact).norm() / exact.double().norm()).item():.2e}"


def _fuse_all(pipeline: VideoGrainPipeline, fused: dict[type[nn.Module], type[nn.Module]]) -> None:
    for network in (pipeline.unet, pipeline.controlnet, pipeline.vae):
        fuse(network, fused)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--profile", type=int, default=0, metavar="KERNELS", help="print the longest kernels by name")
    return parser.parse_args()


if __name__ == "__main__":
    main()
