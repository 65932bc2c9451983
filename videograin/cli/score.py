"""`videograin score`: how good an edit is, in the paper's measures and region by region."""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videograin.cli.download import obtain
from videograin.cli.projects import read_project
from videograin.cli.terminal import silence_libraries
from videograin.errors import ModelError, ProjectError
from videograin.files.atomic import write_whole

if TYPE_CHECKING:
    import numpy as np

    from videograin.evaluation.metrics import ClipScorer
    from videograin.evaluation.report import EditReport
    from videograin.project.project import EditInputs
    from videograin.region import Region


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = commands.add_parser("score", help="score the result of an edit: fit to the words, stability, leakage")
    parser.set_defaults(run=run)
    parser.add_argument("project", type=Path, help="project JSON, folder of a work, or an example's name")
    parser.add_argument("result", type=Path, help="the edited video")
    parser.add_argument(
        "--clip",
        metavar="NAME",
        help="folder or hub id of a CLIP (default: that of the model's world, or ViT-L/14)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the scores as JSON")
    parser.add_argument("--worst", type=Path, metavar="FILE.png", help="also draw the frames of the largest warp error")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")
    parser.add_argument("--offline", action="store_true", help="never ask the hub")


def run(options: argparse.Namespace) -> None:
    """Read source and result, score, print and write."""
    from videograin.evaluation.report import score_request
    from videograin.media.video import load_clip

    if options.worst and options.worst.suffix.lower() != ".png":
        raise ProjectError(f"'{options.worst}' must end in .png.")
    silence_libraries()
    project = replace(read_project(options.project), controls=(), control_guidance=())  # the masks alone are needed
    scorer, name = load_scorer(project, options)
    clip = load_clip(project.clip, project.clip_options)
    request = project.request_for(clip.frames, project.load_regions(clip), [])
    whole = replace(project.clip_options, start=0.0, end=None, fps=None, max_frames=len(clip.frames))
    result = load_clip(options.result, whole).frames
    report = score_request(scorer, request, result, _target_prompt(project, request.regions), name)
    _print(report)
    if options.json:
        write_whole(options.json, json.dumps(plain(asdict(report)), indent=1).encode() + b"\n")
    if options.worst:
        _draw_worst(options.worst, report, request.frames, result)


def load_scorer(project: "EditInputs", options: argparse.Namespace) -> "tuple[ClipScorer, str]":
    """Return the CLIP and its name: what was asked for, that of the model's small world, or ViT-L/14."""
    from videograin.device import choose_device
    from videograin.evaluation.metrics import ClipScorer
    from videograin.evaluation.vocabulary import known_names
    from videograin.files.hub import Layout, fetch
    from videograin.models.bundles import find_bundle
    from videograin.models.catalog import SCORER, SCORER_ID

    bundle, device = find_bundle(project.model), choose_device(options.device)
    if options.clip is None and known_names(Path(bundle.source)):
        return ClipScorer.load(Path(bundle.source) / "clip", device), f"mini CLIP of {bundle.title}"
    if options.clip is None and not options.offline:
        obtain(SCORER)
    source = options.clip or SCORER_ID
    try:
        return ClipScorer.load(fetch(source, Layout.NETWORK, options.offline), device), source
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"'{source}' is no CLIP that can be loaded ({error}). Give a folder or a hub id.") from error


def _target_prompt(project: "EditInputs", regions: "Sequence[Region]") -> str:
    from videograin.diffusion.prompt import compose_target_prompt

    return project.target_prompt or compose_target_prompt([region.prompt for region in regions], project.background)


def _print(report: "EditReport") -> None:
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


def plain(value: Any) -> Any:
    """Return a report as JSON has it, which knows neither nan nor infinity."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _draw_worst(path: Path, report: "EditReport", source: "np.ndarray", result: "np.ndarray") -> None:
    from PIL import Image

    from videograin.media.visualize import comparison_strip

    shown, picture = list(report.worst), BytesIO()
    Image.fromarray(comparison_strip(source[shown], result[shown])).save(picture, "PNG")
    write_whole(path, picture.getvalue())
