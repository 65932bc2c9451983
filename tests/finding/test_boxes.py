"""Detectors that know words: each kind is downloaded, loaded and asked, and its boxes are cut out."""

# transformers annotates many arguments more narrowly than they are.
# pyright: reportArgumentType=false, reportCallIssue=false

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_segmenters import ColourNetwork
from transformers import (
    BertConfig,
    BertTokenizer,
    CLIPTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    MMGroundingDinoConfig,
    MMGroundingDinoForObjectDetection,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessor,
    Owlv2Processor,
    SwinConfig,
)

from benchmarks.hub import LoopbackHub
from videograin.errors import ModelError
from videograin.files.assets import EMBEDDED_MODEL
from videograin.finding.boxes import BoxFinder, Detector
from videograin.finding.finder import find_objects
from videograin.finding.finders import load_finder, suitable_finder
from videograin.models.catalog import DETECTOR_IDS, find_entry
from videograin.segment.model import EmbeddingCache, Features, Prompts, SegmentModel

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "a", "red", "dog", "hat"]
RED, BLUE = (200, 0, 0), (0, 0, 200)


def frame() -> np.ndarray:
    """A red and a blue square on black."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[10:30, 5:20], picture[10:30, 35:55] = RED, BLUE
    return picture


def write_grounding_dino(folder: Path, network: type, config: type) -> None:
    """Write Grounding DINO's own classes with a few thousand random weights."""
    folder.mkdir(parents=True)
    (folder / "words.txt").write_text("\n".join(WORDS))
    backbone = SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    text = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    torch.manual_seed(0)
    model = network(
        config(
            backbone_config=backbone, text_config=text.to_dict(), d_model=32, encoder_layers=1, decoder_layers=2,
            encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
            num_queries=6, use_pretrained_backbone=False,
        )
    )  # fmt: skip
    model.save_pretrained(folder)
    pictures = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    GroundingDinoProcessor(pictures, BertTokenizer(str(folder / "words.txt"))).save_pretrained(folder)


def write_owlv2(folder: Path) -> None:
    """Write OWLv2's own classes with a few thousand random weights."""
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokenizer = CLIPTokenizer.from_pretrained(EMBEDDED_MODEL / "tokenizer", model_max_length=16)
    text = {"vocab_size": len(tokenizer), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, **sizes}
    torch.manual_seed(0)
    config = Owlv2Config(
        text_config=text, vision_config={"image_size": 32, "patch_size": 8, **sizes}, projection_dim=16
    )
    Owlv2ForObjectDetection(config).save_pretrained(folder)
    Owlv2Processor(Owlv2ImageProcessor(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)


WRITERS: dict[str, Callable[[Path], None]] = {
    "grounding-dino": lambda folder: write_grounding_dino(folder, GroundingDinoForObjectDetection, GroundingDinoConfig),
    "mm-grounding-dino": lambda folder: write_grounding_dino(
        folder, MMGroundingDinoForObjectDetection, MMGroundingDinoConfig
    ),
    "owlv2": write_owlv2,
}


@pytest.mark.parametrize("name", WRITERS)
def test_each_detector_is_downloaded_and_finds_boxes_within_the_frame(name: str, hub: LoopbackHub) -> None:
    WRITERS[name](hub.root / DETECTOR_IDS[name])
    segmenter = SegmentModel("colours", ColourNetwork())
    with pytest.raises(ModelError, match="not in the hub's local cache"):
        load_finder(name, segmenter, EmbeddingCache(), offline=True)
    find_entry(name).download()
    assert find_entry(name).is_installed
    finder = load_finder(name, segmenter, EmbeddingCache(), offline=True)
    assert isinstance(finder, BoxFinder)
    boxes, scores = finder.detector.detect(frame(), "red dog")
    assert boxes.shape == (len(scores), 4)
    assert ((scores > 0) & (scores < 1)).all()


def test_of_the_detectors_the_first_that_is_here_looks_at_photographs(hub: LoopbackHub) -> None:
    assert suitable_finder("emoji-world", is_photograph=False) == "emoji-world"
    assert suitable_finder("emoji-world", is_photograph=True) == "grounding-dino"
    write_owlv2(hub.root / DETECTOR_IDS["owlv2"])
    find_entry("owlv2").download()
    assert suitable_finder("sd15", is_photograph=True) == "owlv2"


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "detr"}))
    with pytest.raises(ModelError, match="must be one of grounding-dino, mm-grounding-dino, owlv2"):
        Detector.load(tmp_path)


class Known:
    """Finds two boxes of dogs, one of them twice, and one around nothing."""

    def detect(self, frame: np.ndarray, noun: str) -> tuple[torch.Tensor, torch.Tensor]:
        boxes = [[34, 9, 56, 31], [4, 9, 21, 31], [4, 9, 21, 30], [0, 0, 3, 3]]
        count = len(boxes) if noun == "dog" else 0
        return torch.tensor(boxes[:count]).reshape(-1, 4).float(), torch.tensor([0.5, 0.9, 0.8, 0.4][:count])


class BoxNetwork(ColourNetwork):
    """Answers a box with what is in its middle."""

    def decode(
        self, features: Features, size: tuple[int, int], prompts: Prompts, multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        assert prompts.boxes is not None
        boxes = prompts.boxes[:, 0]
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        asked = Prompts(middle[:, None], torch.ones(len(middle), 1, dtype=torch.int64))
        return super().decode(features, size, asked, multimask)


def test_boxes_are_cut_out_once_each_and_empty_ones_are_left_out() -> None:
    finder = BoxFinder(Known(), SegmentModel("boxes", BoxNetwork()), EmbeddingCache())
    left, right = find_objects(finder, frame(), "both dogs")
    assert (left.mask == (frame() == RED).all(-1)).all()
    assert (right.mask == (frame() == BLUE).all(-1)).all()
    assert (left.name, left.box, round(left.score, 3)) == ("dog", (5, 10, 20, 30), 0.9)
