"""Arguments that programs pass, checked against what a function says it takes before it is called."""

from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from inspect import Parameter, signature
from typing import Any, ParamSpec, TypeVar, get_type_hints

import gradio as gr
from pydantic import ConfigDict, TypeAdapter, ValidationError

from videograin.errors import SettingsError

MAX_TEXT = 10_000
"""Characters of one text: a model reads 77 tokens of a prompt, a few hundred characters."""

_SHOWN = 60  # characters of a wrong value in a message
_ONLY_FINITE = ConfigDict(allow_inf_nan=False)

Member = TypeVar("Member", bound=StrEnum)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def checked(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Have a function refuse arguments of other types than its hints name, with SettingsError in plain words.

    Numbers must be finite, texts at most `MAX_TEXT` characters of valid Unicode. A file is for the function to check.
    """
    hints = get_type_hints(function)
    adapters: dict[str, TypeAdapter[Any]] = {
        name: TypeAdapter(hints[name], config=_ONLY_FINITE)
        for name, parameter in signature(function).parameters.items()
        if parameter.kind is Parameter.POSITIONAL_OR_KEYWORD and hints[name] is not gr.FileData
    }

    @wraps(function)
    def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        given = signature(function).bind(*args, **kwargs).arguments
        fitting = {name: _fitting(name, value, adapters) for name, value in given.items()}
        return function(**fitting)  # pyright: ignore[reportCallIssue]

    return guarded


def member(kind: type[Member], value: str) -> Member:
    """Return a choice by its name.

    Raises:
        SettingsError: there is none of that name.
    """
    if value not in list(kind):
        raise SettingsError(f"There is no choice '{value}'. Give one of: {', '.join(kind)}.")
    return kind(value)


def _fitting(name: str, value: Any, adapters: dict[str, TypeAdapter[Any]]) -> Any:
    """Return a value as its hint has it: 3 where 3.0 is given for a whole number."""
    if name not in adapters:
        return value
    try:
        fitting = adapters[name].validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Input should be ")
        raise SettingsError(f"'{name}' is {repr(value)[:_SHOWN]}; give {problem}.") from error
    for text in _texts(fitting):
        _check_text(name, text)
    return fitting


def _check_text(name: str, text: str) -> None:
    if len(text) > MAX_TEXT:
        raise SettingsError(f"'{name}' has {len(text)} characters; at most {MAX_TEXT} are taken. Shorten it.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SettingsError(f"'{name}' is no valid Unicode ({error.reason}). Send it again as UTF-8.") from error


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.items() for part in item for text in _texts(part)]
    if isinstance(value, list):
        return [text for part in value for text in _texts(part)]
    return [value] if isinstance(value, str) else []
