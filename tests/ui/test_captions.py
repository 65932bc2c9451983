"""Captions that are proposed: of the objects' names, or of what a captioner sees in a filmed clip."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    BlipTextConfig,
    BlipVisionConfig,
)

from benchmarks.hub import LoopbackHub
from ui.work.captions import Captions
from ui.work.session import Session
from videograin.errors import ModelError, RegionError
from videograin.models.captioner import Captioner
from videograin.models.catalog import CAPTIONER_ID, find_entry
from videograin.project.workspace import MarkedObject, Workspace

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "on", "grass", "[DEC]", "[ENC]"]
FRAMES = np.random.default_rng(0).integers(0, 256, (3, 24, 32, 3), np.uint8)


def write_tiny_blip(folder: Path) -> None:
    """Write BLIP's own classes with a few thousand random weights."""
    folder.mkdir(parents=True)
    (folder / "words.txt").write_text("\n".join(WORDS))
    tokenizer = BertTokenizer(str(folder / "words.txt"))
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    text = BlipTextConfig(
        vocab_size=len(WORDS), encoder_hidden_size=16, projection_dim=8, bos_token_id=2, eos_token_id=3,
        pad_token_id=0, sep_token_id=3, **sizes,
    )  # fmt: skip
    vision = BlipVisionConfig(image_size=32, patch_size=8, projection_dim=8, **sizes)
    torch.manual_seed(0)
    config = BlipConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8)
    BlipForConditionalGeneration(config).save_pretrained(folder)
    processor = BlipImageProcessor(size={"height": 32, "width": 32})
    BlipProcessor(processor, tokenizer).save_pretrained(folder)


def session(model: str, *names: str) -> Session:
    objects = tuple(MarkedObject(number, name) for number, name in enumerate(names, 1))
    work = Workspace(clip=Path("clip.mp4"), source_prompt="", model=model, objects=objects)
    clip: Any = SimpleNamespace(frames=FRAMES)
    return cast(Session, SimpleNamespace(opened_work=work, opened_clip=clip, wants_captions=False))


def test_names_make_the_caption_where_objects_have_some(no_network: None) -> None:
    assert Captions().propose(session("sd15", "dog")) == "a dog"
    with pytest.raises(RegionError, match="Name the objects in step 2"):
        Captions().propose(session("emoji-world"))


def test_a_studio_that_is_kept_off_the_network_promises_no_download(no_network: None) -> None:
    visitor = session("sd15")
    with pytest.raises(ModelError, match="kept off the network") as told:
        Captions(offline=True).propose(visitor)
    assert "Download" not in str(told.value)
    assert not visitor.wants_captions


def test_a_filmed_clip_is_described_once_the_captioner_was_downloaded(hub: LoopbackHub) -> None:
    write_tiny_blip(hub.root / CAPTIONER_ID)
    visitor, captions = session("sd15"), Captions()
    with pytest.raises(ModelError, match=r"BLIP, which is not on this machine yet.* it takes 990 MB"):
        captions.propose(visitor)
    assert visitor.wants_captions
    find_entry("blip").download()
    described = Captioner.load(offline=True).describe(FRAMES[1])
    assert captions.propose(visitor) == described
    assert set(described.split()) <= set(WORDS)
