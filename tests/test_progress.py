import pytest

from videograin.errors import Cancelled
from videograin.progress import Parts, Phase, Progress, ignore, track


def test_it_reports_before_the_first_item_and_after_each():
    seen: list[Progress] = []
    assert list(track(Phase.EDIT, "abc", seen.append)) == ["a", "b", "c"]
    assert [(progress.done, progress.total) for progress in seen] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert {progress.phase for progress in seen} == {Phase.EDIT}


def test_time_left_is_unknown_at_first_and_nothing_at_the_end(monkeypatch):
    clock = iter([0.0, 2.0, 4.0, 9.0])
    monkeypatch.setattr("videograin.progress.time.monotonic", lambda: next(clock))
    seen: list[Progress] = []
    list(track(Phase.INVERT, range(3), seen.append))
    assert [progress.seconds_left for progress in seen] == [None, 4.0, 2.0, 0.0]


def test_a_report_that_cancels_stops_before_the_next_item():
    def stop_after_two(progress: Progress) -> None:
        if progress.done == 2:
            raise Cancelled

    done: list[int] = []
    with pytest.raises(Cancelled):
        done.extend(track(Phase.EDIT, range(5), stop_after_two))
    assert done == [0, 1]


def test_nothing_to_do_is_reported_once():
    seen: list[Progress] = []
    assert list(track(Phase.DECODE, [], seen.append)) == []
    assert seen == [Progress(Phase.DECODE, 0, 0, None)]
    ignore(seen[0])


def test_each_part_says_what_share_it_is_and_what_is_to_come():
    seen: list[Progress] = []
    parts = Parts([10, 4, 6], done=1)
    for _ in range(2):
        parts.next(seen.append)(Progress(Phase.EDIT, 0, 1, None))
    assert [(each.part, each.parts, each.share, each.later) for each in seen] == [(2, 3, 0.2, 0.3), (3, 3, 0.3, 0.0)]
