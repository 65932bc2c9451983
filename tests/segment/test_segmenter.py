import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_segmenters import ColourNetwork, tiny_sam, tiny_sam2
from segment_anything import SamPredictor
from transformers import Sam2Processor

from videograin.errors import NothingFoundError, SegmentError
from videograin.segment.networks import Sam2Network, SamNetwork
from videograin.segment.segmenter import EmbeddingCache, Segmenter, SegmentModel

RED, BLUE = (255, 0, 0), (0, 0, 255)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def two_squares() -> np.ndarray:
    """A red and a blue square on black, 40 pixels high and 60 wide."""
    frame = np.zeros((40, 60, 3), np.uint8)
    frame[5:15, 5:15], frame[20:36, 30:50] = RED, BLUE
    return frame


@pytest.fixture
def network() -> ColourNetwork:
    return ColourNetwork()


@pytest.fixture
def segmenter(network: ColourNetwork) -> Segmenter:
    segmenter = Segmenter(SegmentModel("colours", network))
    segmenter.set_frame(two_squares())
    return segmenter


def test_one_click_answers_with_the_best_mask_and_offers_the_smaller_and_the_bigger_part(segmenter):
    found = segmenter.click([(35, 30)], [1])
    assert found.mask.sum() == found.area == 16 * 20
    assert found.mask.dtype == bool
    assert found.mask.shape == (40, 60)
    assert found.score == pytest.approx(0.9)
    assert [part.area for part in found.alternatives] == [20, 16 * 20 + 100]
    assert all(part.alternatives == () for part in found.alternatives)


@pytest.mark.parametrize(("score", "confidence"), [(0.3, 0), (0.65, 0), (0.775, 0.5), (0.9, 1), (1, 1)])
def test_a_low_score_is_no_confidence(segmenter, score, confidence):
    answer = replace(segmenter.click([(35, 30)], [1]), score=score)
    assert answer.confidence == pytest.approx(confidence)


@pytest.mark.parametrize("more", [{"box": (30, 20, 50, 36)}, {"previous": np.zeros((1, 64, 64), np.float32)}])
def test_a_box_or_an_earlier_answer_leaves_one_answer(segmenter, more):
    assert segmenter.click([(35, 30)], [1], **more).alternatives == ()


def test_several_clicks_leave_one_answer(segmenter):
    assert segmenter.click([(35, 30), (8, 8)], [1, 0]).alternatives == ()


def test_the_caller_may_ask_for_several_answers_all_the_same(segmenter):
    answers = segmenter.candidates([(35, 30), (8, 8)], [1, 0], multimask=True)
    assert [answer.score for answer in answers] == pytest.approx([0.9, 0.7, 0.5])


def test_an_empty_answer_is_no_alternative(segmenter):
    frame = np.zeros((40, 60, 3), np.uint8)
    frame[3, 4] = RED
    segmenter.set_frame(frame)
    found = segmenter.click([(4, 3)], [1])
    assert [answer.area for answer in (found, *found.alternatives)] == [1, 1, 1]


def test_clicking_needs_a_frame(network):
    with pytest.raises(SegmentError, match="No frame is set yet"):
        Segmenter(SegmentModel("colours", network)).click([(1, 1)], [1])


@pytest.mark.parametrize("point", [(60, 5), (5, 40), (-1, 5), (float("nan"), 5)])
def test_a_click_outside_the_picture_is_named_with_the_size(segmenter, point):
    with pytest.raises(SegmentError, match=r"outside the picture of 60×40 pixels"):
        segmenter.click([point], [1])


def test_the_last_pixel_is_inside(segmenter):
    with pytest.raises(NothingFoundError):
        segmenter.click([(59.9, 39.9)], [1])


@pytest.mark.parametrize("labels", [[2], [1, 1], [], [-1], [0.5]])
def test_labels_are_one_or_nought_and_one_for_each_click(segmenter, labels):
    with pytest.raises(SegmentError, match="Give each one: 1"):
        segmenter.click([(1, 1)], labels)


@pytest.mark.parametrize("points", [[], [(1, 1)]])
def test_something_must_say_where_the_thing_is(segmenter, points):
    with pytest.raises(SegmentError, match="No click says where the object itself is"):
        segmenter.click(points, [0] * len(points))


def test_an_earlier_answer_alone_says_too_little(segmenter):
    with pytest.raises(SegmentError, match="No click says"):
        segmenter.click([], [], previous=np.zeros((1, 64, 64), np.float32))


def test_an_earlier_answer_can_be_corrected_by_a_click_outside_alone(segmenter):
    assert segmenter.click([(8, 8)], [0], previous=np.zeros((1, 64, 64), np.float32)).area == 100


def test_an_earlier_answer_of_another_model_is_refused(segmenter):
    with pytest.raises(SegmentError, match=r"\(1, 8, 8\).*'colours' takes logits of \(1, 64, 64\)"):
        segmenter.click([(8, 8)], [1], previous=np.zeros((1, 8, 8), np.float32))


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (9, 5, 5, 9), (60, 5, 70, 9), (-5, -5, 0, 4)])
def test_a_box_without_picture_in_it_is_refused(segmenter, box):
    with pytest.raises(SegmentError, match="holds nothing of the picture"):
        segmenter.click([], [], box=box)


def test_nothing_found_says_what_to_do(segmenter):
    with pytest.raises(NothingFoundError, match="draw a box"):
        segmenter.click([(0, 0)], [1])


def test_a_frame_of_one_colour_is_named(segmenter):
    frame = np.full((40, 60, 3), 128, np.uint8)
    frame[::2] += 3  # what compression adds
    segmenter.set_frame(frame)
    with pytest.raises(NothingFoundError, match="one colour"):
        segmenter.click([(5, 5)], [1])


@pytest.mark.parametrize("frame", [noise(4, 4)[..., 0], noise(4, 4) / 255, noise(4, 4)[:0], noise(4, 4)[..., :2]])
def test_a_frame_of_another_form_is_refused(segmenter, frame):
    with pytest.raises(SegmentError, match="uint8 RGB"):
        segmenter.set_frame(frame)


def test_a_mask_of_another_size_is_refused(segmenter):
    with pytest.raises(SegmentError, match=r"The mask is \(4, 4\).* the frame \(40, 60\)"):
        segmenter.as_previous(np.ones((4, 4), bool))


@pytest.mark.parametrize("size", [(48, 16), (20, 60), (32, 32), (7, 90)])
@pytest.mark.parametrize("multimask", [True, False])
def test_sam_answers_as_its_own_predictor_does(size, multimask):
    """Points, boxes and earlier answers land where SamPredictor puts them, whatever the frame's proportions."""
    sam, frame = tiny_sam(), noise(*size)
    points, labels, box = np.array([(3.5, 2), (14, 6)]), np.array([1, 0]), np.array([1, 2, 15, 7])
    previous = np.random.default_rng(1).normal(size=(1, 32, 32)).astype(np.float32)
    predictor = SamPredictor(sam)
    predictor.set_image(frame)
    masks, scores, logits = predictor.predict(points, labels, box, previous, multimask)

    segmenter = Segmenter(SegmentModel("tiny", SamNetwork(sam)))
    segmenter.set_frame(frame)
    answers = segmenter.candidates(points, labels, box, previous, multimask)
    order = np.argsort(-np.clip(scores, 0, 1), kind="stable")
    assert len(answers) == (3 if multimask else 1)
    for answer, i in zip(answers, order, strict=True):
        np.testing.assert_allclose(answer.logits[0], logits[i], atol=1e-6)
        assert (answer.mask != masks[i]).mean() < 1e-3  # pixels on the very edge, where rounding decides


@pytest.mark.parametrize("size", [(48, 16), (20, 60)])
@pytest.mark.parametrize("prompt", ["points", "box", "both"])
def test_sam2_answers_as_transformers_own_processor_and_model_do(size, prompt):
    model, processor = tiny_sam2()
    frame, points, labels, box = noise(*size), [[3.5, 2.0], [14.0, 6.0]], [1, 0], [1.0, 2.0, 15.0, 7.0]
    inputs = Sam2Processor(processor)(
        images=frame,
        input_points=None if prompt == "box" else [[points]],
        input_labels=None if prompt == "box" else [[labels]],
        input_boxes=None if prompt == "points" else [[box]],
        return_tensors="pt",
    )
    sizes = inputs.pop("original_sizes")
    with torch.no_grad():
        answer = model(**inputs, multimask_output=True)
    masks = processor.post_process_masks([answer.pred_masks[0, 0][None]], sizes)[0][0]

    segmenter = Segmenter(SegmentModel("tiny", Sam2Network(model, processor)))
    segmenter.set_frame(frame)
    said = ([], []) if prompt == "box" else (points, labels)
    answers = segmenter.candidates(*said, None if prompt == "points" else box, multimask=True)
    for found, i in zip(answers, answer.iou_scores[0, 0].argsort(descending=True, stable=True), strict=True):
        assert found.score == pytest.approx(answer.iou_scores[0, 0, i].item(), abs=1e-6)
        np.testing.assert_allclose(found.logits[0], answer.pred_masks[0, 0, i], atol=1e-5)
        assert (found.mask != masks[i].numpy()).mean() < 0.01


def test_two_clips_clicked_in_parallel_give_each_its_own_masks():
    model, cache = SegmentModel("tiny", SamNetwork(tiny_sam())), EmbeddingCache()
    clips = [[noise(20, 60, 10 * clip + t) for t in range(5)] for clip in range(4)]
    clicks = [(clip + 3.0, clip + 5.0) for clip in range(4)]

    def work(clip: int, wait: bool = False) -> list[np.ndarray]:
        segmenter, found = Segmenter(model, cache), []
        for frame in clips[clip]:
            segmenter.set_frame(frame)
            if wait:
                together.wait()  # all have set their frame before the first click
            found.append(segmenter.candidates([clicks[clip]], [1])[0].logits)
        return found

    alone = [work(clip) for clip in range(4)]
    together, answers = threading.Barrier(4, timeout=60), {}
    threads = [threading.Thread(target=lambda i=i: answers.update({i: work(i, wait=True)})) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for clip in range(4):
        np.testing.assert_array_equal(answers[clip], alone[clip])
