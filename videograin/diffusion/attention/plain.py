"""Plain attention by the fastest exact kernel that is installed and takes the tensors."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from threading import Lock

import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from videograin.diffusion.attention.kernels import is_half, is_hopper

SDPA_PRIORITY = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]
"""Fastest first, as measured on Hopper; a backend that cannot run is passed over."""

FLASH_ATTENTION_4 = "flash_attn.cute"
"""Its kernels for Hopper and newer, where the extra `fast` is installed: a fifth quicker than cuDNN's, as exact."""

MIN_FLASH_TOKENS = 4096
"""Fewest queries and keys for which these are called; below, calls take longer than they save."""


_choosing = Lock()
"""Held while PyTorch has our choice: it is the process's, and two devices have a thread each."""


def attention(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Compute plain attention (B, H, Nq, d) over keys and values (B, H, Nk, d) with the fastest exact kernel."""
    flash = _flash_attention_4() if _flash_pays(query, key) else None
    if flash is not None:
        heads_last = (x.transpose(1, 2) for x in (query, key, value))
        return flash(*heads_last, softmax_scale=scale)[0].transpose(1, 2)
    with _choosing, sdpa_kernel(SDPA_PRIORITY, set_priority=True):
        return F.scaled_dot_product_attention(query, key, value, scale=scale)


def _flash_pays(query: Tensor, key: Tensor) -> bool:
    return is_half(query) and is_hopper(query.device) and min(query.shape[2], key.shape[2]) >= MIN_FLASH_TOKENS


@cache
def _flash_attention_4() -> Callable[..., tuple[Tensor, ...]] | None:
    """Import FlashAttention 4 where it is installed; it takes seconds, hence once and only when it is needed."""
    try:
        return import_module(FLASH_ATTENTION_4).flash_attn_func
    except ImportError:
        return None
