"""Who works on which windows of an edit: files in the job's folder, which all places of a cluster share.

    windows/plan.json     how many there are, and how long
    windows/16/           those that are 16 frames long at most; a leaner attempt has others
        000003.claim      the name of the place that works on it
        000003.npz        it is finished, by itself
        000003.joined     it is part of the result, and its arrays are gone

A window follows from the clip and the seed alone, so that one whose place was lost is simply made again by another.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from videograin.diffusion.windows.clip_edit import WindowApart
from videograin.diffusion.windows.plan import Window
from videograin.files.atomic import write_whole
from videograin.files.dataclass_json import from_json, to_json
from videograin.media.npz import read_npz, write_npz

FOLDER = "windows"


@dataclass(frozen=True)
class SharedPlan:
    """How a clip is divided.

    Attributes:
        window_frames: most frames that see one another, as the edit's first place found that they fit.
        count: of the windows.
    """

    window_frames: int
    count: int


class WindowBoard:
    """The windows of one edit.

    Args:
        folder: of the job.
        plan: how its clip is divided.
    """

    def __init__(self, folder: Path, plan: SharedPlan) -> None:
        self.plan = plan
        self._folder = folder / FOLDER / str(plan.window_frames)

    @classmethod
    def open(cls, folder: Path, plan: SharedPlan, finished: int, name: str) -> "WindowBoard":
        """Offer the windows of a job to all places, keeping what an earlier attempt with the same plan finished.

        Args:
            folder: of the job.
            plan: how its clip is divided.
            finished: windows that are part of the result already.
            name: of the place that carries the job out. What it claimed in an earlier attempt is free again, and so is
                what places of an earlier run of the studio claimed, whose names begin otherwise.
        """
        if _read_plan(folder) != plan:
            shutil.rmtree(folder / FOLDER, ignore_errors=True)
        board = cls(folder, plan)
        board._folder.mkdir(parents=True, exist_ok=True)
        for number in range(finished):
            board._file(number, "joined").touch()
        for claim in board._folder.glob("*.claim"):
            if not claim.read_text().startswith(session_of(name)):
                claim.unlink()
        board.release(name)
        write_whole(folder / FOLDER / "plan.json", to_json(plan))
        return board

    @classmethod
    def of(cls, folder: Path) -> "WindowBoard | None":
        """Return what the place that carries a job out has offered; None where it has not, or not yet."""
        plan = _read_plan(folder)
        return cls(folder, plan) if plan else None

    @property
    def claimed(self) -> int:
        """How many windows are being worked on."""
        return sum(not self.is_finished(int(claim.stem)) for claim in self._folder.glob("*.claim"))

    @property
    def free(self) -> int:
        """How many windows no place has begun."""
        return sum(self._is_free(number) for number in range(self.plan.count))

    def is_finished(self, number: int) -> bool:
        """Whether a window is finished."""
        return self._file(number, "npz").exists() or self._file(number, "joined").exists()

    def claims(self, name: str) -> Iterator[int]:
        """Claim one window after the other for a place, as each is asked for, as long as any is free."""
        while (number := self._claim_next(name)) is not None:
            yield number

    def release(self, name: str) -> None:
        """Let others have the windows that a place has claimed and not finished."""
        for claim in self._folder.glob("*.claim"):
            with suppress(FileNotFoundError):  # the job may have ended meanwhile
                if claim.read_text() == name and not self.is_finished(int(claim.stem)):
                    claim.unlink()

    def put(self, number: int, apart: WindowApart) -> None:
        """Write a finished window.

        Raises:
            ProjectError: it cannot be written, as where the job has ended.
        """
        window, words = apart.window, np.array([apart.target_prompt, *apart.warnings])
        arrays = {
            "place": np.array([window.start, window.stop, window.overlap, window.next_overlap]),
            "frames": np.concatenate(list(apart.chunks)),
            "latents": apart.latents.float().cpu().numpy(),
            "words": words,
        }
        maps = {} if apart.attention is None else {"attention": apart.attention}
        write_npz(self._file(number, "npz"), arrays | maps)

    def get(self, number: int) -> WindowApart:
        """Read a window that is finished."""
        arrays = read_npz(self._file(number, "npz"))
        start, stop, overlap, next_overlap = arrays["place"].tolist()
        prompt, *warnings = arrays["words"].tolist()
        return WindowApart(
            window=Window(start, stop, overlap, next_overlap),
            count=self.plan.count,
            chunks=[arrays["frames"]],
            latents=torch.from_numpy(arrays["latents"]),
            target_prompt=prompt,
            warnings=tuple(warnings),
            attention=arrays.get("attention"),
        )

    def drop(self, number: int) -> None:
        """Forget the arrays of a window that is part of the result now."""
        self._file(number, "joined").touch()
        self._file(number, "npz").unlink()

    def _is_free(self, number: int) -> bool:
        return not (self._file(number, "claim").exists() or self.is_finished(number))

    def _claim_next(self, name: str) -> int | None:
        for number in range(self.plan.count):
            if self._is_free(number) and self._claim(number, name):
                return number
        return None

    def _claim(self, number: int, name: str) -> bool:
        """Claim a window and return whether no other place was quicker; a link is made whole or not at all."""
        aside = self._folder / f".{secrets.token_hex(8)}.part"
        try:
            aside.write_text(name)
            os.link(aside, self._file(number, "claim"))
        except OSError:  # there is one, or the job has ended
            return False
        finally:
            aside.unlink(missing_ok=True)
        return True

    def _file(self, number: int, ending: str) -> Path:
        return self._folder / f"{number:06}.{ending}"


def session_of(name: str) -> str:
    """Return what the names of all places of one run of the studio begin with, given one of them."""
    return name.rpartition("-")[0]


def _read_plan(folder: Path) -> SharedPlan | None:
    with suppress(FileNotFoundError):
        return from_json((folder / FOLDER / "plan.json").read_bytes(), SharedPlan)
    return None
