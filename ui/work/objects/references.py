"""Pictures that objects are drawn after: kept for a session, changed and removed."""

from dataclasses import replace
from pathlib import Path

from ui.work.session import Session
from videograin.errors import RegionError
from videograin.jobs.store import JobStore
from videograin.models.catalog import check_references
from videograin.project import objects
from videograin.project.references import ReferenceFile, read_picture
from videograin.project.workspace import MarkedObject, Workspace
from videograin.reference import USUAL_REFERENCE_WEIGHT


def give_picture(
    store: JobStore, session: Session, number: int, file: Path, weight: float = USUAL_REFERENCE_WEIGHT
) -> None:
    """Have an object drawn after a picture, in place of one before it.

    Args:
        store: keeps the picture for the session.
        session: whose object it is.
        number: of the object.
        file: PNG, JPEG or WebP, as it was uploaded.
        weight: how much it counts beside the words, 0 to 2.

    Raises:
        RegionError: there is no such object, or the file is no picture that can be taken.
        ModelError: the model draws by words alone.
    """
    with session.lock:
        work = session.opened_work
        objects.find_object(work, number)
        check_references(work.model, has_references=True)
        read_picture(file)
        _set(session, number, ReferenceFile(store.keep(session.id, file), weight))


def weigh_picture(session: Session, number: int, weight: float) -> None:
    """Say how much an object's picture counts, 0 to 2.

    Raises:
        RegionError: there is no such object, it has no picture, or the weight is out of range.
    """
    with session.lock:
        each = objects.find_object(session.opened_work, number)
        if each.reference is None:
            raise RegionError(f"{each.title} has no picture. Give it one first.")
        _set(session, number, replace(each.reference, weight=weight))


def remove_picture(session: Session, number: int) -> None:
    """Have an object drawn by its words alone.

    Raises:
        RegionError: there is no such object.
    """
    with session.lock:
        objects.find_object(session.opened_work, number)
        _set(session, number, None)


def kept_pictures(store: JobStore, session_id: str, work: Workspace) -> Workspace:
    """Return a work whose pictures are kept for a session; those whose files are gone are left out."""

    def kept(each: MarkedObject) -> MarkedObject:
        picture = each.reference
        if picture is None or not picture.file.is_file():
            return replace(each, reference=None)
        return replace(each, reference=replace(picture, file=store.keep(session_id, picture.file)))

    return replace(work, objects=tuple(map(kept, work.objects)))


def _set(session: Session, number: int, reference: ReferenceFile | None) -> None:
    work = objects.change_object(session.opened_work, number, lambda each: replace(each, reference=reference))
    session.set_words(work)
