import sys
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import (
    BeitConfig,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTConfig,
    DPTForDepthEstimation,
    DPTImageProcessor,
    PreTrainedModel,
    ZoeDepthConfig,
    ZoeDepthForDepthEstimation,
    ZoeDepthImageProcessor,
)

from videograin.controls import PEOPLE_MODEL, POSE_MODEL
from videograin.diffusion.control import CannyDetector, DepthDetector, PoseDetector, control_images, load_detector
from videograin.errors import ModelError, SettingsError
from videograin.models.catalog import find_entry
from videograin.region import ControlKind


@pytest.fixture
def frames() -> np.ndarray:
    """A white square that moves over black (4, 48, 64, 3)."""
    clip = np.zeros((4, 48, 64, 3), np.uint8)
    for t, frame in enumerate(clip):
        frame[16:32, 8 + 4 * t : 24 + 4 * t] = 255
    return clip


def tiny_depth_anything(estimates: str = "relative") -> DepthAnythingForDepthEstimation:
    backbone = Dinov2Config(
        hidden_size=8, num_hidden_layers=4, num_attention_heads=2, image_size=28, patch_size=14,
        reshape_hidden_states=False, out_indices=[1, 2, 3, 4],  # pyright: ignore[reportCallIssue]
    )  # fmt: skip
    return DepthAnythingForDepthEstimation(
        DepthAnythingConfig(
            backbone_config=backbone, patch_size=14, reassemble_hidden_size=8, neck_hidden_sizes=[4, 4, 8, 8],
            fusion_hidden_size=8, head_hidden_size=8, reassemble_factors=[4, 2, 1, 0.5],
            depth_estimation_type=estimates,
        )
    )  # fmt: skip


def tiny_dpt() -> DPTForDepthEstimation:
    return DPTForDepthEstimation(
        DPTConfig(
            hidden_size=8, num_hidden_layers=4, num_attention_heads=2, intermediate_size=8, image_size=28,
            patch_size=14, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[4, 4, 8, 8], fusion_hidden_size=8,
            is_hybrid=False,
        )
    )  # fmt: skip


@pytest.fixture(params=[tiny_depth_anything, tiny_dpt])
def depth_folder(request, tmp_path) -> Path:
    return saved(request.param, tmp_path)


def saved(make: Callable[[], PreTrainedModel], folder: Path) -> Path:
    torch.manual_seed(0)
    make().save_pretrained(folder)
    DPTImageProcessor(size={"height": 28, "width": 28}, ensure_multiple_of=14).save_pretrained(folder)
    return folder


@pytest.fixture
def zoe_folder(tmp_path: Path) -> Path:
    """A ZoeDepth of two blocks, with random weights in the layout of the hub's."""
    torch.manual_seed(0)
    backbone = BeitConfig(
        image_size=32, patch_size=16, hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False,  # pyright: ignore[reportCallIssue]
    )  # fmt: skip
    config = ZoeDepthConfig(
        backbone_config=backbone, backbone_hidden_size=16, neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8,  # pyright: ignore[reportCallIssue]
        bottleneck_features=8, num_relative_features=8, bin_embedding_dim=8, num_attractors=[4, 2, 2, 1],
        bin_configurations=[{"n_bins": 8, "min_depth": 0.1, "max_depth": 10.0, "name": "nyu"}],
    )  # fmt: skip
    ZoeDepthForDepthEstimation(config).save_pretrained(tmp_path)
    ZoeDepthImageProcessor(size={"height": 32, "width": 32}, ensure_multiple_of=32).save_pretrained(tmp_path)
    return tmp_path


def test_zoedepth_s_metres_become_nearness(frames, zoe_folder):
    detector = DepthDetector.load(str(zoe_folder))
    assert detector.is_metric
    depth = detector(frames)
    assert depth.shape == frames.shape
    assert (depth.min(), depth.max()) == (0, 255)


def test_a_depth_anything_that_estimates_metres_is_turned_round_as_well(frames, tmp_path):
    near, far = (
        DepthDetector.load(str(saved(partial(tiny_depth_anything, estimates), tmp_path / estimates)))
        for estimates in ("relative", "metric")
    )
    assert (near.is_metric, far.is_metric) == (False, True)
    assert far(frames).shape == frames.shape


def test_a_distance_in_metres_is_white_where_it_is_small_and_a_far_sky_does_not_count():
    frames = np.linspace(10, 100, 400).astype(np.uint8).reshape(1, 20, 20, 1).repeat(3, -1)
    frames[:, -1] = 255  # a twentieth of the picture, more than twice as far as all else
    metric = nearness_is_brightness()
    grey = DepthDetector(metric.model, metric.processor, is_metric=True)(frames)[0, ..., 0].astype(int)
    assert (grey[0, 0], grey[-1].max()) == (255, 0)
    assert grey[10, 0] == pytest.approx(255 * (0.85 - 0.5) / (0.85 - 0.02), abs=4)


def test_a_pose_of_the_body_leaves_hands_and_faces_out(frames):
    def draw(canvas: np.ndarray, joints: np.ndarray, scores: np.ndarray, **_: object) -> np.ndarray:
        assert (joints.shape, scores.shape) == ((1, 18, 2), (1, 18))
        return canvas + 1

    detector = PoseDetector(lambda image: (np.zeros((1, 134, 2)), np.ones((1, 134))), draw, joints=18)
    assert (detector(frames[:1]) == 1).all()


def test_canny_is_white_on_black_in_three_equal_channels(frames):
    edges = control_images(frames, ControlKind.CANNY)
    assert edges.shape == frames.shape
    assert edges.dtype == np.uint8
    assert set(np.unique(edges)) == {0, 255}
    assert (edges == edges[..., :1]).all()


def test_canny_draws_the_outline_and_nothing_else(frames):
    edges = control_images(frames, ControlKind.CANNY)[0, ..., 0]
    assert edges[15:17, 12:20].any(axis=0).all()
    assert not edges[19:29, 11:21].any()
    assert not edges[:12].any()


def test_higher_canny_thresholds_find_fewer_edges():
    noise = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    few = control_images(noise, ControlKind.CANNY, canny_thresholds=(600, 900))
    many = control_images(noise, ControlKind.CANNY, canny_thresholds=(50, 100))
    assert few.sum() < many.sum()


def test_canny_thresholds_in_the_wrong_order_are_refused():
    with pytest.raises(SettingsError, match=r"\(200, 100\)"):
        CannyDetector(200, 100)


def test_an_unknown_kind_names_the_allowed_ones(frames):
    with pytest.raises(SettingsError, match="canny, depth, depth_dpt, depth_zoe, pose, pose_body"):
        control_images(frames, "normals")  # pyright: ignore[reportArgumentType]


def test_depth_is_grey_and_fills_the_range_of_the_clip(frames, depth_folder):
    depth = control_images(frames, ControlKind.DEPTH, depth_model=str(depth_folder))
    assert depth.shape == frames.shape
    assert depth.dtype == np.uint8
    assert (depth.min(), depth.max()) == (0, 255)
    assert (depth == depth[..., :1]).all()


def test_depth_of_a_resting_frame_does_not_depend_on_its_neighbours_in_the_chunk(frames, depth_folder, monkeypatch):
    detector = DepthDetector.load(str(depth_folder))
    together = detector(frames)
    monkeypatch.setattr("videograin.diffusion.control.DEPTH_FRAMES_AT_ONCE", 3)
    assert np.abs(together.astype(int) - detector(frames)).max() <= 1


def nearness_is_brightness() -> DepthDetector:
    class Brightness(torch.nn.Linear):
        def forward(self, pixel_values: torch.Tensor) -> SimpleNamespace:  # pyright: ignore[reportIncompatibleMethodOverride]
            return SimpleNamespace(predicted_depth=pixel_values.float().mean(-1))

    return DepthDetector(Brightness(1, 1), lambda images, **_: {"pixel_values": torch.from_numpy(np.stack(images))})


def test_a_resting_thing_keeps_its_grey_when_another_comes_nearer():
    frames = np.full((2, 8, 8, 3), 100, np.uint8)
    frames[:, 0, 0], frames[1, 4:, 4:] = 0, 200
    depth = nearness_is_brightness()(frames)
    assert (depth[:, :4, 4:] == 128).all()
    assert (depth[1, 4:, 4:] == 255).all()


def test_depth_of_an_empty_scene_is_black():
    assert not nearness_is_brightness()(np.full((1, 8, 8, 3), 9, np.uint8)).any()


def test_a_missing_depth_folder_is_named_with_the_remedy(tmp_path):
    missing = tmp_path / "nowhere"
    with pytest.raises(ModelError, match=r"no model at .*nowhere.*Check the path"):
        load_detector(ControlKind.DEPTH, depth_model=str(missing))


def test_a_folder_with_another_kind_of_model_is_refused(tmp_path):
    DPTImageProcessor().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(ModelError, match="cannot be loaded"):
        DepthDetector.load(str(tmp_path))


def test_pose_without_its_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "rtmlib", None)
    with pytest.raises(ModelError, match=r"rtmlib.*install '\.\[pose\]'"):
        load_detector(ControlKind.POSE)


def test_poses_come_from_the_hub_s_files_which_are_unpacked_once(monkeypatch, tmp_path, hub):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    given = []
    library = SimpleNamespace(Wholebody=lambda **options: given.append(options), draw_skeleton=None)
    monkeypatch.setitem(sys.modules, "rtmlib", library)
    for model in (PEOPLE_MODEL, POSE_MODEL):
        (hub.root / model).parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(hub.root / model, "w") as archive:
            archive.writestr("sdk/detail.json", "{}")
            archive.writestr("sdk/end2end.onnx", model)
    find_entry("sd15+pose").parts[1].complete()
    for _ in range(2):
        load_detector(ControlKind.POSE)
        hub.refused["Tau-J/RTMPose"] = 404
    assert [Path(given[-1][each]).read_text() for each in ("det", "pose")] == [PEOPLE_MODEL, POSE_MODEL]


def test_poses_without_a_network_fail_in_time_and_in_plain_words(monkeypatch, tmp_path, no_network):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "rtmlib", SimpleNamespace(Wholebody=None, draw_skeleton=None))
    with pytest.raises(ModelError, match="No connection to the model hub"):
        load_detector(ControlKind.POSE)


def test_pose_hands_bgr_to_the_model_and_draws_on_black(frames):
    frames[..., 2] = 7

    def find_people(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert (image[..., 0] == 7).all()
        return np.array([[[5, 6]]]), np.array([[0.9]])

    def draw(canvas: np.ndarray, joints: np.ndarray, scores: np.ndarray, **_: object) -> np.ndarray:
        assert not canvas.any()
        x, y = joints[0, 0]
        canvas[y, x] = round(scores[0, 0] * 100)
        return canvas

    poses = PoseDetector(find_people, draw)(frames)
    assert poses.shape == frames.shape
    assert (poses[:, 6, 5] == 90).all()
