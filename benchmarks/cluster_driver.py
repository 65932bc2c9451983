"""A studio on a cluster in a process of its own, which `benchmarks.cluster` kills and starts again.

    python -m benchmarks.cluster_driver FOLDER

It carries out one edit, or goes on with it where an earlier process was killed.
"""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.cluster_studio import WHOLE, Asked, studio, wait_until
from videograin.files.atomic import write_whole
from videograin.files.dataclass_json import from_json, to_json
from videograin.jobs.cluster.board import WindowBoard
from videograin.jobs.cluster.job_files import ClusterFiles, studio_files
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import JobKind
from videograin.media.video import load_clip
from videograin.project.project import Project

LIMITS, PROJECT, END = "limits.json", "project.json", "end.json"
"""Files of the folder: what the process is given, and what it leaves."""

OWNER = "driver"


@dataclass(frozen=True)
class End:
    """How the edit ended.

    Attributes:
        video: the result.
        seconds: from being asked for, to the first process, to the end.
    """

    video: Path
    seconds: float


def kill_driver(limits: OperatorSettings, project: Project, folder: Path) -> tuple[float, np.ndarray]:
    """Kill the process of a studio while actors make the second window of an edit, and start it again.

    Args:
        limits: the studio's, whose data folder is empty.
        project: what is edited.
        folder: an empty one.

    Returns:
        The seconds from being asked for to the end, and the frames.
    """
    write_whole(folder / LIMITS, to_json(limits))
    write_whole(folder / PROJECT, to_json(project))
    files = studio_files(limits)
    command = [sys.executable, "-m", "benchmarks.cluster_driver", str(folder)]
    first = subprocess.Popen(command, start_new_session=True)
    wait_until(lambda: first.poll() is not None or _is_in_second_window(files))
    if first.poll() is not None:
        raise RuntimeError(f"The studio ended by itself, with code {first.returncode}, before it was to be killed.")
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    subprocess.run(command, check=True)
    end = from_json((folder / END).read_bytes(), End)
    return end.seconds, load_clip(end.video, WHOLE).frames


def _is_in_second_window(files: ClusterFiles) -> bool:
    """Whether the only job's first window is part of the result, and others are being made."""
    for folder in files.root.glob("*/jobs/*"):
        board = WindowBoard.of(files.shared(folder))
        return board is not None and board.claimed > 0 and any((folder / "segments").glob("*.npz"))
    return False


def main() -> None:
    """Carry out the edit of a folder, or go on with it, and say how it ended."""
    folder = Path(sys.argv[1])
    limits = from_json((folder / LIMITS).read_bytes(), OperatorSettings)
    with studio(limits) as opened:
        begun = opened.worker.jobs(opened.secret(OWNER))
        if begun:
            asked = Asked(opened, opened.secret(OWNER), begun[0])
        else:
            asked = opened.submit(JobKind.EDIT, OWNER, from_json((folder / PROJECT).read_bytes(), Project))
        job = asked.end()
        end = End(asked.status.results / asked.status.result.video, (job.ended or 0.0) - job.created)
        write_whole(folder / END, to_json(end))


if __name__ == "__main__":
    main()
