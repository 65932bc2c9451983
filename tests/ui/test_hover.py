"""The object under the pointer, outlined before the click."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_jobs import wait_until
from fake_segmenters import ColourNetwork

from ui.rendering.pictures import outlines
from ui.work.marking import Marking
from ui.work.pointing import Tool, click, would_mark
from ui.work.segmenting import Segmenting
from ui.work.session import Session
from videograin.jobs.settings import OperatorSettings
from videograin.media.encode import save_video
from videograin.media.video import ClipOptions, load_clip
from videograin.project.workspace import Workspace
from videograin.segment.model import SegmentModel
from videograin.segment.names import GRABCUT
from videograin.segment.segmenter import Segmenter


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A clip of a bright square on black."""
    frames = np.zeros((2, 64, 64, 3), np.uint8)
    frames[:, 16:32, 16:48] = (200, 40, 40)
    save_video(tmp_path / "clip.mp4", frames, 8)
    session = Session("s" * 32, tmp_path)
    options = ClipOptions(short_side=64, multiple=64)
    session.open(Workspace(clip=tmp_path / "clip.mp4", source_prompt="", clip_options=options),
                 load_clip(tmp_path / "clip.mp4", options))  # fmt: skip
    return session


@pytest.mark.parametrize("tool", [Tool.PICK, Tool.ADD])
def test_what_is_outlined_is_what_a_click_marks(session, tool):
    segmenter = Segmenter(SegmentModel("colours", ColourNetwork()))
    before = session.work
    shown = would_mark(session, segmenter, tool, 20, 20)
    assert session.work is before
    click(session, segmenter, tool, 20, 20)
    assert np.array_equal(shown, session.opened_work.masks[session.object.id].masks[0])


def test_a_pointer_waits_for_no_network(session, tmp_path, monkeypatch):
    """Nothing is outlined before the frame is encoded, which then begins, nor by a segmenter that keeps nothing."""
    segmenting = Segmenting(OperatorSettings(data_folder=tmp_path))
    network = ColourNetwork()
    model = SegmentModel("colours", network)
    monkeypatch.setattr(segmenting, "model", lambda name: model)
    unused: Any = None
    marking = Marking(segmenting, finders=unused, naming=unused, store=unused, worker=unused)
    assert marking.would_mark(session, Tool.PICK, 20, 20) is None, "the frame is not encoded yet"
    wait_until(lambda: segmenting.embeddings.holds(model, session.clip.frames[0]))
    found = marking.would_mark(session, Tool.PICK, 20, 20)
    assert found is not None
    assert found.any()
    assert marking.would_mark(session, Tool.PICK, 2, 2) is None, "nothing is there"
    assert marking.would_mark(session, Tool.REMOVE, 20, 20) is None, "no object is selected"
    monkeypatch.setattr(segmenting, "name_for", lambda session: GRABCUT)
    assert marking.would_mark(session, Tool.PICK, 20, 20) is None
    assert network.encoded == 1


def test_a_ring_has_an_outline_within_and_one_around():
    mask = np.zeros((40, 40), bool)
    mask[5:35, 5:35] = True
    mask[15:25, 15:25] = False
    assert [5, 5] in outlines(mask)[0]
    assert len(outlines(mask)) == 2
    assert all(len(line) <= 8 for line in outlines(mask))


def test_a_frame_is_not_made_ready_by_a_segmenter_that_is_not_here_and_the_log_is_spared_its_trace(
    session, tmp_path, monkeypatch
):
    segmenting, failed = Segmenting(OperatorSettings(data_folder=tmp_path)), []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    monkeypatch.setattr(segmenting, "name_for", lambda session: "sam2.1-tiny")
    before = threading.enumerate()
    segmenting.encode_ahead(session)
    for each in threading.enumerate():
        if each not in before:
            each.join(timeout=60)
    assert not failed


def test_of_frames_that_are_passed_by_while_one_is_encoded_the_latest_is_next(session, tmp_path, monkeypatch):
    """A segmenter takes a second of a CPU for each: a user who moves through a clip would wait for all of them."""
    segmenting, network, let = Segmenting(OperatorSettings(data_folder=tmp_path)), ColourNetwork(), threading.Event()
    model, encode, before = SegmentModel("colours", network), network.encode, threading.enumerate()
    monkeypatch.setattr(network, "encode", lambda frame: (let.wait(), encode(frame))[1])
    monkeypatch.setattr(segmenting, "model", lambda name: model)
    unused: Any = None
    marking = Marking(segmenting, finders=unused, naming=unused, store=unused, worker=unused)
    for frame in (0, 1, 0, 1):
        session.frame = frame
        marking.prepare_frame(session)
    (encoding,) = [each for each in threading.enumerate() if each not in before and "encode" in each.name]
    let.set()
    encoding.join(timeout=60)
    assert segmenting.embeddings.holds(model, session.clip.frames[1])
