"""What an edit needs besides its own files: models and packages, and which of them this machine lacks."""

from videograin.controls import check_packages
from videograin.models.catalog import CatalogEntry, check_references, find_entry, needed_entries
from videograin.project.project import EditInputs


def missing_entries(inputs: EditInputs) -> list[CatalogEntry]:
    """Return what an edit needs and has to be downloaded first.

    Raises:
        ModelError: its model cannot draw after pictures or has no such ControlNet, or a package is not installed.
    """
    check_references(inputs.model, inputs.has_references)
    check_packages(inputs.controls)
    names = needed_entries(inputs.model, inputs.controls, inputs.adapters, inputs.has_references)
    return [entry for entry in map(find_entry, names) if not entry.is_installed]
