"""`videograin compare`: one edit by several methods, side by side, with scores and what each took."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from videograin.cli.edit import add_model_options, drawing, obtain_needed
from videograin.cli.projects import check_place, read_project, with_first_frames
from videograin.cli.score import add_measuring_options, check_scorable, obtain_scorer, shown
from videograin.cli.terminal import ProgressBars, print_notes, silence_libraries
from videograin.device import choose_device
from videograin.errors import ProjectError, SettingsError
from videograin.files.atomic import write_whole
from videograin.models.bundles import find_bundle
from videograin.region import MAX_SEED, ControlKind, EditRequest

if TYPE_CHECKING:
    import torch

    from videograin.comparison.compare import Compared
    from videograin.comparison.method import Method
    from videograin.production.source_edit import SourceEdit
    from videograin.project.project import EditInputs

FRAMES = 16
"""Unless --frames says otherwise: all frames see one another, which costs the square of their number."""

COLUMNS = ("CLIP-F", "CLIP-T", "Warp-Err", "Q-edit", "regional", "leakage", "outside dB", "s", "GPU GiB", "host GiB")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = commands.add_parser("compare", help="carry out an edit by several methods, side by side, and score them")
    parser.set_defaults(run=run)
    parser.add_argument("project", type=Path, help="project JSON, folder of a work, or an example's name")
    parser.add_argument(
        "--methods", nargs="+", default=[], metavar="NAME",
        help="paper, release, inversion, blending, one-by-one, tokenflow, fatezero, controlvideo, ground-a-video, or "
        "of the ablation: cross, first-frame, sparse-causal, per-frame (default: the first nine)",
    )  # fmt: skip
    parser.add_argument(
        "--ablate", action="store_true",
        help="compare what the parts of the method add (the paper's table 3), and which frames attention sees",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER",
        help="folder for strip.png, side-by-side.mp4, scores.json and an MP4 of each (default: the project's name with "
        "-compared)",
    )  # fmt: skip
    parser.add_argument("--frames", type=int, default=FRAMES, metavar="N", help="the first N frames (default: 16)")
    parser.add_argument("--steps", type=int, help="denoising steps, 1 to 1000")
    parser.add_argument("--seed", type=int, help=f"of the noise, 0 to {MAX_SEED}")
    add_measuring_options(parser)
    add_model_options(parser)


def run(options: argparse.Namespace) -> None:
    """Edit by each method, and write pictures and scores."""
    from videograin.comparison.methods import ABLATION, ABSENT, find_methods
    from videograin.production.source_edit import SourceEdit

    silence_libraries()
    methods = find_methods([*options.methods, *(each.name for each in ABLATION if options.ablate)])
    project = _read_project(options)
    folder = _folder(options)
    _check_clip_stays(project.clip, folder, methods)
    is_lent = not project.controls and any(method.needs_control for method in methods)
    if is_lent and ControlKind.CANNY in find_bundle(project.model).controls:
        project = replace(project, controls=(ControlKind.CANNY,))
    device = choose_device(options.device)
    obtain_needed(project, options.offline)
    obtain_scorer(project.model, options.clip, options.offline)
    with TemporaryDirectory(prefix="videograin-") as scratch:
        with ProgressBars() as bars:
            source = SourceEdit.prepare(project, Path(scratch), device, bars)
        check_scorable(len(source.clip.frames))
        print_notes(source.notes)
        request, results = _carry_out(source, methods, is_lent, options, device)
        _print(results)
        _write(folder, source.clip.fps, request, results)
    print_notes(f"{name} {needs}" for name, needs in ABSENT.items())


def _read_project(options: argparse.Namespace) -> "EditInputs":
    project = read_project(options.project, options.model)
    given = {"num_inference_steps": options.steps, "seed": options.seed}
    settings = replace(project.settings, **{name: value for name, value in given.items() if value is not None})
    return with_first_frames(replace(project, settings=settings), options.frames)


def _folder(options: argparse.Namespace) -> Path:
    """Return the folder for the results, which is made; a path that cannot be one fails before the work."""
    folder = options.output or Path(f"{options.project.absolute().with_suffix('').name}-compared")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProjectError(f"'{folder}' cannot be made a folder ({error.strerror}). Name another with -o.") from error
    check_place(folder / "strip.png")
    return folder


def _check_clip_stays(clip: Path, folder: Path, methods: "Sequence[Method]") -> None:
    from videograin.evaluation.votes import SIDE_BY_SIDE, SOURCE

    written = (SOURCE, SIDE_BY_SIDE, *(f"{method.name}.mp4" for method in methods))
    if clip.name in written and clip.resolve().parent == folder.resolve():
        raise ProjectError(f"A result would replace the clip, '{clip}'. Name another folder with -o.")


def _carry_out(
    source: "SourceEdit",
    methods: "Sequence[Method]",
    is_lent: bool,
    options: argparse.Namespace,
    device: "torch.device",
) -> "tuple[EditRequest, list[Compared]]":
    """Edit by each method; returns the request, and what became of it.

    Args:
        source: the edit as it is drawn.
        methods: in their order.
        is_lent: whether its control images are for those methods alone that need them.
        options: of the command.
        device: where it is drawn.
    """
    from videograin.comparison.compare import compare
    from videograin.evaluation.flows import FlowKind, load_flow
    from videograin.evaluation.scorers import load_scorer

    scorer = load_scorer(source.inputs.model, options.clip, device, options.offline)
    flow = load_flow(FlowKind(options.flow), device)
    with drawing(source, options, device) as (source, pipeline):
        if pipeline is None or source.request is None:
            raise SettingsError("In this edit objects are only removed; there is nothing to compare methods on.")
        request, guides = source.request, source.request.control_images
        if is_lent:
            request = replace(request, control_images=(), control_guidance=())
        results = []
        with ProgressBars() as bars:
            for done in compare(pipeline, request, methods, scorer, flow, device, guides, bars):
                print_notes(f"{done.method.title}: {warning}" for warning in done.warnings)
                results.append(done)
    return request, results


def _print(results: "Sequence[Compared]") -> None:
    width = max(len(done.method.title) for done in results)
    print(" ".join([" " * width, *(f"{column:>9}" for column in COLUMNS)]))
    for done in results:
        cells = " ".join(f"{shown(value):>9}" for value in _row(done))
        print(f"{done.method.title:{width}} {cells}")
    report = results[0].report
    print(f"Measured by {report.clip}, pairs of consecutive frames; flow: {report.flow}.")


def _row(done: "Compared") -> list[float]:
    """Return a result's figures, in the order of `COLUMNS`."""
    report, whole, cost = done.report, done.report.whole, done.cost
    memory = [size / 2**30 for size in (cost.device_bytes, cost.host_bytes)]
    scores = [whole.clip_f, whole.clip_t, whole.warp_error, whole.q_edit]
    return [*scores, report.regional_clip_t, report.leakage, report.outside_psnr, cost.seconds, *memory]


def _write(folder: Path, fps: float, request: EditRequest, results: "Sequence[Compared]") -> None:
    from PIL import Image

    from videograin.comparison.pictures import TitledClip, side_by_side, strip
    from videograin.evaluation.report import as_document
    from videograin.evaluation.votes import SCORES, SIDE_BY_SIDE, SOURCE
    from videograin.media.encode import save_video

    clips = [TitledClip("source", request.frames), *(TitledClip(each.method.title, each.frames) for each in results)]
    picture = BytesIO()
    Image.fromarray(strip(clips)).save(picture, "PNG")
    write_whole(folder / "strip.png", picture.getvalue())
    save_video(folder / SIDE_BY_SIDE, side_by_side(clips), fps)
    save_video(folder / SOURCE, request.frames, fps)
    for each in results:
        save_video(folder / f"{each.method.name}.mp4", each.frames, fps)
    document = {
        each.method.name: {
            "title": each.method.title,
            "about": each.method.about,
            "cost": asdict(each.cost),
            "scores": as_document(each.report),
        }
        for each in results
    }
    write_whole(folder / SCORES, json.dumps(document, indent=1).encode() + b"\n")
    print(f"{folder}: strip.png, {SIDE_BY_SIDE}, {SCORES}, and an MP4 of each")
