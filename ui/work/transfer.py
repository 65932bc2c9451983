"""Masks, whole projects and earlier edits in and out of a session."""

import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import gradio as gr
import numpy as np
from gradio.utils import get_upload_folder

from ui.work.objects.references import kept_pictures
from ui.work.service import StudioService
from ui.work.session import Session, one_at_a_time
from videograin.errors import ProjectError, RegionError, VideoError
from videograin.jobs.edit import edited_by
from videograin.jobs.worker import JobStatus
from videograin.masks.export import save_indexed_pngs, save_npz, save_png_folders
from videograin.masks.load import MASK_FILES, load_objects
from videograin.masks.target import MaskTarget
from videograin.media.encode import OutputFormat
from videograin.media.frame_folder import PICTURES
from videograin.media.playable import make_playable, pack_frames
from videograin.media.video import load_clip
from videograin.models.bundles import find_bundle
from videograin.production.export import expected_bytes, export_edit
from videograin.project import objects
from videograin.project.archive import export_workspace, import_workspace, pack_folder, unpack_archive
from videograin.project.project import Project
from videograin.project.workspace_files import without_misfits


class MaskFormat(StrEnum):
    """Files that masks are exported to."""

    PNG = "PNG pictures, a folder for each object"
    DAVIS = "Indexed PNGs, as DAVIS has them"
    NPZ = "NumPy arrays (NPZ)"


COPIES = 2
"""Of what is packed into a ZIP: the files are gathered in a folder first."""

OTHER_MODEL = "This project's model, '{}', is not offered here; '{}' takes its place, with the settings that suit it."
"""What is said of a project's model."""

RESULTS_STAY = (
    "What was made of it before stays in the project's file, as MP4s; the page shows what is made from now on."
)
"""What is said of a project with results: the file has too little of an edit to show it as one of the page's own."""


@one_at_a_time
def import_masks(session: Session, file: Path) -> str:
    """Add the objects that a file holds to a session's, and return a sentence on what was read.

    The session is not held while files are decoded: its user may go on to click.

    Raises:
        VideoGrainError: they cannot be read or do not fit the clip, or another clip was opened meanwhile.
    """
    clip = session.opened_clip
    target = MaskTarget.of(clip, session.opened_work.clip_options)
    with TemporaryDirectory(prefix="videograin-") as folder:
        source = file
        if file.suffix.lower() == ".zip":
            source = Path(folder, file.stem)
            unpack_archive(file, source, MASK_FILES)
        found = load_objects(source, target)
    with session.lock:
        if session.opened_clip is not clip:
            raise RegionError("Another clip was opened while these masks were read. Import them again for this one.")
        session.change(objects.add_masks(session.opened_work, found.masks))
    return found.note


def as_video(studio: StudioService, file: Path) -> str:
    """Write a clip that browsers do not play as an MP4 and return its path in the cache.

    Raises:
        VideoError: it cannot be read, or is beyond a limit of this studio.
        ProjectError: it is a ZIP that cannot be unpacked.
    """
    with TemporaryDirectory(prefix="videograin-") as scratch:
        source = as_one_file(studio, file, Path(scratch))
        studio.check_video(source)
        path = _new_file(Path(get_upload_folder()), f"{file.stem}.mp4")
        make_playable(source, path)
    return str(path)


def as_one_file(studio: StudioService, clip: Path, scratch: Path) -> Path:
    """Return a clip as a video file; pictures, in a ZIP or a folder, are packed without loss.

    Args:
        studio: whose limits apply.
        clip: a video, a ZIP of pictures, or a folder of them.
        scratch: folder for the video, and for what is unpacked.

    Raises:
        VideoError: there are no pictures, one cannot be read, or a limit is met.
        ProjectError: the ZIP cannot be unpacked.
    """
    folder = clip
    if clip.suffix.lower() == ".zip" and clip.is_file():
        unpack_archive(clip, scratch / "unpacked", PICTURES)
        [folder, *others] = sorted({each.parent for each in (scratch / "unpacked").rglob("*.*")}) or [
            scratch / "unpacked"
        ]
        if others:
            raise VideoError(f"'{clip.name}' holds {len(others) + 1} folders of pictures. Pack those of one clip.")
    if not folder.is_dir():
        return clip
    studio.check_video(folder)
    target = scratch / f"{clip.stem}.mkv"
    pack_frames(folder, target)
    return target


@one_at_a_time
def export_masks(studio: StudioService, session: Session, kind: MaskFormat) -> str:
    """Write a session's masks to a file and return its path in the cache.

    Raises:
        RegionError: no object is marked.
        ProjectError: there is no room on the disk.
    """
    work, clip = session.opened_work, session.opened_clip
    named = work.named_masks(clip)
    if not named:
        raise RegionError("Nothing is marked yet, so there are no masks to export.")
    studio.room.check(COPIES * _packed_bytes(named.values()))
    if kind is MaskFormat.NPZ:
        path = _new_export(session, "masks.npz")
        save_npz(path, named)
        return str(path)
    path = _new_export(session, "masks.zip")
    with TemporaryDirectory(prefix="videograin-") as folder:
        (save_png_folders if kind is MaskFormat.PNG else save_indexed_pngs)(Path(folder, "masks"), named)
        pack_folder(Path(folder, "masks"), path)
    return str(path)


@one_at_a_time
def export_project(studio: StudioService, session: Session) -> str:
    """Write a session's whole work, with its clip and results, to a ZIP file and return its path in the cache.

    Raises:
        VideoError: the clip is missing.
        ProjectError: there is no room on the disk.
    """
    work = replace(session.opened_work, results=studio.saved_results(session))
    files = [work.clip, *(each.video for each in work.results), *(each.file for each in work.adapters if each.file)]
    size = sum(file.stat().st_size for file in files if file.is_file())
    studio.room.check(COPIES * (size + _packed_bytes(each.masks for each in work.masks.values())))
    path = _new_export(session, "project.zip")
    export_workspace(work, path)
    return str(path)


@one_at_a_time
def export_result(studio: StudioService, session: Session, result: JobStatus, output_format: OutputFormat) -> str:
    """Write a finished edit in another format than its MP4 and return its path in the cache.

    Raises:
        VideoGrainError: the edit, its clip or its masks cannot be read, or there is no room on the disk.
    """
    video = result.results / result.result.video
    studio.room.check(expected_bytes(video, output_format))
    path = _new_export(session, f"edit{output_format.suffix}")
    inputs = edited_by(result.job.kind, studio.store.request(result.job, Project))
    export_edit(inputs, video, path, output_format)
    return str(path)


@one_at_a_time
def open_project(studio: StudioService, session: Session, file: Path) -> tuple[str, ...]:
    """Go on with the work that a ZIP file holds; what the session held before is gone.

    Returns:
        What could not be read or is not shown of it, in plain words.

    Raises:
        VideoGrainError: the file cannot be read, or is beyond a limit of this studio.
    """
    with TemporaryDirectory(prefix="videograin-") as folder:
        loaded = import_workspace(file, Path(folder, "project"), studio.check_clip)
        work = loaded.workspace
        kept = studio.store.keep(session.id, as_one_file(studio, work.clip, Path(folder)))
        adapters = tuple(
            replace(each, file=studio.store.keep(session.id, each.file)) if each.file else each
            for each in work.adapters
            if each.file is None or each.file.is_file()
        )
        work = kept_pictures(studio.store, session.id, work)
    clip = load_clip(kept, work.clip_options)
    loaded = without_misfits(replace(loaded, workspace=work), len(clip.frames))
    work = replace(loaded.workspace, clip=kept, adapters=adapters, results=(), output=None)
    work = objects.with_colours(studio.with_offered_model(work))
    with session.lock:
        session.open(work, clip)
    former, model = (find_bundle(each.model) for each in (loaded.workspace, work))
    other = [OTHER_MODEL.format(former.title, model.title)] if model.name != former.name else []
    return (*loaded.problems, *other, *([RESULTS_STAY] if loaded.workspace.results else []))


def use_again(studio: StudioService, session: Session, job_id: str) -> None:
    """Put the words, settings and model of an earlier edit into the session's work.

    A model that is no longer offered here is left out.

    Raises:
        JobError: the session has no such job.
    """
    edit = studio.worker.request(job_id, session.id)
    with session.lock:
        work = session.opened_work
        model = edit.model if edit.model in studio.settings.models else work.model
        session.set_words(replace(objects.with_words_of_edit(work, edit), model=model))


def uploaded(file: gr.FileData) -> Path:
    """Return where an uploaded file is.

    Raises:
        ProjectError: it was not uploaded here.
    """
    stated = file.get("path") if isinstance(file, dict) else getattr(file, "path", None)
    folder = Path(get_upload_folder()).resolve()
    with suppress(OSError, ValueError):  # a name too long, or one with a NUL
        path = Path(str(stated)).resolve()
        if stated and path.is_relative_to(folder) and path.is_file():
            return path
    raise ProjectError("This file was not uploaded to the studio. Upload it, with handle_file() of gradio_client.")


def _packed_bytes(masks: Iterable[np.ndarray]) -> int:
    """Return how many bytes masks (F, H, W) bool take at most in a file that compresses them: a bit a pixel."""
    return sum(each.size for each in masks) // 8


def _new_export(session: Session, name: str) -> Path:
    """Return a path in the cache that cannot be guessed, in place of the session's previous file of this name."""
    own = Path(get_upload_folder(), sha256(f"exports of {session.id}".encode()).hexdigest())
    for earlier in own.glob(f"*/{name}"):
        shutil.rmtree(earlier.parent, ignore_errors=True)
    return _new_file(own, name)  # a new address, or browsers would show what they have of the old one


def _new_file(root: Path, name: str) -> Path:
    """Return a path in a folder that cannot be guessed."""
    folder = root / secrets.token_hex(32)
    folder.mkdir(parents=True)
    return folder / name
