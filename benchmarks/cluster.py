"""One clip of eight windows on two actors of one CPU core each, against one; what becomes of it when one is killed.

    python -m benchmarks.cluster --json output/cluster.json
    python -m benchmarks.cluster --model sd15 --device cuda --frames 128 --steps 50 --only-speed --json output/two.json

An example that comes along is edited in Emoji World, with no inversion known from before, by one actor and by two. Then
it is edited three times more: while the actor that carries the job out is killed, while the one that helps is, and
while the studio's own process is, which is started again. All frames are compared with those of one actor. Two owners
ask for four previews each: they interleave where no owner has to wait until the other's are done. Each actor also
carries an edit of its own out at the same time as the other, which says what speedup the machine leaves.

A Stable Diffusion at its true architecture has random weights, and edits four objects of a clip that is drawn here, in
windows as they are by default. Before anything is measured each actor carries out a short edit: what it loads, compiles
or chooses once is not what a cluster is about.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.cluster_driver import kill_driver
from benchmarks.cluster_studio import Studio, studio, wait_until
from benchmarks.drawn_clip import PHRASES, drawn_project
from benchmarks.table import print_table
from videograin.diffusion.windows.plan import own_length
from videograin.jobs.cluster.stages import Stage
from videograin.jobs.settings import RAY, OperatorSettings
from videograin.jobs.store import Job, JobKind
from videograin.models.bundles import find_bundle
from videograin.project.examples import example_path
from videograin.project.project import Project, load_project
from videograin.region import ControlKind, EditSettings

EMBEDDED, MODELS = "emoji-world", ("sd15",)

WINDOWS = {"window_frames": 4, "anchor_frames": 1, "window_overlap": 1}
"""Of the 16 frames of the example: eight windows of three frames, each beside an anchor."""

PREVIEWS = 4
"""Of each owner: the first two begin at once, on two actors that are free, before the other owner asks."""

WARM_STEPS = 2


@dataclass
class Report:
    """What came of it.

    Attributes:
        seconds: of the edit by the number of actors, from its beginning to its end.
        stages: seconds that the edit's stages took at each of these actors.
        speedup: seconds of the fewest actors over those of the most.
        ceiling: how many times the work of one actor the most of them do, each with an edit of its own: what the
            machine's memory leaves of their number. None where that was left out.
        identical: whether all of them made the same frames.
        largest_difference: of a value of these frames, in levels of 255.
        killed: for the actor that was killed, or the driver of all, whether the edit was done with the same frames.
        killed_seconds: how long it took, from being asked for.
        interleaved: whether each owner's first preview began before the other's last one; None where that was left out.
    """

    seconds: dict[int, float] = field(default_factory=dict)
    stages: dict[int, list[dict[Stage, float]]] = field(default_factory=dict)
    speedup: float = 0.0
    ceiling: float | None = None
    identical: bool = True
    largest_difference: int = 0
    killed: dict[str, bool] = field(default_factory=dict)
    killed_seconds: dict[str, float] = field(default_factory=dict)
    interleaved: bool | None = None


def main() -> None:
    """Measure, print the table and write the report."""
    options = _arguments()
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's own is 15: whatever else runs would be measured as well
    report, most = Report(), max(options.actors)
    expected: np.ndarray | None = None
    with TemporaryDirectory() as folder:
        project = _edit(options, Path(folder))
        for count in sorted(options.actors):
            tell(f"starting {count} actors")
            with _opened(options, count, project) as opened:
                tell("warming up")
                warm_up(opened, project)
                tell("editing")
                before = opened.stages()
                asked = opened.submit(JobKind.EDIT, "plain", project)
                report.seconds[count] = length(asked.end())
                tell(f"edited in {report.seconds[count]:.1f} s")
                report.stages[count] = [
                    {stage: seconds - before[name][stage] for stage, seconds in after.items()}
                    for name, after in opened.stages().items()
                ]
                expected = asked.frames() if expected is None else expected
                difference = np.abs(asked.frames().astype(np.int16) - expected).max()
                report.largest_difference = max(report.largest_difference, int(difference))
                if count == most > 1 and not options.only_speed:
                    for which in ("home", "helper"):
                        kill(opened, which, project, expected, report)
                    report.interleaved = interleave(opened, project)
                    report.ceiling = count * report.seconds[min(options.actors)] / seconds_apart(opened, project)
        if most > 1 and not options.only_speed:
            kill_studio(options, project, expected, report)
    report.identical = report.largest_difference == 0
    report.speedup = report.seconds[min(options.actors)] / report.seconds[most]
    print_report(report)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(asdict(report), indent=2))


def tell(words: str) -> None:
    """Say what is under way since when: a run takes minutes, and may be ended before its tables."""
    print(f"{time.strftime('%X')} {words}", flush=True)


def warm_up(opened: Studio, project: Project) -> None:
    """Have each actor carry out a short edit of two windows as long as those of the edit."""
    settings = replace(project.settings, num_inference_steps=WARM_STEPS)
    longest = own_length(settings.window_frames, settings.anchor_frames)
    options = replace(project.clip_options, max_frames=2 * longest - settings.window_overlap)
    short = replace(project, settings=settings, clip_options=options)
    asked = [opened.submit(JobKind.EDIT, f"warm{number}", short) for number in range(len(opened.places))]
    for each in asked:
        each.end()
    opened.forget_inversions()


def seconds_apart(opened: Studio, project: Project) -> float:
    """Return the seconds in which all actors carry out an edit each, of which none finds the other's inversions."""
    opened.forget_inversions()
    projects = [
        replace(project, source_prompt=project.source_prompt + "." * number) for number in range(len(opened.places))
    ]
    asked = [opened.submit(JobKind.EDIT, f"apart{number}", each) for number, each in enumerate(projects)]
    jobs = [each.end() for each in asked]
    return max(job.ended or 0.0 for job in jobs) - min(job.started or 0.0 for job in jobs)


def kill(opened: Studio, which: str, project: Project, expected: np.ndarray, report: Report) -> None:
    """Make the edit again, and kill an actor as soon as two work on it."""
    opened.forget_inversions()
    asked = opened.submit(JobKind.EDIT, which, project)
    wait_until(lambda: len(asked.helpers) > 1)
    lost = next(place for place in asked.helpers if (place is asked.home) == (which == "home"))
    lost.close()
    ended = asked.end()  # its beginning is that of the last attempt
    report.killed_seconds[which] = (ended.ended or 0.0) - ended.created
    report.killed[which] = np.array_equal(expected, asked.frames())
    wait_until(lambda: all(place.is_there for place in opened.places))


def kill_studio(options: argparse.Namespace, project: Project, expected: np.ndarray | None, report: Report) -> None:
    """Make the edit again, and kill the studio that asks the actors for it."""
    with TemporaryDirectory() as folder, TemporaryDirectory() as data:
        limits = _limits(options, max(options.actors), project, Path(data))
        report.killed_seconds["driver"], frames = kill_driver(limits, project, Path(folder))
        report.killed["driver"] = np.array_equal(expected, frames) if expected is not None else False


def interleave(opened: Studio, project: Project) -> bool:
    """Have two owners ask for previews, one after the other; return whether each began before the other's last one."""
    projects = [replace(project, settings=replace(project.settings, seed=seed)) for seed in range(PREVIEWS)]
    asked = [opened.submit(JobKind.PREVIEW, owner, each) for owner in ("ann", "bob") for each in projects]
    jobs = [each.end() for each in asked]
    (anns, bobs) = ([job.started or 0.0 for job in each] for each in (jobs[:PREVIEWS], jobs[PREVIEWS:]))
    return min(anns) < max(bobs) and min(bobs) < max(anns)


def length(job: Job) -> float:
    """Return the seconds from a job's beginning to its end."""
    assert job.started is not None
    assert job.ended is not None
    return job.ended - job.started


def print_report(report: Report) -> None:
    """Print what came of it."""
    columns = ["actors", "killed", "s", "same frames"]
    rows = [[str(count), "none", f"{seconds:.1f}", str(report.identical)] for count, seconds in report.seconds.items()]
    most = str(max(report.seconds))
    rows += [[most, which, f"{report.killed_seconds[which]:.1f}", str(same)] for which, same in report.killed.items()]
    print_table(f"Windows of one clip on several actors: {report.speedup:.2f} times as fast", columns, rows)
    rows = [
        [str(count), *(f"{seconds:.1f}" for seconds in place.values())]
        for count, places in report.stages.items()
        for place in places
    ]
    print_table("Seconds of each actor by stage", ["actors", *Stage], rows)
    if report.ceiling is not None:
        print(f"\nWith an edit each, {most} actors do {report.ceiling:.2f} times the work of one.")
    if report.interleaved is not None:
        print(f"\nTwo owners' previews interleave: {report.interleaved}.")


@contextmanager
def _opened(options: argparse.Namespace, actors: int, project: Project) -> Iterator[Studio]:
    """Start a studio of some actors with a data folder of its own."""
    with TemporaryDirectory() as folder, studio(_limits(options, actors, project, Path(folder))) as opened:
        yield opened


def _limits(options: argparse.Namespace, actors: int, project: Project, data_folder: Path) -> OperatorSettings:
    return OperatorSettings(
        data_folder=data_folder,
        models=(project.model,),
        ray_device=options.device,
        offline=True,
        executor=RAY,
        ray_actors=actors,
        job_files=options.job_files,
    )


def _edit(options: argparse.Namespace, folder: Path) -> Project:
    """Return what is edited: an example, or a clip that is drawn into a folder."""
    if options.model == EMBEDDED:
        project = load_project(example_path(options.example) / "project.json")
        settings = replace(project.settings, num_inference_steps=options.steps, **WINDOWS)
        clip_options = replace(project.clip_options, max_frames=options.frames, short_side=options.side or 256)
        return replace(project, settings=settings, clip_options=clip_options)
    return drawn_project(
        folder,
        _write_model(folder, options.model, is_tiny=options.tiny),
        frames=options.frames,
        side=options.side or 512,
        regions=options.regions,
        settings=EditSettings(num_inference_steps=options.steps),
    )


def _write_model(root: Path, name: str, *, is_tiny: bool) -> Path:
    """Write a model with random weights and its ControlNet of outlines into a folder, and return the model's own."""
    from benchmarks import hub_models

    bundle = find_bundle(name)
    hub_models.write_stable_diffusion(root, name, is_tiny=is_tiny)
    hub_models.write_control(root, name, ControlKind.CANNY, is_tiny=is_tiny)
    model = root / bundle.source
    (root / bundle.controls[ControlKind.CANNY]).rename(model / "controlnet")
    return model


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster")
    parser.add_argument("--actors", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--model", default=EMBEDDED, choices=(EMBEDDED, *MODELS))
    parser.add_argument("--tiny", action="store_true", help="a thousandth of a Stable Diffusion's weights")
    parser.add_argument("--example", default="friends", help="that Emoji World edits")
    parser.add_argument("--regions", type=int, default=len(PHRASES), help="that a Stable Diffusion edits")
    parser.add_argument("--frames", type=int, default=16, help="as many as an example has at most")
    parser.add_argument("--side", type=int, help="pixels of the frames' shorter side, 256 in Emoji World, else 512")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--only-speed", action="store_true", help="kill nothing, and ask for no previews")
    parser.add_argument("--job-files", default="", help="fsspec URL by which the jobs' files travel")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
