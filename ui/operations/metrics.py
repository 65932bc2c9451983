"""What /metrics tells Prometheus: how many jobs wait and for how long, how they end, how full the GPUs are."""

from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeHistogramMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ui.work.service import StudioService
from videograin.jobs.store import Job, JobState

SECONDS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
"""Upper bounds of the histograms' buckets: from a preview on a GPU to a minute of film on a CPU."""


class StudioMetrics:
    """The numbers of one studio, whichever executor it has; no user, no file and no word is among them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._waits = Histogram(
            "videograin_job_wait_seconds", "From being asked for to being carried out", ["kind"],
            registry=self.registry, buckets=SECONDS,
        )  # fmt: skip
        self._durations = Histogram(
            "videograin_job_seconds", "From being carried out to the end", ["kind"],
            registry=self.registry, buckets=SECONDS,
        )  # fmt: skip
        self._ends = Counter(
            "videograin_jobs_ended", "Jobs by how they ended", ["kind", "state"], registry=self.registry
        )

    def note(self, job: Job) -> None:
        """Count a job that has just begun or ended."""
        if job.state is JobState.RUNNING and job.started is not None:
            self._waits.labels(job.kind).observe(_seconds(job.created, job.started))
        elif job.state.is_final:
            self._ends.labels(job.kind, job.state).inc()
            if job.started is not None and job.ended is not None:
                self._durations.labels(job.kind).observe(_seconds(job.started, job.ended))

    def watch(self, studio: StudioService) -> None:
        """Have a studio asked how it is whenever the numbers are read."""
        self.registry.register(_Present(studio))


class _Present(Collector):
    """What is so at the moment of asking."""

    def __init__(self, studio: StudioService) -> None:
        self._studio = studio

    def collect(self) -> Iterator[Metric]:
        """Yield the jobs that wait and run, their time, the places for edits, and the memory of the GPUs."""
        jobs = GaugeMetricFamily("videograin_jobs", "Jobs that wait or run", labels=["state"])
        states = [job.state for job in self._studio.store.all_jobs()]
        for state in (JobState.QUEUED, JobState.RUNNING):
            jobs.add_metric([state], states.count(state))
        yield jobs
        spent = CounterMetricFamily("videograin_place_seconds", "That places have worked on jobs", labels=["kind"])
        for kind, seconds in list(self._studio.store.seconds_by_kind.items()):
            spent.add_metric([kind], seconds)
        yield spent
        stages = CounterMetricFamily("videograin_stage_seconds", "That stages of edits have taken", labels=["stage"])
        for stage, seconds in self._studio.shelf.stage_seconds().items():
            stages.add_metric([stage], seconds)
        yield stages
        yield _shares(list(self._studio.store.seconds_by_owner().values()))
        free, there = self._studio.worker.edit_places()
        places = GaugeMetricFamily("videograin_edit_places", "Edits that can run at once", labels=["state"])
        places.add_metric(["free"], free)
        places.add_metric(["busy"], there - free)
        yield places
        memory = GaugeMetricFamily("videograin_gpu_memory_bytes", "Memory of a GPU", labels=["gpu", "state"])
        for number, each in enumerate(self._studio.shelf.gpu_memory()):
            memory.add_metric([str(number), "used"], each.used_bytes)
            memory.add_metric([str(number), "free"], each.total_bytes - each.used_bytes)
        yield memory


def _seconds(start: float, end: float) -> float:
    """Return how long it was between two times of the clock; one that was set back meanwhile would count negatively."""
    return max(0.0, end - start)


def _shares(seconds: list[float]) -> Metric:
    """Return how many sessions have been given how much of the places' time; none of them is named."""
    bounds = [(str(float(bound)), float(sum(each <= bound for each in seconds))) for bound in SECONDS]
    text = "Time that places have given to each session, of the jobs that are kept"
    return GaugeHistogramMetricFamily(
        "videograin_session_seconds", text, buckets=[*bounds, ("+Inf", float(len(seconds)))], gsum_value=sum(seconds)
    )


def metrics_route(metrics: StudioMetrics) -> Route:
    """Return the route of /metrics."""

    def answer(_: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return Route("/metrics", answer)
