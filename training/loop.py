"""The training loop that every stage shares: wall-clock budgets, several GPUs, averages, checkpoints, resume.

Notable: the schedule follows the clock, not the step count, so that a stage ends when it was told to, whatever the
machine; rank 0's clock rules all ranks; a step with a non-finite gradient is skipped on the device, without a sync;
all gradients lie in one tensor, which is what several GPUs add up; modules in half precision are trained on float32
copies of their weights.
"""

import argparse
import contextlib
import math
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from training.weights import load_weights, save_weights

_LOOK_EVERY = 1.0  # seconds between looks at the clock, roughly
_SAVE_EVERY = 90.0  # seconds between checkpoints
_STARTED = time.time()


@dataclass(frozen=True)
class Options:
    """What a stage is told on its command line."""

    until: float  # seconds since the epoch
    folder: Path
    out: Path | None
    resume: bool
    batch: int
    steps: int
    seed: int
    rate: float
    compile: bool
    log_every: float


def parse_options(stage: str, batch: int, argv: list[str] | None = None) -> Options:
    """Read a stage's command line."""
    parser = argparse.ArgumentParser(prog=f"python -m training.{stage}")
    parser.add_argument("--minutes", type=float, default=5.0, help="from the start of the process, all included")
    parser.add_argument("--until", type=float, help="the end instead, in seconds since the epoch")
    parser.add_argument("--folder", type=Path, default=Path("output/training"), help="folder of the checkpoints")
    parser.add_argument("--out", type=Path, help="folder that gets a copy of every checkpoint")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--batch", type=int, default=batch, help="per GPU")
    parser.add_argument("--steps", type=int, default=10**9, help="stop after so many, for rehearsals")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the learning rates, to continue gently")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=torch.cuda.is_available())
    parser.add_argument("--log-every", type=float, default=20.0)
    told = vars(parser.parse_args(argv))
    minutes = told.pop("minutes")
    return Options(**told | {"until": told["until"] or _STARTED + 60 * minutes})


class Ranks:
    """This process among those of the job: one a GPU under torchrun, or alone."""

    def __init__(self) -> None:
        self.rank, self.size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        cuda = torch.cuda.is_available()
        self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
        if cuda:
            torch.cuda.set_device(self.device)
            torch.backends.cuda.matmul.allow_tf32 = True
            torch.backends.cudnn.allow_tf32 = True
            torch.backends.cudnn.benchmark = True
        if self.size > 1:
            dist.init_process_group("nccl" if cuda else "gloo")

    @property
    def leads(self) -> bool:
        """Whether this is the process that logs and saves."""
        return self.rank == 0

    def from_leader(self, values: list[float]) -> list[float]:
        """Return rank 0's values on every rank."""
        if self.size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.broadcast(tensor, 0)
        return tensor.tolist()

    def average(self, gradients: Tensor) -> None:
        """Average a tensor over the ranks, in place."""
        if self.size > 1:
            dist.all_reduce(gradients)
            gradients.div_(self.size)

    def close(self) -> None:
        """Leave the job, all ranks at once: the leader still saves when the others are done."""
        if self.size > 1:
            dist.barrier()
            dist.destroy_process_group()


def working_precision(device: torch.device | str) -> torch.dtype:
    """Return the type of weights that compute without mixed precision: bfloat16 on a GPU, float32 elsewhere."""
    return torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32


def mixed_precision(device: torch.device) -> torch.autocast:
    """Compute in bfloat16 on a GPU and in float32 elsewhere."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


def log(*parts: object) -> None:
    """Print with the seconds since the process started."""
    print(f"[{time.time() - _STARTED:6.1f}]", *parts, flush=True)


def speed_up(module: nn.Module, enabled: bool, prove: Callable[[], Tensor | tuple[Tensor, ...]]) -> None:
    """Compile the module's forward; leave it as it was where compiling fails.

    Args:
        prove: a pass that uses the module just as training will; its gradients are computed as well, and dropped.
    """
    if not enabled:
        return
    start, plain = time.time(), module.forward
    try:
        module.forward = torch.compile(plain, dynamic=False)
        result = prove()
        outputs = result if isinstance(result, tuple) else (result,)
        torch.stack([output.float().square().mean() for output in outputs]).sum().backward()
        torch.cuda.synchronize()
        log(f"compiled {type(module).__name__} in {time.time() - start:.0f} s")
    except Exception as error:
        module.forward = plain
        torch._dynamo.reset()
        log(f"{type(module).__name__} goes uncompiled:", f"{type(error).__name__}: {error}"[:400])


class Recorded:
    """A computation with its gradients, on a GPU recorded once and replayed; elsewhere it is simply called.

    Launching thousands of small kernels takes longer than running them.

    Args:
        compute: forward, backward, and what to log; it must not look at values on the way.
        example: inputs of the shapes that all later ones have.
    """

    def __init__(self, compute: Callable[..., dict[str, Tensor]], *example: Tensor) -> None:
        self.compute, self.graph = compute, None
        if example[0].device.type != "cuda":
            return
        self.inputs = [tensor.clone() for tensor in example]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                compute(*self.inputs)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.notes = compute(*self.inputs)
        self.graph = graph

    def __call__(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Add the gradients of these inputs to the parameters'; return what to log."""
        if self.graph is None:
            return self.compute(*inputs)
        torch._foreach_copy_(self.inputs, list(inputs))
        self.graph.replay()
        return self.notes


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


def cosine(fraction: float, floor: float = 0.02) -> float:
    """Return the learning rate's factor after a fraction of the budget."""
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, fraction))))


class Trainer:
    """Optimiser, schedule, average and checkpoints of one module.

        while trainer.running():
            trainer.step(loss, mse=mse)
        trainer.finish()

    Args:
        stage: names the checkpoints.
        module: what is trained; its averaged state is what is saved.
        rates: learning rate, or rates by the prefix of parameter names ("" for the rest).
        export: turns the averaged state into the weights that are saved.
        reserve: seconds kept for what follows the last step.
    """

    def __init__(
        self,
        stage: str,
        module: nn.Module,
        options: Options,
        ranks: Ranks,
        rates: dict[str, float],
        *,
        decay: float = 0.999,
        weight_decay: float = 0.01,
        warmup: int = 200,
        export: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
        reserve: float = 4.0,
    ) -> None:
        self.stage, self.module, self.options, self.ranks = stage, module, options, ranks
        self.export, self.warmup, self.reserve = export or dict, warmup, reserve
        self.masters = Masters(module)
        self.optimiser = torch.optim.AdamW(
            list(_groups(self.masters.parameters, rates)), betas=(0.9, 0.99), weight_decay=weight_decay, fused=True
        )
        self.average = Average(self.masters.parameters, decay)
        self.steps, self.seconds, self.fraction, self.stopped = 0, 0.0, 0.0, False
        self.steps_before = 0  # the averaged weights', where these were resumed from
        self._begun = self._saved = self._logged = 0.0
        self._first = self._next_look = 0
        self._sums: dict[str, Tensor] = {}
        self._counted = 0
        if options.resume:
            self._resume()
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "stopped", True))

    def running(self) -> bool:
        """Say whether there is time for another step, and keep clock and checkpoints."""
        if not self._begun:
            self._begun = self._saved = self._logged = time.time()
            self._first = self._next_look = self.steps
            log(f"{self.stage}: first step, {self._left():.0f} s to go")
        if self.steps < self._next_look and self.steps < self.options.steps:
            return True
        spent = time.time() - self._begun
        over = self.stopped or self._left() <= 0 or self.steps >= self.options.steps
        rate = (self.steps - self._first) / max(spent, 1e-3)
        gap = max(1.0, min(20.0, rate * _LOOK_EVERY))
        self.fraction, stop, gap = self.ranks.from_leader([spent / max(spent + self._left(), 1e-3), float(over), gap])
        self._next_look = self.steps + int(gap)
        if not stop and time.time() - self._saved > _SAVE_EVERY:
            self._saved = time.time()
            self.save()
        return not stop

    def step(self, loss: Tensor, **notes: Tensor) -> None:
        """Descend one step along the loss's gradient, clipped to norm 1."""
        loss.backward()
        self.descend(loss=loss.detach(), **notes)

    def descend(self, **notes: Tensor) -> None:
        """Take one step along the gradients that are there, clipped to norm 1."""
        gradient = self.masters.collect()
        self.ranks.average(gradient)
        norm = gradient.norm()
        # The fused optimiser divides by grad_scale and leaves the weights alone where found_inf is 1.
        self.optimiser.grad_scale = norm.clamp(min=1.0)  # pyright: ignore[reportAttributeAccessIssue]
        self.optimiser.found_inf = (~norm.isfinite()).float()  # pyright: ignore[reportAttributeAccessIssue]
        factor = self.options.rate * min(1.0, (self.steps + 1) / self.warmup) * cosine(self.fraction)
        for group in self.optimiser.param_groups:
            group["lr"] = group["rate"] * factor
        self.optimiser.step()
        gradient.zero_()
        self.masters.publish()
        self.average.update()
        self.steps += 1
        self._note({"norm": norm} | notes)

    def weights(self) -> dict[str, Tensor]:
        """Return the averaged state, ready to ship."""
        return self.export(self.module.state_dict() | self.average.parameters)

    def save(self) -> None:
        """Write the averaged weights (float16), and a copy where one was asked for."""
        if not self.ranks.leads:
            return
        facts = {
            "steps": str(self.steps_before + self.steps),
            "seconds": f"{self.seconds + time.time() - self._begun:.0f}",
        }
        facts |= {"gpus": str(self.ranks.size), "batch": str(self.options.batch)}
        files = save_weights(self.weights(), self.options.folder, self.stage, facts, half=True)
        if self.options.out:
            self.options.out.mkdir(parents=True, exist_ok=True)
            for file in files:
                shutil.copy(file, self.options.out)

    def finish(self) -> None:
        """Save the weights, and all that a later `--resume` needs."""
        self._report()
        self.save()
        if self.ranks.leads:
            state = self.module.state_dict() | {name: p.detach() for name, p in self.masters.parameters.items()}
            state = {f"model.{name}": tensor for name, tensor in state.items()}
            state |= {f"average.{name}": tensor for name, tensor in self.average.parameters.items()}
            for name, parameter in self.masters.parameters.items():
                moments = self.optimiser.state.get(parameter, {})
                state |= {f"{key}.{name}": value for key, value in moments.items()}
            facts = {"steps": str(self.steps), "before": str(self.steps_before), "count": str(self.average.count)}
            facts["seconds"] = f"{self.seconds + time.time() - self._begun:.0f}"
            save_weights(state, self.options.folder / "state", self.stage, facts)
        log(f"{self.stage}: done after {self.steps} steps")

    def _left(self) -> float:
        return max(0.0, self.options.until - self.reserve - time.time())

    def _resume(self) -> None:
        """Continue from the full state, or from the averaged weights where only those came back."""
        with contextlib.suppress(FileNotFoundError):
            state, facts = load_weights(self.options.folder / "state", self.stage)
            self._load(_under("model.", state))
            for name, tensor in _under("average.", state).items():
                self.average.parameters[name].copy_(tensor)
            for name, parameter in self.masters.parameters.items():
                moments = {
                    key: state[f"{key}.{name}"] for key in ("exp_avg", "exp_avg_sq", "step") if f"{key}.{name}" in state
                }
                if moments:
                    self.optimiser.state[parameter] = {
                        key: value.to(parameter.device) for key, value in moments.items()
                    }
            self.steps, self.average.count = int(facts["steps"]), int(facts["count"])
            self.steps_before = int(facts["before"])
            self.seconds = float(facts["seconds"])
            log(f"{self.stage}: resumed at step {self.steps}")
            return
        with contextlib.suppress(FileNotFoundError):
            state, facts = load_weights(self.options.folder, self.stage)
            self._load(state)
            self.average = Average(self.masters.parameters, self.average.decay)
            self.steps_before, self.seconds = int(facts["steps"]), float(facts["seconds"])
            log(f"{self.stage}: resumed from the averaged weights of step {facts['steps']}")
            return
        log(f"{self.stage}: nothing to resume, starting anew")

    @torch.no_grad()
    def _load(self, state: dict[str, Tensor]) -> None:
        self.module.load_state_dict(state)
        for name, parameter in self.masters.parameters.items():
            parameter.copy_(state[name])
        self.masters.publish()

    def _note(self, notes: dict[str, Tensor]) -> None:
        for name, value in notes.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach().float()
        self._counted += 1
        if time.time() - self._logged > self.options.log_every:
            self._report()

    def _report(self) -> None:
        if not self._counted:
            return
        means = " ".join(f"{name} {float(total) / self._counted:.4f}" for name, total in self._sums.items())
        rate = self._counted / max(time.time() - self._logged, 1e-3)
        if self.ranks.leads:
            pictures = rate * self.options.batch * self.ranks.size
            log(f"{self.stage} {self.steps}: {rate:.2f} steps/s, {pictures:.0f}/s, {means}")
        self._sums, self._counted, self._logged = {}, 0, time.time()


def _groups(parameters: dict[str, Tensor], rates: dict[str, float]) -> Iterable[dict]:
    """Yield optimiser groups: every parameter under the longest prefix that fits its name."""
    by_prefix: dict[str, list[Tensor]] = {prefix: [] for prefix in rates}
    for name, parameter in parameters.items():
        by_prefix[max((p for p in rates if name.startswith(p)), key=len)].append(parameter)
    for prefix, members in by_prefix.items():
        if members:
            yield {"params": members, "lr": rates[prefix], "rate": rates[prefix]}


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
