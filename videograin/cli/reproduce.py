"""`videograin reproduce`: the edits of a file in the authors' layout, in their released code's convention."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from videograin.cli.edit import add_execution_options, carry_out, check_output
from videograin.cli.projects import check_place
from videograin.cli.terminal import print_notes
from videograin.errors import ProjectError

if TYPE_CHECKING:
    from videograin.project.reproduction import Reproduction


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = commands.add_parser("reproduce", help="carry out an edit that the method's authors describe in YAML")
    parser.set_defaults(run=run)
    parser.add_argument("config", type=Path, help="YAML in the authors' layout (docs/reproduce.md)")
    parser.add_argument(
        "-o", "--output", type=Path,
        help="file to write (default: the config's name as MP4; with several edits, numbered)",
    )  # fmt: skip
    parser.add_argument(
        "--root", type=Path, default=Path(),
        help="folder from which the config's paths start (default: the current one, then the config's own)",
    )  # fmt: skip
    parser.add_argument("--edit", type=int, metavar="N", help="carry out only the N-th of its editing_prompts, from 1")
    parser.add_argument(
        "--ignore", action="append", metavar="KEY", default=[],
        help="leave out a key that is unknown here; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--save", type=Path, metavar="FILE.zip",
        help="write the edit as a project that the studio opens, instead of carrying it out",
    )  # fmt: skip
    parser.add_argument("--frames", type=int, metavar="N", help="edit only the first N frames")
    add_execution_options(parser)


def run(options: argparse.Namespace) -> None:
    """Carry out the edits of a file of the authors, or save one as a project."""
    from videograin.project.authors_config import read_authors_config
    from videograin.project.reproduction import reproduce

    config = read_authors_config(options.config, options.ignore)
    if options.frames is not None:
        config = replace(config, n_sample_frame=options.frames)
    roots = (options.root, options.config.absolute().parent)
    numbers = range(len(config.editing_prompts)) if options.edit is None else [options.edit - 1]
    edits = {number: reproduce(config, roots, number, options.model) for number in numbers}
    if options.save:
        return _save(edits, options.save)
    wanted = options.output or options.config.with_suffix(".mp4")
    outputs = {n: _numbered(wanted, n, len(edits)) for n in edits}
    strips = {n: options.strip and _numbered(options.strip, n, len(edits)) for n in edits}
    formats = {n: check_output(edit.clip, outputs[n], strips[n]) for n, edit in edits.items()}
    for number, edit in edits.items():
        print_notes(edit.notes)
        own = argparse.Namespace(**vars(options) | {"strip": strips[number]})
        carry_out(edit, outputs[number], formats[number], own)
    return None


def _numbered(file: Path, number: int, count: int) -> Path:
    return file.with_stem(f"{file.stem}-{number + 1}") if count > 1 else file


def _save(edits: "dict[int, Reproduction]", target: Path) -> None:
    from videograin.media.video import load_clip
    from videograin.project.archive import export_workspace
    from videograin.project.workspace import from_project

    if len(edits) > 1:
        raise ProjectError(f"The file has {len(edits)} edits, a project has one. Choose it with --edit N.")
    check_place(target, ".zip")
    [edit] = edits.values()
    print_notes(edit.notes)
    export_workspace(from_project(edit, load_clip(edit.clip, edit.clip_options)), target)
    print(f"{target}: open it in the studio by \"Open a saved project\", or unpack it for 'videograin edit'")
