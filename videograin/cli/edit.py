"""`videograin edit`: the clip of a project, edited into an MP4."""

import argparse
import sys
import time
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from videograin.cli.download import obtain
from videograin.cli.terminal import ProgressBars, duration, silence_libraries
from videograin.device import DTYPES, choose_device, choose_dtype
from videograin.errors import ProjectError
from videograin.files.atomic import write_whole
from videograin.models.bundles import find_bundle, named_bundles
from videograin.models.presets import Preset, apply_preset
from videograin.project.examples import example_names, example_path
from videograin.region import MAX_SEED, EditResult

if TYPE_CHECKING:
    from videograin.media.encode import OutputFormat
    from videograin.media.video import Clip
    from videograin.project.project import EditInputs


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = commands.add_parser("edit", help="edit the clip of a project")
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
    parser.add_argument("--strip", type=Path, help="PNG to write: frames before and after, one above the other")
    parser.add_argument("--model", help=f"{', '.join(named_bundles())}, a folder, a file or a hub id")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")
    parser.add_argument("--dtype", choices=DTYPES, help="precision (default: float32 on the CPU, float16 elsewhere)")
    parser.add_argument("--frames", type=int, metavar="N", help="edit only the first N frames")
    presets = [preset.name.lower() for preset in Preset]
    parser.add_argument("--preset", choices=presets, help="how daring (default: the settings of the project)")
    parser.add_argument("--steps", type=int, help="denoising steps, 1 to 1000")
    parser.add_argument("--window", type=int, metavar="N", help="most frames that are denoised together")
    parser.add_argument("--anchors", type=int, metavar="N", help="frames that all windows of a longer clip see")
    parser.add_argument("--seed", type=int, help=f"of the noise, 0 to {MAX_SEED}")
    parser.add_argument("--offline", action="store_true", help="never ask the hub")


def run(options: argparse.Namespace) -> None:
    """Edit a project's clip and save the result."""
    from videograin.diffusion.region_masks import RegionMasks
    from videograin.media.encode import save_clip
    from videograin.models.loading import load_pipeline
    from videograin.models.memory import apply_plan, estimate_edit, plan_memory
    from videograin.project.project import load_request

    started = time.monotonic()
    project = _read_project(options)
    output, output_format = _output(project, options)
    device = choose_device(options.device)
    dtype = choose_dtype(device, options.dtype)
    silence_libraries()
    if not options.offline:
        for name in (project.model, *(f"{project.model}+{kind}" for kind in project.controls)):
            obtain(name)
    request, clip = load_request(project, device)
    pipeline = load_pipeline(project.model, project.controls, device=device, dtype=dtype, offline=options.offline)
    shape = (len(clip.frames), clip.frames.shape[1], clip.frames.shape[2])
    plan = plan_memory(pipeline, shape, project.settings, device)
    apply_plan(pipeline, plan, device)
    estimate = estimate_edit(pipeline, shape, project.settings, device, plan)
    print(
        f"{shape[0]} frames of {shape[2]}×{shape[1]}, {project.settings.steps_run} steps, {project.model} on {device}: "
        f"about {duration(estimate.seconds)}, {estimate.peak_gib:.1f} GiB",
        flush=True,  # before the bars also where this is a pipe
    )
    with ProgressBars() as bars:
        result = pipeline.edit(request, report=bars)
    for note in (*clip.notes, *result.warnings):
        print(f"note: {note}", file=sys.stderr)
    _save_strip(options.strip, clip, result)
    opacity = RegionMasks.of(request, range(len(clip.frames))).edited_part.numpy() if output_format.is_cutout else None
    save_clip(output, result.frames, clip.fps, output_format, opacity=opacity, audio=clip.audio)
    print(f"{output}: {result.target_prompt} ({duration(time.monotonic() - started)})")


def _read_project(options: argparse.Namespace) -> "EditInputs":
    from videograin.project.project import load_project

    file = example_path(options.project.name) / "project.json" if _is_example(options.project) else options.project
    project = _load_folder(options) if file.is_dir() else load_project(file, options.model)
    if options.preset:
        settings = apply_preset(Preset[options.preset.upper()], find_bundle(project.model).settings)
        project = replace(project, settings=settings)
    given = {
        "num_inference_steps": options.steps, "seed": options.seed, "window_frames": options.window,
        "anchor_frames": options.anchors,
    }  # fmt: skip
    changes = {name: value for name, value in given.items() if value is not None}
    clip_options = project.clip_options
    if options.frames is not None:
        clip_options = replace(clip_options, max_frames=options.frames)
    return replace(project, settings=replace(project.settings, **changes), clip_options=clip_options)


def _is_example(project: Path) -> bool:
    """Tell whether a path is no path but an example's name; what lies in the current folder comes first."""
    return str(project) in example_names() and not project.exists()


def _load_folder(options: argparse.Namespace) -> "EditInputs":
    from videograin.project.workspace_files import load_workspace

    loaded = load_workspace(options.project, model=options.model)
    for problem in loaded.problems:
        print(f"note: {problem}", file=sys.stderr)
    return loaded.workspace


def _output(project: "EditInputs", options: argparse.Namespace) -> "tuple[Path, OutputFormat]":
    """Return what is written where; a path that cannot be written fails now, not after minutes of work."""
    from videograin.media.encode import OutputFormat, check_target

    beside = options.project / "edit.mp4" if options.project.is_dir() else options.project.with_suffix(".mp4")
    output = options.output or project.output or beside
    output_format = OutputFormat.GREEN_SCREEN if options.green_screen else OutputFormat.of(output)
    check_target(output, output_format)
    if (strip := options.strip) and strip.suffix.lower() != ".png":
        raise ProjectError(f"'{strip}' must end in .png.")
    if strip and not strip.absolute().parent.is_dir():
        raise ProjectError(f"There is no folder '{strip.parent}' to write '{strip.name}' to. Create it first.")
    return output, output_format


def _save_strip(path: Path | None, clip: "Clip", result: EditResult) -> None:
    from PIL import Image

    from videograin.media.visualize import comparison_strip

    if path is not None:
        picture = BytesIO()
        Image.fromarray(comparison_strip(clip.frames, result.frames)).save(picture, "PNG")
        write_whole(path, picture.getvalue())
