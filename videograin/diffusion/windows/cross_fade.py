"""Join the frames of overlapping windows into one clip."""

from collections.abc import Iterable, Iterator

import numpy as np

from videograin.diffusion.windows.plan import Window


class CrossFade:
    """Fades the last frames of each window into the same frames of the next one.

    Args:
        tail: of an earlier run that is resumed.

    Attributes:
        tail: (n, H, W, 3) uint8, the frames of the latest window that the next one has as well.
    """

    def __init__(self, tail: np.ndarray | None = None) -> None:
        self.tail = np.empty((0, 0, 0, 3), np.uint8) if tail is None else tail

    def join(self, window: Window, chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the frames of the clip that are final, some at a time.

        Args:
            window: the one that follows the window of the last call.
            chunks: its frames in order, (n, H, W, 3) uint8 each.
        """
        assert len(self.tail) == window.overlap, "windows are joined in their order"
        older, kept, first = self.tail, [], 0
        end = len(window.frames) - window.next_overlap
        for chunk in chunks:
            shared = max(0, min(len(chunk), window.overlap - first))
            if shared:
                chunk = np.concatenate([_fade(older, chunk[:shared], first), chunk[shared:]])
            final = max(0, min(len(chunk), end - first))
            if final:
                yield chunk[:final]
            kept.append(chunk[final:])
            first += len(chunk)
        self.tail = np.concatenate(kept)


def _fade(older: np.ndarray, newer: np.ndarray, first: int) -> np.ndarray:
    """Mix some frames of an overlap, the later the more of the newer window; `first` is the first one's place in it."""
    place = np.arange(first + 1, first + len(newer) + 1, dtype=np.float32)
    share = (place / (len(older) + 1))[:, None, None, None]
    old = older[first : first + len(newer)].astype(np.float32)
    return np.rint(old + share * (newer - old)).astype(np.uint8)
