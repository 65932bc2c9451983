"""JSON files of dataclasses, read with every name and type checked: strictly, or keeping all that can be read."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from videograin.errors import ProjectError, VideoGrainError

NOT_IN_FILE = {"in_file": False}
"""Metadata of a dataclass field that is not written to files."""

MAX_BYTES = 16 * 2**20
"""Of a file: 62 objects with some thousand clicks each take a tenth of it."""

_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}


def parse_document(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        ProjectError: it is missing, damaged, too large, or holds no JSON object.
    """
    try:
        size = path.stat().st_size
        document = None if size > MAX_BYTES else json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ProjectError(
            f"Project '{path}' cannot be opened ({error.strerror}). Check its name and folder."
        ) from error
    except json.JSONDecodeError as error:
        raise ProjectError(
            f"'{path.name}' is damaged at line {error.lineno}, column {error.colno}: {error.msg}. Mend it there."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ProjectError(f"'{path.name}' is no project file: it is not JSON in UTF-8.") from error
    if size > MAX_BYTES:
        raise ProjectError(f"'{path.name}' has {size >> 20} MiB; a project file has at most {MAX_BYTES >> 20}.")
    if not isinstance(document, dict):
        raise ProjectError(f"'{path.name}' is no project file: it holds no JSON object.")
    return document


def format_document(version: int, values: Mapping[str, Any]) -> bytes:
    """Return the content of a file of a version, with plain values as `to_plain` returns them."""
    return (json.dumps({"version": version} | dict(values), indent=2, ensure_ascii=False) + "\n").encode()


def to_plain(value: Any, folder: Path) -> Any:
    """Turn dataclasses into values that JSON can hold, with paths relative to a folder."""
    if is_dataclass(value):
        return {part.name: to_plain(getattr(value, part.name), folder) for part in fields(value) if _is_in_file(part)}
    if isinstance(value, tuple):
        return [to_plain(item, folder) for item in value]
    return Path(os.path.relpath(value, folder)).as_posix() if isinstance(value, Path) else value


class DocumentReader:
    """Turns plain JSON values into dataclasses, checking names and types.

    Args:
        path: the file that the values are from; relative paths start from its folder.
        trusted: whether paths may lead out of that folder.
        problems: list to which every invalid value is noted, which then keeps its default or is left out; None raises.
    """

    def __init__(self, path: Path, trusted: bool = True, problems: list[str] | None = None) -> None:
        self.name = path.name
        self.folder = path.absolute().parent
        self.trusted = trusted
        self.problems = problems

    def read(self, kind: Any, value: Any, where: str) -> Any:
        """Return `value` as a `kind`.

        Args:
            kind: dataclass, enum, tuple, optional, literal or scalar type.
            value: as JSON gives it.
            where: its place in the file, for messages.

        Raises:
            ProjectError: the value is of another type, and no part of it can be kept.
            VideoGrainError: a dataclass refuses the value, and no part of it can be kept.
        """
        options = get_args(kind)
        if NoneType in options:
            return None if value is None else self.read(options[0], value, where)
        if get_origin(kind) is tuple:
            return self._tuple(options[0], value, where)
        if get_origin(kind) is Literal:
            return self._choice(options, value, where)
        if is_dataclass(kind):
            return self._object(kind, value, where)
        if issubclass(kind, StrEnum):
            return kind(self._choice(tuple(kind), value, where))
        return self._scalar(kind, value, where)

    def _tuple(self, kind: Any, value: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise self._error(where, f"is {value!r}; give a list.")
        items = []
        for index, item in enumerate(value):
            try:
                items.append(self.read(kind, item, f"{where}[{index}]"))
            except VideoGrainError as error:
                self._note(error)
        return tuple(items)

    def _object(self, kind: Any, value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise self._error(where, f"is {value!r}; give an object.")
        parts = {part.name: part for part in fields(kind) if _is_in_file(part)}
        required = [name for name, part in parts.items() if _is_required(part)]
        for name in required:
            if name not in value:
                near = get_close_matches(name, value.keys() - parts.keys(), n=1)
                hint = f" Is '{near[0]}' meant? It is unknown." if near else ""
                raise self._error(_join(where, name), f"is missing.{hint}")
        values = self._values(kind, parts, value, where)
        try:
            return kind(**values)
        except VideoGrainError as error:
            self._note(error)
        made = kind(**{name: values.pop(name) for name in required})
        for name, item in values.items():
            with suppress(VideoGrainError):
                made = replace(made, **{name: item})
        return made

    def _values(self, kind: Any, parts: Mapping[str, Field[Any]], value: dict[str, Any], where: str) -> dict[str, Any]:
        """Return the values of an object's fields; those without a default must be readable."""
        hints = get_type_hints(kind)
        values = {}
        for name, item in value.items():
            try:
                if name not in parts:
                    raise self._error(_join(where, name), f"is unknown. {_suggestion(name, parts)}")
                values[name] = self.read(hints[name], item, _join(where, name))
            except VideoGrainError as error:
                if name in parts and _is_required(parts[name]):
                    raise
                self._note(error)
        return values

    def _scalar(self, kind: type, value: Any, where: str) -> Any:
        expected = {Path: str, float: (int, float)}.get(kind, kind)
        if not isinstance(value, expected) or (isinstance(value, bool) and kind is not bool):
            raise self._error(where, f"is {value!r}; give {_NAMES[kind]}.")
        if kind is Path:
            return self._path(str(value), where)
        try:
            str(value).encode()
            return kind(value)
        except (OverflowError, UnicodeEncodeError) as error:
            raise self._error(where, f"cannot be used ({error}); give {_NAMES[kind]}.") from error

    def _path(self, value: str, where: str) -> Path:
        path = Path(os.path.normpath(self.folder / value))
        try:
            value.encode()
            allowed = self.trusted or path.resolve().is_relative_to(self.folder.resolve())
            if allowed:
                path.exists()  # complains of a name too long and of a folder that may not be entered
        except (OSError, ValueError) as error:
            raise self._error(where, f"is {value!r}, which cannot be opened ({error}); give {_NAMES[Path]}.") from error
        if not allowed:
            raise self._error(where, f"is '{value}', outside of its folder; a project from elsewhere may not go there.")
        return path

    def _choice(self, choices: tuple[str, ...], value: Any, where: str) -> str:
        if value not in choices:
            raise self._error(where, f"is {value!r}; choose one of: {', '.join(choices)}.")
        return value

    def _note(self, error: VideoGrainError) -> None:
        if self.problems is None:
            raise error
        self.problems.append(str(error))

    def _error(self, where: str, problem: str) -> ProjectError:
        return ProjectError(f"'{self.name}': {where or 'the project'} {problem}")


def _is_in_file(part: Field[Any]) -> bool:
    return part.metadata.get("in_file", True)


def _is_required(part: Field[Any]) -> bool:
    return part.default is part.default_factory is MISSING


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _suggestion(name: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"Did you mean '{near[0]}'?" if near else f"Known are: {', '.join(known)}."
