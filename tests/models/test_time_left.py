import pytest

from videograin.models.time_left import Estimate, TimeLeft
from videograin.progress import Parts, Phase, Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time; a test changes its only item."""
    now = [0.0]
    monkeypatch.setattr("videograin.models.time_left.time.monotonic", lambda: now[0])
    return now


def test_what_is_to_come_is_estimated_and_corrected_by_the_pace_so_far(clock: list[float]) -> None:
    told: list[Progress] = []
    tell = TimeLeft(Estimate(seconds=90.0, inversion_seconds=30.0, peak_bytes=0), told.append)
    tell(Progress(Phase.ENCODE, 0, 1, None))
    tell(Progress(Phase.INVERT, 0, 10, None))
    clock[0] = 6.0
    tell(Progress(Phase.INVERT, 1, 10, 54.0))  # a tenth took 6 s instead of 3
    clock[0] = 60.0
    tell(Progress(Phase.INVERT, 10, 10, 0.0))
    tell(Progress(Phase.EDIT, 0, 4, None))
    clock[0] = 75.0
    tell(Progress(Phase.EDIT, 1, 4, 45.0))
    tell(Progress(Phase.DECODE, 0, 2, None))
    assert [progress.seconds_left for progress in told] == [90.0, 90.0, 54.0 + 2 * 60, 120.0, 120.0, 45.0, 0.0]
    assert [(progress.phase, progress.done) for progress in told[:3]] == [
        (Phase.ENCODE, 0),
        (Phase.INVERT, 0),
        (Phase.INVERT, 1),
    ]


def test_a_known_inversion_takes_no_time(clock: list[float]) -> None:
    told: list[Progress] = []
    tell = TimeLeft(Estimate(seconds=90.0, inversion_seconds=30.0, peak_bytes=0), told.append)
    tell(Progress(Phase.INVERT, 0, 0, None))
    assert told[0].seconds_left == 60.0


def test_later_parts_take_what_the_largest_finished_one_took(clock: list[float]) -> None:
    told: list[Progress] = []
    tell = TimeLeft(Estimate(seconds=100.0, inversion_seconds=0.0, peak_bytes=0), told.append)
    parts = Parts([4, 16, 16], 0)
    for seconds in (5.0, 80.0, 0.0):
        report = parts.next(tell)
        report(Progress(Phase.ENCODE, 0, 1, None))
        report(Progress(Phase.EDIT, 0, 1, None))
        clock[0] += seconds
        report(Progress(Phase.EDIT, 1, 1, 0.0))
        report(Progress(Phase.DECODE, 0, 1, 0.0))
    anchors, first, second = told[2], told[4], told[8]
    assert anchors.seconds_left == pytest.approx(5.0 * 32 / 4)  # 4 frames took 5 s, 32 are left
    assert first.seconds_left == pytest.approx(5.0 * 32 / 4)
    assert second.seconds_left == pytest.approx(80.0)  # the last window, as the first one went


def test_a_part_takes_no_less_than_one_before_it_also_where_the_estimate_leaves_something_out(
    clock: list[float],
) -> None:
    told: list[Progress] = []
    tell = TimeLeft(Estimate(seconds=40.0, inversion_seconds=0.0, peak_bytes=0), told.append)
    parts = Parts([10, 10], 0)
    for _ in range(2):
        report = parts.next(tell)
        report(Progress(Phase.EDIT, 0, 1, None))
        clock[0] += 20.0
        report(Progress(Phase.EDIT, 1, 1, 0.0))
        clock[0] += 10.0  # of decoding, which the estimate does not know
    assert [progress.seconds_left for progress in told[2:]] == pytest.approx([30.0, 10.0])
