"""Finders by name, and which one suits a clip."""

from pathlib import Path
from typing import TYPE_CHECKING

from videograin.device import choose_device
from videograin.errors import ModelError
from videograin.evaluation.vocabulary import known_names
from videograin.files.hub import Layout, fetch
from videograin.finding.finder import Finder
from videograin.models.bundles import find_bundle
from videograin.models.catalog import DETECTOR_IDS, detector_entry

if TYPE_CHECKING:
    import torch

    from videograin.segment.model import EmbeddingCache, SegmentModel


def suitable_finder(model: str, is_photograph: bool) -> str:
    """Return what finds objects in a clip: the model's own judge in its small world, a detector anywhere else.

    Args:
        model: name of the bundle that edits the clip.
        is_photograph: whether the clip was filmed.

    Returns:
        The model's name, or that of the first detector that is on this machine; where none is, of the first of all,
        which has to be downloaded.
    """
    if has_judge(model) and not is_photograph:
        return model
    here = (name for name in DETECTOR_IDS if detector_entry(name).is_installed)
    return next(here, next(iter(DETECTOR_IDS)))


def has_judge(name: str) -> bool:
    """Return whether a name is that of a model with a small world of its own, whose judge knows its objects."""
    return name not in DETECTOR_IDS and bool(known_names(Path(find_bundle(name).source)))


def load_finder(
    name: str,
    segmenter: "SegmentModel",
    embeddings: "EmbeddingCache",
    device: "torch.device | str | None" = None,
    *,
    offline: bool = False,
) -> Finder:
    """Load a finder.

    Args:
        name: of a detector, or of a model that has a judge.
        segmenter: makes the masks; for a judge one that knows drawings.
        embeddings: what the segmenter has seen.
        device: where the detector or the judge runs; None takes the best there is.
        offline: whether to leave the network alone.

    Raises:
        ModelError: there is no such finder, or it cannot be had or loaded.
    """
    device = choose_device(device)
    if name in DETECTOR_IDS:
        from videograin.finding.boxes import BoxFinder, Detector  # the detectors' classes take a second to import

        folder = fetch(DETECTOR_IDS[name], Layout.NETWORK, offline)
        return BoxFinder(Detector.load(folder, device), segmenter, embeddings)
    if not has_judge(name):
        raise ModelError(f"'{name}' finds no objects by name. Choose one of: {', '.join(DETECTOR_IDS)}.")
    from videograin.evaluation.judge import Judge
    from videograin.finding.proposals import ProposalFinder

    return ProposalFinder(Judge.load(Path(find_bundle(name).source), device), segmenter, embeddings)
