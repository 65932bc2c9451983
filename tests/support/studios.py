"""A studio inside of the tests' own process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ui.work.service import StudioService
from videograin.jobs.settings import OperatorSettings

LOADING = ("(_serve)", "(_prepare_marking)")
"""How the names of threads end that load models as a studio starts."""

PATIENCE = 60.0


@contextmanager
def studio_with(settings: OperatorSettings) -> Iterator[StudioService]:
    """Run a studio that loads nothing any more when it has ended.

    A studio that is told to stop need not wait until a model is loaded, but whoever makes layers meanwhile, as the next
    test does, gets them without memory for their weights.
    """
    before = set(threading.enumerate())
    studio = StudioService(settings)
    yield studio
    assert studio.worker.stop(PATIENCE)
    for thread in set(threading.enumerate()) - before:
        if thread.name.endswith(LOADING):
            thread.join(PATIENCE)
            assert not thread.is_alive()
