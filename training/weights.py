"""Weights on disk: safetensors in shards under 15 MB, with a few facts in their header."""

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

SHARD_BYTES = 14_500_000


def save_weights(
    tensors: dict[str, Tensor], folder: Path, name: str, facts: dict[str, str], *, half: bool = False
) -> list[Path]:
    """Write tensors as `<name>-00001-of-00003.safetensors` and so on, each file whole or not at all.

    Args:
        tensors: any; floats become float16 where `half`.
        facts: short texts for the header (steps, seconds).

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ready = {key: _plain(tensor, half) for key, tensor in tensors.items()}
    shards = list(_shards(ready))
    names = [f"{name}-{i:05d}-of-{len(shards):05d}.safetensors" for i in range(1, len(shards) + 1)]
    for file, shard in zip(names, shards, strict=True):
        save_file(shard, folder / f"{file}.part", metadata=facts)
        (folder / f"{file}.part").replace(folder / file)
    for stale in set(folder.glob(f"{name}-*-of-*.safetensors")) - {folder / file for file in names}:
        stale.unlink()
    return [folder / file for file in names]


def shortened(tensor: Tensor, bits: int) -> Tensor:
    """Round to float16 whose mantissas end after `bits` of their 10 bits; five of them err by 0.7 % at most.

    The files stay float16, but pack to two thirds with five bits.
    """
    lost = 10 - bits
    whole = tensor.detach().half().view(torch.int16).int()
    return ((whole + (1 << lost >> 1)) >> lost << lost).to(torch.int16).view(torch.float16)


def load_weights(folder: Path, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `save_weights` wrote: tensors (float16 as float32) and facts."""
    files = sorted(folder.glob(f"{name}-*-of-*.safetensors"))
    if not files or len(files) != int(files[0].stem.rpartition("-")[2]):
        raise FileNotFoundError(f"No complete weights of '{name}' in {folder}. Train that stage first.")
    tensors = {key: tensor for file in files for key, tensor in load_file(file).items()}
    with safe_open(files[0], "pt") as header:
        facts = header.metadata() or {}
    return {key: t.float() if t.dtype == torch.float16 else t for key, t in tensors.items()}, facts


def _plain(tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.detach()
    dtype = torch.float16 if half and tensor.is_floating_point() else tensor.dtype
    return tensor.to("cpu", dtype, copy=True).contiguous()


def _shards(tensors: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    size = 0
    for key, tensor in tensors.items():
        if shard and size + tensor.nbytes > SHARD_BYTES:
            yield shard
            shard, size = {}, 0
        shard[key] = tensor
        size += tensor.nbytes
    yield shard
