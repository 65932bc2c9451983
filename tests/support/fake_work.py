"""A user's work, made up: whole workspaces of tiny clips, also as a hypothesis strategy."""

from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from synthetic_video import moving_scene

from videograin.media.encode import save_video
from videograin.media.video import ClipOptions, clip_shape, probe
from videograin.project.workspace import Box, Click, MarkedObject, ObjectMasks, SavedResult, Workspace
from videograin.region import ControlKind, EditSettings

OPTIONS = ClipOptions(short_side=64, multiple=32)
WORDS = st.text(max_size=20)


def make_clip(folder: Path, frames: int = 3) -> Path:
    """Write a clip of 96×64 pixels."""
    save_video(folder / "holiday.mp4", moving_scene(frames, 64, 96), 8)
    return folder / "holiday.mp4"


def any_clip(file: Path, options: ClipOptions) -> tuple[int, int, int]:
    """Allow every clip, as a studio without limits would."""
    return clip_shape(probe(file), options)


def square(left: int, top: int, size: int, frames: int = 3) -> ObjectMasks:
    """A square that stands still, in a clip of 96×64."""
    masks = np.zeros((frames, 64, 96), bool)
    masks[:, top : top + size, left : left + size] = True
    return ObjectMasks(masks, np.linspace(0.5, 1, frames, dtype=np.float32), ("sure",) * frames, (0,))


def small_work(clip: Path) -> Workspace:
    """A man, the shirt he wears, and the rest."""
    return Workspace(
        clip=clip,
        source_prompt="a man on a beach",
        clip_options=OPTIONS,
        settings=EditSettings(num_inference_steps=2, seed=7),
        objects=(
            MarkedObject(1, "man", "#1f77b4", clicks=(Click(0, 30.5, 20), Click(2, 1, 1, False))),
            MarkedObject(2, "shirt", prompt="a red shirt", grow=2, boxes=(Box(0, 20, 20, 40, 40),)),
            MarkedObject(3, "rest", prompt="snow", is_rest=True),
        ),
        masks={1: square(10, 10, 40), 2: square(20, 20, 20)},
    )


@st.composite
def workspaces(draw: st.DrawFn, folder: Path) -> Workspace:
    """Anything that a user may have done."""
    ids = draw(st.lists(st.integers(0, 10**6), max_size=4, unique=True))
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 19)))
    with_masks = draw(st.sets(st.sampled_from(ids))) if ids else set()
    return Workspace(
        clip=draw(st.sampled_from([folder / "clip.mp4", folder.parent / "far" / "clip ü.mov"])),
        source_prompt=draw(WORDS),
        clip_options=draw(st.builds(ClipOptions, start=st.floats(0, 100), fps=st.none() | st.floats(1, 60))),
        background=draw(WORDS),
        controls=tuple(draw(st.lists(st.sampled_from(ControlKind), max_size=2))),
        settings=draw(st.builds(EditSettings, seed=st.integers(0, 2**63 - 1), guidance_scale=st.floats(1, 50))),
        segmenter=draw(st.sampled_from(["", "emoji-world"])),
        objects=tuple(draw(_objects(number)) for number in ids),
        results=tuple(draw(st.lists(_results(folder), max_size=2))),
        masks={number: draw(_masks(shape)) for number in with_masks},
    )


def _objects(number: int) -> st.SearchStrategy[MarkedObject]:
    pixels = st.floats(-100, 1000)
    return st.builds(
        MarkedObject,
        id=st.just(number),
        name=WORDS,
        colour=st.sampled_from(["", "#00ff7f"]),
        is_hidden=st.booleans(),
        is_kept=st.booleans(),
        is_rest=st.booleans(),
        prompt=WORDS,
        strength=st.floats(0, 4),
        grow=st.floats(-256, 256),
        feather=st.floats(0, 256),
        clicks=st.lists(st.builds(Click, st.integers(0, 99), pixels, pixels, st.booleans()), max_size=3).map(tuple),
        boxes=st.lists(st.builds(Box, st.integers(0, 99), pixels, pixels, pixels, pixels), max_size=2).map(tuple),
    )


def _results(folder: Path) -> st.SearchStrategy[SavedResult]:
    return st.builds(
        SavedResult,
        video=st.just(folder / "results" / "edit-1.mp4"),
        date=st.datetimes().map(str),
        model=WORDS,
        target_prompt=WORDS,
        settings=st.builds(EditSettings, seed=st.integers(0, 9)),
        seconds=st.floats(0, 1e6),
    )


@st.composite
def _masks(draw: st.DrawFn, shape: tuple[int, int, int]) -> ObjectMasks:
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    anchors = draw(st.sets(st.integers(0, shape[0] - 1)))
    return ObjectMasks(
        random.random(shape) < draw(st.sampled_from([0, 0.3, 1])),
        random.random(shape[0], dtype=np.float32),
        draw(st.sampled_from([(), tuple(f"state {frame}" for frame in range(shape[0]))])),
        tuple(sorted(anchors)),
    )
