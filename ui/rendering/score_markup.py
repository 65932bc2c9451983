"""A result's scores as a table, and the frames of it that flicker most."""

import math
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ui.rendering.pictures import data_url, shrink
from videograin.jobs.worker import JobStatus
from videograin.media.visualize import comparison_strip

if TYPE_CHECKING:
    from videograin.evaluation.report import EditReport, RegionScores
    from videograin.production.scoring import ScoredResult


def score_button(result: JobStatus) -> str:
    """Return the button that asks for a result's scores; empty for one frame, which has no motion to be scored."""
    if result.result.frames < 2:
        return ""
    return (
        "<div class='vg-phrases'><button type='button' class='vg-button' data-action='score' "
        f"data-value='{result.job.id}'>Score this result</button></div>"
    )


def score_panel(scored: "ScoredResult") -> str:
    """Return an edit's scores with what each of them means, what measured them, and its worst frames."""
    return f"<figure class='vg-scores'>{score_table(scored.report)}{_worst_frames(scored)}</figure>"


def score_table(report: "EditReport") -> str:
    """Return an edit's scores, each under a plain name beside that of the measure."""
    whole = report.whole
    rows = [
        ("Fit to the words", f"{whole.clip_t:.1f} %", "CLIP-T: how well the frames fit the whole sentence"),
        ("Steadiness", f"{whole.clip_f:.1f} %", "CLIP-F: how alike neighbouring frames are"),
        ("Flicker", f"{whole.warp_error:.2f}", "Warp-Err: how far the result leaves the clip's motion; less is better"),
        ("Both together", _number(whole.q_edit), "Q-edit: CLIP-T over Warp-Err"),
        ("Around the objects", _decibels(report.outside_psnr), "what changed outside; from 45 dB on no eye sees it"),
    ]
    if math.isfinite(report.seam_ratio):
        rows.append(
            ("Seams", f"{report.seam_ratio:.2f}×", "flicker where windows of the clip meet, over that elsewhere")
        )
    rows += [_region_row(each, is_alone=len(report.regions) == 1) for each in report.regions]
    lines = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{escape(value)}</td><td>{escape(meaning)}</td></tr>"
        for name, value, meaning in rows
    )
    measured = f"{report.frames} frames, measured by {report.clip} and optical flow by {report.flow.split()[0]}."
    return f"<table>{lines}</table><p class='vg-note'>{escape(measured)}</p>"


def _region_row(region: "RegionScores", *, is_alone: bool) -> tuple[str, str, str]:
    fits = f"CLIP-T of “{region.prompt}” where it is"
    meaning = fits if is_alone else f"{fits}; in {region.own:.0%} of its frames its own words fit it best"
    return region.name, f"{region.clip_t:.1f} %", meaning


def _worst_frames(scored: "ScoredResult") -> str:
    shown = scored.report.worst
    source, result = (np.stack([shrink(frames[each]) for each in shown]) for frames in (scored.source, scored.result))
    strip = comparison_strip(source, result)
    numbers = ", ".join(str(index + 1) for index in shown)
    words = f"The frames that flicker most, counted from 1, the worst first: {numbers}."
    words += " Above the clip, below the result."
    return f"<img src='{data_url(strip)}' alt='Frames {numbers}'><figcaption>{words}</figcaption>"


def _number(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "–"


def _decibels(value: float) -> str:
    if math.isnan(value):
        return "no such part"
    return "unchanged" if math.isinf(value) else f"{value:.1f} dB"
