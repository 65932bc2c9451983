"""How many events and calls of a kind are answered at once; the others wait in Gradio's queue, and hold no thread."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Turns:
    """A kind of events and calls.

    Attributes:
        name: that those of this kind share; None is a kind of its own.
        limit: answered at once; None is all.
    """

    name: str | None
    limit: int | None


LONG_WORK = Turns("long work", 2)
"""Clips and files are read and written, which takes seconds and a core each; clicks and reads never wait for it."""
