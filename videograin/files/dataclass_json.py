"""Dataclasses of plain values (texts, numbers, enums, paths, tuples and dataclasses of these) as JSON and back.

This is what machines write for machines; a file that people write is read by `project.py`, which helps them mend it.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

Plain = TypeVar("Plain")


def to_json(value: object) -> bytes:
    """Return a value as JSON; equal values give equal bytes."""
    return _adapter(type(value)).dump_json(value)


def from_json(content: bytes, kind: type[Plain]) -> Plain:
    """Return what `to_json` made of a value of the type `kind`; ValueError if it is anything else."""
    return _adapter(kind).validate_json(content)


def leaves(value: object) -> Iterator[object]:
    """Yield the values of which a dataclass consists, however deep they are."""
    if is_dataclass(value):
        for field in fields(value):
            yield from leaves(getattr(value, field.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def paths_in(value: object) -> list[Path]:
    """Return the files that a value names."""
    return [leaf for leaf in leaves(value) if isinstance(leaf, Path)]


def texts_in(value: object) -> list[str]:
    """Return the texts that a value holds, choices from an enum aside."""
    return [leaf for leaf in leaves(value) if type(leaf) is str]


@lru_cache
def _adapter(kind: type[Plain]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
