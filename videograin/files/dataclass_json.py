"""Dataclasses of plain values (texts, numbers, enums, paths, tuples and dataclasses of these) as JSON and back.

These files are written and read by programs alone; files that users edit are read by `document.py`, whose errors
say where to mend them.
"""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

Plain = TypeVar("Plain")


def to_json(value: object) -> bytes:
    """Return a value as JSON; equal values give equal bytes."""
    return _adapter(type(value)).dump_json(value)


def from_json(content: bytes, kind: type[Plain]) -> Plain:
    """Return the value of type `kind` that `to_json` wrote; raise ValueError if the content is anything else."""
    return _adapter(kind).validate_json(content)


def leaves(value: object) -> Iterator[object]:
    """Yield the plain values of a dataclass, however deeply they are nested."""
    if is_dataclass(value):
        for field in fields(value):
            yield from leaves(getattr(value, field.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def paths_in(value: object) -> list[Path]:
    """Return the paths in a value."""
    return [leaf for leaf in leaves(value) if isinstance(leaf, Path)]


def with_paths(value: Any, change: Callable[[Path], Path]) -> Any:
    """Return a value with other paths in the place of its own."""
    if is_dataclass(value) and not isinstance(value, type):
        changed = {field.name: with_paths(getattr(value, field.name), change) for field in fields(value) if field.init}
        return replace(value, **changed)
    if isinstance(value, tuple):
        return tuple(with_paths(item, change) for item in value)
    return change(value) if isinstance(value, Path) else value


def texts_in(value: object) -> list[str]:
    """Return the texts in a value, except members of an enum."""
    return [leaf for leaf in leaves(value) if type(leaf) is str]


@lru_cache
def _adapter(kind: type[Plain]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
