"""Who works on which windows of an edit: files that all places of a cluster share.

    windows/plan.json     how many there are, and how long; before that is known, that there are to be some
    windows/16/           those that are 16 frames long at most; a leaner attempt has others
        000003.claim      the name of the place that works on it
        000003.npz        it is finished, by itself
        000003.joined     it is part of the result, and its arrays are gone

A window follows from the clip and the seed alone, so that one whose place was lost is simply made again by another.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from videograin.diffusion.windows.clip_edit import WindowApart
from videograin.diffusion.windows.plan import Window
from videograin.files.atomic import write_whole
from videograin.files.dataclass_json import from_json, to_json
from videograin.files.shared_folder import SharedFolder
from videograin.media.npz import read_npz, write_npz

FOLDER = "windows"

ENDINGS = ("claim", "npz", "joined")
"""Of a window's files, in the order in which they appear."""

JOINED = b"joined"
"""Content of the last one; an empty file could not be made in every store."""


@dataclass(frozen=True)
class SharedPlan:
    """How a clip is divided.

    Attributes:
        window_frames: most frames that see one another, as the edit's first place found that they fit; 0 while it has
            not found that yet.
        count: of the windows; 0 where places have none to share.
    """

    window_frames: int
    count: int


EXPECTED, NONE = SharedPlan(0, 0), SharedPlan(1, 0)
"""What a board says before it is known how the clip is divided, and where that turns out to be of no use to others."""


class WindowBoard:
    """The windows of one edit.

    Args:
        folder: of its windows.
        plan: how its clip is divided.
    """

    def __init__(self, folder: SharedFolder, plan: SharedPlan) -> None:
        self.plan = plan
        self._folder = folder.inside(str(plan.window_frames))

    @classmethod
    def expect(cls, job: SharedFolder) -> None:
        """Tell all places that a job is about to offer windows, unless it has in an earlier attempt.

        So places that are to help read the clip while the job's own place does.
        """
        folder = job.inside(FOLDER)
        if _read_plan(folder) is None:
            _write_plan(folder, EXPECTED)

    @classmethod
    def offer_none(cls, job: SharedFolder) -> None:
        """Tell all places that expect windows of a job that it has none to share."""
        folder = job.inside(FOLDER)
        if _read_plan(folder) == EXPECTED:
            _write_plan(folder, NONE)

    @classmethod
    def open(cls, job: SharedFolder, plan: SharedPlan, finished: int, name: str) -> "WindowBoard":
        """Offer the windows of a job to all places, keeping what an earlier attempt with the same plan finished.

        Args:
            job: its folder.
            plan: how its clip is divided.
            finished: windows that are written already. What an earlier attempt joined and did not write is made again.
            name: of the place that carries the job out. What it claimed in an earlier attempt is free again, and so is
                what places of an earlier run of the studio claimed, whose names begin otherwise.
        """
        folder = job.inside(FOLDER)
        if _read_plan(folder) != plan:
            folder.clear()
        board = cls(folder, plan)
        board._folder.make()
        for number in range(finished):
            board._folder.create(_file(number, "joined"), JOINED)
        for number, state in board._states().items():
            if state == "joined" and number >= finished:
                board._forget(number)
        board._release(lambda claimant: not claimant.startswith(session_of(name)) or claimant == name)
        _write_plan(folder, plan)
        return board

    @classmethod
    def of(cls, job: SharedFolder) -> "WindowBoard | None":
        """Return what the place that carries a job out has offered or is about to; None where it has not said."""
        folder = job.inside(FOLDER)
        plan = _read_plan(folder)
        return cls(folder, plan) if plan else None

    @property
    def is_offered(self) -> bool:
        """Whether it is known how the clip is divided."""
        return self.plan != EXPECTED

    @property
    def poll_seconds(self) -> float:
        """How often a place may ask whether another has finished a window."""
        return self._folder.poll_seconds

    @property
    def claimed(self) -> int:
        """How many windows are being worked on."""
        return sum(state == "claim" for state in self._states().values())

    @property
    def claimants(self) -> set[str]:
        """The names of the places that work on a window."""
        return {claimant for _, claimant in self._claims()}

    @property
    def free(self) -> int:
        """How many windows no place has begun."""
        return self.plan.count - len(self._states())

    def is_finished(self, number: int) -> bool:
        """Whether a window is finished."""
        return self._states().get(number, "claim") != "claim"

    def claims(self, name: str) -> Iterator[int]:
        """Claim one window after the other for a place, as each is asked for, as long as any is free."""
        while (number := self._claim_next(name)) is not None:
            yield number

    def release(self, name: str) -> None:
        """Let others have the windows that a place has claimed and not finished."""
        self._release(name.__eq__)

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
        # It is read once and soon: to compress a window of Stable Diffusion's size takes half a second.
        self._folder.write(_file(number, "npz"), lambda path: write_npz(path, arrays | maps, is_compressed=False))

    def get(self, number: int) -> WindowApart:
        """Read a window that is finished."""
        arrays = read_npz(self._folder.fetch(_file(number, "npz")))
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
        self._folder.create(_file(number, "joined"), JOINED)
        self._folder.remove(_file(number, "npz"))

    def _forget(self, number: int) -> None:
        for ending in ENDINGS:
            self._folder.remove(_file(number, ending))

    def _states(self) -> dict[int, str]:
        """Return what has become of each window that is not free: claim, npz or joined, the last that holds."""
        names = sorted(self._folder.names(), key=lambda name: ENDINGS.index(name.partition(".")[2]))
        return {int(number): ending for number, _, ending in (name.partition(".") for name in names)}

    def _release(self, is_gone: Callable[[str], bool]) -> None:
        for claim, claimant in self._claims():
            if is_gone(claimant):
                self._folder.remove(claim)

    def _claims(self) -> Iterator[tuple[str, str]]:
        """Yield the claims of windows that are not finished, and whose they are."""
        for claim in [_file(number, "claim") for number, state in self._states().items() if state == "claim"]:
            content = self._folder.read(claim)
            if content is not None:
                yield claim, content.decode()

    def _claim_next(self, name: str) -> int | None:
        taken = self._states()
        free = (number for number in range(self.plan.count) if number not in taken)
        return next((number for number in free if self._folder.create(_file(number, "claim"), name.encode())), None)


def session_of(name: str) -> str:
    """Return what the names of all places of one run of the studio begin with, given one of them."""
    return name.rpartition("-")[0]


def _read_plan(folder: SharedFolder) -> SharedPlan | None:
    content = folder.read("plan.json")
    return from_json(content, SharedPlan) if content else None


def _write_plan(folder: SharedFolder, plan: SharedPlan) -> None:
    folder.make()
    folder.write("plan.json", lambda path: write_whole(path, to_json(plan)))


def _file(number: int, ending: str) -> str:
    return f"{number:06}.{ending}"
