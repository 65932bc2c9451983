"""Downloading a model, a ControlNet or a segmenter as a job: asked for by a user, who has seen its size."""

from dataclasses import dataclass

from videograin.controls import ControlKind, check_packages
from videograin.errors import ModelError
from videograin.jobs.context import Handler, JobContext
from videograin.jobs.limits import check_model
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import JobKind
from videograin.models.catalog import CatalogEntry, Purpose, find_entry, size_words
from videograin.project.needs import missing_entries
from videograin.project.project import EditInputs

OFFLINE = "This studio is kept off the network. The embedded model works without one."


@dataclass(frozen=True)
class DownloadRequest:
    """What to download.

    Attributes:
        name: as the catalog has it.
        asked_at: seconds since 1970; what was downloaded once may have been removed since, and is no reason not to
            download it again.
    """

    name: str
    asked_at: float = 0.0


@dataclass(frozen=True)
class DownloadReceipt:
    """What was downloaded.

    Attributes:
        name: as the catalog has it.
        size: bytes that were received; 0 where all of it was here already.
    """

    name: str
    size: int


def download_handlers(settings: OperatorSettings) -> dict[JobKind, Handler[DownloadRequest, DownloadReceipt]]:
    """Return what the worker needs to know about downloads."""

    def admit(request: DownloadRequest) -> None:
        entry = find_entry(request.name)
        check_offered(entry, settings)
        if entry.purpose is Purpose.CONTROL:
            check_packages([ControlKind(entry.name.rpartition("+")[2])])
        if settings.offline:
            raise ModelError(OFFLINE)
        if entry.purpose is Purpose.ADAPT and entry.missing_bytes() > settings.max_upload_mb * 1e6:
            raise ModelError(
                f"{entry.title} has {size_words(entry.missing_bytes())}; at most {settings.max_upload_mb} MB are "
                "allowed here. Choose a smaller one."
            )

    def run(request: DownloadRequest, context: JobContext) -> DownloadReceipt:
        return DownloadReceipt(request.name, find_entry(request.name).download(context.report))

    return {JobKind.DOWNLOAD: Handler(DownloadRequest, DownloadReceipt, run, admit)}


def check_offered(entry: CatalogEntry, settings: OperatorSettings) -> None:
    """Raise ModelError where the operator does not offer what an entry is for."""
    if entry.purpose in (Purpose.EDIT, Purpose.CONTROL):
        check_model(entry.name.rpartition("+")[0] if entry.purpose is Purpose.CONTROL else entry.name, settings)


def check_installed(inputs: EditInputs, *, offline: bool = False) -> None:
    """Raise ModelError where an edit's model, or what it uses besides, is not on this machine or does not fit.

    Args:
        inputs: the edit.
        offline: whether the studio is kept off the network.
    """
    for entry in missing_entries(inputs):
        check_here(entry, entry.title, entry.instead, offline=offline)


def check_here(entry: CatalogEntry, subject: str, instead: str, *, offline: bool) -> None:
    """Raise ModelError where an entry of the catalog is not on this machine, and say what to do.

    Args:
        entry: what is needed.
        subject: of the sentence that tells: its title, or what is done by it, "A filmed clip is described by BLIP,
            which".
        instead: what to do without it, as the end of a sentence.
        offline: whether the studio is kept off the network, and so promises no download.
    """
    if entry.is_installed:
        return
    if offline:
        raise ModelError(f"{subject} is not on this machine, and this studio is kept off the network; {instead}.")
    raise ModelError(
        f"{subject} is not on this machine yet. Press 'Download' first: it takes {size_words(entry.size)}. Or "
        f"{instead}."
    )
