"""Models for programs: the list of them, downloads, and the LoRAs and reference pictures of a session's edits."""

from dataclasses import replace

import gradio as gr

from ui.answers import Document
from ui.work import transfer
from ui.work.objects import references
from ui.work.service import StudioService
from ui.work.session import Session
from videograin.errors import SettingsError
from videograin.models.adapters import Adapter
from videograin.reference import USUAL_REFERENCE_WEIGHT


class ModelApi:
    """The functions about models that programs may call.

    Args:
        studio: does the work.
    """

    def __init__(self, studio: StudioService) -> None:
        self._studio = studio

    def list_models(self) -> list[Document]:
        """Return models, ControlNets and segmenters: name, title, purpose, bytes and whether they are installed."""
        return [
            {
                "name": entry.name, "title": entry.title, "purpose": entry.purpose.value, "about": entry.about,
                "bytes": entry.size, "installed": entry.is_installed,
            }
            for entry in self._studio.catalog()
        ]  # fmt: skip

    def download(self, session: str, name: str) -> str:
        """Download what `list_models` names, or "lora:owner/name"; `done` and `total` of the job count bytes."""
        return self._studio.submit_download(self._find(session), name).id

    def add_lora(
        self, session: str, file: gr.FileData | None = None, hub_id: str = "", weight: float = 1.0, words: str = ""
    ) -> list[Document]:
        """Add a LoRA or a textual inversion to the edits, an uploaded file or a hub id; return all.

        Files are .safetensors, those of textual inversions also .pt or .bin.

        `words` are a LoRA's trigger words, or the word that stands for a textual inversion in prompts.
        """
        found = self._find(session)
        path = transfer.uploaded(file) if file else None
        self._studio.add_adapter(found, Adapter(file=path, hub_id=hub_id, weight=weight, words=words))
        return self._adapters(found)

    def change_lora(self, session: str, number: int, weight: float = 1.0, words: str = "") -> list[Document]:
        """Give the LoRA with this number in the list, from 1, another weight and other words; return all."""
        found = self._find(session)
        self._check(found, number)
        self._studio.change_adapters(
            found,
            lambda adapters: (
                *adapters[: number - 1],
                replace(adapters[number - 1], weight=weight, words=words),
                *adapters[number:],
            ),
        )
        return self._adapters(found)

    def remove_lora(self, session: str, number: int) -> list[Document]:
        """Remove the LoRA with this number in the list, from 1; return the others."""
        found = self._find(session)
        self._check(found, number)
        self._studio.change_adapters(found, lambda adapters: (*adapters[: number - 1], *adapters[number:]))
        return self._adapters(found)

    def give_picture(
        self, session: str, number: int, file: gr.FileData, weight: float = USUAL_REFERENCE_WEIGHT
    ) -> list[Document]:
        """Have object `number` drawn after an uploaded picture, besides its words; return all objects' pictures.

        `weight` says how much the picture counts, 0 to 2. It needs a model of the family of Stable Diffusion 1.5.
        """
        found = self._find(session)
        references.give_picture(self._studio.store, found, number, transfer.uploaded(file), weight)
        return self._pictures(found)

    def weigh_picture(self, session: str, number: int, weight: float) -> list[Document]:
        """Say how much the picture of object `number` counts, 0 to 2; return all objects' pictures."""
        found = self._find(session)
        references.weigh_picture(found, number, weight)
        return self._pictures(found)

    def remove_picture(self, session: str, number: int) -> list[Document]:
        """Have object `number` drawn by its words alone; return the others' pictures."""
        found = self._find(session)
        references.remove_picture(found, number)
        return self._pictures(found)

    def _pictures(self, session: Session) -> list[Document]:
        return [
            {"number": each.id, "name": each.name, "weight": each.reference.weight}
            for each in session.opened_work.objects
            if each.reference
        ]

    def _adapters(self, session: Session) -> list[Document]:
        return [
            {"number": number, "source": each.title.strip("'"), "weight": each.weight, "words": each.words}
            for number, each in enumerate(session.opened_work.adapters, 1)
        ]

    def _check(self, session: Session, number: int) -> None:
        count = len(session.opened_work.adapters)
        if not 1 <= number <= count:
            raise SettingsError(f"There is no LoRA {number}; the list has {count}, counted from 1.")

    def _find(self, session: str) -> Session:
        return self._studio.sessions.find(session)
