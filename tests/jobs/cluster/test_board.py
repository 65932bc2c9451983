"""Windows are claimed by one place each, however many ask, and those of a lost place are free again."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import pytest
import torch

from videograin.diffusion.windows.clip_edit import WindowApart
from videograin.diffusion.windows.plan import Window
from videograin.errors import ProjectError
from videograin.files.object_store import ObjectStore
from videograin.files.shared_folder import SharedFolder, StoredFolder
from videograin.jobs.cluster.board import FOLDER, SharedPlan, WindowBoard

PLAN = SharedPlan(window_frames=5, count=6)
ME, OTHER, FORMER = "run-0", "run-1", "earlier-0"


@pytest.fixture(params=["mounted", "stored"])
def job(request: pytest.FixtureRequest, tmp_path: Path) -> SharedFolder:
    """The folder of a job, on a disk that all places mount or in a store."""
    if request.param == "mounted":
        return SharedFolder(tmp_path)
    return StoredFolder(tmp_path, ObjectStore(f"memory://{token_hex(8)}"), "job")


def a_window(shade: int = 7) -> WindowApart:
    return WindowApart(
        window=Window(4, 8, overlap=1, next_overlap=1),
        count=PLAN.count,
        chunks=[np.full((2, 8, 8, 3), shade, np.uint8), np.full((2, 8, 8, 3), shade + 1, np.uint8)],
        latents=torch.full((4, 4, 2, 2), 0.1),
        target_prompt="a red panda",
        warnings=("short",),
        attention=np.full((1, 4, 2, 2), 1 / 3, np.float32),
    )


def test_every_window_is_claimed_once_however_many_ask_at_the_same_time(job: SharedFolder) -> None:
    board = WindowBoard.open(job, SharedPlan(5, 60), 0, ME)
    with ThreadPoolExecutor(8) as places:
        claimed = list(places.map(lambda number: list(board.claims(f"run-{number}")), range(8)))
    assert sorted(number for each in claimed for number in each) == list(range(60))
    assert (board.free, board.claimed) == (0, 60)


def test_what_a_lost_place_had_begun_is_free_and_what_it_had_finished_is_not(job: SharedFolder) -> None:
    board = WindowBoard.open(job, PLAN, 0, ME)
    mine, others = board.claims(ME), board.claims(OTHER)
    assert [next(others), next(mine), next(others)] == [0, 1, 2]
    board.put(0, a_window())
    board.release(OTHER)
    assert list(board.claims(ME)) == [2, 3, 4, 5]
    assert board.is_finished(0)


def test_a_window_is_the_same_after_it_was_on_disk(job: SharedFolder) -> None:
    board, window = WindowBoard.open(job, PLAN, 0, ME), a_window()
    board.put(1, window)
    read = board.get(1)
    assert np.array_equal(np.concatenate(list(read.chunks)), np.concatenate(list(window.chunks)))
    assert torch.equal(read.latents, window.latents)
    assert read.attention is not None
    assert window.attention is not None
    assert np.array_equal(read.attention, window.attention)
    assert (read.window, read.count) == (window.window, window.count)
    assert (read.target_prompt, read.warnings) == (window.target_prompt, window.warnings)


def test_a_later_attempt_keeps_what_is_finished_and_frees_what_earlier_ones_claimed(job: SharedFolder) -> None:
    before = WindowBoard.open(job, PLAN, 0, FORMER)
    claims = before.claims(FORMER)
    for _ in range(3):
        next(claims)
    before.put(0, a_window())
    before.drop(0)
    before.put(1, a_window())
    after = WindowBoard.open(job, PLAN, 1, ME)
    assert after.is_finished(1)
    assert list(after.claims(ME)) == [2, 3, 4, 5]
    again = WindowBoard.open(job, PLAN, 1, ME)  # after its memory ran out
    assert next(again.claims(OTHER)) == 2


def test_a_window_that_an_earlier_attempt_joined_and_did_not_write_is_made_again(job: SharedFolder) -> None:
    before = WindowBoard.open(job, PLAN, 0, FORMER)
    claims = before.claims(FORMER)
    for number in (next(claims), next(claims)):
        before.put(number, a_window())
        before.drop(number)
    after = WindowBoard.open(job, PLAN, 1, ME)
    assert [after.is_finished(number) for number in (0, 1)] == [True, False]
    assert list(after.claims(ME)) == [1, 2, 3, 4, 5]


def test_a_plan_with_other_windows_begins_with_nothing_and_late_windows_of_the_former_one_go_nowhere(
    job: SharedFolder,
) -> None:
    former = WindowBoard.open(job, PLAN, 0, ME)
    list(former.claims(OTHER))
    leaner = WindowBoard.open(job, SharedPlan(3, 9), 0, ME)
    with suppress(ProjectError):
        former.put(2, a_window())
    assert leaner.free == 9
    assert not job.inside(FOLDER).inside(str(leaner.plan.window_frames)).names()


def test_a_job_that_offers_nothing_has_no_board(job: SharedFolder) -> None:
    assert WindowBoard.of(job) is None
    WindowBoard.open(job, PLAN, 0, ME)
    board = WindowBoard.of(job)
    assert board is not None
    assert board.plan == PLAN


def test_windows_that_are_expected_are_offered_later_and_those_of_an_earlier_attempt_stay(job: SharedFolder) -> None:
    WindowBoard.expect(job)
    board = WindowBoard.of(job)
    assert board
    assert (board.is_offered, board.free) == (False, 0)
    WindowBoard.open(job, PLAN, 0, ME)
    WindowBoard.expect(job)
    board = WindowBoard.of(job)
    assert board
    assert (board.is_offered, board.free) == (True, 6)


def test_a_finished_window_is_written_without_the_time_that_compressing_takes(job: SharedFolder) -> None:
    board = WindowBoard.open(job, PLAN, 0, ME)
    board.put(0, a_window())
    with ZipFile(job.inside(FOLDER).inside("5").fetch("000000.npz")) as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {ZIP_STORED}


def test_places_that_expect_windows_in_vain_are_told(job: SharedFolder) -> None:
    WindowBoard.expect(job)
    WindowBoard.offer_none(job)
    board = WindowBoard.of(job)
    assert board
    assert (board.is_offered, board.free) == (True, 0)
