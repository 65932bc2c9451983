"""What can be downloaded: models, their ControlNets and segmenters, by the names that users and programs give."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from videograin.controls import DEPTH_MODELS, PEOPLE_MODEL, POSE_MODEL
from videograin.errors import ModelError
from videograin.files.download import ByteMeter, RemoteFile, is_whole, make_room, receive
from videograin.files.hub import Layout, fetch, find_snapshot, is_hub_id, list_repository
from videograin.models.adapters import Adapter
from videograin.models.architecture import check_folder
from videograin.models.bundles import ModelBundle, find_bundle
from videograin.progress import Report, ignore
from videograin.region import ControlKind
from videograin.segment.names import GRABCUT, HUB_IDS, SAM_FILES, sam_file

CONTROL_TITLES = {
    ControlKind.CANNY: "Outlines",
    ControlKind.DEPTH: "Depth",
    ControlKind.DEPTH_DPT: "Depth by DPT",
    ControlKind.DEPTH_ZOE: "Depth by ZoeDepth",
    ControlKind.POSE: "Poses",
    ControlKind.POSE_BODY: "Poses without hands and faces",
}

SEGMENTER_TITLES = {
    "emoji-world": "Emoji World, drawings",
    "grabcut": "GrabCut, boxes and strokes",
    "vit_b": "SAM, base",
    "vit_l": "SAM, large",
    "vit_h": "SAM, huge",
    "sam2.1-tiny": "SAM 2.1, tiny",
    "sam2.1-small": "SAM 2.1, small",
    "sam2.1-base-plus": "SAM 2.1, base plus",
    "sam2.1-large": "SAM 2.1, large",
    "edgetam": "EdgeTAM",
}

CAPTIONER, CAPTIONER_ID = "blip", "Salesforce/blip-image-captioning-base"
"""Name and hub id of what describes photographs."""

SCORER, SCORER_ID = "clip", "openai/clip-vit-large-patch14"
"""Name and hub id of the CLIP that edits of photographs are scored with."""

REFERENCES, IMAGE_PROMPT_ID = "ip-adapter", "h94/IP-Adapter"
"""Name and hub id of what lets objects be drawn after pictures."""

DETECTOR_IDS = {
    "grounding-dino": "IDEA-Research/grounding-dino-tiny",
    "mm-grounding-dino": "openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg_v3det",
    "owlv2": "google/owlv2-base-patch16-ensemble",
}
"""What finds objects in photographs by name: hub ids by our names, in the order in which they are tried."""

_DETECTOR_TITLES = {
    "grounding-dino": "Grounding DINO, tiny",
    "mm-grounding-dino": "MM Grounding DINO, tiny",
    "owlv2": "OWLv2, base",
}

ADAPTER = "lora:"
"""Before the hub id of a LoRA or a textual inversion, in the names of entries."""

_MARKS = "Marks what is clicked on in photographs; masks are followed by optical flow."
_MARKS_AND_FOLLOWS = "Marks what is clicked on in photographs, and follows it through the clip by a memory of its own."
_MARKS_BY_COLOUR = "Marks what boxes and strokes tell from its surroundings, by colour and motion; needs no weights."

_CONTROL_BYTES = 1_450_000_000  # of a ControlNet of either family, about
_DEPTH_BYTES = {
    ControlKind.DEPTH: 99_000_000,
    ControlKind.DEPTH_DPT: 490_000_000,
    ControlKind.DEPTH_ZOE: 1_380_000_000,
}
_POSE_BYTES = 310_000_000
_CAPTIONER_BYTES = 990_000_000
_REFERENCES_BYTES = 2_570_000_000
_SCORER_BYTES = 1_710_000_000
_DETECTOR_BYTES = {"grounding-dino": 690_000_000, "mm-grounding-dino": 690_000_000, "owlv2": 620_000_000}
_SEGMENTER_BYTES = {
    "sam2.1-tiny": 156_000_000,
    "sam2.1-small": 184_000_000,
    "sam2.1-base-plus": 324_000_000,
    "sam2.1-large": 898_000_000,
    "edgetam": 56_000_000,
}


class Purpose(StrEnum):
    """What something that can be downloaded is for."""

    EDIT = "edit"
    CONTROL = "control"
    MARK = "mark"
    ADAPT = "adapt"
    DESCRIBE = "describe"
    FIND = "find"
    REFERENCE = "reference"
    SCORE = "score"


@dataclass(frozen=True)
class HubPart:
    """A repository of a hub, or a folder or file in its place.

    Attributes:
        source: hub id or path.
        layout: which files of it are needed.
    """

    source: str
    layout: Layout

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine."""
        is_path = self.layout is not Layout.FILE and not is_hub_id(self.source)
        return is_path or find_snapshot(self.source, self.layout) is not None

    def missing(self) -> list[tuple[RemoteFile, Path]]:
        """Ask the hub for the large files that are not here, each with its place."""
        weights = [] if self.is_here else list_repository(self.source).weights(self.layout)
        return [(source, target) for source, target in weights if not is_whole(target, source)]

    def complete(self) -> None:
        """Fetch what is missing besides the large files."""
        fetch(self.source, self.layout)


@dataclass(frozen=True)
class FilePart:
    """A file at an address of its own.

    Attributes:
        file: what it is.
        target: its place on this machine.
    """

    file: RemoteFile
    target: Path

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine."""
        return is_whole(self.target, self.file)

    def missing(self) -> list[tuple[RemoteFile, Path]]:
        """Return the file with its place unless it is here."""
        return [] if self.is_here else [(self.file, self.target)]

    def complete(self) -> None:
        """Do nothing: the file is all there is."""


@dataclass(frozen=True)
class CatalogEntry:
    """Something that is used under a name and may have to be downloaded first.

    Attributes:
        name: by which users and programs ask for it.
        title: what users call it.
        purpose: what it is for.
        about: a sentence on that.
        size: about how many bytes it takes; 0 where that is unknown.
        parts: what it consists of.
    """

    name: str
    title: str
    purpose: Purpose
    about: str
    size: int
    parts: tuple[HubPart | FilePart, ...]

    @property
    def is_installed(self) -> bool:
        """Whether all of it is on this machine."""
        return all(part.is_here for part in self.parts)

    @property
    def instead(self) -> str:
        """What a user can do without it, as the end of a sentence."""
        return "choose another model" if self.purpose is Purpose.EDIT else "go on without it"

    def missing_bytes(self) -> int:
        """Ask for the exact size of what is missing.

        Raises:
            ModelError: the hub cannot be reached, or has no such model.
        """
        return sum(source.size for part in self.parts for source, _ in part.missing())

    def download(self, report: Report = ignore) -> int:
        """Fetch what is missing and return its bytes.

        Args:
            report: told the bytes received; may raise `Cancelled`. The next download goes on where this one ended.

        Raises:
            ModelError: the network, the hub or the disk does not allow it, or it is a model that cannot edit here.
        """
        if self.purpose is Purpose.EDIT:
            (part,) = self.parts
            assert isinstance(part, HubPart)
            check_folder(self.name, fetch(part.source, Layout.CONFIGS))
        missing = [pair for part in self.parts for pair in part.missing()]
        size = sum(source.size for source, _ in missing)
        if missing:
            make_room(missing, missing[0][1].parent)
        meter = ByteMeter(size, report)
        for source, target in missing:
            receive(source, target, meter)
        for part in self.parts:
            part.complete()
        return size


def catalog(models: Iterable[str]) -> list[CatalogEntry]:
    """Return models with their ControlNets, and the segmenters; what comes with the program has no parts."""
    entries = []
    for model in models:
        bundle = find_bundle(model)
        entries += [model_entry(bundle), *(control_entry(bundle, kind) for kind in bundle.controls)]
    segmenters = [segmenter_entry(name) for name in (GRABCUT, *SAM_FILES, *HUB_IDS)]
    others = [captioner_entry(), *map(detector_entry, DETECTOR_IDS), scorer_entry()]
    return [*entries, references_entry(), *segmenters, *others]


def find_entry(name: str) -> CatalogEntry:
    """Return what has a name: a segmenter's, "sd15+canny" for a model's ControlNet, "lora:owner/name", or a model's."""
    if name in (GRABCUT, *SAM_FILES, *HUB_IDS):
        return segmenter_entry(name)
    if name == CAPTIONER:
        return captioner_entry()
    if name == REFERENCES:
        return references_entry()
    if name == SCORER:
        return scorer_entry()
    if name in DETECTOR_IDS:
        return detector_entry(name)
    if name.startswith(ADAPTER):
        return adapter_entry(name.removeprefix(ADAPTER))
    model, _, kind = name.rpartition("+")
    if model and kind in list(ControlKind):
        return control_entry(find_bundle(model), ControlKind(kind))
    return model_entry(find_bundle(name))


def check_references(model: str, has_references: bool) -> None:
    """Raise ModelError where objects are to be drawn after pictures by a model that cannot."""
    bundle = find_bundle(model)
    if has_references and not bundle.takes_pictures:
        raise ModelError(
            f"{bundle.title} draws by words alone; pictures need a model of the family of Stable Diffusion 1.5. Choose "
            "one, or remove the pictures."
        )


def needed_entries(
    model: str, controls: Iterable[ControlKind], adapters: Iterable[Adapter], has_references: bool = False
) -> list[str]:
    """Return the names of all that an edit needs: its model, ControlNets, LoRAs that are not files, and IP-Adapter."""
    names = [f"{model}+{kind}" for kind in controls]
    loras = [f"{ADAPTER}{each.hub_id}" for each in adapters if each.hub_id]
    return [model, *names, *loras, *([REFERENCES] if has_references else [])]


def adapter_entry(hub_id: str) -> CatalogEntry:
    """Return what has to be downloaded for a LoRA or a textual inversion."""
    return CatalogEntry(
        name=f"{ADAPTER}{hub_id}",
        title=f"The LoRA '{hub_id}'",
        purpose=Purpose.ADAPT,
        about="Changes how the model draws (LoRA or textual inversion).",
        size=0,
        parts=(HubPart(hub_id, Layout.FILE),),
    )


def model_entry(bundle: ModelBundle) -> CatalogEntry:
    """Return what has to be downloaded for a model."""
    return CatalogEntry(
        name=bundle.name,
        title=bundle.title,
        purpose=Purpose.EDIT,
        about=bundle.knows,
        size=bundle.download_bytes,
        parts=(HubPart(bundle.source, Layout.PIPELINE),),
    )


def control_entry(bundle: ModelBundle, kind: ControlKind) -> CatalogEntry:
    """Return what has to be downloaded to hold a model's edits to the source in one way.

    Raises:
        ModelError: there is no such ControlNet for the model.
    """
    if kind not in bundle.controls:
        known = ", ".join(bundle.controls) or "none"
        raise ModelError(f"Model '{bundle.name}' has no ControlNet for '{kind}'. Its kinds: {known}.")
    network = HubPart(bundle.controls[kind], Layout.NETWORK)
    detectors, detector_bytes = _detectors(kind)
    return CatalogEntry(
        name=f"{bundle.name}+{kind}",
        title=f"{CONTROL_TITLES[kind]} for {bundle.title}",
        purpose=Purpose.CONTROL,
        about=f"Holds edits to the {CONTROL_TITLES[kind].lower()} of the source (ControlNet).",
        size=_CONTROL_BYTES + detector_bytes,
        parts=(network, *detectors),
    )


def captioner_entry() -> CatalogEntry:
    """Return what has to be downloaded to have photographs described."""
    return CatalogEntry(
        name=CAPTIONER,
        title="BLIP",
        purpose=Purpose.DESCRIBE,
        about="Describes what a filmed clip shows, for the caption.",
        size=_CAPTIONER_BYTES,
        parts=(HubPart(CAPTIONER_ID, Layout.NETWORK),),
    )


def scorer_entry() -> CatalogEntry:
    """Return what has to be downloaded to have edits of photographs scored."""
    return CatalogEntry(
        name=SCORER,
        title="CLIP ViT-L/14",
        purpose=Purpose.SCORE,
        about="Scores edits of photographs: how well frames fit words and each other.",
        size=_SCORER_BYTES,
        parts=(HubPart(SCORER_ID, Layout.NETWORK),),
    )


def references_entry() -> CatalogEntry:
    """Return what has to be downloaded to have objects drawn after pictures."""
    return CatalogEntry(
        name=REFERENCES,
        title="IP-Adapter for Stable Diffusion 1.5",
        purpose=Purpose.REFERENCE,
        about="Draws objects after pictures, besides their words.",
        size=_REFERENCES_BYTES,
        parts=(HubPart(IMAGE_PROMPT_ID, Layout.IMAGE_PROMPT),),
    )


def detector_entry(name: str) -> CatalogEntry:
    """Return what has to be downloaded to have objects in photographs found by name."""
    return CatalogEntry(
        name=name,
        title=_DETECTOR_TITLES[name],
        purpose=Purpose.FIND,
        about="Finds objects in photographs by what is typed; a segmenter cuts them out.",
        size=_DETECTOR_BYTES[name],
        parts=(HubPart(DETECTOR_IDS[name], Layout.NETWORK),),
    )


def segmenter_entry(name: str) -> CatalogEntry:
    """Return what has to be downloaded for a segmenter that has a name."""
    if name == GRABCUT:
        return CatalogEntry(
            name=name, title=SEGMENTER_TITLES[name], purpose=Purpose.MARK, about=_MARKS_BY_COLOUR, size=0, parts=()
        )
    is_sam2 = name in HUB_IDS
    part = HubPart(HUB_IDS[name], Layout.NETWORK) if is_sam2 else FilePart(SAM_FILES[name], sam_file(name))
    return CatalogEntry(
        name=name,
        title=SEGMENTER_TITLES[name],
        purpose=Purpose.MARK,
        about=_MARKS_AND_FOLLOWS if is_sam2 else _MARKS,
        size=_SEGMENTER_BYTES[name] if is_sam2 else SAM_FILES[name].size,
        parts=(part,),
    )


def _detectors(kind: ControlKind) -> tuple[list[HubPart], int]:
    """Return what makes control images of a kind, and about how many bytes that takes."""
    match kind:
        case ControlKind.CANNY:
            return [], 0
        case ControlKind.DEPTH | ControlKind.DEPTH_DPT | ControlKind.DEPTH_ZOE:
            return [HubPart(DEPTH_MODELS[kind], Layout.NETWORK)], _DEPTH_BYTES[kind]
        case ControlKind.POSE | ControlKind.POSE_BODY:
            return [HubPart(model, Layout.FILE) for model in (PEOPLE_MODEL, POSE_MODEL)], _POSE_BYTES


def size_words(size: int) -> str:
    """Return bytes as a user reads them: "4.3 GB", "156 MB"; for 0 that the size is not known before."""
    if not size:
        return "a size that is known once it has begun"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
