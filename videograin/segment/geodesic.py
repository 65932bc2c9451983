"""Geodesic distance over a picture: the colour that a path must change on its way from the nearest seed."""

from collections.abc import Callable

import numpy as np

STEP_COST = 0.3
"""Added to a step's change of colour, in CIELAB units, so that among equal colours the nearer seed wins."""

ROUNDS = 2
"""Sweeps over the picture in all four directions; after two of them next to no path gets shorter."""

UNREACHED = 1e6
"""Distance where there is no seed at all; more than any path costs."""

_Turn = Callable[[np.ndarray], np.ndarray]

_TURNS: tuple[_Turn, ...] = (
    lambda grid: grid,
    lambda grid: grid[::-1],
    lambda grid: grid.swapaxes(0, 1),
    lambda grid: grid.swapaxes(0, 1)[::-1],
)


def geodesic_distance(colours: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Return how far each pixel is from the seeds, over the path that changes colour least, by fast sweeping.

    Args:
        colours: (H, W, C) float32.
        seeds: (H, W) bool.

    Returns:
        (H, W) float32, 0 at the seeds.
    """
    distance = np.where(seeds, 0, UNREACHED).astype(np.float32)
    costs = [_step_costs(turn(colours)) for turn in _TURNS]
    for _ in range(ROUNDS):
        for turn, cost in zip(_TURNS, costs, strict=True):
            _sweep(turn(distance), cost)
    return distance


def _step_costs(colours: np.ndarray) -> list[np.ndarray]:
    """Return the costs of a step down, to the right and below, and to the left and below, from each row but the last.

    The diagonal ones are a column narrower than the picture.
    """
    above, below = colours[:-1], colours[1:]
    pairs = ((above, below), (above[:, :-1], below[:, 1:]), (above[:, 1:], below[:, :-1]))
    lengths = (1.0, np.sqrt(2), np.sqrt(2))
    return [
        np.linalg.norm(a - b, axis=-1) + np.float32(STEP_COST * length)
        for (a, b), length in zip(pairs, lengths, strict=True)
    ]


def _sweep(distance: np.ndarray, costs: list[np.ndarray]) -> None:
    """Shorten the distances of each row by those of the row above, in place, from the top to the bottom."""
    straight, right, left = costs
    for row in range(1, len(distance)):
        above, here = distance[row - 1], distance[row]
        np.minimum(here, above + straight[row - 1], out=here)
        np.minimum(here[1:], above[:-1] + right[row - 1], out=here[1:])
        np.minimum(here[:-1], above[1:] + left[row - 1], out=here[:-1])
