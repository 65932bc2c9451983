"""Temporal smoothing: the clean latents that a step predicts are drawn to their mean along the paths of moving objects.

Where the noise leaves a detail open, each frame of a moving object decides it in its own way. So as long as there is
noise, the frames decide it together: on every path of optical flow, within one set of regions, the
predicted clean latents move towards their mean by the share of noise that they are under. At first, when shapes are
decided, that is nearly all the way; at the end, when a path that is only known to the cell would blur the detail,
hardly at all.

Not part of VideoGrain. Relatives that also work on the predicted clean frames: Pix2Video (arXiv 2303.12688) pulls each
towards the one before, ControlVideo (arXiv 2305.13077) interpolates every other one.
"""

from dataclasses import dataclass
from typing import Self

from einops import rearrange
from torch import Tensor

from videograin.diffusion.attention.layout import region_sets
from videograin.diffusion.attention.trajectories import Trajectories


@dataclass(frozen=True)
class PathMean:
    """The mean of each latent cell and those of the other frames on its path that lie in the same regions.

    Attributes:
        others: (L, N) int32, for each of the N = F·h·w cells the others on its path, any cell where there are fewer.
        counted: (L, N) bool, which of them count.
    """

    others: Tensor
    counted: Tensor

    @classmethod
    def along(cls, trajectories: Trajectories, regions: Tensor) -> Self:
        """Follow trajectories within regions.

        Args:
            trajectories: paths along the optical flow, on the grid of the latents.
            regions: (R, F, h, w) bool, the cells of each region, on the trajectories' device.
        """
        others, sets = trajectories.path.T.contiguous(), region_sets(regions).flatten()
        return cls(others, trajectories.path_valid.T & (sets[others] == sets))

    def __call__(self, latents: Tensor) -> Tensor:
        """Return the means (F, C, h, w) of latents (F, C, h, w)."""
        frames, _, height, _ = latents.shape
        cells = rearrange(latents, "f c h w -> (f h w) c")
        total = cells.clone()
        for column, counted in zip(self.others, self.counted, strict=True):  # one at a time: no (N, L, C) is held
            total += cells.index_select(0, column) * counted[:, None]
        mean = total / (1 + self.counted.sum(0))[:, None]
        return rearrange(mean, "(f h w) c -> f c h w", f=frames, h=height)
