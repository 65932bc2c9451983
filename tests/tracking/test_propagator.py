import numpy as np
import pytest
from fake_tracking import BLUE, GREEN, RED, ColourEngine, of_colour, squares
from hypothesis import given, settings
from hypothesis import strategies as st

from videograin.errors import Cancelled, TrackingError, VideoError
from videograin.progress import Phase, Progress
from videograin.tracking.passes import plan
from videograin.tracking.propagator import Propagator
from videograin.tracking.tracks import FrameState, Leg, Track

FRAMES = squares()
REDS, GREENS = of_colour(FRAMES, RED), of_colour(FRAMES, GREEN)


@pytest.fixture
def propagator() -> Propagator:
    return Propagator(FRAMES, ColourEngine())


def visits(propagator: Propagator) -> list[tuple[int, tuple[str, ...]]]:
    """Return the frames that the engine looked at, and forget them."""
    assert isinstance(propagator.engine, ColourEngine)
    seen, propagator.engine.visits = propagator.engine.visits, []
    return seen


def same(one: Track, other: Track) -> bool:
    return (
        np.array_equal(one.masks, other.masks)
        and np.array_equal(one.confidence, other.confidence)
        and one.states == other.states
        and one.anchors == other.anchors
    )


def test_objects_are_followed_from_the_first_frame_to_the_last(propagator):
    propagator.correct("red", 0, REDS[0])
    propagator.correct("green", 0, GREENS[0])
    tracks = propagator.propagate()
    assert np.array_equal(tracks["red"].masks, REDS)
    assert np.array_equal(tracks["green"].masks, GREENS)
    assert tracks["red"].states == (FrameState.VISIBLE,) * 8
    assert tracks["red"].confidence.tolist() == [1.0] * 8


def test_a_frame_in_the_middle_is_followed_in_both_directions(propagator):
    propagator.correct("red", 3, REDS[3])
    assert np.array_equal(propagator.propagate()["red"].masks, REDS)
    assert [frame for frame, _ in visits(propagator)] == [4, 5, 6, 7, 2, 1, 0]


def test_objects_of_one_pass_are_followed_together(propagator):
    propagator.correct("red", 0, REDS[0])
    propagator.correct("green", 2, GREENS[2])
    propagator.propagate()
    forward = [(1, ("red",)), (2, ("red",)), *((t, ("red", "green")) for t in range(3, 8))]
    assert visits(propagator) == [*forward, (1, ("green",)), (0, ("green",))]


def test_an_anchor_stays_to_the_last_pixel(propagator):
    drawn = np.zeros_like(REDS[0])
    drawn[20:30, 1:4] = True
    propagator.correct("red", 0, REDS[0])
    propagator.correct("red", 4, drawn)
    track = propagator.propagate()["red"]
    assert np.array_equal(track.masks[4], drawn)
    assert track.anchors == (0, 4)


def test_a_correction_redoes_what_lies_between_its_neighbours_and_nothing_else(propagator):
    for anchor in (0, 3, 6):
        propagator.correct("red", anchor, REDS[anchor])
    before = propagator.propagate()["red"]
    visits(propagator)
    after = propagator.correct("red", 3, REDS[3])
    assert [t for t, state in enumerate(after.states) if state is FrameState.UNTRACKED] == [1, 2, 4, 5]
    assert np.array_equal(after.masks, before.masks), "the older masks are shown meanwhile"
    propagator.propagate()
    assert [frame for frame, _ in visits(propagator)] == [1, 2, 4, 5, 5, 4, 2, 1]


def test_nothing_waits_after_everything_is_followed(propagator):
    propagator.correct("red", 0, REDS[0])
    before = propagator.propagate()["red"]
    visits(propagator)
    assert same(propagator.propagate()["red"], before)
    assert not visits(propagator)


def test_an_object_that_comes_later_leaves_the_others_as_they_are(propagator):
    propagator.correct("red", 0, REDS[0])
    before = propagator.propagate()["red"]
    propagator.correct("green", 7, GREENS[7])
    after = propagator.propagate()
    assert same(after["red"], before)
    assert np.array_equal(after["green"].masks, GREENS)


def test_removing_an_object_leaves_the_others_as_they_are(propagator):
    propagator.correct("red", 0, REDS[0])
    propagator.correct("green", 0, GREENS[0])
    before = propagator.propagate()["red"]
    propagator.remove("green")
    assert same(propagator.propagate()["red"], before)
    assert set(propagator.tracks) == {"red"}


def test_a_mask_that_stands_keeps_its_pixels_against_a_new_object(propagator):
    rows = np.zeros_like(REDS[0])
    rows[4:7] = True
    propagator.correct("rows", 0, rows)
    propagator.tracks["rows"] = Track(np.stack([rows] * 8), np.ones(8, np.float32), (FrameState.VISIBLE,) * 8, (0,))
    propagator.correct("red", 7, REDS[7] & ~rows)
    assert np.array_equal(propagator.propagate()["red"].masks[:7], (REDS & ~rows)[:7])


def test_part_and_whole_share_their_pixels(propagator):
    propagator.correct("whole", 0, REDS[0])
    propagator.correct("part", 0, REDS[0] & (np.arange(32) < 5))
    tracks = propagator.propagate()
    assert np.array_equal(tracks["whole"].masks, REDS)
    assert np.array_equal(tracks["part"].masks[1:], REDS[1:])


def test_two_that_claim_the_same_pixels_never_both_get_them(propagator):
    propagator.correct("one", 0, REDS[0])
    elsewhere = GREENS[0] | (REDS[0] & (np.arange(32) < 4))
    propagator.correct("other", 0, elsewhere)
    tracks = propagator.propagate()
    assert not (tracks["one"].masks & tracks["other"].masks)[1:].any()


def test_a_range_is_followed_and_the_rest_waits(propagator):
    propagator.correct("red", 0, REDS[0])
    track = propagator.propagate(range(3, 5))["red"]
    assert [t for t in range(8) if track.is_known(t)] == [0, 3, 4]
    assert [frame for frame, _ in visits(propagator)] == [1, 2, 3, 4], "1 and 2 lead there"


def test_only_the_named_objects_are_followed(propagator):
    propagator.correct("red", 0, REDS[0])
    propagator.correct("green", 0, GREENS[0])
    waiting = propagator.tracks["green"]
    assert same(propagator.propagate(names=["red"])["green"], waiting)


def test_progress_counts_every_frame_of_every_pass(propagator):
    told: list[Progress] = []
    propagator.correct("red", 3, REDS[3])
    propagator.correct("green", 0, GREENS[0])
    propagator.propagate(report=told.append)
    assert [(step.done, step.total) for step in told] == [(done, 10) for done in range(11)]
    assert {step.phase for step in told} == {Phase.TRACK}


@pytest.mark.parametrize("moment", range(10))
def test_cancelling_leaves_all_tracks_as_they_were(propagator, moment):
    def stop(progress: Progress) -> None:
        if progress.done == moment:
            raise Cancelled

    propagator.correct("green", 0, GREENS[0])
    before = propagator.propagate()["green"]
    waiting = propagator.correct("red", 3, REDS[3])
    corrected = propagator.correct("green", 4, GREENS[4])
    with pytest.raises(Cancelled):
        propagator.propagate(report=stop)
    assert propagator.tracks == {"green": corrected, "red": waiting}
    assert np.array_equal(corrected.masks, before.masks)
    assert np.array_equal(propagator.propagate()["red"].masks, REDS)


def test_an_object_that_is_not_there_is_absent_and_comes_back():
    frames = FRAMES.copy()
    frames[3:5, :12] = 0
    propagator = Propagator(frames, ColourEngine())
    propagator.correct("red", 0, REDS[0])
    track = propagator.propagate()["red"]
    assert [t for t, state in enumerate(track.states) if state is FrameState.ABSENT] == [3, 4]
    assert track.states[5] is FrameState.VISIBLE


def test_erasing_a_mask_says_that_the_object_is_absent(propagator):
    propagator.correct("red", 0, REDS[0])
    propagator.correct("red", 5, np.zeros_like(REDS[0]))
    track = propagator.propagate()["red"]
    assert track.states[5] is FrameState.ABSENT
    assert not track.masks[5].any()


def test_a_mask_of_little_confidence_is_flagged():
    propagator = Propagator(FRAMES, ColourEngine(confidence=0.3))
    propagator.correct("red", 0, REDS[0])
    track = propagator.propagate()["red"]
    assert track.states == (FrameState.VISIBLE, *[FrameState.UNCERTAIN] * 7)
    assert track.confidence.tolist() == [1.0, *[pytest.approx(0.3)] * 7]


def test_what_is_carried_is_no_surer_than_the_answer_it_started_from(propagator):
    propagator.correct("red", 0, REDS[0], 0.3)
    track = propagator.propagate()["red"]
    assert track.states == (FrameState.UNCERTAIN,) * len(REDS)
    assert track.confidence == pytest.approx(0.3)


def test_two_sides_that_disagree_are_less_sure():
    propagator = Propagator(FRAMES, ColourEngine())
    propagator.correct("red", 0, REDS[0])
    propagator.correct("red", 7, GREENS[7])
    track = propagator.propagate()["red"]
    assert np.array_equal(track.masks[1:4], REDS[1:4]), "the nearer anchor decides"
    assert np.array_equal(track.masks[4:7], GREENS[4:7])
    assert track.confidence[1:7].tolist() == [0.5] * 6


def two_shots() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3), np.uint8)
    first = np.stack([np.roll(noise[0], t, axis=1) // 4 for t in range(4)])
    second = np.stack([255 - np.roll(noise[1], t, axis=0) // 4 for t in range(4)])
    frames = np.concatenate([first, second])
    frames[:, 10:20, 10:20] = RED
    return frames


def test_tracking_stops_at_a_cut_and_says_so():
    frames = two_shots()
    reds = of_colour(frames, RED)
    propagator = Propagator(frames, ColourEngine())
    propagator.correct("red", 1, reds[1])
    track = propagator.propagate()["red"]
    assert propagator.shot_starts == (0, 4)
    assert track.states == (FrameState.VISIBLE,) * 4 + (FrameState.BEYOND_CUT,) * 4
    assert not track.masks[4:].any()
    assert track.confidence[4:].tolist() == [0.0] * 4


def test_marking_the_object_behind_a_cut_follows_it_there_and_only_there():
    frames = two_shots()
    reds = of_colour(frames, RED)
    propagator = Propagator(frames, ColourEngine())
    propagator.correct("red", 1, reds[1])
    propagator.propagate()
    visits(propagator)
    propagator.correct("red", 6, reds[6])
    assert propagator.propagate()["red"].states == (FrameState.VISIBLE,) * 8
    assert [frame for frame, _ in visits(propagator)] == [2, 3, 7, 5, 4]


def test_the_way_through_a_long_clip_is_planned_in_time_that_grows_with_its_frames(monkeypatch):
    asked, is_known = [], Track.is_known
    monkeypatch.setattr(Track, "is_known", lambda track, frame: asked.append(frame) or is_known(track, frame))
    track = Track.untracked((300, 2, 2)).corrected(150, np.ones((2, 2), bool))
    planned = plan({"ball": track}, range(300), (0, 100, 250))
    assert len(asked) <= 2 * 300
    assert planned.forward == (Leg("ball", 150, 250),)
    assert planned.backward == (Leg("ball", 150, 99),)
    assert planned.beyond_cut == {"ball": frozenset({*range(100), *range(250, 300)})}


def test_releasing_an_anchor_makes_it_a_frame_like_any_other(propagator):
    propagator.correct("red", 0, REDS[0])
    propagator.correct("red", 4, GREENS[4])
    propagator.propagate()
    propagator.release("red", 4)
    track = propagator.propagate()["red"]
    assert np.array_equal(track.masks, REDS)
    assert track.anchors == (0,)


def test_a_clip_of_one_frame_has_nothing_to_follow():
    propagator = Propagator(FRAMES[:1], ColourEngine())
    propagator.correct("red", 0, REDS[0])
    assert propagator.propagate()["red"].states == (FrameState.VISIBLE,)


def test_forty_objects_are_followed_together():
    frames = np.zeros((3, 40, 40, 3), np.uint8)
    for i in range(40):
        frames[:, i, :20] = (i + 1, 0, 0)
    propagator = Propagator(frames, ColourEngine())
    for i in range(40):
        propagator.correct(str(i), 0, of_colour(frames[0], (i + 1, 0, 0)))
    tracks = propagator.propagate()
    assert all(np.array_equal(tracks[str(i)].masks[2], of_colour(frames[2], (i + 1, 0, 0))) for i in range(40))


def test_no_objects_is_an_error_that_says_what_to_do(propagator):
    with pytest.raises(TrackingError, match=r"nothing to follow\. Click on an object"):
        propagator.propagate()


def test_more_objects_than_an_edit_takes_are_refused_and_none_is_lost(propagator):
    for i in range(62):
        propagator.correct(str(i), 0, REDS[0])
    with pytest.raises(TrackingError, match="63 objects; at most 62"):
        propagator.correct("one more", 0, REDS[0])
    assert len(propagator.tracks) == 62


def test_a_mask_of_another_size_is_refused_and_nothing_is_lost(propagator):
    before = propagator.correct("red", 0, REDS[0])
    with pytest.raises(TrackingError, match=r"mask of 'red' has shape \(16, 16\).* frames are \(32, 32\)"):
        propagator.correct("red", 1, REDS[0, :16, :16])
    with pytest.raises(TrackingError, match="dtype uint8"):
        propagator.correct("red", 1, REDS[1].astype(np.uint8))
    assert propagator.tracks["red"] is before


def test_an_empty_first_mask_is_refused(propagator):
    with pytest.raises(TrackingError, match="mask of 'red' is empty"):
        propagator.correct("red", 0, np.zeros_like(REDS[0]))
    assert not propagator.tracks


@pytest.mark.parametrize("frame", [-1, 8])
def test_a_frame_that_is_not_in_the_clip_is_named(propagator, frame):
    with pytest.raises(TrackingError, match=f"Frame {frame} is not in the clip of 8"):
        propagator.correct("red", frame, REDS[0])


def test_the_only_anchor_cannot_be_released(propagator):
    propagator.correct("red", 0, REDS[0])
    with pytest.raises(TrackingError, match="only anchor"):
        propagator.release("red", 0)
    with pytest.raises(TrackingError, match=r"Frame 3 of 'red' is no anchor; anchors are \(0,\)"):
        propagator.release("red", 3)


def test_an_unknown_object_is_named_with_the_known_ones(propagator):
    propagator.correct("red", 0, REDS[0])
    with pytest.raises(TrackingError, match=r"no object 'blue'\. Name one of: red"):
        propagator.remove("blue")


def test_tracks_of_another_clip_are_refused():
    with pytest.raises(TrackingError, match="track of 'red' has shape"):
        Propagator(FRAMES, ColourEngine(), {"red": Track.untracked((8, 16, 16))})


def test_frames_of_another_kind_are_refused():
    with pytest.raises(VideoError):
        Propagator(FRAMES[..., 0], ColourEngine())


def test_work_goes_on_from_saved_tracks(propagator):
    propagator.correct("red", 0, REDS[0])
    propagator.propagate()
    resumed = Propagator(FRAMES, ColourEngine(), propagator.tracks)
    resumed.correct("red", 6, REDS[6])
    assert np.array_equal(resumed.propagate()["red"].masks, REDS)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([("red", RED), ("green", GREEN)]), st.integers(0, 7)), min_size=1, max_size=8)
)
def test_whatever_is_corrected_in_whatever_order_everything_is_known_in_the_end(corrections):
    propagator = Propagator(FRAMES, ColourEngine())
    for (name, colour), frame in corrections:
        propagator.correct(name, frame, of_colour(FRAMES[frame], colour))
        propagator.propagate()
    for name, track in propagator.tracks.items():
        assert np.array_equal(track.masks, REDS if name == "red" else GREENS)
        assert track.states == (FrameState.VISIBLE,) * 8
        assert track.anchors == tuple(sorted({frame for (other, _), frame in corrections if other == name}))


def test_blue_is_nowhere_and_that_is_no_error(propagator):
    mask = np.zeros_like(REDS[0])
    mask[30, 30] = True
    frames = FRAMES.copy()
    frames[0, 30, 30] = BLUE
    alone = Propagator(frames, ColourEngine())
    alone.correct("blue", 0, mask)
    assert alone.propagate()["blue"].states == (FrameState.VISIBLE, *[FrameState.ABSENT] * 7)
