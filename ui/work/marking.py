"""Marking behind page and API: presses are answered at once, following and suggesting are jobs."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ui.work.naming import Naming
from ui.work.objects.finding import Finders, found_at, take_found
from ui.work.pointing import Stroke, Tool, box, click, draw, would_mark
from ui.work.segmenting import Segmenting
from ui.work.session import Session
from ui.work.visitors import visitor_address
from videograin.errors import RegionError, VideoGrainError
from videograin.jobs.store import Job, JobKind, JobState, JobStore
from videograin.jobs.suggest import DiscoverRequest, SuggestRequest, read_discovered, read_found
from videograin.jobs.track import TrackRequest, read_tracks, write_tracks
from videograin.jobs.worker import JobStatus, Worker
from videograin.media.npz import read_npz
from videograin.project import objects
from videograin.project.workspace import Workspace

CLUSTER_CONFIDENCE = 0.5
"""Of masks that were cut out of the whole clip: they come without a measure, and are rougher than a segmenter's."""


DIRECTIONS = ("all", "forwards", "backwards")

STILL_FOLLOWING = "Objects are being followed in other frames. Wait until that has ended, or cancel it, then try again."
STILL_LOOKING = "Objects are being looked for already. Wait until that has ended, or cancel it, then try again."


class Marking:
    """Marks objects in sessions' clips.

    Args:
        segmenting: answers clicks.
        finders: find what is described in words.
        naming: names what was marked.
        store: keeps files for jobs.
        worker: carries the jobs out.
    """

    def __init__(
        self, segmenting: Segmenting, finders: Finders, naming: Naming, store: JobStore, worker: Worker
    ) -> None:
        self._segmenting, self._finders, self._naming = segmenting, finders, naming
        self._store, self._worker = store, worker

    def prepare_frame(self, session: Session) -> None:
        """Encode the frame that is shown, so that the first click on it is answered at once."""
        self._segmenting.encode_ahead(session)

    def encode_frame(self, session: Session) -> None:
        """Encode the frame that is shown."""
        self._segmenting.encode(session, session.opened_clip.frames[session.frame])

    def mark(self, session: Session, tool: Tool, points: Sequence[tuple[float, float]], radius: float) -> None:
        """Take a press or stroke on the frame that is shown."""
        with session.lock:
            place = found_at(session, *points[0]) if tool is Tool.PICK else None
            if place is not None:
                take_found(session, [place])
            elif tool in (Tool.BRUSH, Tool.ERASER):
                draw(session, self._segmenting.segmenter(session), Stroke(points, radius, tool is Tool.ERASER))
            elif tool in (Tool.BOX, Tool.PART):
                (x0, y0), (x1, y1) = points
                box(session, self._segmenting.segmenter(session), (x0, y0, x1, y1), is_part=tool is Tool.PART)
            else:
                click(session, self._segmenting.segmenter(session), tool, *points[0])
            self._naming.name_objects(session, session.frame)

    def would_mark(self, session: Session, tool: Tool, x: float, y: float) -> np.ndarray | None:
        """Return what a click on the frame that is shown would mark, (H, W) bool; nothing changes.

        None where nothing is found there, or where an answer would take longer than a pointer rests: the frame is not
        encoded yet, or the segmenter has no weights.
        """
        if session.clip is None:
            return None
        with suppress(VideoGrainError):
            segmenter = self._segmenting.ready_segmenter(session)
            return would_mark(session, segmenter, tool, x, y) if segmenter else None
        return None

    def follow(self, session: Session, direction: str) -> Job:
        """Ask for all objects to be followed: "all" frames, or "forwards" or "backwards" from the one shown.

        Raises:
            VideoGrainError: there is no such direction, nothing is marked, or objects are being followed in frames that
                would be left out.
        """
        if direction not in DIRECTIONS:
            raise RegionError(f"Direction '{direction}' is unknown. Use one of: {', '.join(DIRECTIONS)}.")
        with session.lock:
            self.take_finished(session)
            work, clip = session.opened_work, session.opened_clip
            marked = [each.id for each in work.objects if each.id in work.masks and work.masks[each.id].anchors]
            if not marked:
                raise RegionError("Nothing is marked yet. Click on an object in the picture first.")
            request = TrackRequest(
                clip=work.clip,
                tracks=self._keep_tracks(session, work, marked),
                first=session.frame if direction == "forwards" else 0,
                last=session.frame if direction == "backwards" else len(clip.frames) - 1,
                clip_options=work.clip_options,
                segmenter=self._segmenting.name_for(session),
            )
            awaited = self._live(session, session.tracking)
            if awaited is not None and not request.covers(self._store.request(awaited, TrackRequest)):
                raise RegionError(STILL_FOLLOWING)
            job = self._worker.submit(session.id, JobKind.TRACK, request, visitor_address())
            session.tracking, session.work = job.id, objects.reserve_numbers(work)
            session.save()
            return job

    def suggest_on_frame(self, session: Session) -> Job:
        """Ask for the objects on the frame that is shown, by the segmenter."""
        work = session.opened_work
        request = SuggestRequest(work.clip, session.frame, work.clip_options, self._segmenting.name_for(session))
        return self._suggest(session, JobKind.SUGGEST, request)

    def suggest_in_clip(self, session: Session) -> Job:
        """Ask for the objects in all frames at once, by the model of the edits, without the segmenter."""
        work = session.opened_work
        request = DiscoverRequest(work.clip, work.model, work.source_prompt, work.clip_options)
        return self._suggest(session, JobKind.DISCOVER, request)

    def find(self, session: Session, text: str, finder: str = "") -> Job:
        """Ask for the objects on the frame that is shown that go by a description; as `Finders.request`."""
        return self._suggest(session, JobKind.FIND, self._finders.request(session, text, finder))

    def take_finished(self, session: Session) -> bool:
        """Put the masks of a job that has ended in place; return whether there was one."""
        is_taken = False
        there = {"", *(job.id for job in self._worker.jobs(session.id))}
        if not {session.tracking, session.suggesting} <= there:  # the folder of jobs was emptied
            session.tracking = session.suggesting = ""
        if ended := self._ended(session, session.tracking):
            session.tracking, is_taken = "", True
            self._take(session, ended)
            session.save()
        if ended := self._ended(session, session.suggesting):
            session.suggesting, is_taken = "", True
            self._take(session, ended)
            session.save()
        return is_taken

    def _suggest(self, session: Session, kind: JobKind, request: object) -> Job:
        with session.lock:
            self.take_finished(session)  # before another job is awaited in its place
            awaited, same = self._live(session, session.suggesting), self._store.find_same(session.id, kind, request)
            if awaited is not None and (same is None or same.id != awaited.id):
                raise RegionError(STILL_LOOKING)
            job = self._worker.submit(session.id, kind, request, visitor_address())
            session.suggesting = job.id
            session.save()
            return job

    def _live(self, session: Session, job_id: str) -> Job | None:
        """Return a job that waits or runs, None where it has ended."""
        live = (job for job in self._worker.jobs(session.id) if not job.state.is_final)
        return next((job for job in live if job.id == job_id), None)

    def _ended(self, session: Session, job_id: str) -> JobStatus | None:
        status = self._worker.status(job_id, session.id) if job_id else None
        return status if status and status.job.state.is_final else None

    def _take(self, session: Session, status: JobStatus) -> None:
        takes: dict[JobKind, Callable[[Session, JobStatus], None]] = {
            JobKind.TRACK: self._take_tracked,
            JobKind.SUGGEST: self._take_suggested,
            JobKind.DISCOVER: self._take_discovered,
            JobKind.FIND: self._take_found,
        }
        if status.job.state is JobState.DONE:
            takes[status.job.kind](session, status)

    def _take_tracked(self, session: Session, status: JobStatus) -> None:
        """Take the masks that were followed; marks that the user has made since then stay."""
        work, clip = session.opened_work, session.opened_clip
        for key, track in read_tracks(status.results / status.result.tracks).items():
            known = work.masks.get(int(key))
            if known is None or track.masks.shape != clip.frames.shape[:3]:
                continue
            for anchor in known.anchors:
                if anchor not in track.anchors or not np.array_equal(known.masks[anchor], track.masks[anchor]):
                    track = track.corrected(anchor, known.masks[anchor], float(known.confidence[anchor]))
            work = objects.set_track(work, int(key), track)
        session.change(work)

    def _take_suggested(self, session: Session, status: JobStatus) -> None:
        """Add the masks that were found on a frame as objects, except those of objects that are there already."""
        frame = self._store.request(status.job, SuggestRequest).frame
        work, clip = session.opened_work, session.opened_clip
        for mask in read_npz(status.results / status.result.masks).values():
            if mask.shape == clip.frames.shape[1:3] and not objects.is_marked(work, frame, mask):
                work = objects.add_object(work)
                work = objects.set_mask(work, work.objects[-1].id, frame, mask, len(clip.frames))
        session.change(work)
        self._naming.name_objects(session, frame)

    def _take_discovered(self, session: Session, status: JobStatus) -> None:
        """Add the regions that the clip was cut into as objects, backdrops at the bottom, as far as they are new."""
        found = read_discovered(status.results / status.result.regions)
        work, clip = session.opened_work, session.opened_clip
        frame = found.frames[0]
        for masks in reversed(found.masks):
            if masks.shape[1:] != clip.frames.shape[1:3] or objects.is_marked(work, frame, masks[0]):
                continue
            work = objects.add_object(work)
            for place, mask in zip(found.frames, masks, strict=True):
                number = work.objects[-1].id
                work = objects.set_mask(work, number, place, mask, len(clip.frames), CLUSTER_CONFIDENCE)
        session.change(work)
        self._naming.name_objects(session, frame)

    def _take_found(self, session: Session, status: JobStatus) -> None:
        """Have the objects that were found wait to be taken, but for those that are in the list already."""
        found = read_found(status.results / status.result.objects)
        size, work = session.opened_clip.frames.shape[1:3], session.opened_work
        left = [each for each in found.objects if each.mask.shape == size]
        new = tuple(each for each in left if not objects.is_marked(work, found.frame, each.mask))
        session.found = replace(found, objects=new)

    def _keep_tracks(self, session: Session, work: Workspace, numbers: Sequence[int]) -> Path:
        with TemporaryDirectory(prefix="videograin-") as folder:
            path = Path(folder, "tracks.npz")
            write_tracks(path, {str(number): objects.as_track(work.masks[number]) for number in numbers})
            return self._store.keep(session.id, path)
