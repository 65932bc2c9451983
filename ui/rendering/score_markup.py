"""A result's scores as a table."""

import math
from html import escape

from videograin.evaluation.report import EditReport
from videograin.jobs.worker import JobStatus


def score_button(result: JobStatus) -> str:
    """Return the button that asks for a result's scores."""
    return (
        "<div class='vg-phrases'><button type='button' class='vg-button' data-action='score' "
        f"data-value='{result.job.id}'>Score this result</button></div>"
    )


def score_table(report: EditReport) -> str:
    """Return an edit's scores with what each of them means, and what measured them."""
    whole = report.whole
    rows = [
        ("CLIP-T", f"{whole.clip_t:.1f} %", "how well the frames fit the whole sentence"),
        ("CLIP-F", f"{whole.clip_f:.1f} %", "how alike neighbouring frames are"),
        ("Warp-Err", f"{whole.warp_error:.2f}", "how far the result leaves the clip's motion; less is better"),
        ("Q-edit", _number(whole.q_edit), "CLIP-T over Warp-Err"),
        ("Around the objects", _decibels(report.outside_psnr), "what changed outside; from 45 dB on no eye sees it"),
    ]
    rows += [
        (each.name, f"{each.clip_t:.1f} %", f"in {each.own:.0%} of its frames its own words fit it best")
        for each in report.regions
    ]
    lines = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td><td>{escape(meaning)}</td></tr>"
        for name, value, meaning in rows
    )
    measured = f"{report.frames} frames, measured by {report.clip} and optical flow by {report.flow.split()[0]}."
    return f"<figure class='vg-scores'><table>{lines}</table><figcaption>{escape(measured)}</figcaption></figure>"


def _number(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "–"


def _decibels(value: float) -> str:
    if math.isnan(value):
        return "no such part"
    return "unchanged" if math.isinf(value) else f"{value:.1f} dB"
