import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_segmenters import tiny_sam2
from safetensors.torch import save_file
from segment_anything import sam_model_registry
from transformers import (
    EdgeTamVideoConfig,
    EdgeTamVideoModel,
    EdgeTamVisionConfig,
    Sam2ImageProcessor,
    Sam2VideoConfig,
    Sam2VideoModel,
)

from videograin.errors import Cancelled, ModelError
from videograin.files.download import RemoteFile, download
from videograin.media.video import ClipOptions, load_clip
from videograin.progress import Phase, Progress
from videograin.segment.names import HUB_IDS, SAM_FILES, Architecture, architecture, fetch_segmenter, segmenter_names
from videograin.segment.segmenter import Segmenter, SegmentModel
from videograin.segment.zoo import load_segmenter

ASSETS = Path(__file__).parents[2] / "assets"
CLIPS = ASSETS / "clips"
CONTENT = bytes(range(256)) * 10_000  # 2.4 MiB, three reports

needs_weights = pytest.mark.skipif(
    not (ASSETS / "models/emoji-world/sam").is_dir(), reason="assets/models/emoji-world is not assembled"
)


class Server(ThreadingHTTPServer):
    """Serves one file, counts how often it is asked, and may break off in the middle."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked = 0
        self.breaks_off = False

    def file(self, sha256: str = hashlib.sha256(CONTENT).hexdigest(), size: int = len(CONTENT)) -> RemoteFile:
        return RemoteFile(f"http://127.0.0.1:{self.server_port}/weights.pth", sha256, size)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2 if self.server.breaks_off else None])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its own name)
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "weights.pth"


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def assert_it_answers(model: SegmentModel) -> None:
    """It need not make sense of anything: its weights are random."""
    segmenter = Segmenter(model)
    segmenter.set_frame(noise(90, 160))
    first = segmenter.candidates([(100, 40)], [1])
    assert [answer.mask.shape for answer in first] == [(90, 160)] * 3
    assert len({answer.area for answer in first}) > 1
    second = segmenter.candidates([(100, 40), (5, 5)], [1, 0], (80, 20, 130, 70), first[0].logits)
    assert len(second) == 1
    assert np.abs(second[0].logits - first[0].logits).max() > 0.01 * np.abs(first[0].logits).max()


def test_a_download_is_whole_and_reported(server, target):
    seen: list[Progress] = []
    assert download(server.file(), target, seen.append) == target
    assert target.read_bytes() == CONTENT
    assert {(progress.phase, progress.total) for progress in seen} == {(Phase.DOWNLOAD, len(CONTENT))}
    assert seen[-1].done == len(CONTENT)


def test_what_is_there_is_not_downloaded_again(server, target):
    for _ in range(2):
        download(server.file(), target)
    assert server.asked == 1


def test_a_file_of_another_size_is_replaced(server, target):
    target.parent.mkdir()
    target.write_bytes(CONTENT[:1000])
    assert download(server.file(), target).read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_and_nothing_stays(server, target):
    with pytest.raises(ModelError, match=r"came damaged \(SHA-256"):
        download(server.file(sha256="0" * 64), target)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("error", [Cancelled, KeyboardInterrupt])
def test_an_aborted_download_is_no_weights(server, target, error):
    def stop(progress: Progress) -> None:
        if progress.done:
            raise error

    with pytest.raises(error):
        download(server.file(), target, stop)
    assert not target.exists()


def test_a_server_that_never_sends_all_is_given_up_on(server, target, monkeypatch):
    monkeypatch.setattr("videograin.files.download.RETRY_SECONDS", 0.0)
    server.breaks_off = True  # and it does not know ranges, so that nothing is ever gained
    with pytest.raises(ModelError, match=r"The connection broke after 1 of 3 MB .*goes on from there"):
        download(server.file(), target)
    server.breaks_off = False
    assert download(server.file(), target).read_bytes() == CONTENT


def test_a_server_that_is_gone_is_told_in_a_plain_sentence(server, target):
    file = server.file()
    server.server_close()
    with pytest.raises(ModelError, match=r"No connection to the model hub\. The embedded model works without one\."):
        download(file, target)
    assert list(target.parent.iterdir()) == []


def test_a_disk_without_room_is_named_before_anything_is_asked(server, target):
    with pytest.raises(ModelError, match="Make room"):
        download(server.file(size=2**60), target)
    assert server.asked == 0


def test_sam_is_downloaded_once_and_kept_in_the_cache_folder(server, tmp_path, monkeypatch):
    monkeypatch.setitem(SAM_FILES, "vit_b", server.file())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for _ in range(2):
        assert fetch_segmenter("vit_b") == tmp_path / "videograin" / "segmenters" / "sam_vit_b.pth"
    assert server.asked == 1


def test_offline_says_where_the_file_would_have_to_be(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=r"'vit_h' is not at '.*sam_vit_h\.pth'.* fetch https://dl\."):
        fetch_segmenter("vit_h", offline=True)


def test_an_unknown_name_lists_the_known_ones():
    assert segmenter_names()[0] == "emoji-world"
    with pytest.raises(ModelError, match=r"no segmenter 'vit_x'.* emoji-world, grabcut, vit_b, .*edgetam"):
        load_segmenter("vit_x")


@pytest.mark.parametrize("name", HUB_IDS)
def test_models_of_the_hub_are_named_when_they_are_not_here(name, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=f"'{HUB_IDS[name]}' is not in the hub's local cache"):
        load_segmenter(name, offline=True)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(ModelError, match="holds no segmenter that is known here"):
        load_segmenter(str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x80\x04cos\nsystem\n(S'true'\ntR."])
def test_a_file_that_holds_no_weights_is_named(tmp_path, content):
    (tmp_path / "sam.pth").write_bytes(content)
    with pytest.raises(ModelError, match=r"cannot be loaded from '.*sam\.pth'"):
        load_segmenter(str(tmp_path / "sam.pth"))


def test_a_file_of_another_network_is_named(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "sam.pth")
    with pytest.raises(ModelError, match="patch_embed"):
        load_segmenter(str(tmp_path / "sam.pth"))


def test_sam2_is_loaded_from_a_folder(tmp_path):
    model, processor = tiny_sam2()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert architecture(tmp_path) == Architecture.SAM2
    loaded = load_segmenter(str(tmp_path), "cpu")
    assert (loaded.name, loaded.input_size) == (str(tmp_path), 64)
    assert_it_answers(loaded)


def test_weights_that_lack_a_part_are_not_filled_with_noise(tmp_path):
    model, processor = tiny_sam2()
    kept = {name: tensor for name, tensor in model.state_dict().items() if "iou_token" not in name}
    model.save_pretrained(tmp_path, state_dict=kept)
    processor.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"no weights for mask_decoder\.iou_token"):
        load_segmenter(str(tmp_path), "cpu")


@needs_weights
@pytest.mark.parametrize("name", ["friends", "one-of-two", "reef"])
def test_the_embedded_segmenter_finds_what_is_clicked_on(name):
    model = load_segmenter(device="cpu", offline=True)
    assert (model.name, model.input_size) == ("emoji-world", 256)
    segmenter = Segmenter(model)
    segmenter.set_frame(load_clip(CLIPS / name / "clip.mp4", ClipOptions(short_side=256, multiple=32)).frames[0])
    with np.load(CLIPS / name / "masks.npz") as masks:
        for region in json.loads((CLIPS / name / "clip.json").read_text())["regions"]:
            found, truth = (
                segmenter.click([(region["click"]["x"], region["click"]["y"])], [1]).mask,
                masks[region["name"]][0],
            )
            assert (found & truth).sum() / (found | truth).sum() > 0.7, region["name"]


@pytest.mark.slow
def test_vit_b_runs_at_its_true_size(tmp_path):
    """With random weights, so that of its path only the download is untested."""
    torch.save(sam_model_registry["vit_b"]().state_dict(), tmp_path / "mine.pth")
    model = load_segmenter(str(tmp_path / "mine.pth"), "cpu")
    assert (model.input_size, model.network.logits_size) == (1024, (256, 256))
    assert_it_answers(model)


@pytest.mark.slow
def test_sam2_runs_at_its_true_size_from_a_checkpoint_for_video(tmp_path):
    Sam2VideoModel(Sam2VideoConfig()).save_pretrained(tmp_path)  # the defaults are SAM 2.1 tiny
    Sam2ImageProcessor().save_pretrained(tmp_path)
    model = load_segmenter(str(tmp_path), "cpu")
    assert (model.input_size, model.network.logits_size) == (1024, (256, 256))
    assert_it_answers(model)


@pytest.mark.slow
def test_edgetam_runs_at_its_true_size_from_a_checkpoint_for_video(tmp_path):
    pytest.importorskip("timm", reason="EdgeTAM's image encoder is timm's")
    backbone = {
        "model_type": "timm_wrapper",
        "architecture": "repvit_m1",
        "num_classes": 2,
        "model_args": {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
    }
    config = EdgeTamVideoConfig(vision_config=EdgeTamVisionConfig(backbone_config=backbone))
    EdgeTamVideoModel(config).save_pretrained(tmp_path)
    Sam2ImageProcessor().save_pretrained(tmp_path)
    assert architecture(tmp_path) == Architecture.EDGETAM
    assert_it_answers(load_segmenter(str(tmp_path), "cpu"))


@pytest.mark.skipif(find_spec("timm") is not None, reason="timm is here")
def test_edgetam_names_the_package_that_it_needs(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "edgetam_video"}')
    save_file({"nothing": torch.zeros(1)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"needs a package that is not here.*timm"):
        load_segmenter(str(tmp_path), "cpu")
