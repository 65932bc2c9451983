"""`videograin mask`: objects marked by words, clicks, boxes and strokes, followed through a clip, as mask files."""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from mimetypes import guess_type
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videograin.cli.download import obtain
from videograin.cli.projects import check_place, length_notes
from videograin.cli.terminal import ProgressBars, print_notes, silence_libraries
from videograin.device import choose_device
from videograin.errors import ProjectError

if TYPE_CHECKING:
    import numpy as np

    from videograin.segment.model import SegmentModel
    from videograin.tracking.tracks import Track

WORK_SIDE = 512
"""Shorter side in pixels at which a clip is read to be marked; the masks get the video's own size."""

STROKE_STEP = 2.0
"""Pixels between the points by which a segmenter is told of a stroke."""


@dataclass(frozen=True)
class Mark:
    """The marks of one object, in pixels of the video.

    Attributes:
        name: of the object.
        frame: counted from 0.
        box: (x0, y0, x1, y1), or None.
        inside, outside: points (x, y) on the object and beside it.
    """

    name: str
    frame: int
    box: tuple[float, ...] | None = None
    inside: tuple[tuple[float, float], ...] = ()
    outside: tuple[tuple[float, float], ...] = ()


@dataclass
class _Marks:
    """The marks in the order of the command line; those after an `--object` are of this object."""

    name: str = "object"
    given: list[Mark] = field(default_factory=list)


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "mask",
        help="mark objects in a clip, follow them, and save their masks",
        description="Marks are in pixels of the video, FRAME counts from 0 and is 0 where it is left out.",
    )
    parser.set_defaults(run=run)
    parser.add_argument("clip", type=Path, help="the video")
    _add_mark(parser, "--object", "NAME", "the marks that follow are of this object", _named)
    _add_mark(parser, "--click", "X,Y[,FRAME]", "a point on the object", _read_line("inside", 2))
    _add_mark(parser, "--click-outside", "X,Y[,FRAME]", "a point beside the object", _read_line("outside", 2))
    _add_mark(parser, "--box", "X0,Y0,X1,Y1[,FRAME]", "a box around the object, or around a part of it", _read_box)
    _add_mark(parser, "--stroke", "X,Y,X,Y,…[,FRAME]", "a line over the object", _read_line("inside", 4))
    _add_mark(parser, "--stroke-outside", "X,Y,X,Y,…[,FRAME]", "a line beside the object", _read_line("outside", 4))
    parser.add_argument("--text", help='what to mark, in words: "the two bears", "left man\'s hat"')
    parser.add_argument("--text-frame", type=int, default=0, metavar="FRAME", help="where to look for it (default: 0)")
    parser.add_argument(
        "--finder", help="model with a small world of its own, or detector, that looks (default: what suits the clip)"
    )
    parser.add_argument(
        "-o", "--output", type=Path, help="folder, .zip or .npz to write (default: a folder CLIP-masks beside the clip)"
    )
    parser.add_argument(
        "--segmenter", help="as 'videograin models' lists it (default: what suits the clip and is here)"
    )
    parser.add_argument("--frames", type=int, metavar="N", help="only the first N frames")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")


def run(options: argparse.Namespace) -> None:
    """Mark, follow and save."""
    from videograin.media.appearance import looks_like_photograph
    from videograin.media.video import MAX_FRAMES, ClipOptions, load_clip, probe
    from videograin.models.segmenters import OFFERED_SEGMENTERS, in_order, suitable_segmenter
    from videograin.segment.names import HUB_IDS, SAM_FILES
    from videograin.segment.zoo import load_segmenter
    from videograin.tracking.engines import load_engine
    from videograin.tracking.propagator import Propagator

    marks = options.marks.given if options.marks else []
    if not marks and options.text is None:
        raise ProjectError("Nothing is marked. Give a --text, or at least one --click X,Y or --box X0,Y0,X1,Y1.")
    info = probe(options.clip)
    _check_marks(marks, info.width, info.height)
    beside = options.clip if options.clip.name else options.clip.absolute()  # "." is a clip where pictures lie there
    output = _check_output(options.output or beside.with_name(f"{beside.stem}-masks"))
    silence_libraries()
    side = min(WORK_SIDE, info.width, info.height)
    clip_options = ClipOptions(
        max_frames=MAX_FRAMES if options.frames is None else options.frames, short_side=side, multiple=1
    )
    clip = load_clip(options.clip, clip_options)
    frames = clip.frames
    check_npz(output, len(frames), (info.height, info.width))
    print_notes(length_notes(clip, clip_options, MAX_FRAMES, "cut the video into parts to mark all of it"))
    offered = in_order(OFFERED_SEGMENTERS, choose_device(options.device).type)
    name = options.segmenter or suitable_segmenter(looks_like_photograph(frames), offered)
    if name in HUB_IDS or name in SAM_FILES:
        obtain(name)
    model = load_segmenter(name, options.device)
    propagator = Propagator(frames, load_engine(name, options.device, model=model))
    _mark(propagator.correct, frames, model, marks, frames.shape[2] / info.width)
    if options.text is not None:
        _mark_found(propagator.correct, frames, model, options)
    with ProgressBars() as bars:
        tracks = propagator.propagate(report=bars)
    _save(output, tracks, (info.height, info.width))
    for title, track in tracks.items():
        print(f"{title}: {_summary(track)}")
    print(f"{output}: marked by {name}")


def _add_mark(
    parser: argparse.ArgumentParser, option: str, metavar: str, text: str, read: Callable[[_Marks, str], None]
) -> None:
    """Add an option whose place among the others counts."""

    class Remember(argparse.Action):
        def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
            namespace.marks = namespace.marks or _Marks()
            try:
                read(namespace.marks, values)
            except (ValueError, OverflowError) as error:
                parser.error(f"argument {option_string}: '{values}' is not {metavar} ({error}).")

    parser.add_argument(option, action=Remember, metavar=metavar, help=text, dest="marks")


def _named(marks: _Marks, name: str) -> None:
    marks.name = name


def _read_line(side: str, least: int) -> Callable[[_Marks, str], None]:
    """Return what reads coordinates as a line, or a point, on one side of the object's edge."""

    def read(marks: _Marks, text: str) -> None:
        numbers, frame = _numbers(text)
        if len(numbers) < least or (least == 2 and len(numbers) > 2):
            raise ValueError(f"it has {len(numbers)} coordinates")
        corners = list(zip(numbers[::2], numbers[1::2], strict=True))
        marks.given.append(replace(Mark(marks.name, frame), **{side: _along(corners)}))

    return read


def _read_box(marks: _Marks, text: str) -> None:
    numbers, frame = _numbers(text)
    if len(numbers) != 4:
        raise ValueError(f"it has {len(numbers)} coordinates")
    marks.given.append(Mark(marks.name, frame, box=tuple(numbers)))


def _numbers(text: str) -> tuple[list[float], int]:
    """Return an even number of coordinates, and the frame that may stand behind them."""
    parts = text.split(",")
    frame = int(parts.pop()) if len(parts) % 2 else 0
    return [float(part) for part in parts], frame


def _along(corners: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Return points of a line, `STROKE_STEP` pixels apart."""
    points = [corners[0]]
    for (x0, y0), (x1, y1) in pairwise(corners):
        count = max(1, round(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5 / STROKE_STEP))
        points += [(x0 + (x1 - x0) * i / count, y0 + (y1 - y0) * i / count) for i in range(1, count + 1)]
    return tuple(points)


def _check_marks(marks: Sequence[Mark], width: int, height: int) -> None:
    """Raise ProjectError where a mark lies outside the video; the segmenter, which sees it smaller, names others."""
    for mark in marks:
        for x, y in (*mark.inside, *mark.outside):
            if not (0 <= x < width and 0 <= y < height):
                raise ProjectError(
                    f"The point {x:g},{y:g} is outside the video, whose frames have {width}×{height} pixels. Give one "
                    "inside it."
                )
        if mark.box is not None:
            x0, y0, x1, y1 = mark.box
            if not (max(x0, 0) < min(x1, width) and max(y0, 0) < min(y1, height)):
                raise ProjectError(
                    f"The box {x0:g},{y0:g},{x1:g},{y1:g} holds nothing of the video, whose frames have "
                    f"{width}×{height} pixels. Give its upper left corner, then its lower right one."
                )


def _mark(
    correct: Callable[..., object], frames: "np.ndarray", model: "SegmentModel", marks: Sequence[Mark], scale: float
) -> None:
    """Have the segmenter answer all marks of each object on each frame."""
    from videograin.segment.motion import frames_beside
    from videograin.segment.segmenter import Segmenter

    segmenter = Segmenter(model)
    for name, frame in dict.fromkeys((mark.name, mark.frame) for mark in marks):
        _check_frame(frame, len(frames))
        said = [mark for mark in marks if (mark.name, mark.frame) == (name, frame)]
        inside, outside = ([point for mark in said for point in getattr(mark, side)] for side in ("inside", "outside"))
        boxes = [mark.box for mark in said if mark.box]
        segmenter.set_frame(frames[frame], frames_beside(frames, frame))
        found = segmenter.click(
            [(x * scale, y * scale) for x, y in (*inside, *outside)],
            [1] * len(inside) + [0] * len(outside),
            [[value * scale for value in box] for box in boxes] or None,
        )
        correct(name, frame, found.mask, found.confidence)


def _mark_found(
    correct: Callable[..., object], frames: "np.ndarray", model: "SegmentModel", options: argparse.Namespace
) -> None:
    """Have what is described in words found, and each object marked."""
    from videograin.finding.finder import find_objects
    from videograin.finding.finders import has_judge, load_finder, suitable_finder
    from videograin.media.appearance import looks_like_photograph
    from videograin.models.bundles import DEFAULT_MODEL
    from videograin.models.catalog import DETECTOR_IDS
    from videograin.segment.model import EmbeddingCache
    from videograin.segment.zoo import load_segmenter

    _check_frame(options.text_frame, len(frames))
    finder = options.finder or suitable_finder(DEFAULT_MODEL, looks_like_photograph(frames))
    if finder in DETECTOR_IDS:
        obtain(finder)
    proposer = load_segmenter(device=options.device) if has_judge(finder) else model
    loaded = load_finder(finder, proposer, EmbeddingCache(), choose_device(options.device))
    with ProgressBars() as bars:
        found = find_objects(loaded, frames[options.text_frame], options.text, bars)
    counts: Counter[str] = Counter()
    for each in found:
        counts[each.name] += 1
        number = counts[each.name]
        correct(each.name if number == 1 else f"{each.name} {number}", options.text_frame, each.mask, 1.0)


def _check_frame(frame: int, count: int) -> None:
    if not 0 <= frame < count:
        raise ProjectError(f"Frame {frame} is not in the clip; it has {count}, counted from 0.")


def _check_output(output: Path) -> Path:
    """Return where the masks go; what cannot be written fails now, not after minutes of work."""
    is_folder = output.suffix.lower() not in (".zip", ".npz")
    if is_folder and guess_type(output.name)[0]:
        raise ProjectError(f"Masks are not written as '{output.name}'. Name a folder, a .zip or an .npz.")
    check_place(output, is_folder=is_folder)
    if output.is_dir() and any(output.iterdir()):
        raise ProjectError(f"The folder '{output}' holds something already. Name another, or empty it.")
    return output


def check_npz(output: Path, frames: int, size: tuple[int, int]) -> None:
    """Raise ProjectError where an NPZ of masks of a size (H, W) would be larger than what is read of one."""
    from videograin.media.video import MAX_CLIP_BYTES

    height, width = size
    if output.suffix.lower() == ".npz" and frames * height * width > MAX_CLIP_BYTES:
        raise ProjectError(
            f"An NPZ of {frames} masks of {width}×{height} pixels exceeds the {MAX_CLIP_BYTES >> 30} GiB that can be "
            "read again. Name a folder or a .zip, or give fewer --frames."
        )


def _save(output: Path, tracks: "dict[str, Track]", size: tuple[int, int]) -> None:
    """Write the masks at the video's own size (H, W)."""
    from tempfile import TemporaryDirectory

    from videograin.masks.export import save_npz, save_png_folders
    from videograin.project.archive import pack_folder

    masks = {name: track.masks for name, track in tracks.items()}
    if output.suffix.lower() == ".npz":
        save_npz(output, {name: _all_enlarged(each, size) for name, each in masks.items()})
    elif output.suffix.lower() == ".zip":
        with TemporaryDirectory(prefix="videograin-") as folder:
            save_png_folders(Path(folder, "masks"), masks, size)
            pack_folder(Path(folder, "masks"), output)
    else:
        save_png_folders(output, masks, size)


def _all_enlarged(masks: "np.ndarray", size: tuple[int, int]) -> "np.ndarray":
    import numpy as np

    from videograin.masks.export import enlarged

    result = np.empty((len(masks), *size), bool)
    for frame, mask in enumerate(masks):
        result[frame] = enlarged(mask, size)
    return result


def _summary(track: "Track") -> str:
    from videograin.tracking.tracks import FrameState

    unsure = [str(t) for t, state in enumerate(track.states) if state is FrameState.UNCERTAIN]
    seen = sum(state is FrameState.VISIBLE for state in track.states)
    return f"sure in {seen} of {len(track.states)} frames" + (f"; check {', '.join(unsure)}" if unsure else "")
