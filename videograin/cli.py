"""The command line: edit a project into an MP4, and say what is here."""

import argparse
import platform
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Self

import diffusers
import torch
import transformers
from PIL import Image
from tqdm import tqdm

from videograin.device import DTYPES, choose_device, choose_dtype
from videograin.errors import ModelError, ProjectError, VideoGrainError
from videograin.files.atomic import write_whole
from videograin.media.encode import save_video
from videograin.media.video import Clip, probe
from videograin.media.visualize import comparison_strip
from videograin.models.bundles import ModelBundle, find_bundle, named_bundles
from videograin.models.loading import is_available_offline, load_pipeline
from videograin.models.memory import GIB, apply_plan, estimate_edit, free_bytes, plan_memory
from videograin.models.presets import Preset, apply_preset
from videograin.progress import Phase, Progress
from videograin.project.project import EditInputs, load_project, load_request
from videograin.project.workspace_files import load_workspace
from videograin.region import MAX_SEED, EditResult

OK, UNEXPECTED, USAGE, INTERRUPTED = 0, 1, 2, 130

_EXAMPLES = """\
examples:
  python -m videograin edit cats.json
  python -m videograin edit cats.json -o cats.mp4 --strip cats.png --seed 7
  python -m videograin edit cats.json --model sd15 --device cuda --dtype bfloat16
  python -m videograin edit my-work/
  python -m videograin info
  python -m videograin info cats-source.mp4
  python -m videograin info sd15

exit codes: 0 done, 1 unexpected failure, 2 something to mend in the input, 130 stopped by Ctrl-C
"""

_LABELS = {
    Phase.DOWNLOAD: "Downloading",
    Phase.SUGGEST: "Looking for things",
    Phase.TRACK: "Following things",
    Phase.ENCODE: "Reading the frames",
    Phase.INVERT: "Inverting",
    Phase.EDIT: "Editing",
    Phase.DECODE: "Drawing the frames",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_args(arguments)
    for library in (diffusers, transformers):  # their bars and remarks would run through ours
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    with _CtrlC() as ctrl_c:
        return _run(options, ctrl_c)


def _run(options: argparse.Namespace, ctrl_c: "_CtrlC") -> int:
    try:
        options.run(options)
    except VideoGrainError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except (KeyboardInterrupt, Exception) as error:
        if ctrl_c.came or isinstance(error, KeyboardInterrupt):
            print("Stopped; nothing is left half-written.", file=sys.stderr)
            return INTERRUPTED
        if options.debug:
            traceback.print_exc()
        hint = _hint(error)
        print(f"unexpected {type(error).__name__}: {error}\n{hint}", file=sys.stderr)
        return UNEXPECTED
    return OK


class _CtrlC:
    """Remembers Ctrl-C: a KeyboardInterrupt that meets native code may come out of it as another exception."""

    def __init__(self) -> None:
        self.came = False
        self._before = signal.getsignal(signal.SIGINT)

    def __enter__(self) -> Self:
        if self._before is signal.default_int_handler:  # a background job ignores Ctrl-C, and so do we then
            signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._before)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        signal.default_int_handler(number, frame)


class _Bars:
    """Progress on the terminal, a bar for each phase; to be used as a context."""

    def __init__(self) -> None:
        self._phase: Phase | None = None
        self._bar: tqdm | None = None

    def __enter__(self) -> "_Bars":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, progress: Progress) -> None:
        """Show where the edit is."""
        if self._bar is None or progress.phase != self._phase:
            self.__exit__()
            self._phase = progress.phase
            self._bar = tqdm(total=progress.total, desc=f"{_LABELS[progress.phase]:18}", unit="step")
        self._bar.update(progress.done - self._bar.n)


def _edit(options: argparse.Namespace) -> None:
    """`videograin edit`."""
    started = time.monotonic()
    project = _read_project(options)
    output = _output(project, options)
    device = choose_device(options.device)
    dtype = choose_dtype(device, DTYPES.get(options.dtype))
    request, clip = load_request(project, device)
    pipeline = load_pipeline(project.model, project.controls, device=device, dtype=dtype, offline=options.offline)
    shape = (len(clip.frames), clip.frames.shape[1], clip.frames.shape[2])
    plan = plan_memory(pipeline, shape, project.settings, device)
    apply_plan(pipeline, plan, device)
    estimate = estimate_edit(pipeline, shape, project.settings, device, plan)
    print(
        f"{shape[0]} frames of {shape[2]}×{shape[1]}, {project.settings.steps_run} steps, {project.model} on {device}: "
        f"about {_duration(estimate.seconds)}, {estimate.peak_gib:.1f} GiB",
        flush=True,  # before the bars also where this is a pipe
    )
    with _Bars() as bars:
        result = pipeline.edit(request, report=bars)
    _save(result, clip, output, options.strip)
    print(f"{output}: {result.target_prompt} ({_duration(time.monotonic() - started)})")


def _read_project(options: argparse.Namespace) -> EditInputs:
    project = _load_folder(options) if options.project.is_dir() else load_project(options.project, options.model)
    if options.preset:
        settings = apply_preset(Preset[options.preset.upper()], find_bundle(project.model).settings)
        project = replace(project, settings=settings)
    given = {"num_inference_steps": options.steps, "seed": options.seed}
    changes = {name: value for name, value in given.items() if value is not None}
    clip_options = project.clip_options
    if options.frames is not None:
        clip_options = replace(clip_options, max_frames=options.frames)
    return replace(project, settings=replace(project.settings, **changes), clip_options=clip_options)


def _load_folder(options: argparse.Namespace) -> EditInputs:
    loaded = load_workspace(options.project, model=options.model)
    for problem in loaded.problems:
        print(f"note: {problem}", file=sys.stderr)
    return loaded.workspace


def _output(project: EditInputs, options: argparse.Namespace) -> Path:
    """Return where the MP4 goes; what would fail there after minutes of work fails now."""
    beside = options.project / "edit.mp4" if options.project.is_dir() else options.project.with_suffix(".mp4")
    output = options.output or project.output or beside
    for path, suffix in ((output, ".mp4"), (options.strip, ".png")):
        if path is not None and path.suffix.lower() != suffix:
            raise ProjectError(f"'{path}' must end in {suffix}.")
        if path is not None and not path.absolute().parent.is_dir():
            raise ProjectError(f"There is no folder '{path.parent}' to write '{path.name}' to. Create it first.")
    return output


def _save(result: EditResult, clip: Clip, output: Path, strip: Path | None) -> None:
    for note in (*clip.notes, *result.warnings):
        print(f"note: {note}", file=sys.stderr)
    if strip is not None:
        picture = BytesIO()
        Image.fromarray(comparison_strip(clip.frames, result.frames)).save(picture, "PNG")
        write_whole(strip, picture.getvalue())
    save_video(output, result.frames, clip.fps, audio=clip.audio)


def _info(options: argparse.Namespace) -> None:
    """`videograin info`."""
    target = options.target
    if target is None:
        _print_machine()
    elif Path(target).is_file() and Path(target).suffix not in (".safetensors", ".ckpt"):
        _print_clip(Path(target))
    elif target in named_bundles() or is_available_offline(find_bundle(target)):
        _print_bundle(find_bundle(target))
    else:
        names = ", ".join(named_bundles())
        raise ModelError(
            f"'{target}' is not on this machine. Give a clip, a model's folder or file, or one of: {names}."
        )


def _print_machine() -> None:
    device = choose_device()
    print(f"Python {platform.python_version()}, torch {torch.__version__}, diffusers {diffusers.__version__}")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    print(f"Device: {device} ({name}), {free_bytes(device) / GIB:.1f} GiB free")
    for bundle in named_bundles().values():
        _print_bundle(bundle)


def _print_bundle(bundle: ModelBundle) -> None:
    here = "on this machine" if is_available_offline(bundle) else "not on this machine"
    print(f"\n{bundle.name}: {bundle.knows}")
    print(f"  {bundle.source} ({here})")
    print(f"  short side {bundle.short_side}, multiples of {bundle.multiple}")
    print(f"  ControlNets: {', '.join(bundle.controls) or 'none'}")


def _print_clip(path: Path) -> None:
    info = probe(path)
    sound = "sound" if info.has_audio else "no sound"
    print(f"{path}: {info.width}×{info.height}, {info.fps:g} fps, {info.duration:.2f} s, {info.codec}, {sound}")


def _hint(error: Exception) -> str:
    if isinstance(error, torch.OutOfMemoryError):
        return "The device ran out of memory: choose fewer frames or a smaller size."
    return "This is a defect. Run the command again with --debug and report what it prints."


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "videograin", description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--debug", action="store_true", help="show the whole trace of an unexpected failure")
    commands = parser.add_subparsers(required=True, metavar="command")

    edit = commands.add_parser("edit", help="edit the clip of a project")
    edit.set_defaults(run=_edit)
    edit.add_argument(
        "project", type=Path, help="JSON file with clip, regions, prompts and settings, or a folder of work"
    )
    edit.add_argument(
        "-o", "--output", type=Path, help="MP4 to write (default: the project's output or name, in a folder edit.mp4)"
    )
    edit.add_argument("--strip", type=Path, help="PNG to write: frames before and after, one above the other")
    edit.add_argument("--model", help=f"{', '.join(named_bundles())}, a folder, a file or a hub id")
    edit.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")
    edit.add_argument("--dtype", choices=DTYPES, help="precision (default: float32 on the CPU, float16 elsewhere)")
    edit.add_argument("--frames", type=int, help="edit only the first frames, so many")
    presets = [preset.name.lower() for preset in Preset]
    edit.add_argument("--preset", choices=presets, help="how daring (default: the settings of the project)")
    edit.add_argument("--steps", type=int, help="denoising steps, 1 to 1000")
    edit.add_argument("--seed", type=int, help=f"of the noise, 0 to {MAX_SEED}")
    edit.add_argument("--offline", action="store_true", help="never ask the hub")

    info = commands.add_parser("info", help="say what a clip or a model is, or what is on this machine")
    info.set_defaults(run=_info)
    info.add_argument("target", nargs="?", help="a clip, or a model's name, folder, file or hub id")
    return parser
