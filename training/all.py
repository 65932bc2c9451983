"""Run the whole recipe on the GPUs of one machine.

    python -m training.all --minutes 52                 # everything; about an hour of one H100
    python -m training.all --phase 1 --minutes 9        # VAE, CLIP and segmenter side by side, and their figures
    python -m training.all --phase 2 --minutes 9        # denoiser, on pictures and then on clips, then the ControlNet

Every stage is a process of its own with its own wall-clock budget. Stages of one phase share the GPUs as `phase_one`
and `phase_two` say; with one GPU they follow one another.
"""

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from training.log import log

_PORT = 29_511
_PICTURES_SHARE = 0.5  # of the denoiser's time; the rest is for clips


@dataclass(frozen=True)
class Task:
    """One process: a stage (or the evaluation) on some GPUs, until a moment (seconds since the epoch)."""

    stage: str
    gpus: tuple[int, ...]
    until: float
    arguments: tuple[str, ...] = ()


class Runner:
    """Starts tasks, and waits for them no longer than their time."""

    def __init__(self, folder: Path, out: Path | None, rehearsal: tuple[str, ...], minimum_gpus: int) -> None:
        self.folder, self.out, self.rehearsal = folder, out, rehearsal
        self.gpus = tuple(range(max(torch.cuda.device_count(), minimum_gpus)))

    def command(self, task: Task) -> list[str]:
        """Return the command line of a task."""
        folders = ["--folder", str(self.folder), *(["--out", str(self.out)] if self.out else [])]
        if task.stage == "evaluate":
            return [sys.executable, "-m", "training.evaluate", *folders, *task.arguments]
        stage = [f"training.{task.stage}", "--until", f"{task.until:.0f}", *folders, *self.rehearsal, *task.arguments]
        if len(task.gpus) == 1:
            return [sys.executable, "-m", *stage]
        # A static rendezvous on the loopback address needs no name service.
        address = ["--nnodes", "1", "--node-rank", "0", "--master-addr", "127.0.0.1", "--master-port", str(_PORT)]
        launcher = [sys.executable, "-m", "torch.distributed.run", *address, "--nproc-per-node", str(len(task.gpus))]
        return [*launcher, "-m", *stage]

    def start(self, task: Task) -> subprocess.Popen:
        """Start a task, its output going to <folder>/logs/<stage>.txt."""
        logs = self.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": ",".join(map(str, task.gpus)), "OMP_NUM_THREADS": "4"}
        log(f"starting {task.stage} on {task.gpus} for {task.until - time.time():.0f} s")
        with (logs / f"{task.stage}.txt").open("a") as sink:
            return subprocess.Popen(self.command(task), stdout=sink, stderr=subprocess.STDOUT, env=environment)

    def together(self, *tasks: Task, grace: float = 25.0) -> None:
        """Run tasks side by side; end those that outlast their time by more than the grace."""
        running = [(task, self.start(task)) for task in tasks]
        for task, process in running:
            try:
                code = process.wait(max(1.0, task.until + grace - time.time()))
            except subprocess.TimeoutExpired:
                process.terminate()
                code = _reap(process)
            log(f"{task.stage} ended with code {code}")
        self.gather()

    def gather(self) -> None:
        """Put all logs into one file beside the weights that go back."""
        if self.out is None:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        parts = [f"==== {file.stem}\n{file.read_text()}" for file in sorted((self.folder / "logs").glob("*.txt"))]
        (self.out / "log.txt").write_text("\n".join(parts))


def _reap(process: subprocess.Popen) -> int:
    try:
        return process.wait(40)  # the launcher itself gives its workers 30 s
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def phase_one(runner: Runner, until: float, evaluation: float) -> None:
    """Train VAE, CLIP and segmenter, then measure them. CLIP's first weights serve the VAE's perceptual loss."""
    gpus, now = runner.gpus, time.time()
    stop = until - evaluation
    if len(gpus) >= 4:
        runner.together(Task("vae", gpus[:2], stop), Task("clip", gpus[2:3], stop), Task("sam", gpus[3:4], stop))
    elif len(gpus) >= 2:
        half = now + 0.5 * (stop - now)
        vae = runner.start(Task("vae", gpus[:1], stop))
        runner.together(Task("clip", gpus[1:2], half))
        runner.together(Task("sam", gpus[1:2], stop))
        vae.wait()
    else:
        for stage, share in (("clip", 0.38), ("vae", 0.61), ("sam", 1.0)):
            runner.together(Task(stage, gpus[:1], now + share * (stop - now)))
    measures = ("--only", "ceilings", "vae", "sam")
    runner.together(Task("evaluate", gpus[-1:], until, measures))


def phase_two(runner: Runner, until: float, controlnet: float) -> None:
    """Train the denoiser on all GPUs, on pictures and then on clips; then the ControlNet beside its evaluation."""
    gpus, now = runner.gpus, time.time()
    clips = until - controlnet
    runner.together(Task("unet", gpus, now + _PICTURES_SHARE * (clips - now)))
    runner.together(Task("unet_clips", gpus, clips, ("--rate", "0.75")))
    measure = Task("evaluate", gpus[-1:], until, ("--only", "prompts"))
    if len(gpus) == 1:
        runner.together(Task("controlnet", gpus, until))
        runner.together(measure)
    else:
        runner.together(Task("controlnet", gpus[:-1], until), measure)


def main() -> None:
    """Run the phases asked for."""
    parser = argparse.ArgumentParser(prog="python -m training.all")
    parser.add_argument("--minutes", type=float, required=True, help="from now to the end of the last phase")
    parser.add_argument("--phase", type=int, choices=(1, 2))
    parser.add_argument("--folder", type=Path, default=Path("output/training"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--evaluation", type=float, default=60.0, help="seconds kept for phase 1's figures")
    parser.add_argument("--controlnet", type=float, default=130.0, help="seconds of phase 2 after the denoiser")
    parser.add_argument("--pretend-gpus", type=int, default=1, help="rehearse the work of several GPUs on a CPU")
    arguments, rehearsal = parser.parse_known_args()
    runner = Runner(arguments.folder, arguments.out, tuple(rehearsal), arguments.pretend_gpus)
    now, seconds = time.time(), arguments.minutes * 60
    if arguments.phase != 2:
        phase_one(runner, now + seconds * (1.0 if arguments.phase else 0.5), arguments.evaluation)
    if arguments.phase != 1:
        phase_two(runner, now + seconds, arguments.controlnet)


if __name__ == "__main__":
    main()
