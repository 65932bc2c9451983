import numpy as np
from fake_tracking import GREEN, RED, of_colour, squares, tiny_sam2_video

from videograin.tracking.propagator import Propagator
from videograin.tracking.tracks import FrameState
from videograin.tracking.video_engine import MAX_ANCHORS, VideoEngine


def test_sam2_follows_two_objects_from_the_middle_in_both_directions():
    frames = squares(frames=4)
    propagator = Propagator(frames, VideoEngine(*tiny_sam2_video()))
    for name, colour in (("red", RED), ("green", GREEN)):
        propagator.correct(name, 1, of_colour(frames[1], colour))
    tracks = propagator.propagate()
    for name, colour in (("red", RED), ("green", GREEN)):
        assert FrameState.UNTRACKED not in tracks[name].states
        assert np.array_equal(tracks[name].masks[1], of_colour(frames[1], colour))
        assert ((tracks[name].confidence >= 0) & (tracks[name].confidence <= 1)).all()


def test_an_object_that_comes_later_leaves_the_others_as_they_are():
    frames = squares(frames=3)
    propagator = Propagator(frames, VideoEngine(*tiny_sam2_video()))
    propagator.correct("red", 0, of_colour(frames[0], RED))
    before = propagator.propagate()["red"]
    propagator.correct("green", 0, of_colour(frames[0], GREEN))
    assert np.array_equal(propagator.propagate()["red"].masks, before.masks)


def test_memories_of_a_long_clip_do_not_pile_up_and_those_dropped_are_never_read(monkeypatch):
    def follow(frames: np.ndarray) -> tuple[np.ndarray, int]:
        engine, kept = VideoEngine(*tiny_sam2_video()), []
        engine.model.config.max_object_pointers_in_encoder = 7  # as many as there are memories
        run = engine._run
        monkeypatch.setattr(
            engine, "_run", lambda session, *args, **kw: (kept.append(session), run(session, *args, **kw))[1]
        )
        propagator = Propagator(frames, engine)
        propagator.correct("red", 0, of_colour(frames[0], RED))
        tracks = propagator.propagate()
        return tracks["red"].masks, len(kept[-1].output_dict_per_obj[0]["non_cond_frame_outputs"])

    frames = squares(frames=10)
    masks, kept = follow(frames)
    monkeypatch.setattr(VideoEngine, "_forget", lambda *_: None)
    everything, all_kept = follow(frames)
    assert (kept, all_kept) == (7, len(frames) - 1)
    assert np.array_equal(masks, everything)


def test_only_the_nearest_of_many_marked_frames_are_remembered(monkeypatch):
    frames = squares(frames=11)
    engine, told = VideoEngine(*tiny_sam2_video()), set()
    started = engine._started

    def watched(*args):
        session = started(*args)
        told.add(len(session.output_dict_per_obj[0]["cond_frame_outputs"]))
        return session

    monkeypatch.setattr(engine, "_started", watched)
    propagator = Propagator(frames, engine)
    for t in range(10):
        propagator.correct("red", t, of_colour(frames[t], RED))
    propagator.propagate()
    assert told == {MAX_ANCHORS}


def test_an_object_whose_only_mark_was_erased_is_absent_and_the_others_are_followed():
    frames = squares(frames=4)
    propagator = Propagator(frames, VideoEngine(*tiny_sam2_video()))
    propagator.correct("green", 0, of_colour(frames[0], GREEN))
    propagator.correct("red", 0, of_colour(frames[0], RED))
    propagator.correct("red", 0, np.zeros(frames.shape[1:3], bool))
    tracks = propagator.propagate()
    assert tracks["red"].states == (FrameState.ABSENT,) * 4
    assert FrameState.UNTRACKED not in tracks["green"].states


def test_a_mark_is_remembered_behind_many_frames_that_are_marked_as_showing_nothing(monkeypatch):
    frames = squares(frames=MAX_ANCHORS + 3)
    engine, told = VideoEngine(*tiny_sam2_video()), set()
    run = engine._run

    def watched(session, frame, **options):
        told.add(tuple(session.mask_inputs_per_obj[0]))
        return run(session, frame, **options)

    monkeypatch.setattr(engine, "_run", watched)
    propagator = Propagator(frames, engine)
    propagator.correct("red", 0, of_colour(frames[0], RED))
    for t in range(1, MAX_ANCHORS + 2):
        propagator.correct("red", t, np.zeros(frames.shape[1:3], bool))
    tracks = propagator.propagate()
    assert told == {(0,)}
    assert FrameState.UNTRACKED not in tracks["red"].states
