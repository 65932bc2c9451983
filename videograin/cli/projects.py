"""Projects as commands name them: a file, the folder of a work, or an example by its name."""

from pathlib import Path
from typing import TYPE_CHECKING

from videograin.cli.terminal import print_notes
from videograin.project.examples import example_names, example_path

if TYPE_CHECKING:
    from videograin.project.project import EditInputs


def read_project(path: Path, model: str | None = None) -> "EditInputs":
    """Return the edit that a path or an example's name means; damaged parts of a work are noted on standard error.

    Raises:
        ProjectError: there is none, or it cannot be read.
    """
    from videograin.project.project import load_project

    file = example_path(path.name) / "project.json" if is_example(path) else path
    return _read_folder(file, model) if file.is_dir() else load_project(file, model)


def is_example(path: Path) -> bool:
    """Tell whether a path is no path but an example's name; what lies in the current folder comes first."""
    return str(path) in example_names() and not path.exists()


def _read_folder(folder: Path, model: str | None) -> "EditInputs":
    from videograin.project.workspace_files import load_workspace

    loaded = load_workspace(folder, model=model)
    print_notes(loaded.problems)
    return loaded.workspace
