"""Sessions: one browser's work, kept and undone, and no other's."""

import errno
import gc
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_jobs import wait_until

from ui.work.session import ID, Session, Sessions, one_at_a_time
from videograin.errors import ProjectError
from videograin.media.encode import save_video
from videograin.media.video import ClipOptions, load_clip
from videograin.project import objects
from videograin.project.workspace import Workspace


@pytest.fixture
def clip_file(tmp_path: Path) -> Path:
    frames = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3), np.uint8)
    save_video(tmp_path / "clip.mp4", frames, 8)
    return tmp_path / "clip.mp4"


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    return Sessions(tmp_path / "sessions")


def start(session: Session, clip_file: Path) -> Session:
    options = ClipOptions(short_side=64, multiple=64)
    session.open(Workspace(clip=clip_file, source_prompt="", clip_options=options), load_clip(clip_file, options))
    return session


def test_an_id_cannot_be_guessed_and_folders_do_not_tell_it(sessions):
    session, other = sessions.create(), sessions.create()
    assert ID.fullmatch(session.id)
    assert session.id != other.id
    assert session.id not in str(session.folder)


@pytest.mark.parametrize("wrong", ["", "../../etc", "x" * 32, "x" * 31 + "/"])
def test_an_unknown_id_finds_nothing(sessions, wrong):
    sessions.create()
    told = "work is deleted after a while" if wrong else "your work is there"  # a restarted studio knows no page
    with pytest.raises(ProjectError, match=told):
        sessions.find(wrong)


def test_a_browser_without_a_session_gets_a_new_one(sessions):
    assert sessions.find_or_create(None).id != sessions.find_or_create("x" * 32).id


def test_without_a_clip_a_user_is_told_to_choose_one(sessions):
    with pytest.raises(ProjectError, match="Upload one"):
        _ = sessions.create().opened_work


def test_undo_and_redo_walk_through_the_changes(sessions, clip_file):
    session = start(sessions.create(), clip_file)
    empty = session.work
    session.change(objects.add_object(session.opened_work))
    session.undo()
    assert session.work == empty
    session.redo()
    assert [each.id for each in session.opened_work.objects] == [1]
    session.redo()
    session.undo()
    session.undo()
    assert session.work == empty


def test_a_new_change_forgets_what_was_undone(sessions, clip_file):
    session = start(sessions.create(), clip_file)
    session.change(objects.add_object(session.opened_work, "cat"))
    session.undo()
    session.change(objects.add_object(session.opened_work, "dog"))
    session.redo()
    assert [each.name for each in session.opened_work.objects] == ["dog"]


def test_what_changes_nothing_is_no_step(sessions, clip_file):
    session = start(sessions.create(), clip_file)
    for name in ("cat", "dog"):
        session.change(objects.add_object(session.opened_work, name))
    session.undo()
    for _ in range(2):  # it is on top already
        session.change(objects.move_object(session.opened_work, 1, 1))
    session.redo()
    for _ in range(2):  # a button that is pressed twice
        session.change(objects.delete_object(session.opened_work, 2))
    session.undo()
    assert [each.name for each in session.opened_work.objects] == ["cat", "dog"]


def test_words_that_no_file_can_hold_are_taken_back(sessions, clip_file):
    session = start(sessions.create(), clip_file)
    with pytest.raises(UnicodeEncodeError):
        session.set_words(replace(session.opened_work, background="half of an emoji: \ud83d"))
    session.set_words(replace(session.opened_work, negative_prompt="blurry"))
    assert (session.opened_work.background, session.opened_work.negative_prompt) == ("", "blurry")


def test_the_work_is_there_after_a_restart(sessions, clip_file, tmp_path):
    session = start(sessions.create(), clip_file)
    work = objects.add_object(session.opened_work, "cat")
    session.change(objects.set_mask(work, 1, 2, np.ones((64, 64), bool), 4))
    session.set_words(replace(session.opened_work, background="on grass"))
    restarted = Sessions(tmp_path / "sessions").find(session.id)
    work, clip = restarted.opened_work, restarted.opened_clip
    assert work.background == "on grass"
    assert work.masks[1].anchors == (2,)
    assert len(clip.frames) == 4


def test_unused_sessions_are_deleted_and_used_ones_stay(sessions):
    old, used = sessions.create(), sessions.create()
    yesterday = time.time() - 86_400
    for session in (old, used):
        os.utime(session.folder, (yesterday, yesterday))
    sessions.find(used.id)
    sessions.purge(3600)
    with pytest.raises(ProjectError):
        sessions.find(old.id)
    assert sessions.find(used.id) is used


def test_undo_leaves_the_words_that_were_written_since(sessions, clip_file):
    session = start(sessions.create(), clip_file)
    session.change(objects.add_object(session.opened_work))
    session.change(objects.change_object(session.opened_work, 1, lambda each: replace(each, grow=4)))
    session.set_words(replace(objects.say(session.opened_work, 1, "a fox"), background="in the snow"))
    session.undo()
    work = session.opened_work
    assert (work.objects[0].grow, work.objects[0].prompt, work.background) == (0, "a fox", "in the snow")


def test_a_session_in_use_is_the_same_object_however_many_came_since(clip_file, tmp_path):
    sessions = Sessions(tmp_path / "sessions", kept_bytes=0)
    used = start(sessions.create(), clip_file)
    used.change(objects.add_object(used.opened_work))
    others = [start(sessions.create(), clip_file).id for _ in range(3)]
    gc.collect()
    assert sessions.find(used.id) is used
    assert len(used.past) == 1
    assert [sessions.is_in_memory(each) for each in others] == [False, False, False]


def test_undo_outlives_a_session_s_time_in_memory(clip_file, tmp_path):
    sessions = Sessions(tmp_path / "sessions", kept_bytes=0)
    session = start(sessions.create(), clip_file)
    for name in ("cat", "dog"):
        session.change(objects.add_object(session.opened_work, name))
    session_id, folder = session.id, session.folder
    del session
    start(sessions.create(), clip_file)
    wait_until(lambda: gc.collect() >= 0 and not sessions.is_in_memory(session_id))
    assert len(list((folder / "past").iterdir())) == 2
    again = sessions.find(session_id)
    again.undo()
    assert [each.name for each in again.opened_work.objects] == ["cat"]
    again.undo()
    assert again.opened_work.objects == ()
    assert not (folder / "past").exists()


def test_sessions_stay_in_memory_while_there_is_room(sessions, clip_file):
    ids = [start(sessions.create(), clip_file).id for _ in range(20)]
    gc.collect()
    assert all(sessions.is_in_memory(each) for each in ids)


def test_the_jobs_that_are_awaited_are_there_after_a_restart(sessions, clip_file, tmp_path):
    session = start(sessions.create(), clip_file)
    session.tracking, session.suggesting = "a", "b"
    session.save()
    again = Sessions(tmp_path / "sessions").find(session.id)
    assert (again.tracking, again.suggesting) == ("a", "b")


@pytest.mark.parametrize(
    "step",
    [
        lambda session: session.change(objects.add_object(session.opened_work)),
        lambda session: session.set_words(replace(session.opened_work, background="in the snow")),
        lambda session: session.undo(),
        lambda session: session.open(replace(session.opened_work, background="new"), session.opened_clip),
    ],
    ids=["change", "words", "undo", "open"],
)
def test_what_cannot_be_saved_is_not_done_and_nothing_is_lost(sessions, clip_file, monkeypatch, step):
    session = start(sessions.create(), clip_file)
    session.change(objects.add_object(session.opened_work))
    before = (session.work, session.past, session.future, session.selected)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("videograin.files.atomic.os.replace", full)
        with pytest.raises(ProjectError, match="Your work is as it was before"):
            step(session)
    assert (session.work, session.past, session.future, session.selected) == before
    session.undo()
    assert session.opened_work.objects == ()


def test_one_session_reads_or_writes_one_file_at_a_time_and_others_meanwhile(sessions):
    ann, bob = sessions.create(), sessions.create()

    @one_at_a_time
    def read(session: Session, during: Callable[[], object]) -> object:
        return during()

    def read_again() -> object:
        with pytest.raises(ProjectError, match="still being read or written"):
            read(ann, lambda: "never")
        return read(bob, lambda: "bob's")

    assert read(ann, read_again) == "bob's"
    assert read(ann, lambda: "the next") == "the next"


@pytest.mark.parametrize("is_alone", [True, False])
def test_work_outlives_a_folder_that_vanished_and_is_written_again(sessions, clip_file, tmp_path, is_alone):
    session = start(sessions.create(), clip_file)
    shutil.rmtree(session.folder if is_alone else tmp_path / "sessions")
    assert sessions.find(session.id) is session
    session.change(objects.add_object(session.opened_work))
    assert len(Sessions(tmp_path / "sessions").find(session.id).opened_work.objects) == 1


def test_undo_never_leads_to_the_clip_before_although_its_steps_were_put_away(sessions, clip_file, tmp_path):
    session = start(sessions.create(), clip_file)
    session.change(objects.add_object(session.opened_work, "cat"))
    session.put_away()
    start(session, clip_file)
    assert Sessions(tmp_path / "sessions").find(session.id).past == []


def test_a_session_that_several_requests_need_at_once_is_read_once(sessions, clip_file, tmp_path, monkeypatch):
    known, restarted, read = start(sessions.create(), clip_file), Sessions(tmp_path / "sessions"), []
    restore = Session.restore

    def slowly(session: Session) -> None:
        read.append(session)
        time.sleep(0.2)
        restore(session)

    monkeypatch.setattr(Session, "restore", slowly)
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(restarted.find, [known.id] * 3))
    assert found == read * 3
