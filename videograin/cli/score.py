"""`videograin score`: how good an edit is, in the paper's measures and region by region."""

import argparse
import json
import math
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from videograin.cli.download import obtain
from videograin.cli.projects import check_place, read_project, with_first_frames
from videograin.cli.terminal import silence_libraries
from videograin.device import choose_device
from videograin.errors import ProjectError
from videograin.files.atomic import write_whole

if TYPE_CHECKING:
    from videograin.evaluation.report import EditReport
    from videograin.production.scoring import ScoredResult


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = commands.add_parser("score", help="score the result of an edit: fit to the words, stability, leakage")
    parser.set_defaults(run=run)
    parser.add_argument("project", type=Path, help="project JSON, folder of a work, or an example's name")
    parser.add_argument("result", type=Path, help="the edited video")
    parser.add_argument("--frames", type=int, metavar="N", help="only the first N frames, as of 'edit --frames N'")
    add_measuring_options(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the scores as JSON")
    parser.add_argument("--worst", type=Path, metavar="FILE.png", help="also draw the frames of the largest warp error")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")
    parser.add_argument("--offline", action="store_true", help="never ask the hub")


def add_measuring_options(parser: argparse.ArgumentParser) -> None:
    """Add what an edit is measured by."""
    parser.add_argument(
        "--clip",
        metavar="NAME",
        help="folder or hub id of the CLIP that scores (default: that of the model's world, or ViT-L/14)",
    )
    parser.add_argument(
        "--flow", choices=["dis", "raft"], default="dis", help="optical flow of the warp error (default: dis)"
    )


def run(options: argparse.Namespace) -> None:
    """Read source and result, score, print and write."""
    from videograin.evaluation.flows import FlowKind, load_flow
    from videograin.evaluation.report import as_document
    from videograin.evaluation.scorers import load_scorer
    from videograin.production.scoring import score_result

    if options.worst:
        check_place(options.worst, ".png")
    if options.json:
        check_place(options.json)
    silence_libraries()
    project = with_first_frames(read_project(options.project), options.frames)
    device = choose_device(options.device)
    obtain_scorer(project.model, options.clip, options.offline)
    scorer = load_scorer(project.model, options.clip, device, options.offline)
    flow = load_flow(FlowKind(options.flow), device)
    scored = score_result(project, options.result, scorer, flow)
    print_report(scored.report)
    if options.json:
        write_whole(options.json, json.dumps(as_document(scored.report), indent=1).encode() + b"\n")
    if options.worst:
        _draw_worst(options.worst, scored)


def obtain_scorer(model: str, source: str | None, offline: bool) -> None:
    """Download the CLIP that scores a model's edits, unless another is named, where the user agrees."""
    from videograin.evaluation.scorers import has_own_scorer
    from videograin.models.catalog import SCORER

    if source is None and not offline and not has_own_scorer(model):
        obtain(SCORER)


def check_scorable(frames: int) -> None:
    """Raise ProjectError where a number of frames cannot be scored: before they are edited."""
    if frames < 2:
        raise ProjectError("One frame has no motion to be scored. Take two frames or more, or do without scores.")


def print_report(report: "EditReport") -> None:
    """Print an edit's scores and what measured them."""
    width, height = report.size
    whole = report.whole
    print(f"{report.frames} frames at {width}×{height}, '{report.target_prompt}'")
    rows = {
        "CLIP-F, %": whole.clip_f,
        "CLIP-T, %": whole.clip_t,
        "Warp-Err, thousandths": whole.warp_error,
        "Q-edit": whole.q_edit,
        "regional CLIP-T, %": report.regional_clip_t,
        "leakage": report.leakage,
        "outside PSNR, dB": report.outside_psnr,
        "seam ratio": report.seam_ratio,
    }
    for title, value in rows.items():
        print(f"  {title:22} {shown(value)}")
    for each in report.regions:
        print(f"  {each.name}: CLIP-T {each.clip_t:.2f} %, own words fit best in {each.own:.0%} of its frames")
    print(f"  worst frames: {', '.join(map(str, report.worst))} (counted from 0)")
    print(f"Measured by {report.clip}, pairs of consecutive frames; flow: {report.flow}.")


def shown(value: float) -> str:
    """Return a score as a user reads it."""
    return "none" if math.isnan(value) else "infinite" if math.isinf(value) else f"{value:.2f}"


def _draw_worst(path: Path, scored: "ScoredResult") -> None:
    from PIL import Image

    from videograin.media.visualize import comparison_strip

    shown, picture = list(scored.report.worst), BytesIO()
    Image.fromarray(comparison_strip(scored.source[shown], scored.result[shown])).save(picture, "PNG")
    write_whole(path, picture.getvalue())
