"""What the API answers about a session's work."""

from contextlib import suppress
from typing import Any

from ui.rendering.markup import target_prompt
from ui.work.costs import work_cost
from ui.work.service import StudioService
from ui.work.session import Session
from videograin.errors import VideoGrainError
from videograin.project.coverage import work_coverage_notes
from videograin.project.objects import is_followed

Document = dict[str, Any]


def describe_work(studio: StudioService, session: Session) -> Document:
    """Return the clip, objects, words, estimate and jobs of a session.

    Raises:
        ProjectError: no clip has been chosen.
    """
    work, clip = session.opened_work, session.opened_clip
    frames, height, width = clip.frames.shape[:3]
    cost = None
    with suppress(VideoGrainError):  # words for what is not marked yet
        cost = work_cost(studio.shelf, session, work.settings)
    return {
        "frames": frames, "width": width, "height": height, "fps": clip.fps, "model": work.model,
        "segmenter": studio.segmenters.name_for(session), "is_photograph": session.is_photograph,
        "notice": studio.photograph_notice(session), "warnings": list(work_coverage_notes(work, clip)),
        "seconds": cost.estimate.seconds if cost and cost.estimate else None,
        "drawn": {"width": cost.shape[2], "height": cost.shape[1], "boxes": cost.boxes} if cost else None,
        "source_prompt": work.source_prompt,
        "target_prompt": target_prompt(work),
        "objects": [
            {
                "number": each.id, "name": each.name, "prompt": each.prompt, "keep": each.is_kept,
                "hidden": each.is_hidden, "followed": is_followed(work, each.id),
                "area": int(work.masks[each.id].masks[session.frame].sum()) if each.id in work.masks else 0,
            }
            for each in work.objects
        ],
        "found": [
            {"number": number, "name": each.name, "score": each.score, "box": each.box, "frame": session.found.frame}
            for number, each in enumerate(session.found.objects, 1)
        ] if session.found else [],
        "jobs": [job.id for job in studio.worker.jobs(session.id)],
    }  # fmt: skip
