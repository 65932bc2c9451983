import errno
import os
import shutil
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_jobs import ANN, BOB, Count
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from videograin.errors import JobError, ProjectError
from videograin.files.disk import DiskRoom
from videograin.jobs.store import Job, JobKind, JobState, JobStore, owner_digest

HOUR = 3600.0


@dataclass(frozen=True)
class Watch:
    """A request that names a file."""

    clip: Path


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "jobs")


def reopened(store: JobStore) -> JobStore:
    store.close()
    return JobStore(store.root)


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_job_is_found_by_its_id_and_owner(store: JobStore) -> None:
    job = store.add(ANN, JobKind.EDIT, Count("fox"), expected_seconds=5.0)
    assert store.find(job.id, ANN) == job
    assert (job.state, job.kind, job.expected_seconds) == (JobState.QUEUED, JobKind.EDIT, 5.0)
    assert store.request(job, Count) == Count("fox")


def test_somebody_else_s_job_looks_like_none(store: JobStore) -> None:
    job = store.add(ANN, JobKind.EDIT, Count("fox"))
    messages = []
    for job_id, owner in ((job.id, BOB), ("guess", ANN), ("../" + job.id, ANN), ("", ANN), (job.owner, ANN)):
        with pytest.raises(JobError) as error:
            store.find(job_id, owner)
        messages.append(str(error.value))
    assert len(set(messages)) == 1
    assert store.jobs_of(BOB) == []


def test_ids_and_owners_cannot_be_guessed_or_read_from_paths(store: JobStore) -> None:
    jobs = [store.add(ANN, JobKind.EDIT, Count(str(i))) for i in range(20)]
    assert len({job.id for job in jobs}) == 20
    assert all(len(job.id) == 32 for job in jobs)  # 24 random bytes
    assert ANN not in str(store.folder(jobs[0]))
    with pytest.raises(AssertionError):
        store.add("short", JobKind.EDIT, Count("fox"))


def test_only_this_user_may_look_into_the_folder(store: JobStore) -> None:
    assert stat.S_IMODE(store.root.stat().st_mode) & 0o077 == 0


def test_an_owner_s_jobs_are_listed_the_latest_first(store: JobStore) -> None:
    first, _, last = (store.add(owner, JobKind.EDIT, Count("fox")) for owner in (ANN, BOB, ANN))
    assert store.jobs_of(ANN) == [last, first]


def test_the_next_process_finds_everything_again(store: JobStore) -> None:
    job = store.add(ANN, JobKind.EDIT, Count("fox"))
    job = store.move(job, JobState.RUNNING)
    job = store.move(job, JobState.DONE, notes=("a note",))
    again = reopened(store)
    assert again.find(job.id, ANN) == job
    assert again.request(job, Count) == Count("fox")
    assert job.started is not None
    assert job.ended is not None
    assert job.created <= job.started <= job.ended


def test_two_processes_cannot_share_a_folder(store: JobStore) -> None:
    with pytest.raises(JobError, match=rf"in use by another studio \(process {os.getpid()} on .*\)\. Stop it"):
        JobStore(store.root)
    store.close()
    JobStore(store.root).close()


def test_a_file_system_without_locks_is_no_other_studio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unknown(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("videograin.files.lock.flock", unknown)
    JobStore(tmp_path).close()
    assert "two processes are not kept apart there" in caplog.text


@pytest.mark.parametrize("content", [b"", b'{"id": "x"', b"{}"])
def test_a_damaged_record_is_left_out_and_removed_in_time(store: JobStore, content: bytes) -> None:
    good, bad = (store.add(ANN, JobKind.EDIT, Count(word)) for word in ("fox", "panda"))
    (store.folder(bad) / "job.json").write_bytes(content)
    store = reopened(store)
    assert store.jobs_of(ANN) == [good]
    store.purge(HOUR)
    assert store.folder(bad).exists()
    age(store.folder(bad), 2 * HOUR)
    store.purge(HOUR)
    assert not store.folder(bad).exists()
    assert store.folder(good).exists()


# The same request


def test_the_same_request_is_known_while_it_waits_runs_or_is_done(store: JobStore) -> None:
    job = store.add(ANN, JobKind.EDIT, Count("fox"))
    for state in (JobState.QUEUED, JobState.RUNNING, JobState.DONE):
        job = store.move(job, state)
        assert store.find_same(ANN, JobKind.EDIT, Count("fox")) == job
    assert store.find_same(ANN, JobKind.EDIT, Count("panda")) is None
    assert store.find_same(ANN, JobKind.PREVIEW, Count("fox")) is None
    assert store.find_same(BOB, JobKind.EDIT, Count("fox")) is None


@pytest.mark.parametrize("end", [JobState.FAILED, JobState.CANCELLED, JobState.INTERRUPTED])
def test_what_came_to_nothing_may_be_asked_for_again(store: JobStore, end: JobState) -> None:
    job = store.move(store.add(ANN, JobKind.EDIT, Count("fox")), JobState.RUNNING)
    assert store.move(job, end).state is end
    assert store.find_same(ANN, JobKind.EDIT, Count("fox")) is None


# Files


def test_a_kept_file_is_named_by_its_content(store: JobStore, tmp_path: Path) -> None:
    for name, content in (("a.MP4", b"one"), ("b.mp4", b"one"), ("c.mp4", b"two"), ("../d.m/../p4", b"one")):
        path = tmp_path / Path(name).name
        path.write_bytes(content)
    first, same, other, odd = (store.keep(ANN, tmp_path / name) for name in ("a.MP4", "b.mp4", "c.mp4", "p4"))
    assert first == same != other
    assert first.suffix == ".mp4"
    assert odd.suffix == ""
    assert first.read_bytes() == b"one"
    assert store.keep(BOB, tmp_path / "a.MP4") != first


def test_a_request_may_only_name_files_kept_for_its_owner(store: JobStore, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"one")
    kept = store.keep(ANN, clip)
    store.check_files(ANN, Watch(kept))
    theirs = store.keep(BOB, clip)
    around = kept.parent / ".." / ".." / owner_digest(BOB) / "files" / theirs.name
    for path in (clip, theirs, around, Path("/etc/passwd"), kept.with_name("gone.mp4"), Path(kept.name)):
        with pytest.raises(JobError, match="You have no file"):
            store.check_files(ANN, Watch(path))


def test_a_file_that_cannot_be_copied_leaves_nothing(
    store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"one")

    def full(_source: Path, target: Path) -> None:
        target.write_bytes(b"o")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(JobError, match=r"could not be stored here \(No space left"):
        store.keep(ANN, clip)
    assert list(store.root.rglob("*.mp4")) == list(store.root.rglob("*.part")) == []


# Age


def test_old_results_go_and_young_ones_and_unfinished_ones_stay(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr("videograin.jobs.store.time", SimpleNamespace(time=lambda: now))
    old, young, running, queued = (store.add(ANN, JobKind.EDIT, Count(word)) for word in ("o", "y", "r", "q"))
    for job in (old, young, running):
        store.move(job, JobState.RUNNING)
    store.move(old, JobState.DONE)
    now += HOUR
    store.move(young, JobState.DONE)
    store.purge(HOUR / 2)
    assert {job.id for job in store.all_jobs()} == {young.id, running.id, queued.id}
    assert not store.folder(old).exists()
    assert all(store.folder(job).exists() for job in (young, running, queued))
    with pytest.raises(JobError, match="deleted after a while"):
        store.find(old.id, ANN)
    assert old.id not in {job.id for job in reopened(store).all_jobs()}


def test_old_files_go_unless_their_owner_has_a_job_to_come(store: JobStore, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"one")
    ann_s, bob_s = store.keep(ANN, clip), store.keep(BOB, clip)
    store.add(ANN, JobKind.EDIT, Count("fox"))
    for file in (ann_s, bob_s):
        age(file, 2 * HOUR)
    store.purge(HOUR)
    assert ann_s.exists()
    assert not bob_s.exists()


def test_a_file_s_age_counts_from_its_last_use(store: JobStore, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"one")
    kept = store.keep(ANN, clip)
    age(kept, 2 * HOUR)
    store.check_files(ANN, Watch(kept))
    store.purge(HOUR)
    assert kept.exists()


# A full disk


def test_a_job_that_cannot_be_written_down_is_not_taken(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(JobError, match="disk is full"):
        store.add(ANN, JobKind.EDIT, Count("fox"))
    assert store.jobs_of(ANN) == []
    assert list(store.root.glob("*/jobs/*")) == []


def test_a_job_ends_though_its_end_cannot_be_written_down(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    job = store.move(store.add(ANN, JobKind.EDIT, Count("fox")), JobState.RUNNING)

    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        store.move(job, JobState.FAILED, "full")
    assert store.find(job.id, ANN).state is JobState.FAILED
    assert reopened(store).find(job.id, ANN).state is JobState.RUNNING  # to be marked as interrupted


# Every life that a job can have


class Lives(RuleBasedStateMachine):
    """The store against a model of it: a dictionary of states."""

    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = JobStore(self.folder)
        self.model: dict[str, tuple[str, JobState]] = {}

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    @rule(target=jobs, owner=st.sampled_from([ANN, BOB]), word=st.sampled_from(["fox", "panda"]))
    def add(self, owner: str, word: str) -> Job:
        job = self.store.add(owner, JobKind.EDIT, Count(word))
        self.model[job.id] = (owner, JobState.QUEUED)
        return job

    @rule(job=jobs, state=st.sampled_from(JobState))
    def move(self, job: Job, state: JobState) -> None:
        owner, current = self.model[job.id]
        starts = current is JobState.QUEUED and state in (JobState.RUNNING, JobState.CANCELLED, JobState.FAILED)
        ends = current is JobState.RUNNING and state.is_final
        goes_on_later = current is JobState.RUNNING and state is JobState.QUEUED
        expected = state if starts or ends or goes_on_later else current
        assert self.store.move(job, state).state is expected
        self.model[job.id] = (owner, expected)

    @rule()
    def restart(self) -> None:
        self.store = reopened(self.store)

    @invariant()
    def everybody_sees_their_own_jobs_as_they_are(self) -> None:
        for owner in (ANN, BOB):
            seen = {job.id: (owner, job.state) for job in self.store.jobs_of(owner)}
            assert seen == {job_id: entry for job_id, entry in self.model.items() if entry[0] == owner}

    @invariant()
    def a_job_has_ended_exactly_when_it_says_when(self) -> None:
        assert all((job.ended is not None) == job.state.is_final for job in self.store.all_jobs())


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


def test_the_order_is_that_of_asking_also_after_a_restart(store: JobStore) -> None:
    ids = [store.add(ANN, JobKind.EDIT, Count(str(i))).id for i in range(5)]
    assert [job.id for job in store.all_jobs()] == ids
    assert [job.id for job in reopened(store).all_jobs()] == ids


def test_a_clip_or_job_beyond_its_owner_s_share_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs", DiskRoom(tmp_path, total_bytes=1e9, reserve_bytes=0, owner_bytes=1000))
    (tmp_path / "clip.mp4").write_bytes(bytes(900))
    (tmp_path / "other.mp4").write_bytes(bytes(901))
    kept = store.keep(ANN, tmp_path / "clip.mp4")
    with pytest.raises(ProjectError, match="one session may keep"):
        store.keep(ANN, tmp_path / "other.mp4")
    assert store.keep(ANN, tmp_path / "clip.mp4") == kept  # what is there already takes no more
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]
    assert store.keep(BOB, tmp_path / "other.mp4").exists()
    kept.with_name("more.mp4").write_bytes(bytes(101))
    with pytest.raises(ProjectError, match="one session may keep"):
        store.add(ANN, JobKind.EDIT, Count("fox"))
    assert store.jobs_of(ANN) == []
