"""`videograin models`: everything that has a name and may have to be downloaded."""

import argparse

from videograin.models.bundles import named_bundles


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("models", help="list models, ControlNets and segmenters, and which are here")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:  # noqa: ARG001 (every command takes them)
    """Print a line for each: name, title, size, and whether it is on this machine."""
    from videograin.models.catalog import catalog, size_words

    entries = catalog(named_bundles())
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        state = "here" if entry.is_installed else size_words(entry.size)
        print(f"{entry.name:{width}} {state:>8}  {entry.title}")
    print("\nDownload one by its name: videograin download NAME")
