"""`videograin download`: a model, a ControlNet or a segmenter, fetched before it is needed."""

import argparse
import sys
from typing import TYPE_CHECKING

from videograin.cli.terminal import ProgressBars, silence_libraries
from videograin.errors import ModelError

if TYPE_CHECKING:
    from videograin.models.catalog import CatalogEntry


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = commands.add_parser("download", help="download a model, a ControlNet or a segmenter")
    parser.set_defaults(run=run)
    parser.add_argument("name", help="as 'videograin models' lists it, or a hub id of a Stable Diffusion 1.x or 2.x")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask first")


def run(options: argparse.Namespace) -> None:
    """Say what it takes, ask, and download it."""
    from videograin.models.bundles import check_obtainable, find_bundle
    from videograin.models.catalog import Purpose, find_entry

    silence_libraries()
    entry = find_entry(options.name)
    if entry.purpose is Purpose.EDIT:
        check_obtainable(find_bundle(options.name), offline=False)
    if entry.is_installed:
        print(f"{entry.title} is on this machine already.")
        return
    size = entry.missing_bytes()
    if not options.yes and not _agrees(f"{entry.title}: {size / 1e6:.0f} MB. Download it?"):
        return
    _download(entry)


def obtain(name: str) -> None:
    """Download what a command needs where a user agrees to it on the terminal.

    Raises:
        ModelError: it is missing and there is no user to ask.
    """
    from videograin.models.catalog import find_entry, size_words

    entry = find_entry(name)
    if entry.is_installed:
        return
    missing = f"{entry.title} is not on this machine; it takes {size_words(entry.size)}."
    if not (sys.stdin.isatty() and _agrees(f"{missing} Download it now?")):
        raise ModelError(f"{missing} Download it first: videograin download {name}")
    _download(entry)


def _agrees(question: str) -> bool:
    try:
        return input(f"{question} [Y/n] ").strip().lower() in ("", "y", "yes")
    except EOFError as error:  # a script's or a container's standard input, or Ctrl-D
        print()
        raise ModelError(
            "There was no answer, so nothing was downloaded. 'videograin download NAME --yes' asks nothing."
        ) from error


def _download(entry: "CatalogEntry") -> None:
    with ProgressBars() as bars:
        entry.download(bars)
    print(f"{entry.title} is on this machine now.")
