"""Everything that belongs to an edit in one ZIP: the clip, the masks, the project file and the edited videos."""

import secrets
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

from videograin.jobs.edit import EditFiles
from videograin.project.project import Project, save_project


def pack_edit(project: Project, results: Path, files: EditFiles, target: Path) -> None:
    """Write a ZIP that can be unpacked anywhere and edited again from its project.json.

    Args:
        project: what was edited.
        results: folder of the job's files.
        files: those of them that are wanted.
        target: the ZIP; it appears when it is whole.
    """
    packed = {project.clip: Path("clip").with_suffix(project.clip.suffix)}
    for region in project.regions:
        packed.setdefault(region.masks.path, Path(f"masks-{len(packed)}").with_suffix(region.masks.path.suffix))
    aside = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with zipfile.ZipFile(aside, "w") as archive:  # not compressed: videos and masks are already
            archive.writestr("project.json", _relocated(project, packed))
            for path, name in packed.items():
                archive.write(path, name)
            for name in (files.video, files.comparison):
                archive.write(results / name, name)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def _relocated(project: Project, packed: dict[Path, Path]) -> bytes:
    """Return the project file as it is where the packed files lie beside it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        regions = [
            replace(region, masks=replace(region.masks, path=folder / packed[region.masks.path]))
            for region in project.regions
        ]
        moved = replace(project, clip=folder / packed[project.clip], regions=tuple(regions), output=None)
        save_project(moved, folder / "project.json")
        return (folder / "project.json").read_bytes()
