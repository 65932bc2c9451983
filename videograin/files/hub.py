"""Model hubs: a folder, a file or a hub id becomes a path on this machine, fetched once and kept in the hub's cache.

The weights are received by `download.py`, which goes on after a cut; what else belongs to a repository, and the layout
of the cache, which other programs share, are `huggingface_hub`'s.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from queue import Empty, Queue
from threading import RLock, Thread
from typing import TypeVar

from huggingface_hub import HfApi, constants, get_cached_repo_tree, get_token, hf_hub_url, snapshot_download
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name

from videograin.errors import ModelError, VideoGrainError
from videograin.files.download import (
    CONNECT_SECONDS,
    NO_ROOM,
    ByteMeter,
    RemoteFile,
    cannot_write,
    is_whole,
    make_room,
    receive,
    say_no_connection,
    status_words,
)
from videograin.progress import Report, ignore

WEIGHTS_LOCK = RLock()
"""Held while weights are loaded: diffusers and transformers change settings of the whole process meanwhile."""

COMPONENTS = ("scheduler", "text_encoder", "tokenizer", "unet", "vae")
"""The folders of a pipeline that are used; a safety checker, say, is not."""

FP16 = "fp16"
"""The variant of weights in half precision; taken where a repository has no other."""

ADAPTER_SUFFIXES = (".safetensors", ".pt", ".bin")
"""Files that LoRAs and textual inversions come in; of the latter many are pickles of one tensor."""

_NAMED_FILES = (*ADAPTER_SUFFIXES, ".zip")
IMAGE_PROMPT, IMAGE_ENCODER = "models/ip-adapter_sd15.safetensors", "models/image_encoder"
"""Where IP-Adapter's repository has the weights for Stable Diffusion 1.5, and the folder of their image encoder."""

IMAGE_PROMPT_FILES = (IMAGE_PROMPT, f"{IMAGE_ENCODER}/config.json", f"{IMAGE_ENCODER}/model.safetensors")

_SINGLE_FILES = (".safetensors", ".ckpt")
_USUAL_ADAPTER, _USUAL_INVERSION = "pytorch_lora_weights.safetensors", "learned_embeds.bin"
_STEMS = ("diffusion_pytorch_model", "pytorch_model", "model")
_Answer = TypeVar("_Answer")


class Layout(StrEnum):
    """What of a repository is needed: a pipeline, its descriptions alone, a network at its top, one file, IP-Adapter's.

    One file is that which is named, else the only adapter (LoRA, textual inversion) at the top.
    """

    PIPELINE = "pipeline"
    CONFIGS = "configs"
    NETWORK = "network"
    FILE = "file"
    IMAGE_PROMPT = "image prompt"


@dataclass(frozen=True)
class Repository:
    """A repository as its hub lists it.

    Attributes:
        hub_id: owner/name.
        file: the one that is meant; empty for the only adapter.
        sizes: bytes of every file, by its path.
        sha256: of the files that are large, by their paths.
    """

    hub_id: str
    file: str
    sizes: Mapping[str, int]
    sha256: Mapping[str, str]

    def weights(self, layout: Layout) -> list[tuple[RemoteFile, Path]]:
        """Return the large files that a layout needs, each with its place in the hub's cache."""
        blobs = _storage(self.hub_id) / "blobs"
        return [
            (
                RemoteFile(hf_hub_url(self.hub_id, name), self.sha256[name], self.sizes[name], get_token() or ""),
                blobs / self.sha256[name],
            )
            for name in self.needed(layout)
            if name in self.sha256
        ]

    def needed(self, layout: Layout) -> list[str]:
        """Return the files that a layout needs.

        Raises:
            ModelError: it is not clear which adapter is meant.
        """
        if layout is Layout.FILE:
            return [self.file or _only_adapter(self.hub_id, self.sizes)]
        return needed_files(self.sizes, layout)


def user_cache_dir() -> Path:
    """Return the folder for what can be computed again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "videograin"


def inversions_folder(cache_dir: Path | None) -> Path:
    """Return where inversions are kept; None is the user's cache folder."""
    return (cache_dir or user_cache_dir()) / "inversions"


def fetch(source: str, layout: Layout, offline: bool = False, report: Report = ignore) -> Path:
    """Return where a folder, file or hub id lies on this machine, downloading what the local cache lacks.

    Args:
        source: path or hub id; of a single file also owner/name/file.
        layout: which files of it are needed.
        offline: whether to raise instead of downloading.
        report: told the bytes received; may raise `Cancelled`.

    Raises:
        ModelError: it is not there, and cannot be downloaded; without a network within `CONNECT_SECONDS`.
    """
    path = local_path(source)
    if path.exists():
        return path
    if layout is not Layout.FILE and not is_hub_id(source):
        raise ModelError(f"There is no model at '{source}'. Check the path.")
    if folder := find_snapshot(source, layout):
        return folder
    if offline:
        raise ModelError(
            f"Model '{source}' is not in the hub's local cache. Connect to the network, fetch it elsewhere "
            f"(hf download {source}), or give a local folder."
        )
    return _download(list_repository(source), layout, report)


def local_path(source: str) -> Path:
    """Return where a model would lie if its name is a path.

    Raises:
        ModelError: it can be neither a path nor a hub id.
    """
    try:
        path = Path(source).expanduser()
        path.exists()  # complains of a name too long and of one with a NUL
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a home folder of a user whom there is not
        shown = source if len(source) <= 60 else f"{source[:60]}…"
        raise ModelError(f"'{shown}' cannot be a model's name or path ({error}). Choose another one.") from error
    return path


def is_hub_id(source: str) -> bool:
    """Whether `source` can only be a hub id: it is no path that exists, and does not look like one."""
    path = local_path(source)
    return not (path.exists() or path.is_absolute() or path.suffix in _SINGLE_FILES or source.startswith("."))


def find_snapshot(source: str, layout: Layout) -> Path | None:
    """Return the folder of a repository in the hub's local cache, None where a file that is needed is not there.

    Of a single file it is its path.
    """
    hub_id, file = _split(source)
    try:
        # With this one pattern, so that the whole answer comes from the files that are needed, below.
        folder = Path(snapshot_download(hub_id, allow_patterns=["config.json"], local_files_only=True))
    except HFValidationError as error:
        raise ModelError(f"'{hub_id}' is neither a folder, a file nor a hub id such as 'owner/model'.") from error
    except LocalEntryNotFoundError:
        return None
    try:
        names = [each.path for each in get_cached_repo_tree(hub_id)]
    except CachedRepoTreeNotFoundError:  # it was fetched by another program, which did not keep the list
        names = files_in(folder)
    if layout is Layout.FILE:
        with suppress(ModelError):  # several, of which none was named
            adapter = folder / (file or _only_adapter(hub_id, names))
            return adapter if adapter.is_file() else None
        return None
    needed = needed_files(names, layout)
    return folder if needed and all((folder / name).is_file() for name in needed) else None


def list_repository(source: str) -> Repository:
    """Ask the hub for a repository's files.

    Raises:
        ModelError: there is none of that name, it is not for everyone, or the hub does not answer in `CONNECT_SECONDS`.
    """
    hub_id, file = _split(source)
    with _explaining(hub_id):
        info = _within(
            CONNECT_SECONDS, lambda: HfApi().model_info(hub_id, files_metadata=True, timeout=CONNECT_SECONDS)
        )
    files = info.siblings or []
    sizes = {each.rfilename: each.size or 0 for each in files}
    if file and file not in sizes:
        raise ModelError(f"'{hub_id}' has no file '{file}'. Its files: {', '.join(sorted(sizes))}.")
    sha256 = {each.rfilename: each.lfs.sha256 for each in files if each.lfs}
    return Repository(hub_id=hub_id, file=file, sizes=sizes, sha256=sha256)


def needed_files(names: Iterable[str], layout: Layout) -> list[str]:
    """Return which files of a repository a layout needs: its descriptions, and of each network one set of weights."""
    if layout is Layout.IMAGE_PROMPT:
        return [name for name in names if name in IMAGE_PROMPT_FILES]
    folders: dict[str, list[str]] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        folders.setdefault(folder, []).append(file)
    wanted = [""] if layout is Layout.NETWORK else ["", *COMPONENTS]
    needed = []
    for folder in wanted:
        files = folders.get(folder, [])
        has_weights = layout is Layout.NETWORK or (layout is Layout.PIPELINE and folder)
        chosen = [*filter(_is_description, files), *(weights_in(files) if has_weights else [])]
        needed += [f"{folder}/{file}" if folder else file for file in chosen]
    return needed


def weights_in(files: Iterable[str]) -> list[str]:
    """Return the one set of weights that is to be used of a network's files: safetensors, in full precision if it can.

    Tensors in a pickle come last; they are loaded with `weights_only`.
    """
    files = [*files]
    for suffix in (".safetensors", ".bin"):
        for variant in ("", FP16):
            if chosen := [file for file in files if _is_of(file, suffix, variant)]:
                return chosen
    return []


def files_in(folder: Path) -> list[str]:
    """Return the files of a folder and of the folders in it, by their paths from there."""
    return sorted(file.relative_to(folder).as_posix() for file in [*folder.glob("*.*"), *folder.glob("*/*.*")])


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, without its full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")


def _download(repository: Repository, layout: Layout, report: Report) -> Path:
    weights = repository.weights(layout)
    missing = [(source, target) for source, target in weights if not is_whole(target, source)]
    size = sum(source.size for source, _ in missing)
    make_room(missing, Path(constants.HF_HUB_CACHE))
    meter = ByteMeter(size, report)
    for source, target in missing:
        receive(source, target, meter)
    with _explaining(repository.hub_id):
        folder = Path(snapshot_download(repository.hub_id, allow_patterns=repository.needed(layout)))
    return folder / repository.needed(layout)[0] if layout is Layout.FILE else folder


def _split(source: str) -> tuple[str, str]:
    """Return the repository and, where an adapter is named, its file."""
    owner, name, *rest = [*source.split("/"), ""]
    if not source.endswith(_NAMED_FILES) or len(rest) < 2:
        return source, ""
    if ".." in rest:
        raise ModelError(f"'{source}' leads out of its repository. Give owner/name/file.safetensors.")
    return f"{owner}/{name}", "/".join(filter(None, rest))


def _only_adapter(hub_id: str, names: Iterable[str]) -> str:
    top = [name for name in names if "/" not in name]
    found = [name for name in top if name.endswith(".safetensors")]
    if not found and _USUAL_INVERSION in top:
        found = [_USUAL_INVERSION]
    if len(found) > 1 and _USUAL_ADAPTER in found:
        found = [_USUAL_ADAPTER]
    if len(found) != 1:
        listed = ", ".join(found or filter(lambda name: name.endswith(ADAPTER_SUFFIXES), top)) or "none"
        raise ModelError(f"Name one file of '{hub_id}', as '{hub_id}/file.safetensors'. It has: {listed}.")
    return found[0]


def _is_description(file: str) -> bool:
    return file.endswith((".json", ".txt")) and ".index." not in file


def _is_of(file: str, suffix: str, variant: str) -> bool:
    """Return whether a file belongs to a set of weights; names are such as model.fp16-00001-of-00002.safetensors."""
    stem, _, rest = file.partition(".")
    is_index = file.endswith(".json") and f"{suffix}.index" in file
    if not (file.endswith(suffix) or is_index) or stem.split("-")[0] not in _STEMS:
        return False
    return (FP16 if rest.startswith(FP16) or f".{FP16}." in file else "") == variant and ".non_ema" not in file


def _storage(hub_id: str) -> Path:
    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=hub_id, repo_type="model")


def _within(seconds: float, question: Callable[[], _Answer]) -> _Answer:
    """Return what a function returns or raise what it raises; TimeoutError where it takes longer than `seconds`.

    The time that a name server takes knows no other limit.
    """
    answers: Queue[tuple[_Answer, None] | tuple[None, Exception]] = Queue()

    def ask() -> None:
        try:
            answers.put((question(), None))
        except Exception as error:
            answers.put((None, error))

    Thread(target=ask, daemon=True).start()
    try:
        answer, error = answers.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return answer  # type: ignore[return-value]


@contextmanager
def _explaining(hub_id: str) -> Iterator[None]:
    """Turn the errors of the hub's library into one that says what to do."""
    try:
        yield
    except VideoGrainError:
        raise
    except HFValidationError as error:
        raise ModelError(f"'{hub_id}' is neither a folder, a file nor a hub id such as 'owner/model'.") from error
    except HfHubHTTPError as error:
        code = error.response.status_code
        if isinstance(error, RepositoryNotFoundError):  # the hub answers 401 for what is not there
            code = 403 if isinstance(error, GatedRepoError) else 404
        raise ModelError(f"Model '{hub_id}' cannot be downloaded: {status_words(code)}") from error
    except (OSError, HTTPError) as error:
        if getattr(error, "errno", None) in NO_ROOM:
            raise ModelError(f"The disk of '{constants.HF_HUB_CACHE}' is full. Make room.") from error
        if isinstance(error, OSError) and error.filename is not None:
            raise cannot_write(Path(error.filename), error) from error
        raise say_no_connection(error) from error
