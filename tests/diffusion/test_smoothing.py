import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from videograin.diffusion.attention.trajectories import Trajectories
from videograin.diffusion.smoothing import PathMean

NOWHERE = torch.zeros(1, 3, 2, 3, dtype=torch.bool)


def paths_of(owners: list[list[list[int]]]) -> Trajectories:
    """Trajectories through the cells (F, h, w) that bear the same number, each at most once a frame; 0 bears none."""
    numbers = torch.tensor(owners)
    frames = len(numbers)
    flat = numbers.flatten().tolist()
    path = torch.zeros(len(flat), frames - 1, dtype=torch.int32)
    valid = torch.zeros(len(flat), frames - 1, dtype=torch.bool)
    for cell, number in enumerate(flat):
        others = [other for other, same in enumerate(flat) if number and same == number and other != cell]
        path[cell, : len(others)] = torch.tensor(others, dtype=torch.int32)
        valid[cell, : len(others)] = True
    return Trajectories((frames, numbers.shape[1], numbers.shape[2]), 3, path, valid)


# 1 goes to the right; 2 stays and is hidden in the end.
MOVING = paths_of([[[1, 0, 0], [2, 0, 0]], [[0, 1, 0], [2, 0, 0]], [[0, 0, 1], [0, 0, 0]]])


def latents(channels: int = 1) -> Tensor:
    return torch.arange(18.0 * channels).reshape(channels, 3, 2, 3).movedim(0, 1) ** 2


def test_a_cell_and_its_path_take_their_common_mean():
    before = latents(channels=2)
    mean = PathMean.along(MOVING, NOWHERE)(before)
    expected = before.clone()
    for places in ([(0, 0, 0), (1, 0, 1), (2, 0, 2)], [(0, 1, 0), (1, 1, 0)]):
        for frame, row, column in places:
            expected[frame, :, row, column] = torch.stack([before[f, :, r, c] for f, r, c in places]).mean(0)
    assert torch.allclose(mean, expected)


def test_what_belongs_to_no_path_stays():
    alone = paths_of([[[0, 0, 0], [0, 0, 0]]] * 3)
    assert torch.equal(PathMean.along(alone, NOWHERE)(latents()), latents())


def test_a_single_frame_stays():
    picture = Trajectories((1, 2, 3), 3, torch.zeros(6, 0, dtype=torch.int32), torch.zeros(6, 0, dtype=torch.bool))
    before = latents()[:1]
    assert torch.equal(PathMean.along(picture, NOWHERE[:, :1])(before), before)


def test_a_path_that_runs_into_another_region_counts_on_each_side_alone():
    """Flow at an outline may lead from an object to its neighbour, whose appearance it must not take."""
    regions = NOWHERE.repeat(2, 1, 1, 1)
    regions[0, 0, 0, 0] = regions[0, 1, 0, 1] = True
    regions[1, 2, 0, 2] = True
    before = latents()
    mean = PathMean.along(MOVING, regions)(before)
    assert mean[0, 0, 0, 0] == mean[1, 0, 0, 1] == (before[0, 0, 0, 0] + before[1, 0, 0, 1]) / 2
    assert mean[2, 0, 0, 2] == before[2, 0, 0, 2]


def test_where_regions_overlap_only_the_overlap_counts_together():
    regions = NOWHERE.repeat(2, 1, 1, 1)
    regions[0, :, 0] = True
    regions[1, 2, 0] = True  # the second covers the first in the last frame
    before = latents()
    mean = PathMean.along(MOVING, regions)(before)
    assert mean[2, 0, 0, 2] == before[2, 0, 0, 2]
    assert mean[0, 0, 0, 0] == (before[0, 0, 0, 0] + before[1, 0, 0, 1]) / 2


@given(st.lists(st.permutations(range(6)), min_size=3, max_size=3), st.integers(0, 2**32 - 1))
def test_means_of_means_are_the_same_and_the_whole_keeps_its_sum(numbers, seed):
    paths = paths_of([[order[:3], order[3:]] for order in (list(order) for order in numbers)])
    generator = torch.Generator().manual_seed(seed)
    regions = torch.rand(2, 3, 2, 3, generator=generator) < 0.5
    before = torch.randn(3, 4, 2, 3, generator=generator)
    smooth = PathMean.along(paths, regions)
    mean = smooth(before)
    assert torch.allclose(smooth(mean), mean, atol=1e-5)
    assert torch.allclose(mean.sum((0, 2, 3)), before.sum((0, 2, 3)), atol=1e-4)
    assert mean.var() <= before.var() + 1e-6
