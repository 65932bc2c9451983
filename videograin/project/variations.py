"""Variations of an edit: the same from other noise. All of them go on from one inversion, which the cache keeps."""

from dataclasses import replace

from videograin.project.project import Project
from videograin.region import MAX_SEED

VARIATIONS = 4
"""How many are made at a time."""

MAX_VARIATIONS = 8
"""As many jobs as one session may have waiting by default."""

VARIATION = 0.5
"""Share of fresh noise where an edit has none of its own."""


def variations(project: Project, count: int = VARIATIONS) -> list[Project]:
    """Return an edit with the next seeds, and with enough fresh noise for them to differ."""
    share = project.settings.variation or VARIATION
    seeds = [(project.settings.seed + number) % (MAX_SEED + 1) for number in range(1, count + 1)]
    return [replace(project, settings=replace(project.settings, variation=share, seed=seed)) for seed in seeds]


def are_variations(one: Project, other: Project) -> bool:
    """Whether two edits differ in nothing but their noise."""
    return _without_noise(one) == _without_noise(other)


def _without_noise(project: Project) -> Project:
    return replace(project, settings=replace(project.settings, variation=0.0, seed=0))
