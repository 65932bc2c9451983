"""Weights beside those that compute: float32 masters that the optimiser moves, and their moving average that ships."""

import torch
from torch import Tensor, nn


class Masters:
    """What the optimiser sees: float32 weights by name, and their gradients, which all lie in one tensor.

    A parameter of the module in float32 is its own master; one in half precision follows its master.
    """

    def __init__(self, module: nn.Module) -> None:
        named = {name: p for name, p in module.named_parameters() if p.requires_grad}
        half = [name for name, p in named.items() if p.dtype != torch.float32]
        self.parameters: dict[str, Tensor] = dict(named)
        self.parameters |= {name: named[name].detach().float().requires_grad_() for name in half}
        self.gradient = torch.zeros(sum(p.numel() for p in named.values()), device=next(iter(named.values())).device)
        pieces = self.gradient.split([p.numel() for p in self.parameters.values()])
        for piece, master in zip(pieces, self.parameters.values(), strict=True):
            # With the strides of the weights, channels last too: what is added up keeps their layout.
            master.grad = torch.as_strided(piece, master.shape, master.stride())
        self._followers: list[Tensor] = [named[name] for name in half]
        self._followed = [self.parameters[name] for name in half]
        self._found = [torch.zeros_like(follower) for follower in self._followers]
        self._fetched: list[Tensor] = [master.grad for master in self._followed if master.grad is not None]
        for follower, gradient in zip(self._followers, self._found, strict=True):
            follower.grad = gradient

    @torch.no_grad()
    def collect(self) -> Tensor:
        """Return all gradients (n,), those of the half-precision parameters fetched."""
        if self._followers:
            torch._foreach_copy_(self._fetched, self._found)
            torch._foreach_zero_(self._found)
        return self.gradient

    @torch.no_grad()
    def publish(self) -> None:
        """Give the half-precision parameters their masters' values."""
        if self._followers:
            torch._foreach_copy_(self._followers, self._followed)


class Average:
    """An exponential moving average of parameters."""

    def __init__(self, parameters: dict[str, Tensor], decay: float) -> None:
        self.decay, self.count, self.followed = decay, 0, [p.detach() for p in parameters.values()]
        self.parameters = {name: p.detach().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the parameters; faster at the start."""
        self.count += 1
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        torch._foreach_lerp_(list(self.parameters.values()), self.followed, 1 - decay)
