"""Messages for the user when an action fails: the library's own sentence, or an id that the log has too."""

import logging
import secrets
from collections.abc import Callable
from functools import wraps
from html import escape
from typing import ParamSpec, TypeVar

import gradio as gr

from videograin.errors import VideoGrainError, for_visitors

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

log = logging.getLogger(__name__)


def plain_text(error: VideoGrainError) -> str:
    """Return what a visitor is told of an error: its sentence, without the folders of this machine."""
    return for_visitors(str(error))


def in_plain_words(handler: Callable[Arguments, Result], *, as_html: bool = True) -> Callable[Arguments, Result]:
    """Turn exceptions of a handler into messages that are shown.

    Args:
        handler: answers an event of the page or a call of the API.
        as_html: whether a browser shows the text as HTML, where it must still be text; programs take it as it is.
    """

    @wraps(handler)
    def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return handler(*args, **kwargs)
        except VideoGrainError as error:
            text = escape(plain_text(error)) if as_html else plain_text(error)
            raise gr.Error(text, title="That does not work", duration=None, print_exception=False) from error
        except gr.Error:
            raise
        except Exception as error:
            number = secrets.token_hex(4)
            log.exception("action failed", extra={"error_id": number})
            text = f"Something went wrong (id {number}). Try again; if it stays, tell the operator this id."
            raise gr.Error(text, title="Our mistake", duration=None, print_exception=False) from error

    return guarded
