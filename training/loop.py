"""The training loop that every stage shares: wall-clock budgets, several GPUs, averages, checkpoints, resume.

Notable: the schedule follows the clock, not the step count, so that a stage ends when it was told to, whatever the
machine; rank 0's clock rules all ranks; a step with a non-finite gradient is skipped on the device, without a sync;
all gradients lie in one tensor, which is what several GPUs add up; modules in half precision are trained on float32
copies of their weights.
"""

import argparse
import contextlib
import math
import shutil
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from training.compute import Ranks
from training.log import STARTED, log
from training.masters import Average, Masters
from training.weights import load_weights, save_weights, shortened

_LOOK_EVERY = 1.0  # seconds between looks at the clock, roughly
_SAVE_EVERY = 90.0  # seconds between checkpoints


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
    parser.add_argument("--steps", type=int, default=10**9, help="stop after this number, for rehearsals")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the learning rates, to continue gently")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=torch.cuda.is_available())
    parser.add_argument("--log-every", type=float, default=20.0)
    told = vars(parser.parse_args(argv))
    minutes = told.pop("minutes")
    return Options(**told | {"until": told["until"] or STARTED + 60 * minutes})


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
        mantissa: bits that the saved weights keep of theirs, 10 being all of float16's; fewer pack better.
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
        mantissa: int = 10,
        reserve: float = 4.0,
    ) -> None:
        self.stage, self.module, self.options, self.ranks = stage, module, options, ranks
        self.export, self.warmup, self.reserve, self.mantissa = export or dict, warmup, reserve, mantissa
        self.masters = Masters(module)
        self.optimiser = torch.optim.AdamW(
            list(_groups(self.masters.parameters, rates)), betas=(0.9, 0.99), weight_decay=weight_decay, fused=True
        )
        self.average = Average(self.masters.parameters, decay)
        self.steps, self.seconds, self.fraction, self.stopped = 0, 0.0, 0.0, False
        self.steps_before = 0  # the averaged weights', where these were resumed from
        self.kept: dict[str, Tensor] = {}  # what was resumed and is not trained, as it was
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
        learnt = {name: shortened(tensor, self.mantissa) for name, tensor in self.average.parameters.items()}
        return self.export(self.module.state_dict() | self.kept | learnt)

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
            masters = {name: p.detach() for name, p in self.masters.parameters.items()}
            state = self.module.state_dict() | self.kept | masters
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
        log(f"{self.stage}: nothing to resume, starting from scratch")

    @torch.no_grad()
    def _load(self, state: dict[str, Tensor]) -> None:
        self.module.load_state_dict(state)
        self.kept = {name: tensor for name, tensor in state.items() if name not in self.masters.parameters}
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
