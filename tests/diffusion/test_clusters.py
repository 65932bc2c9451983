import json
from pathlib import Path

import numpy as np
import pytest
from fake_segmenters import ColourNetwork, tiny_sam2
from fakes import tiny_pipeline

from videograin.diffusion import clusters as discover
from videograin.diffusion.clusters import cluster, discover_regions
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.errors import Cancelled, ModelError, NothingFoundError, SegmentError, SettingsError
from videograin.media.video import ClipOptions, load_clip
from videograin.models.loading import load_pipeline
from videograin.progress import Phase, Progress
from videograin.segment import suggest
from videograin.segment.networks import Sam2Network
from videograin.segment.segmenter import EmbeddingCache, Segmenter, SegmentModel
from videograin.segment.suggest import suggest_regions
from videograin.segment.zoo import load_segmenter

ASSETS = Path(__file__).parents[2] / "assets"
CLIPS = ASSETS / "clips"

needs_weights = pytest.mark.skipif(
    not (ASSETS / "models/emoji-world/model_index.json").is_file(), reason="assets/models/emoji-world is not assembled"
)


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    return (found & truth).sum() / (found | truth).sum()


def frames_of(name: str, step: int) -> np.ndarray:
    return load_clip(CLIPS / name / "clip.mp4", ClipOptions(short_side=256, multiple=32)).frames[::step]


def truths_of(name: str) -> dict[str, np.ndarray]:
    """The regions' masks (F, 256, 256) by name."""
    with np.load(CLIPS / name / "masks.npz") as masks:
        return {
            region["name"]: masks[region["name"]]
            for region in json.loads((CLIPS / name / "clip.json").read_text())["regions"]
        }


def scene() -> np.ndarray:
    """A red and a blue square on a black ground under a grey sky, 48×48."""
    frame = np.zeros((48, 48, 3), np.uint8)
    frame[:20] = 128
    frame[4:16, 4:16], frame[26:44, 24:44] = (255, 0, 0), (0, 0, 255)
    return frame


@pytest.fixture
def network() -> ColourNetwork:
    return ColourNetwork()


@pytest.fixture(scope="module")
def pipeline() -> VideoGrainPipeline:
    return tiny_pipeline(widths=(8, 8, 16, 16))


def noise(frames: int = 3, size: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (frames, size, size, 3), np.uint8)


def test_suggestions_are_the_things_and_then_the_backdrop(network):
    found = suggest_regions(scene(), SegmentModel("colours", network))
    assert [one.area for one in found] in ([12 * 12, 18 * 20, 20 * 48 - 12 * 12], [18 * 20, 12 * 12, 20 * 48 - 12 * 12])
    assert [one.score for one in found] == pytest.approx([0.9] * 3)
    assert np.sum([one.mask for one in found], axis=0).max() == 1


def test_a_suggestion_can_be_refined_by_clicks_without_another_embedding(network):
    model, cache = SegmentModel("colours", network), EmbeddingCache()
    first = suggest_regions(scene(), model, cache)[0]
    segmenter = Segmenter(model, cache)
    segmenter.set_frame(scene())
    assert segmenter.click([(8, 8)], [1], previous=first.logits).area == 12 * 12
    assert network.encoded == 1


def test_suggestions_are_limited_to_the_best(network):
    assert len(suggest_regions(scene(), SegmentModel("colours", network), limit=1)) == 1


def test_a_frame_of_one_colour_has_no_suggestions(network):
    assert suggest_regions(np.full((48, 48, 3), 7, np.uint8), SegmentModel("colours", network)) == []


def test_specks_are_not_suggested(network):
    frame = np.zeros((48, 48, 3), np.uint8)
    frame[10:12, 10:12] = 255
    assert suggest_regions(frame, SegmentModel("colours", network), points_per_side=24) == []


def test_suggesting_reports_and_can_be_stopped(network):
    seen: list[Progress] = []

    def stop(progress: Progress) -> None:
        seen.append(progress)
        if progress.done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        suggest_regions(scene(), SegmentModel("colours", network), report=stop)
    assert [(progress.phase, progress.done, progress.total) for progress in seen] == [
        (Phase.SUGGEST, done, 4) for done in range(3)
    ]
    assert network.decoded == 2


def test_sam2_suggests_as_well(monkeypatch):
    monkeypatch.setattr(suggest, "MIN_SCORE", -1)  # its weights are random, nothing is likely
    monkeypatch.setattr(suggest, "MIN_STABILITY", -1)
    found = suggest_regions(noise(1, 48)[0], SegmentModel("tiny", Sam2Network(*tiny_sam2())), points_per_side=4)
    assert len(found) > 0
    assert np.sum([one.mask for one in found], axis=0).max() == 1


@needs_weights
@pytest.mark.slow
@pytest.mark.parametrize("name", ["friends", "one-of-two", "reef"])
def test_the_embedded_segmenter_suggests_the_things_of_a_clip_and_says_which_is_backdrop(name):
    found = suggest_regions(frames_of(name, 1)[0], load_segmenter(device="cpu", offline=True))
    for truth in truths_of(name).values():
        assert max(iou(one.mask, truth[0]) for one in found[:2]) > 0.7


@pytest.mark.parametrize("blobs", [2, 3, 5, 8])
def test_what_is_apart_is_never_in_one_cluster(blobs):
    centres = np.eye(8, dtype=np.float32)[:blobs]
    tokens = centres.repeat(40, 0) + np.random.default_rng(0).normal(0, 0.02, (40 * blobs, 8)).astype(np.float32)
    found = cluster(tokens, range(2, 9))
    nearest = np.square(tokens[:, None] - found).sum(-1).argmin(1).reshape(blobs, 40)
    assert len(np.unique(nearest)) == len(found)
    assert sum(len(np.unique(labels)) for labels in nearest) == len(found)


def test_a_long_clip_is_fitted_to_a_part_of_its_tokens(monkeypatch):
    monkeypatch.setattr(discover, "FITTED_TOKENS", 10)
    tokens = np.eye(2, dtype=np.float32).repeat(45, 0)
    np.testing.assert_array_equal(sorted(cluster(tokens, [2]).tolist()), [[0, 1], [1, 0]])


@pytest.mark.parametrize("clusters", [None, 2, 4])
def test_clusters_cover_every_pixel_once(pipeline, clusters):
    frames = noise()
    found = discover_regions(pipeline, frames, clusters=clusters)
    assert 2 <= len(found) <= (clusters or discover.MAX_CLUSTERS)
    assert (np.sum([proposal.masks for proposal in found], axis=0) == 1).all()
    assert all(proposal.masks.shape == frames.shape[:3] for proposal in found)
    assert [p.is_backdrop for p in found] == sorted(p.is_backdrop for p in found)


def test_clusters_are_the_same_every_time(pipeline):
    first, second = (discover_regions(pipeline, noise(), "a red panda") for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.masks, other.masks)


def test_one_frame_is_enough(pipeline):
    assert len(discover_regions(pipeline, noise(1), clusters=2)) == 2


def test_discovery_leaves_the_schedule_of_the_pipeline_alone(pipeline):
    pipeline.scheduler.set_timesteps(7)
    discover_regions(pipeline, noise(1), clusters=2)
    assert len(pipeline.scheduler.timesteps) == 7


def test_discovery_reports_and_can_be_stopped(pipeline):
    seen: list[Phase] = []
    discover_regions(pipeline, noise(1), report=lambda progress: seen.append(progress.phase))
    assert list(dict.fromkeys(seen)) == [Phase.ENCODE, Phase.INVERT, Phase.SUGGEST]

    def stop(progress: Progress) -> None:
        if progress.phase == Phase.INVERT:
            raise Cancelled

    with pytest.raises(Cancelled):
        discover_regions(pipeline, noise(1), report=stop)


@pytest.mark.parametrize("clusters", [1, 21])
def test_a_number_of_clusters_out_of_range_is_named(pipeline, clusters):
    with pytest.raises(SegmentError, match=f"{clusters} clusters were asked for. Give 2 to 20"):
        discover_regions(pipeline, noise(), clusters=clusters)


def test_frames_that_cannot_be_encoded_are_named(pipeline):
    with pytest.raises(SettingsError, match="33×32; both sides must be multiples of 2"):
        discover_regions(pipeline, np.zeros((1, 32, 33, 3), np.uint8))
    with pytest.raises(SegmentError, match="uint8 RGB"):
        discover_regions(pipeline, noise()[0])


def test_a_clip_of_one_colour_is_named(pipeline):
    with pytest.raises(NothingFoundError, match="one colour"):
        discover_regions(pipeline, np.full((2, 32, 32, 3), 9, np.uint8))


def test_a_network_without_the_layer_is_named():
    with pytest.raises(ModelError, match="lacks the layers"):
        discover_regions(tiny_pipeline(), noise())


@needs_weights
@pytest.mark.slow
@pytest.mark.parametrize("name", ["friends", "one-of-two", "reef"])
def test_clusters_of_the_embedded_model_fit_the_things_far_better_than_chance(name):
    """Chance: the same clusters, moved by half the picture. Measured: IoU 0.57 to 0.76, and 0.15 to 0.33 by chance."""
    pipeline = load_pipeline("emoji-world", device="cpu", offline=True)
    prompt = json.loads((CLIPS / name / "clip.json").read_text())["source_prompt"]
    found = [proposal.masks for proposal in discover_regions(pipeline, frames_of(name, 4), prompt)]
    moved = [np.roll(masks, (128, 128), (1, 2)) for masks in found]
    for truth in truths_of(name).values():
        best, chance = (max(iou(masks, truth[::4]) for masks in some) for some in (found, moved))
        assert best > 0.5
        assert best > 1.5 * chance
