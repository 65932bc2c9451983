"""The studio for programs: every action of the page as a named function over HTTP (docs/api.md).

A session's id stands for its user: whoever has it sees that work and no other.
"""

from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import gradio as gr

from ui.answers import Document, describe_work
from ui.api_edits import EditApi
from ui.api_models import ModelApi
from ui.arguments import checked, member
from ui.plain_errors import in_plain_words
from ui.rendering.pictures import outlines
from ui.turns import LONG_WORK, Turns
from ui.work import pointing, transfer
from ui.work.objects.finding import take_found
from ui.work.pointing import Tool
from ui.work.service import ClipChoice
from ui.work.session import Session
from ui.work.web_files import cached
from videograin.errors import ProjectError, RegionError
from videograin.jobs.worker import JobStatus
from videograin.masks.shapes import Combination
from videograin.media.encode import OutputFormat
from videograin.media.video import MAX_FRAMES
from videograin.project import objects
from videograin.project.examples import example_names


class Api(EditApi):
    """The functions that programs may call; `ModelApi` and `EditApi` have more of them."""

    def register(self) -> None:
        """Offer all functions of the page that is being built, each under its own name."""
        for name in ENDPOINTS:
            turns = LONG_WORK if name in LONG_ENDPOINTS else Turns(None, None)
            gr.api(
                in_plain_words(checked(getattr(self, name)), as_html=False), api_name=name,
                concurrency_limit=turns.limit, concurrency_id=turns.name,
            )  # fmt: skip

    def new_session(self) -> str:
        """Begin a session and return its id, which every other call takes. Keep it secret."""
        return self._studio.sessions.create().id

    def list_examples(self) -> list[str]:
        """Return the names of the example clips."""
        return example_names()

    def open_clip(
        self,
        session: str,
        video: gr.FileData,
        start: float = 0.0,
        end: float | None = None,
        fps: float | None = None,
        frames: int = MAX_FRAMES,
        short_side: int | None = None,
        fit: str = "crop",
        model: str = "",
    ) -> Document:
        """Begin to work on an uploaded video, or a ZIP of pictures; what the session held before is gone."""
        choice = ClipChoice(start=start, end=end, fps=fps, frames=frames, short_side=short_side, fit=fit)
        found = self._find(session)
        with TemporaryDirectory(prefix="videograin-") as scratch:
            clip = transfer.as_one_file(self._studio, transfer.uploaded(video), Path(scratch))
            self._studio.open_clip(found, clip, choice, model or self._studio.default_model)
        return self._describe(found)

    def open_example(self, session: str, name: str, frames: int = 16) -> Document:
        """Begin to work on an example, with its objects marked and its words written."""
        found = self._find(session)
        self._studio.open_example(found, name, frames)
        return self._describe(found)

    def open_project(self, session: str, file: gr.FileData) -> tuple[Document, list[str]]:
        """Go on with the work of a project ZIP; also return what could not be read or is not shown of it."""
        found = self._find(session)
        problems = transfer.open_project(self._studio, found, transfer.uploaded(file))
        return self._describe(found), list(problems)

    def choose_model(self, session: str, model: str) -> Document:
        """Take another model for the edits, with the settings that suit it."""
        found = self._find(session)
        self._studio.choose_model(found, model)
        return self._describe(found)

    def list_segmenters(self, session: str) -> list[Document]:
        """Return the segmenters that may mark the clip: which is chosen, here, for photographs, and told by strokes."""
        return [asdict(each) for each in self._studio.segmenters.offered(self._find(session))]

    def choose_segmenter(self, session: str, segmenter: str) -> Document:
        """Have another segmenter answer and follow; an empty name takes the one that goes with the model."""
        found = self._find(session)
        self._studio.segmenters.choose(found, segmenter)
        return self._describe(found)

    def switch_to_photographs(self, session: str) -> Document:
        """Take a model and a segmenter that know photographs; the segmenter alone where no such model is here."""
        found = self._find(session)
        self._studio.switch_to_photographs(found)
        return self._describe(found)

    def get_work(self, session: str) -> Document:
        """Return clip, objects, words, estimate and jobs of a session."""
        return self._describe(self._find(session))

    def click(self, session: str, frame: int, x: float, y: float, to: int = 0, inside: bool = True) -> Document:
        """Click on frame `frame` at pixel (x, y): `to` 0 marks a new object, else more or less of that one."""
        tool = (Tool.ADD if inside else Tool.REMOVE) if to else Tool.PICK
        with self._at(session, frame, to or None) as found:
            self._studio.marking.mark(found, tool, [(x, y)], 0)
            return self._describe(found)

    def outline(
        self, session: str, frame: int, x: float, y: float, to: int = 0, inside: bool = True
    ) -> list[list[list[int]]]:
        """Return the outlines, each a list of pixels [x, y], of what `click` with these arguments would mark.

        There are none where nothing is found, or where the segmenter has no weights and can only answer the click.
        """
        tool = (Tool.ADD if inside else Tool.REMOVE) if to else Tool.PICK
        with self._at(session, frame, to or None) as found:
            self._studio.marking.encode_frame(found)
            mask = self._studio.marking.would_mark(found, tool, x, y)
        return [] if mask is None else outlines(mask)

    def box(self, session: str, frame: int, x0: float, y0: float, x1: float, y1: float, to: int = 0) -> Document:
        """Mark a new object by a box around it (`to` 0), or another part of object `to`."""
        with self._at(session, frame, to or None) as found:
            self._studio.marking.mark(found, Tool.PART if to else Tool.BOX, [(x0, y0), (x1, y1)], 0)
            return self._describe(found)

    def brush(
        self, session: str, frame: int, points: list[list[float]], radius: float, to: int = 0, erase: bool = False
    ) -> Document:
        """Paint along points (x, y) onto an object, or erase from it; `to` 0 begins a new one."""
        if odd := [point for point in points if len(point) != 2]:
            raise RegionError(f"{odd[0]} is no point of a stroke. Give x and y of each.")
        tool = Tool.ERASER if erase else Tool.BRUSH
        with self._at(session, frame, to or None) as found:
            self._studio.marking.mark(found, tool, [(x, y) for x, y in points], radius)
            return self._describe(found)

    def other_size(self, session: str, bigger: bool = True) -> Document:
        """Take the next larger or smaller object that the latest click may have meant."""
        found = self._find(session)
        with found.lock:
            pointing.choose_answer(found, 1 if bigger else -1)
        return self._describe(found)

    def undo(self, session: str) -> Document:
        """Take the latest change of the objects back."""
        found = self._find(session)
        with found.lock:
            found.undo()
        return self._describe(found)

    def redo(self, session: str) -> Document:
        """Do the change again that was taken back."""
        found = self._find(session)
        with found.lock:
            found.redo()
        return self._describe(found)

    def change_object(
        self,
        session: str,
        number: int,
        name: str | None = None,
        prompt: str | None = None,
        keep: bool | None = None,
        hidden: bool | None = None,
        grow: float | None = None,
        feather: float | None = None,
        strength: float | None = None,
    ) -> Document:
        """Say what an object is called and becomes, whether it is kept or hidden, and how its mask is shaped."""
        given = {
            "prompt": prompt, "is_kept": keep, "is_hidden": hidden, "grow": grow, "feather": feather,
            "strength": strength,
        }  # fmt: skip
        changes: Document = {key: value for key, value in given.items() if value is not None}
        with self._at(session, number=number) as found:
            work = objects.rename_object(found.opened_work, number, name or "")
            found.change(objects.change_object(work, number, lambda each: replace(each, **changes)))
        return self._describe(found)

    def move_object(self, session: str, number: int, steps: int = 1) -> Document:
        """Move an object `steps` places towards the top, where objects overlap."""
        with self._at(session, number=number) as found:
            found.change(objects.move_object(found.opened_work, number, steps))
        return self._describe(found)

    def delete_object(self, session: str, number: int) -> Document:
        """Remove an object."""
        with self._at(session, number=number) as found:
            found.change(objects.delete_object(found.opened_work, number))
        return self._describe(found)

    def add_rest(self, session: str) -> Document:
        """Add everything that no other object covers, as an object of its own."""
        found = self._find(session)
        with found.lock:
            found.change(objects.add_rest(found.opened_work))
        return self._describe(found)

    def combine(self, session: str, number: int, other: int, how: str = Combination.UNION.value) -> Document:
        """Change an object's masks by another's: "union", "difference" (without it) or "intersection"."""
        if how not in list(Combination):
            raise RegionError(f"Masks cannot be combined by '{how}'. Choose one of: {', '.join(Combination)}.")
        with self._at(session, number=number) as found:
            found.change(objects.combine_objects(found.opened_work, number, other, Combination(how)))
        return self._describe(found)

    def clean_up(self, session: str, number: int) -> Document:
        """Fill the small holes of an object's masks and remove the specks beside it, in every frame."""
        with self._at(session, number=number) as found:
            found.change(objects.clean_up_object(found.opened_work, number))
        return self._describe(found)

    def suggest(self, session: str, frame: int = 0, in_all_frames: bool = False) -> str:
        """Find objects on a frame, or roughly in all frames at once, and add them to the list; return the job's id."""
        with self._at(session, frame) as found:
            marking = self._studio.marking
            return (marking.suggest_in_clip(found) if in_all_frames else marking.suggest_on_frame(found)).id

    def find_objects(self, session: str, text: str, frame: int = 0, finder: str = "") -> str:
        """Find what `text` describes on a frame, "the two bears" or "left man's hat"; return the job's id.

        What was found waits in `get_work`'s `found` until `take_found` takes it. An empty `finder` takes what suits the
        clip: the judge of a small world, or grounding-dino, mm-grounding-dino, owlv2.
        """
        with self._at(session, frame) as found:
            return self._studio.marking.find(found, text, finder).id

    def take_found(self, session: str, numbers: list[int] | None = None) -> Document:
        """Add objects that were found to the list, by their numbers in `found`, from 1; without numbers all."""
        found = self._find(session)
        with found.lock:
            take_found(found, None if numbers is None else [number - 1 for number in numbers])
        return self._describe(found)

    def track(self, session: str, direction: str = "all", frame: int = 0) -> str:
        """Follow the objects: "all", or "forwards" or "backwards" from a frame; return the job's id."""
        with self._at(session, frame) as found:
            return self._studio.marking.follow(found, direction).id

    def set_words(
        self,
        session: str,
        source_prompt: str = "",
        background: str = "",
        target_prompt: str = "",
        negative_prompt: str = "",
    ) -> Document:
        """Say what the clip shows now and what surrounds the objects; an empty target prompt is put together."""
        found = self._find(session)
        with found.lock:
            found.set_words(
                replace(
                    found.opened_work, source_prompt=source_prompt, background=background, target_prompt=target_prompt,
                    negative_prompt=negative_prompt,
                )
            )  # fmt: skip
        return self._describe(found)

    def propose_caption(self, session: str) -> str:
        """Caption what the clip shows now, in place of the source prompt, and return the caption."""
        found = self._find(session)
        self._studio.propose_caption(found)
        return found.opened_work.source_prompt

    def get_job(self, session: str, job: str) -> Document:
        """Return a job's state, phase, steps, seconds left, place in the queue, message."""
        found = self._find(session)
        status = self._studio.worker.status(job, found.id)
        with found.lock:  # after that, or a job could end in between, and be done without its masks
            self._studio.marking.take_finished(found)
        progress = status.progress
        return {
            "kind": status.job.kind, "state": status.job.state, "message": status.job.message,
            "notes": list(status.job.notes), "ahead": status.ahead, "phase": progress.phase if progress else None,
            "done": progress.done if progress else None, "total": progress.total if progress else None,
            "part": progress.part if progress else None, "parts": progress.parts if progress else None,
            "seconds_left": progress.seconds_left if progress else status.seconds_ahead,
        }  # fmt: skip

    def cancel(self, session: str, job: str) -> Document:
        """Stop a job: at once if it waits, within a step if it runs."""
        found = self._find(session)
        self._studio.worker.cancel(job, found.id)
        return self.get_job(session, job)

    def get_result(self, session: str, job: str) -> tuple[gr.FileData, gr.FileData]:
        """Return the edited MP4 and the MP4 with source and edit side by side."""
        status = self._result(session, job)
        video, both = (cached(status.results / file) for file in (status.result.video, status.result.comparison))
        return gr.FileData(path=video), gr.FileData(path=both)

    def export_result(self, session: str, job: str, kind: str = OutputFormat.WEBM.value) -> gr.FileData:
        """Return an edit in another format: webm, prores, green-screen (the edited objects alone), png, gif or mp4."""
        result, output_format = self._result(session, job), member(OutputFormat, kind)
        return gr.FileData(path=transfer.export_result(self._studio, self._find(session), result, output_format))

    def get_attention(self, session: str, job: str) -> gr.FileData:
        """Return the attention maps of the prompted regions' phrases: an NPZ of (frames, h, w) by region number."""
        status = self._result(session, job)
        if status.result.attention is None:
            raise ProjectError("Nothing was recorded of this edit. Edit the clip again.")
        return gr.FileData(path=cached(status.results / status.result.attention))

    def get_scores(self, session: str, job: str) -> Document:
        """Return how good an edit is: the paper's four measures, and region by region what they cannot see."""
        from videograin.engine import as_document

        return as_document(self._studio.scores.score(self._result(session, job), self._studio.store).report)

    def import_masks(self, session: str, file: gr.FileData) -> Document:
        """Add the objects of a file of masks (docs/masks.md), and say in `note` how it was understood."""
        found = self._find(session)
        note = transfer.import_masks(found, transfer.uploaded(file))
        return {**self._describe(found), "note": note}

    def export_masks(self, session: str, kind: str = transfer.MaskFormat.PNG.value) -> gr.FileData:
        """Return the masks as a file."""
        return gr.FileData(
            path=transfer.export_masks(self._studio, self._find(session), member(transfer.MaskFormat, kind))
        )

    def export_project(self, session: str) -> gr.FileData:
        """Return clip, masks, words, settings and results as a ZIP file."""
        return gr.FileData(path=transfer.export_project(self._studio, self._find(session)))

    def _result(self, session: str, job: str) -> JobStatus:
        status = self._studio.find_result(self._find(session), job)
        if status is None or status.job.id != job:
            raise ProjectError("This edit is not done yet, or it is none of yours. Ask get_job for its state.")
        return status

    def _describe(self, session: Session) -> Document:
        return describe_work(self._studio, session)


ENDPOINTS = tuple(
    name for part in (ModelApi, EditApi, Api) for name in vars(part) if not name.startswith("_") and name != "register"
)

LONG_ENDPOINTS = {
    "open_clip", "open_example", "open_project", "import_masks", "export_masks", "export_project", "export_result",
    "get_scores",
}  # fmt: skip
"""Those that read or write clips and files, or measure them."""
