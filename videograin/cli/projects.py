"""Projects as commands name them: a file, the folder of a work, or an example by its name."""

import math
from dataclasses import replace
from difflib import get_close_matches
from mimetypes import guess_type
from pathlib import Path
from typing import TYPE_CHECKING

from videograin.cli.terminal import print_notes
from videograin.errors import ProjectError
from videograin.files.atomic import check_writable
from videograin.project.examples import example_names, example_path

if TYPE_CHECKING:
    from videograin.media.video import Clip, ClipOptions
    from videograin.project.project import EditInputs


def read_project(path: Path, model: str | None = None) -> "EditInputs":
    """Return the edit that a path or an example's name means; damaged parts of a work are noted on standard error.

    Raises:
        ProjectError: there is none, or it cannot be read.
    """
    from videograin.project.project import load_project

    file = example_path(path.name) / "project.json" if is_example(path) else path
    _check_kind(file)
    return _read_folder(file, model) if file.is_dir() else load_project(file, model)


def with_first_frames(project: "EditInputs", count: int | None) -> "EditInputs":
    """Return an edit of the first frames alone; None is all that the project has."""
    if count is None:
        return project
    return replace(project, clip_options=replace(project.clip_options, max_frames=count))


def length_notes(clip: "Clip", options: "ClipOptions", limit: int, remedy: str) -> list[str]:
    """Return what to tell where the usual limit of frames, rather than a chosen one, ends a clip before its video.

    Args:
        clip: as it was loaded.
        options: by which.
        limit: the usual one.
        remedy: what to do about it.
    """
    wanted = min(options.end or math.inf, clip.info.duration) - options.start
    is_cut = len(clip.frames) == options.max_frames == limit
    if not is_cut or wanted < clip.duration + 1:  # a header's seconds may be a little off
        return []
    return [f"only the first {len(clip.frames)} frames are read, {clip.duration:.4g} of {wanted:.4g} s; {remedy}"]


def check_place(path: Path, ending: str = "", *, is_folder: bool = False) -> None:
    """Raise ProjectError where a file or folder cannot be written under its name: before the work, not after it."""
    if ending and path.suffix.lower() != ending:
        raise ProjectError(f"'{path}' must end in {ending}.")
    if not path.absolute().parent.is_dir():
        raise ProjectError(f"There is no folder '{path.parent}' to write '{path.name}' to. Create it first.")
    check_writable(path)
    if path.exists() and path.is_dir() != is_folder:
        raise ProjectError(f"'{path}' is a {'file, not a folder' if is_folder else 'folder'}. Choose another name.")


def is_example(path: Path) -> bool:
    """Tell whether a path is no path but an example's name; what lies in the current folder comes first."""
    return str(path) in example_names() and not path.exists()


def _check_kind(path: Path) -> None:
    """Raise ProjectError where a user names a project's clip, its ZIP, or an example that is misspelt."""
    if not path.exists() and (near := get_close_matches(str(path), example_names(), n=1)):
        raise ProjectError(f"There is no project '{path}'. Did you mean the example '{near[0]}'?")
    if not path.is_file():
        return
    if path.suffix.lower() == ".zip":
        raise ProjectError(f"'{path}' is packed. Unpack it, then name its folder.")
    if (guess_type(path.name)[0] or "").startswith(("video/", "image/gif")):
        raise ProjectError(
            f"'{path}' is no project, which says what a clip's objects become. Mark them with 'videograin mask "
            f"{path}'; 'videograin edit --help' shows a project."
        )


def _read_folder(folder: Path, model: str | None) -> "EditInputs":
    from videograin.project.workspace_files import load_workspace

    loaded = load_workspace(folder, model=model)
    print_notes(loaded.problems)
    return loaded.workspace
