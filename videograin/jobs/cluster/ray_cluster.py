"""Places for jobs on a cluster of Ray's: an actor for each GPU, or for some CPUs each where there is no GPU."""

import logging
import math
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from threading import Event, Lock, Thread
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RaySystemError, RayTaskError

from videograin.errors import SettingsError
from videograin.jobs.cluster.actor import ActorState, Editor
from videograin.jobs.cluster.board import WindowBoard
from videograin.jobs.cluster.job_files import ClusterFiles, studio_files
from videograin.jobs.cluster.stages import Stage
from videograin.jobs.context import is_asked_to_stop
from videograin.jobs.executor import Outcome, Place, PlaceLost, Task
from videograin.jobs.model_shelf import GpuMemory, ModelShelf, ShelfState, cache_folder
from videograin.jobs.settings import OperatorSettings, variable_of
from videograin.jobs.store import Job, JobKind
from videograin.json_log import log_as_json
from videograin.models.memory import ClipShape
from videograin.models.time_left import Estimate
from videograin.region import ControlKind, EditSettings

LOST = (RayActorError, RaySystemError)
"""What Ray says of an actor whose process or host is gone."""

START_SECONDS, ASK_SECONDS, STATE_SECONDS = 1.0, 2.0, 1.0
"""To wait for an actor before looking around again; for an answer that a page waits for; from one state to the next."""

log = logging.getLogger(__name__)

WORK, ASIDE = "work", "aside"
"""Concurrency groups of an actor: the job, and what is asked meanwhile."""

SECOND_GPU = "cuda:1"
"""Of an actor that has two, whatever numbers they have on their host."""

STORE_BYTES = 100 * 2**20
"""Of a cluster of this machine alone, for what actors answer; all that is large goes through files."""


class _RemoteEditor(Editor):
    """An editor alone in its process, whose log is the process's."""

    def __init__(self, settings: OperatorSettings, name: str) -> None:
        log_as_json(log_words=settings.log_prompts)
        super().__init__(settings, name)


class RayPlace(Place):
    """An actor; where it is lost, another one in its stead.

    Args:
        settings: the operator's.
        files: of the jobs, as actors get them.
        name: of the place.
        options: what an actor takes of a host, as Ray has it.
        rests: whether it is given back when it has had nothing to do for as long as the operator says.

    Attributes:
        state: what the actor told of itself last; None while there is none.
    """

    def __init__(
        self,
        settings: OperatorSettings,
        files: ClusterFiles,
        name: str,
        options: dict[str, float],
        *,
        rests: bool = False,
    ) -> None:
        self._settings, self._files, self.name, self._options = settings, files, name, options
        self._refused: set[str] = set()
        self._helps = 0
        self._rest_seconds = settings.ray_idle_minutes * 60 if rests and settings.ray_idle_minutes else math.inf
        self._used_at = time.monotonic()
        self.state: ActorState | None = None
        self._replacing = Lock()  # guards which actor it is, whether it rests and what it told
        self._start()

    def wait_until_there(self, *, is_needed: bool) -> bool:
        """Wait a moment for the actor; it is asked for again where it was lost, which makes a cluster grow."""
        if self.state is not None:
            if is_needed or time.monotonic() - self._used_at < self._rest_seconds:
                return True
            self.close()
            with self._replacing:
                self._rests, self.state = True, None
            log.info("an actor is given back")
        if self._rests:
            if not is_needed:
                time.sleep(START_SECONDS)
                return False
            self._start()
        if not ray.wait([self._prepared], timeout=START_SECONDS)[0]:
            return False
        try:
            problem = ray.get(self._prepared)
            self.state = ray.get(self._ask(self._actor.state))
        except LOST:
            log.warning("an actor could not be started")
            time.sleep(START_SECONDS)
            self._start()
            return False
        self._used_at = time.monotonic()
        log.info("an actor is ready", extra={"error": problem} if problem else {})
        return True

    def run(self, job: Job) -> Outcome:
        """Have the actor carry a job out.

        Raises:
            JobError: its files cannot be sent or had back.
        """
        with self._files.running(job):
            return self._wait(self._actor.run.options(concurrency_group=WORK).remote(job), job)

    @property
    def is_there(self) -> bool:
        """Whether the actor is ready."""
        return self.state is not None

    def holds(self, model: str) -> bool:
        """Whether the actor has a model."""
        return self.state is not None and self.state.shelf.held == model

    def can_help(self, job: Job) -> bool:
        """Whether an edit has windows that no place has begun."""
        if job.kind is not JobKind.EDIT or job.id in self._refused or is_asked_to_stop(self._files.folder(job)):
            return False
        offers = self._files.offers_windows(job)
        self._helps += offers
        return offers

    def help(self, job: Job) -> None:
        """Have the actor make windows of an edit."""
        if not self._wait(self._actor.help.options(concurrency_group=WORK).remote(job, self._helps), job):
            self._refused.add(job.id)

    def recall(self) -> None:
        """Have the actor stop helping before its next step."""
        self._ask(self._actor.recall, self._helps)

    def close(self) -> None:
        """End the actor."""
        ray.kill(self._actor)

    def ask_state(self) -> tuple[Any, Callable[[ActorState], None]]:
        """Return a reference to the actor's state, and what takes it over, unless the actor is another by then."""
        return self._ask(self._actor.state), partial(self._take_over, self._actor)

    def estimate(
        self, model: str, controls: tuple[ControlKind, ...], clip_shape: ClipShape, settings: EditSettings
    ) -> Estimate | None:
        """Have the actor estimate an edit; None where it does not answer in time."""
        reference = self._ask(self._actor.estimate, model, controls, clip_shape, settings)
        with suppress(GetTimeoutError, *LOST):
            return ray.get(reference, timeout=ASK_SECONDS)
        return None

    def _start(self) -> None:
        remote: Any = ray.remote  # whose types know no concurrency groups
        actor_class = remote(**self._options, concurrency_groups={WORK: 1, ASIDE: 2})(_RemoteEditor)
        with self._replacing:
            self._rests, self.state = False, None
            self._actor = actor_class.remote(self._settings, self.name)
        self._prepared = self._actor.prepare.options(concurrency_group=WORK).remote()

    def _take_over(self, asked: Any, state: ActorState) -> None:
        """Take over what an actor has told of itself; a lost one may have told it just before."""
        with self._replacing:
            if asked is self._actor and not self._rests:
                self.state = state

    def _ask(self, method: Any, *arguments: object) -> Any:
        return method.options(concurrency_group=ASIDE).remote(*arguments)

    def _wait(self, reference: Any, job: Job) -> Any:
        """Return what a reference stands for; where the actor is lost, others may have what it has begun."""
        try:
            result = ray.get(reference)
        except LOST as error:
            if board := WindowBoard.of(self._files.shared(self._files.folder(job))):
                board.release(self.name)
            with suppress(*LOST):
                ray.kill(self._actor)  # one that is only out of reach must not go on with what others do
            self._start()
            raise PlaceLost from error
        except RayTaskError as error:  # whose text is a trace of another host's
            raise error.cause from error
        self._used_at = time.monotonic()
        return result


class ClusterShelf(ModelShelf):
    """What the actors' shelves hold and know.

    Args:
        settings: the operator's.
        places: those of the cluster.
        files: of the jobs.
    """

    def __init__(self, settings: OperatorSettings, places: Sequence[RayPlace], files: ClusterFiles) -> None:
        super().__init__(cache_folder(settings.data_folder), "cpu", offline=settings.offline)
        self._places, self._files = places, files

    def purge(self, max_age: float) -> None:
        """Remove the inversions that were not used for `max_age` seconds, and what has stayed of jobs in a store."""
        super().purge(max_age)
        self._files.purge()

    def estimate(
        self, model: str, controls: Sequence[ControlKind], clip_shape: ClipShape, settings: EditSettings
    ) -> Estimate | None:
        """Have an actor that holds the model estimate an edit; None while none does."""
        for place in self._places:
            if place.holds(model):
                return place.estimate(model, tuple(controls), clip_shape, settings)
        return None

    def gpu_memory(self) -> list[GpuMemory]:
        """Return how full the actors' GPUs are."""
        return [each for place in self._places if place.state for each in place.state.memory]

    def stage_seconds(self) -> Mapping[str, float]:
        """Return what the stages of edits have taken at all actors since they were started."""
        states = [place.state for place in self._places if place.state]
        return {stage: sum(state.seconds[stage] for state in states) for stage in Stage}

    def update(self, default: str) -> None:
        """Take over what the actors told last; of several models that they hold, the default one counts."""
        states = [place.state for place in self._places if place.state is not None]
        if states:
            self.device_name = states[0].device
            held = [state.shelf for state in states if state.shelf.held]
            chosen = [shelf for shelf in held if shelf.held == default] or held or [states[0].shelf]
            self.state = chosen[0]
        else:
            self.state = ShelfState(loading=default)


class RayCluster:
    """A cluster: that of an address, or one of this machine alone.

    Args:
        settings: the operator's.

    Attributes:
        shelf: what its actors hold and know.
        files: of the jobs, as actors get them.

    Raises:
        SettingsError: there is no cluster at the address, or the store of jobs' files cannot be used.
    """

    def __init__(self, settings: OperatorSettings) -> None:
        self._closed, self.files = Event(), studio_files(settings)
        _connect(settings)
        options, count = demand(settings)
        second = SECOND_GPU if options.get("num_gpus", 0) > 1 else ""
        # Of other hosts' devices their actors know, and passwords are nothing for them.
        self._settings = replace(settings, auth=(), device=settings.ray_device, second_device=second)
        session = secrets.token_hex(4)
        self._places = [
            RayPlace(self._settings, self.files, f"{session}-{number}", options, rests=number > 0)
            for number in range(count)
        ]
        self.shelf = ClusterShelf(settings, self._places, self.files)
        self.shelf.update(settings.models[0])
        Thread(target=self._watch, name="cluster", daemon=True).start()

    def places(self, _task: Task) -> Sequence[RayPlace]:
        """Return the places; their actors carry out the same jobs as the task, in their own processes."""
        return self._places

    def wait_until_ready(self) -> None:
        """Wait until an actor has loaded the default model, or could not; for the thread of the first place."""
        wait_for_any(self._places)

    def close(self) -> None:
        """Leave the cluster, and end one of this machine alone."""
        self._closed.set()
        ray.shutdown()

    def _watch(self) -> None:
        while not self._closed.wait(STATE_SECONDS):
            with suppress(Exception):  # the connection is lost for a while, or for good; places say so
                asked = dict(place.ask_state() for place in self._places if place.state is not None)
                answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=ASK_SECONDS)
                for reference in answered:
                    with suppress(*LOST):
                        asked[reference](ray.get(reference))
            self.shelf.update(self._settings.models[0])


def wait_for_any(places: Sequence[Place]) -> None:
    """Wait until any place is there. The thread of the first one, which asks, is the only one that can bring it."""
    while not any(place.is_there for place in places):
        places[0].wait_until_there(is_needed=True)


def _connect(settings: OperatorSettings) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)  # its own lines are no JSON; what fails is told below
    where: dict[str, Any] = {"address": settings.ray_address}
    if not settings.ray_address:
        # Ray would keep a token in the home directory, which a container may not be able to write.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(16))
        where = {"include_dashboard": False, "object_store_memory": STORE_BYTES}
    try:
        ray.init(**where, log_to_driver=False, configure_logging=False, ignore_reinit_error=True)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise SettingsError(
            f"There is no cluster at {variable_of('ray_address')} '{settings.ray_address}' ({error}). Start its head, "
            "or leave the variable empty for a cluster of this machine alone."
        ) from error


def demand(settings: OperatorSettings) -> tuple[dict[str, float], int]:
    """Return what an actor takes of a host, and how many actors there are to be."""
    here = ray.cluster_resources()
    on_gpu = settings.ray_device == "cuda" or (not settings.ray_device and here.get("GPU", 0) > 0)
    options: dict[str, float] = {"num_cpus": settings.ray_cpus}
    fitting = here.get("CPU", 1) // settings.ray_cpus
    if on_gpu:
        options["num_gpus"] = settings.ray_gpus
        fitting = here.get("GPU", 1) // settings.ray_gpus
    return options, settings.ray_actors or max(1, int(fitting))
