from videograin.models import segmenters
from videograin.models.segmenters import OFFERED_SEGMENTERS, default_segmenter, in_order


def test_the_embedded_segmenter_goes_with_its_model_and_the_first_that_is_here_with_others(monkeypatch):
    monkeypatch.setattr(segmenters, "is_here", lambda name: name in ("emoji-world", "vit_b", "grabcut"))
    assert default_segmenter("emoji-world", OFFERED_SEGMENTERS) == "emoji-world"
    assert default_segmenter("sd15", OFFERED_SEGMENTERS) == "vit_b"
    assert default_segmenter("sd15", ("emoji-world", "sam2.1-tiny")) == "sam2.1-tiny"  # to be downloaded
    assert default_segmenter("sd15", ("emoji-world",)) == "emoji-world"


def test_edgetam_is_tried_first_on_a_cpu_unless_the_operator_has_an_order():
    assert in_order(OFFERED_SEGMENTERS, "cpu")[:3] == ("emoji-world", "edgetam", "sam2.1-tiny")
    assert in_order(OFFERED_SEGMENTERS, "cuda") == OFFERED_SEGMENTERS
    assert in_order(("sam2.1-tiny", "edgetam"), "cpu") == ("sam2.1-tiny", "edgetam")
