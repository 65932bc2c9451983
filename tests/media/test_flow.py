from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.trajectories import loop_trajectories, moving_clip
from videograin.diffusion.attention.trajectories import Trajectories, trajectories
from videograin.media.flow import OpticalFlow, optical_flow, warp


def constant_flow(x: float, y: float, frames: int = 4, size: tuple[int, int] = (32, 32)) -> OpticalFlow:
    forward = np.empty((frames - 1, 2, *size), np.float32)
    forward[:, 0], forward[:, 1] = x, y
    return OpticalFlow.from_pair(forward, -forward)


def shifted_clip(x: int, y: int, frames: int = 3, size: tuple[int, int] = (96, 64)) -> np.ndarray:
    still = moving_clip(frames=1, size=max(size))[0][: size[0], : size[1]]
    return np.stack([np.roll(still, (y * t, x * t), axis=(0, 1)) for t in range(frames)])


# Optical flow


def test_dis_finds_a_known_shift_in_columns_then_rows():
    flow = optical_flow(shifted_clip(x=3, y=-2))
    assert flow.forward.shape == (2, 2, 96, 64)
    assert flow.forward.dtype == flow.backward.dtype == np.float32
    inner = flow.forward[..., 16:-16, 16:-16]
    assert np.allclose(np.median(inner, axis=(0, 2, 3)), [3, -2], atol=0.2)
    assert np.allclose(np.median(flow.backward, axis=(0, 2, 3)), [-3, 2], atol=0.2)


@pytest.mark.parametrize("size", [(8, 40), (12, 200), (33, 50), (200, 16), (1, 1)])
def test_frames_on_which_opencv_would_crash_are_padded(size):
    flow = optical_flow(np.zeros((2, *size, 3), np.uint8))
    assert flow.forward.shape == flow.backward.shape == (1, 2, *size)


def test_one_frame_has_no_flow_and_paths_of_one_token():
    flow = optical_flow(np.zeros((1, 32, 48, 3), np.uint8))
    assert flow.forward.shape == (0, 2, 32, 48)
    keys, valid = trajectories(flow, (4, 6)).entries
    assert keys[:, 0].tolist() == list(range(24))
    assert valid.all()


def test_warping_the_next_frame_back_gives_this_frame():
    clip = shifted_clip(x=3, y=-2)
    flow = constant_flow(3, -2, frames=3, size=(96, 64))
    assert np.array_equal(warp(clip[1], flow.forward[0])[4:-4, 4:-4], clip[0][4:-4, 4:-4])
    assert np.array_equal(warp(clip[0], flow.backward[0])[4:-4, 4:-4], clip[1][4:-4, 4:-4])


def test_pixels_that_leave_the_picture_count_as_occluded():
    flow = constant_flow(5, 0, size=(16, 20))
    assert flow.forward_occluded[..., -5:].all()
    assert not flow.forward_occluded[..., :-5].any()
    assert flow.backward_occluded[..., :5].all()


def test_what_a_moving_object_covers_is_occluded_forward_and_uncovered_backward():
    # A square of 8 pixels at columns 8..15 moves 8 to the right over a still ground.
    forward = np.zeros((1, 2, 24, 32), np.float32)
    backward = np.zeros_like(forward)
    forward[:, 0, 8:16, 8:16] = 8
    backward[:, 0, 8:16, 16:24] = -8
    flow = OpticalFlow.from_pair(forward, backward)
    covered, uncovered = np.zeros((2, 24, 32), bool)
    covered[8:16, 16:24] = True
    uncovered[8:16, 8:16] = True
    assert np.array_equal(flow.forward_occluded[0], covered)
    assert np.array_equal(flow.backward_occluded[0], uncovered)


# Trajectories


def token(t: int, row: int, column: int, grid: tuple[int, int]) -> int:
    return (t * grid[0] + row) * grid[1] + column


def test_a_still_clip_links_each_cell_with_itself():
    keys, valid = trajectories(constant_flow(0, 0), (4, 4)).entries
    assert keys[token(1, 2, 3, (4, 4))].tolist() == [token(t, 2, 3, (4, 4)) for t in (1, 0, 2, 3)]
    assert valid.all()


@pytest.mark.parametrize("grid", [(4, 8), (8, 4), (6, 10), (5, 3)])
def test_motion_is_scaled_by_each_side_of_a_picture_that_is_not_square(grid):
    height, width = grid
    down_one_cell = constant_flow(0, 8, size=(height * 8, width * 8))
    path = trajectories(down_one_cell, grid)
    points, valid = path.table()
    row = token(0, 0, width - 1, grid)
    followed = points[row, 25:][valid[row, 25:]].tolist()
    assert followed == [[t, t, width - 1] for t in range(1, min(4, height))]


def test_the_source_that_fits_best_keeps_a_contested_cell():
    # Cells are 8 pixels wide; cell 0 moves exactly onto cell 2, cell 1 only nearly.
    forward = np.zeros((1, 2, 8, 32), np.float32)
    forward[:, 0, :, 0:8], forward[:, 0, :, 8:16], forward[:, 0, :, 16:] = 16, 7, 32
    flow = OpticalFlow.from_pair(forward, np.zeros_like(forward))
    exact = np.zeros_like(flow.forward_error)
    flow = OpticalFlow(flow.forward, flow.backward, exact, flow.forward_occluded, flow.backward_occluded)
    path = trajectories(flow, (1, 4))
    assert path.path[:, 0].tolist() == [6, 0, 0, 0, 0, 0, 0, 0]
    assert path.path_valid[:, 0].tolist() == [True, False, False, False, False, False, True, False]


def test_the_covered_background_loses_its_cell_to_what_covers_it():
    forward = np.zeros((1, 2, 8, 32), np.float32)
    backward = np.zeros_like(forward)
    forward[:, 0, :, 0:8] = 16
    backward[:, 0, :, 16:24] = -16
    path = trajectories(OpticalFlow.from_pair(forward, backward), (1, 4))
    assert path.path[6, 0] == 0
    assert path.path_valid[6, 0]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6), st.sampled_from([4, 8, 12]), st.integers(0, 2**32))
def test_trajectories_equal_those_of_plain_loops(frames, height, width, cell, seed):
    rng = np.random.default_rng(seed)
    forward, backward = rng.normal(0, 8, (2, frames - 1, 2, height * cell, width * cell)).astype(np.float32)
    flow = OpticalFlow.from_pair(forward, backward)
    points, valid = trajectories(flow, (height, width), window=3).table()
    expected = loop_trajectories(flow, (height, width))
    for row, real in zip(points, valid, strict=True):
        assert [tuple(point) for point in row[9:][real[9:]].tolist()] == expected[tuple(row[0].tolist())]


def test_a_short_path_is_preceded_by_the_last_neighbours():
    short = trajectories(constant_flow(0, 16), (4, 4), window=3)  # leaves the picture after one step
    keys, valid = short.entries
    neighbours, inside = short.neighbours()
    assert keys.shape == (4 * 16, 4)
    assert torch.equal(keys[:, 1:3], neighbours[:, -2:])
    assert torch.equal(valid[:, 1:3], inside[:, -2:])


# Goldens: tables of the release


@pytest.fixture
def recording(load_golden: Callable[[str], dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return load_golden("trajectories")


def recorded_flow(recording: dict[str, torch.Tensor], name: str) -> OpticalFlow:
    size = recording["flow_a"].shape
    forward = recording[name].float().expand(size).numpy().copy()
    return OpticalFlow.from_pair(forward, -forward)


def levels(recording: dict[str, torch.Tensor], name: str) -> list[int]:
    return sorted(int(key.split("traj")[1]) for key in recording if key.startswith(f"{name}.traj"))


def ours_and_recorded(
    recording: dict[str, torch.Tensor], name: str, side: int
) -> tuple[Trajectories, torch.Tensor, torch.Tensor]:
    window = 5 if side == max(levels(recording, name)) else 3
    ours = trajectories(recorded_flow(recording, name), (side, side), window)
    return ours, recording[f"{name}.traj{side}"].long(), recording[f"{name}.mask{side}"].bool()


@pytest.mark.parametrize("name", ["flow_b", "flow_c"])
def test_golden_tables_without_conflicts_are_equal(recording, name):
    for side in levels(recording, name):
        ours, points, valid = ours_and_recorded(recording, name, side)
        assert torch.equal(ours.table()[0], points)
        assert torch.equal(ours.table()[1], valid)


def links(points: torch.Tensor, valid: torch.Tensor, window: int) -> dict[tuple, tuple]:
    """Each point's successor in the next frame, read off the table's trajectory columns."""
    following = {}
    for row, real in zip(points.tolist(), valid.tolist(), strict=True):
        columns = zip(row[window**2 :], real[window**2 :], strict=True)
        following |= {tuple(row[0]): tuple(p) for p, is_real in columns if is_real and p[0] == row[0][0] + 1}
    return following


def proposals(flow: torch.Tensor, side: int) -> dict[tuple, list[tuple]]:
    """The sources that the README's rule sends to each target."""
    arrivals: dict[tuple, list[tuple]] = {}
    cell = flow.shape[-1] // side
    jump = (side * flow[:, :, ::cell, ::cell].float() / flow.shape[-1]).round().int()
    for t, row, column in np.ndindex(len(flow), side, side):
        x, y = jump[t, :, row, column].tolist()
        if 0 <= row + y < side and 0 <= column + x < side:
            arrivals.setdefault((t + 1, row + y, column + x), []).append((t, row, column))
    return arrivals


def test_golden_tables_with_conflicts_agree_up_to_the_winners(recording):
    for side in levels(recording, "flow_a"):
        ours, points, valid = ours_and_recorded(recording, "flow_a", side)
        window = ours.window
        assert torch.equal(ours.table()[0][:, : window**2], points[:, : window**2])
        assert torch.equal(ours.table()[1][:, : window**2], valid[:, : window**2])
        arrivals = proposals(recording["flow_a"], side)
        for following in (links(*ours.table(), window), links(points, valid, window)):
            source_of = {target: source for source, target in following.items()}
            assert len(source_of) == len(following), "two sources keep one target"
            assert source_of.keys() == arrivals.keys()
            assert all(source in arrivals[target] for target, source in source_of.items())
