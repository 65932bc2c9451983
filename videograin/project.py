"""A person's work as one JSON file: clip, regions, words, model and settings, by paths relative to the file."""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch

from videograin.control import ControlKind, control_images
from videograin.errors import ProjectError
from videograin.masks import MaskSource, fit_masks, load_masks
from videograin.models import DEFAULT_MODEL, find_bundle
from videograin.region import EditRequest, EditSettings, Region
from videograin.video import Clip, ClipOptions, load_clip

VERSION = 1
"""Of the file's layout; a reader refuses those that it does not know."""

_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}


@dataclass(frozen=True)
class ProjectRegion:
    """A region as the file names it; the attributes are those of `Region`, its masks still in their files."""

    masks: MaskSource
    prompt: str = ""
    name: str = ""
    strength: float = 1.0


@dataclass(frozen=True)
class Project:
    """Everything that an edit follows from.

    Attributes:
        clip: the video.
        regions: what changes into what.
        source_prompt: what the clip shows now.
        model: name of a bundle, folder, file or hub id.
        clip_options: which part of the video, and its size.
        target_prompt: the whole target prompt; empty composes it.
        background: phrase for the rest of the picture.
        negative_prompt: what to avoid.
        controls: ControlNets that hold the edit to the source.
        settings: how to denoise.
        output: the MP4 to write; None is the project's name.
    """

    clip: Path
    regions: tuple[ProjectRegion, ...]
    source_prompt: str
    model: str = DEFAULT_MODEL
    clip_options: ClipOptions = field(default_factory=ClipOptions)
    target_prompt: str = ""
    background: str = ""
    negative_prompt: str = ""
    controls: tuple[ControlKind, ...] = ()
    settings: EditSettings = field(default_factory=EditSettings)
    output: Path | None = None


def load_project(path: str | os.PathLike[str], model: str | None = None) -> Project:
    """Read a project file; settings and clip options that it leaves out are those of its model's bundle.

    Args:
        path: the file.
        model: takes the place of the file's model.

    Raises:
        ProjectError: the file is missing, damaged, of an unknown version, or has a key or value that does not belong.
        SettingsError: a value outside its range.
    """
    path = Path(path)
    document = _parse(path)
    version = document.pop("version", None)
    if version != VERSION:
        raise ProjectError(f"'{path.name}' has version {version!r}; this program reads version {VERSION}.")
    document["model"] = _locate_model(model or document.get("model", DEFAULT_MODEL), path)
    bundle = find_bundle(document["model"])
    options = ClipOptions(short_side=bundle.short_side, multiple=bundle.multiple)
    for name, defaults in (("settings", bundle.settings), ("clip_options", options)):
        if isinstance(given := document.get(name, {}), dict):
            document[name] = asdict(defaults) | given
    return _Reader(path).read(Project, document, "")


def save_project(project: Project, path: str | os.PathLike[str]) -> None:
    """Write a project file, whole or not at all."""
    path = Path(path)
    document = {"version": VERSION} | _plain(project, path.absolute().parent)
    write_whole(path, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())


def load_request(project: Project, device: torch.device | str = "cpu") -> tuple[EditRequest, Clip]:
    """Read the clip and the masks of a project, and make its control images on a device."""
    clip = load_clip(project.clip, project.clip_options)
    regions = [_load_region(region, clip, project.clip_options) for region in project.regions]
    request = EditRequest(
        frames=clip.frames,
        regions=regions,
        source_prompt=project.source_prompt,
        target_prompt=project.target_prompt,
        background=project.background,
        negative_prompt=project.negative_prompt,
        control_images=[control_images(clip.frames, kind, device=device) for kind in project.controls],
        settings=project.settings,
    )
    return request, clip


def write_whole(path: Path, content: bytes) -> None:
    """Write a file aside and rename it, so that nobody ever finds half of it."""
    aside = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    except OSError as error:
        raise ProjectError(f"'{path}' cannot be written ({error.strerror}). Choose another place.") from error
    finally:
        aside.unlink(missing_ok=True)


def _load_region(region: ProjectRegion, clip: Clip, options: ClipOptions) -> Region:
    masks = fit_masks(load_masks(region.masks), clip, options, region.name or region.prompt)
    return Region(masks, region.prompt, region.name, region.strength)


def _parse(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProjectError(
            f"Project '{path}' cannot be opened ({error.strerror}). Check its name and folder."
        ) from error
    except json.JSONDecodeError as error:
        raise ProjectError(
            f"'{path.name}' is damaged at line {error.lineno}, column {error.colno}: {error.msg}. Mend it there."
        ) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise ProjectError(f"'{path.name}' is no project file: it is not JSON in UTF-8.") from error
    if not isinstance(document, dict):
        raise ProjectError(f"'{path.name}' is no project file: it holds no JSON object.")
    return document


def _locate_model(model: object, project: Path) -> str:
    """Return a model's name, or its path where there is such a folder or file beside the project."""
    if not isinstance(model, str):
        raise ProjectError(f"'{project.name}': model is {model!r}; give a text.")
    beside = project.absolute().parent / model
    return os.path.normpath(beside) if beside.exists() else model


class _Reader:
    """Turns plain JSON values into the dataclasses of a project, checking names and types.

    Args:
        path: the project file, which relative paths start from.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.folder = path.absolute().parent

    def read(self, kind: Any, value: Any, where: str) -> Any:
        """Return `value` as a `kind`; `where` it stands in the file is for messages."""
        options = get_args(kind)
        if NoneType in options:
            return None if value is None else self.read(options[0], value, where)
        if get_origin(kind) is tuple:
            return tuple(
                self.read(options[0], item, f"{where}[{i}]") for i, item in enumerate(self._list(value, where))
            )
        if get_origin(kind) is Literal:
            return self._choice(options, value, where)
        if is_dataclass(kind):
            return self._object(kind, value, where)
        if issubclass(kind, StrEnum):
            return kind(self._choice(tuple(kind), value, where))
        return self._scalar(kind, value, where)

    def _object(self, kind: Any, value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise self._error(where, f"is {value!r}; give an object.")
        hints = get_type_hints(kind)
        for name in value:
            if name not in hints:
                raise self._error(_join(where, name), f"is unknown. {_suggestion(name, hints)}")
        for required in fields(kind):
            if required.default is required.default_factory is MISSING and required.name not in value:
                raise self._error(_join(where, required.name), "is missing.")
        return kind(**{name: self.read(hints[name], item, _join(where, name)) for name, item in value.items()})

    def _scalar(self, kind: type, value: Any, where: str) -> Any:
        expected = {Path: str, float: (int, float)}.get(kind, kind)
        if not isinstance(value, expected) or (isinstance(value, bool) and kind is not bool):
            raise self._error(where, f"is {value!r}; give {_NAMES[kind]}.")
        return Path(os.path.normpath(self.folder / str(value))) if kind is Path else kind(value)

    def _choice(self, choices: tuple[str, ...], value: Any, where: str) -> str:
        if value not in choices:
            raise self._error(where, f"is {value!r}; choose one of: {', '.join(choices)}.")
        return value

    def _list(self, value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise self._error(where, f"is {value!r}; give a list.")
        return value

    def _error(self, where: str, problem: str) -> ProjectError:
        return ProjectError(f"'{self.name}': {where or 'the project'} {problem}")


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _suggestion(name: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"Did you mean '{near[0]}'?" if near else f"Known are: {', '.join(known)}."


def _plain(value: Any, folder: Path) -> Any:
    """Turn a project into what JSON can say, with paths relative to a folder."""
    if is_dataclass(value):
        return {part.name: _plain(getattr(value, part.name), folder) for part in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item, folder) for item in value]
    return Path(os.path.relpath(value, folder)).as_posix() if isinstance(value, Path) else value
