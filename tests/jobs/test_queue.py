from contextvars import Context
from dataclasses import replace

import pytest

from videograin.errors import JobError
from videograin.jobs.queue import FairQueue, Waiting, refuse_if_full
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import Job, JobKind


def waiting(owner: str, name: str, created: float, kind: JobKind = JobKind.EDIT, address: str = "") -> Waiting:
    return Waiting(Job(name, owner, kind, name, created), Context(), address)


def queue_of(*entries: Waiting) -> FairQueue:
    queue = FairQueue()
    for entry in entries:
        queue.add(entry)
    return queue


def names(queue: FairQueue) -> list[str]:
    return [job.id for job in queue.in_order()]


def test_owners_take_turns_whoever_has_asked_for_more() -> None:
    many = [waiting("ann", f"ann{place}", place) for place in range(3)]
    queue = queue_of(*many, waiting("bob", "bob0", 10), waiting("cat", "cat0", 11))
    assert names(queue) == ["ann0", "bob0", "cat0", "ann1", "ann2"]


def test_of_owners_whose_turn_it_is_the_one_who_has_been_given_less_time_goes_first() -> None:
    spent = {"ann": 300.0, "bob": 20.0, "cat": 0.0}
    queue = FairQueue(lambda: spent)
    for place, owner in enumerate(("ann", "ann", "bob", "cat")):
        queue.add(waiting(owner, f"{owner}{place}", place))
    assert names(queue) == ["cat3", "bob2", "ann0", "ann1"]


def test_the_order_that_is_told_is_the_order_in_which_jobs_run() -> None:
    queue = queue_of(*(waiting(owner, f"{owner}{place}", place) for place in range(2) for owner in ("ann", "bob")))
    told = names(queue)
    assert [queue.pop().job.id for _ in told] == told
    assert len(queue) == 0


def test_new_sessions_without_end_keep_no_job_from_its_turn() -> None:
    queue = queue_of(waiting("ann", "ann0", 0), waiting("ann", "ann1", 1))
    served = []
    for place in range(4):
        queue.add(waiting(f"new {place}", f"new {place}", 2 + place))
        served.append(queue.pop().job.id)
    assert served == ["ann0", "new 0", "ann1", "new 1"]


def test_what_a_user_waits_for_at_the_screen_goes_before_the_same_user_s_long_edits() -> None:
    queue = queue_of(
        waiting("ann", "edit", 0),
        waiting("ann", "follow", 1, JobKind.TRACK),
        waiting("ann", "preview", 2, JobKind.PREVIEW),
        waiting("bob", "bob", 3),
    )
    assert names(queue) == ["follow", "bob", "preview", "edit"]


def test_a_job_can_be_taken_out() -> None:
    queue = queue_of(waiting("ann", "ann0", 0), waiting("ann", "ann1", 1))
    assert queue.remove("ann0")
    assert not queue.remove("ann0")
    assert names(queue) == ["ann1"]


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_waiting": 3}, "The queue is full: 3 jobs wait"),
        ({"max_waiting_each": 3}, "3 of your jobs wait already"),
        ({"max_waiting_address": 3}, "3 jobs from your network address wait already"),
    ],
)
def test_neither_all_nor_one_session_nor_one_address_fill_the_queue(limits: dict[str, int], message: str) -> None:
    settings = replace(OperatorSettings(), **limits)
    entries = [waiting("ann", f"{place}", place, address="10.0.0.1") for place in range(3)]
    refuse_if_full(entries[:2], "ann", "10.0.0.1", settings)
    with pytest.raises(JobError, match=message):
        refuse_if_full(entries, "ann", "10.0.0.1", settings)


def test_many_sessions_from_one_address_count_together() -> None:
    entries = [waiting(f"session {place}", f"{place}", place, address="10.0.0.1") for place in range(3)]
    settings = OperatorSettings(max_waiting_address=3)
    with pytest.raises(JobError, match="3 jobs from your network address"):
        refuse_if_full(entries, "another session", "10.0.0.1", settings)
    refuse_if_full(entries, "another session", "10.0.0.2", settings)
