"""`videograin edit`: the clip of a project, edited into an MP4."""

import argparse
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from videograin.cli.download import obtain
from videograin.cli.projects import check_place, length_notes, read_project, with_first_frames
from videograin.cli.score import check_scorable, obtain_scorer, print_report
from videograin.cli.terminal import ProgressBars, duration, print_notes, silence_libraries
from videograin.device import DTYPES, choose_device, choose_dtype, choose_second_device
from videograin.errors import ProjectError
from videograin.files.atomic import write_whole
from videograin.models.adapters import parse_adapter
from videograin.models.bundles import ModelBundle, Prediction, check_obtainable, find_bundle, named_bundles
from videograin.models.presets import Preset, Quality, apply_preset, apply_quality
from videograin.project.examples import example_names
from videograin.region import MAX_SEED, ControlGuidance, ControlKind

if TYPE_CHECKING:
    import torch

    from videograin.diffusion.pipeline import VideoGrainPipeline
    from videograin.media.encode import OutputFormat
    from videograin.production.produce import FinishedFrames
    from videograin.production.segments import Segments
    from videograin.production.source_edit import SourceEdit
    from videograin.project.project import EditInputs


MORE = '"max_frames" of "clip_options" in the project says how many'
"""What to do where a clip is longer than what is read of it."""

PROJECT = """\
a project (paths are relative to its file; docs/masks.md lists what masks may be):
  {
    "version": 1,
    "clip": "dog.mp4",
    "source_prompt": "a dog on grass",
    "background": "on grass",
    "regions": [
      {"masks": {"path": "dog-masks/object"}, "prompt": "a fox", "name": "dog"}
    ]
  }
"prompt": "nothing" removes an object: what is behind it is taken from frames that show it
also: "model", "quality", "target_prompt", "negative_prompt", "controls", "control_guidance", "adapters", "settings",
"clip_options", "output"
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "edit", help="edit the clip of a project", epilog=PROJECT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "project",
        type=Path,
        help="JSON file with clip, regions, prompts and settings, a folder of work, or an example: "
        + ", ".join(example_names()),
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        help="file to write; its ending chooses the format: .mp4, .webm or .mov (the edited objects, transparent "
        "around them), .zip (PNG pictures), .gif (default: the project's output or name as MP4, in a folder edit.mp4)",
    )
    parser.add_argument("--green-screen", action="store_true", help="write an MP4 of the edited objects on green")
    add_execution_options(parser)
    parser.add_argument("--frames", type=int, metavar="N", help="edit only the first N frames")
    parser.add_argument(
        "--frame", type=int, metavar="N", help="edit only this frame, from 0 (the page: from 1), into NAME-frame-N.mp4"
    )
    presets = [preset.name.lower() for preset in Preset]
    parser.add_argument("--preset", choices=presets, help="how daring (default: the settings of the project)")
    qualities = [quality.value for quality in Quality]
    parser.add_argument("--quality", choices=qualities, help="how much is left out to be quicker (default: nothing)")
    parser.add_argument("--steps", type=int, help="denoising steps, 1 to 1000")
    parser.add_argument(
        "--control", action="append", metavar="KIND[:SCALE[:START:END]]",
        help=f"ControlNet that holds the edit to the source ({', '.join(ControlKind)}), how far, and in which part of "
        "the steps, as shares; may be given again (default: those of the project)",
    )  # fmt: skip
    parser.add_argument("--window", type=int, metavar="N", help="most frames that see one another, anchors included")
    parser.add_argument("--anchors", type=int, metavar="N", help="frames that windows of a longer clip see besides")
    parser.add_argument(
        "--focus", action=argparse.BooleanOptionalAction,
        help="draw a crop around the objects and keep the source's size, or draw the whole frame at the clip's size",
    )  # fmt: skip
    parser.add_argument(
        "--variation", type=float, metavar="SHARE", help="how far another seed changes the objects, 0 to 1"
    )
    parser.add_argument("--seed", type=int, help=f"of the noise, 0 to {MAX_SEED}")
    parser.add_argument(
        "--lora", action="append", metavar="SOURCE[:WEIGHT]", default=[],
        help="a LoRA or textual inversion beside the project's, a .safetensors file (an inversion also as .pt or .bin) "
        "or a hub id; may be repeated",
    )  # fmt: skip


def add_execution_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `carry_out` reads, and the model."""
    parser.add_argument("--strip", type=Path, help="PNG to write: frames before and after, one above the other")
    parser.add_argument("--score", action="store_true", help="score the result, as 'score' does with its own options")
    parser.add_argument("--second-device", metavar="NAME", help="another GPU for half of the guidance, such as cuda:1")
    add_model_options(parser)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the model, and the options that `drawing` reads."""
    parser.add_argument("--model", help=f"{', '.join(named_bundles())}, a folder, a file or a hub id")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")
    parser.add_argument("--dtype", choices=DTYPES, help="precision (default: float32 on the CPU, float16 elsewhere)")
    parser.add_argument(
        "--prediction", choices=[each.value for each in Prediction],
        help="what the model predicts, where its file neither says nor shows it rightly (2-base: epsilon, 2.1: v)",
    )  # fmt: skip
    parser.add_argument("--offline", action="store_true", help="never ask the hub")


def run(options: argparse.Namespace) -> None:
    """Edit a project's clip and save the result."""
    project = _read_project(options)
    beside = options.project / "edit.mp4" if options.project.is_dir() else options.project.with_suffix(".mp4")
    usual = project.output or beside
    if options.frame is not None:  # a look at one frame does not replace the whole edit
        usual = usual.with_stem(f"{usual.stem}-frame-{options.frame}")
    output = options.output or usual
    output_format = check_output(project.clip, output, options.strip, options.green_screen)
    carry_out(project, output, output_format, options)


def carry_out(project: "EditInputs", output: Path, output_format: "OutputFormat", options: argparse.Namespace) -> None:
    """Edit a clip and save the result.

    Args:
        project: the edit.
        output: file to write.
        output_format: in which format.
        options: those of `add_execution_options`.
    """
    from videograin.media.video import ClipOptions
    from videograin.production.quality import judged_beside
    from videograin.production.segments import Segments
    from videograin.production.source_edit import SourceEdit

    started = time.monotonic()
    device = choose_device(options.device)
    second = options.second_device and choose_second_device(options.second_device, device)
    silence_libraries()
    obtain_needed(project, options.offline)
    if options.score:
        _prepare_score(project, output_format, options.offline)
    with TemporaryDirectory(prefix="videograin-") as scratch:
        with ProgressBars() as bars:
            source = SourceEdit.prepare(project, Path(scratch), device, bars)
        if options.score:
            check_scorable(len(source.clip.frames))
        print_notes([*source.notes, *length_notes(source.clip, project.clip_options, ClipOptions.max_frames, MORE)])
        folder = Path(scratch, "segments")
        folder.mkdir()
        with (
            judged_beside(source, Path(scratch)) as crf,
            drawing(source, options, device, second) as (source, pipeline),
        ):
            segments = Segments(folder, source.clip.fps, crf)
            run_of_frames = _Frames(pipeline, source, segments, output_format)
            _write(run_of_frames, output, output_format)
        print_notes(segments.warnings)
        if options.strip is not None:
            run_of_frames.write_strip(options.strip)
        print(f"{output}: {segments.target_prompt} ({duration(time.monotonic() - started)})")
    if options.score:
        _score(project, output, device, options.offline)


def _prepare_score(project: "EditInputs", output_format: "OutputFormat", offline: bool) -> None:
    """Refuse what cannot be scored, and download what scores, before the edit."""
    from videograin.media.encode import OutputFormat

    if output_format is not OutputFormat.MP4:
        raise ProjectError(f"A result can be scored as an MP4, not as {output_format.description}. Leave out --score.")
    check_scorable(project.clip_options.max_frames)
    obtain_scorer(project.model, None, offline)


def _score(project: "EditInputs", output: Path, device: "torch.device", offline: bool) -> None:
    from videograin.evaluation.scorers import load_scorer
    from videograin.production.scoring import score_result

    scorer = load_scorer(project.model, device=device, offline=offline)
    print_report(score_result(project, output, scorer).report)


def obtain_needed(project: "EditInputs", offline: bool) -> None:
    """Download what an edit needs where the user agrees; what cannot be had or carried out is refused before."""
    from videograin.models.adapting import locate
    from videograin.project.needs import missing_entries

    check_obtainable(find_bundle(project.model), offline=False)
    for adapter in project.adapters:
        if adapter.file is not None:
            locate(adapter)
    missing = missing_entries(project)
    if not offline:
        for entry in missing:
            obtain(entry.name)


@contextmanager
def drawing(
    source: "SourceEdit", options: argparse.Namespace, device: "torch.device", second: "torch.device | None" = None
) -> "Iterator[tuple[SourceEdit, VideoGrainPipeline | None]]":
    """Load the model, say what the edit takes, and have LoRAs beside it; where nothing is drawn, none of that.

    A second device computes half of guidance.
    """
    from videograin.models.adapting import adapted, sampler_notes, with_triggers
    from videograin.models.loading import load_pipeline
    from videograin.models.memory import apply_plan, estimate_edit, plan_memory
    from videograin.models.references import drawn_after
    from videograin.models.speed.device_rates import device_rates

    request, project = source.request, source.inputs
    if request is None:
        yield source, None
        return
    bundle = find_bundle(project.model)
    print_notes([*sampler_notes(project.adapters, project.settings), *world_notes(bundle, source.clip.frames)])
    if options.prediction:
        bundle = replace(bundle, prediction=Prediction(options.prediction))
    dtype = choose_dtype(device, options.dtype)
    pipeline = load_pipeline(
        bundle, project.controls, device=device, second_device=second, dtype=dtype, offline=options.offline
    )
    frames, height, width = request.frames.shape[:3]
    plan = plan_memory(pipeline, (frames, height, width), project.settings, device)
    apply_plan(pipeline, plan, device)
    settings = plan.fitted(project.settings)
    if settings != project.settings:
        print_notes([f"memory is short, {settings.window_frames} frames at most see one another"])
    request = replace(request, settings=settings)
    rates = device_rates(pipeline.unet, device) if plan.offload == "none" else None
    estimate = estimate_edit(pipeline, (frames, height, width), settings, device, plan, rates=rates)
    count = f"{frames} frame{'s' * (frames != 1)}"
    places = f"{device} and {second}" if pipeline.splits_guidance else f"{device}"
    print(
        f"{count} of {width}×{height}, {project.settings.steps_run} steps, {project.model} on {places}: "
        f"about {duration(estimate.seconds)}, {estimate.peak_gib:.1f} GiB",
        flush=True,  # before the bars also where this is a pipe
    )
    with (
        adapted(pipeline, project.adapters, offline=options.offline),
        drawn_after(pipeline, request.regions, offline=options.offline),
    ):
        yield replace(source, request=with_triggers(request, project.adapters)), pipeline


def world_notes(bundle: ModelBundle, frames: np.ndarray) -> list[str]:
    """Return what to tell of a filmed clip (F, H, W, 3) uint8 where the model knows a small drawn world alone."""
    from videograin.media.appearance import looks_like_photograph

    if bundle.knows_photographs or not looks_like_photograph(frames):
        return []
    return [f"this clip looks filmed, but {bundle.title} only knows drawings; --model sd15, say, knows photographs"]


def _write(frames: "_Frames", output: Path, output_format: "OutputFormat") -> None:
    """Write the edited clip; an MP4 that Ctrl-C cuts off as far as it is finished."""
    from videograin.media.encode import OutputFormat, save_clip

    source, segments = frames.source, frames.segments
    if output_format is not OutputFormat.MP4:
        opacity = frames.opacity() if output_format.is_cutout else None
        save_clip(output, iter(frames), source.clip.fps, output_format, opacity=opacity, audio=source.clip.audio)
        return
    try:
        for _ in frames:
            pass
    except KeyboardInterrupt:
        if segments.count:
            segments.join(output, source.clip.audio)
            print(f"{output}: the first {segments.frames} of {len(source.clip.frames)} frames", file=sys.stderr)
        raise
    segments.join(output, source.clip.audio)


def _read_project(options: argparse.Namespace) -> "EditInputs":
    from videograin.project.single_frame import single_frame

    project = read_project(options.project, options.model)
    if options.preset:
        settings = apply_preset(Preset[options.preset.upper()], find_bundle(project.model).settings)
        project = replace(project, settings=settings)
    if options.quality:
        own = find_bundle(project.model).settings
        project = replace(project, settings=apply_quality(Quality(options.quality), project.settings, own))
    given = {
        "num_inference_steps": options.steps, "seed": options.seed, "window_frames": options.window,
        "anchor_frames": options.anchors, "variation": options.variation, "focus": options.focus,
    }  # fmt: skip
    changes = {name: value for name, value in given.items() if value is not None}
    adapters = (*project.adapters, *map(parse_adapter, options.lora))
    if options.control:
        guidance = tuple(ControlGuidance.parse(text) for text in options.control)
        project = replace(project, controls=tuple(each.kind for each in guidance), control_guidance=guidance)
    settings = replace(project.settings, **changes)
    project = with_first_frames(replace(project, settings=settings, adapters=adapters), options.frames)
    return project if options.frame is None else single_frame(project, options.frame)


def check_output(clip: Path, output: Path, strip: Path | None, is_green: bool = False) -> "OutputFormat":
    """Return the format to write; a path that cannot be written fails now, not after minutes of work.

    So does one where the clip lies: the name that a project gives its result may be that of its video.
    """
    from videograin.media.encode import OutputFormat, check_target

    output_format = OutputFormat.GREEN_SCREEN if is_green else OutputFormat.of(output)
    check_target(output, output_format)
    check_place(output)
    if output.exists() and clip.exists() and output.samefile(clip):
        raise ProjectError(f"'{output}' is the clip that is edited. Name the result otherwise with -o.")
    if strip:
        check_place(strip, ".png")
    return output_format


class _Frames:
    """The frames of a result as they are finished, with their opacity, and those among them that a strip shows.

    Args:
        pipeline: edits; None where nothing is drawn.
        source: the edit of a source at its own size.
        segments: take the finished windows.
        output_format: whether opacity is wanted follows from it.
    """

    def __init__(
        self,
        pipeline: "VideoGrainPipeline | None",
        source: "SourceEdit",
        segments: "Segments",
        output_format: "OutputFormat",
    ) -> None:
        from videograin.media.visualize import strip_frames

        self.source, self.segments = source, segments
        self._pipeline = pipeline
        self._is_cutout = output_format.is_cutout
        self._opacities: deque[np.ndarray] = deque()
        self._columns = set(strip_frames(len(source.clip.frames)))
        self._shown: list[tuple[np.ndarray, np.ndarray]] = []

    def __iter__(self) -> Iterator[np.ndarray]:
        """Edit, and yield the result's frames (H, W, 3) uint8."""
        from videograin.production.produce import produce

        with ProgressBars() as bars, closing(produce(self._pipeline, self.source, self.segments, bars)) as windows:
            for finished in windows:
                self._keep_columns(finished)
                if self._is_cutout:
                    self._opacities.extend(self.source.opacities(finished.first, len(finished.frames)))
                yield from finished.frames

    def opacity(self) -> Iterator[np.ndarray]:
        """Yield the opacity of each frame that was yielded, to be asked for after it."""
        while self._opacities:
            yield self._opacities.popleft()

    def write_strip(self, path: Path) -> None:
        """Write source and result, one above the other, as a PNG."""
        from PIL import Image

        from videograin.media.visualize import comparison_strip

        sources, frames = (np.stack(side) for side in zip(*self._shown, strict=True))
        picture = BytesIO()
        Image.fromarray(comparison_strip(sources, frames)).save(picture, "PNG")
        write_whole(path, picture.getvalue())

    def _keep_columns(self, finished: "FinishedFrames") -> None:
        pairs = zip(finished.sources, finished.frames, strict=True)
        self._shown += [pair for number, pair in enumerate(pairs, finished.first) if number in self._columns]
