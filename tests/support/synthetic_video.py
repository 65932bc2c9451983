"""Make small videos with the real ffmpeg, and look at them without the code under test."""

import subprocess
from pathlib import Path

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe

FPS = 25
COUNTER = f"nullsrc=s=96x64:r={FPS}:d=2,geq=lum='18+4*N':cb=128:cr=128,format=yuv420p"  # frame N has luma 18 + 4N
QUADRANTS = (  # red and green above blue and white
    f"color=red:s=64x48:r={FPS}:d=0.4[r];color=lime:s=64x48:r={FPS}:d=0.4[g];color=blue:s=64x48:r={FPS}:d=0.4[b];"
    f"color=white:s=64x48:r={FPS}:d=0.4[w];[r][g]hstack[t];[b][w]hstack[u];[t][u]vstack"
)


def ffmpeg(*arguments: str | Path) -> bytes:
    """Run ffmpeg without any limit and return its standard output."""
    command = [get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


def make(path: Path, source: str, *arguments: str | Path) -> Path:
    """Encode a lavfi `source` to `path`, the container and usual codec by its suffix."""
    ffmpeg("-f", "lavfi", "-i", source, *arguments, path)
    return path


def count_of(frames: np.ndarray) -> list[int]:
    """Return N of each frame of `COUNTER`, from frames (F, H, W, 3)."""
    luma = frames.astype(float).mean(axis=(1, 2, 3)) * 219 / 255 + 16
    return np.round((luma - 18) / 4).astype(int).tolist()


def sound_of(path: Path, rate: int = 8000) -> np.ndarray:
    """Return the sound of `path` as mono samples in [-1, 1]."""
    return np.frombuffer(ffmpeg("-i", path, "-vn", "-ac", "1", "-ar", str(rate), "-f", "f32le", "-"), np.float32)


def moving_scene(count: int = 20, height: int = 192, width: int = 256) -> np.ndarray:
    """Return frames (count, height, width, 3) of a bright disc that crosses a coloured gradient."""
    y, x = np.mgrid[:height, :width]
    background = np.stack([x * 255 / width, y * 255 / height, 128 + 0 * x], axis=-1)
    centres = np.linspace(40, width - 40, count)
    edges = [np.clip(30 - np.hypot(x - centre, y - height / 2), 0, 4)[..., None] / 4 for centre in centres]
    return np.stack([edge * (240, 200, 60) + (1 - edge) * background for edge in edges]).astype(np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of two uint8 arrays in dB."""
    error = np.mean((a.astype(float) - b.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))
