"""Which CLIP scores an edit, by name: that of a model's small world, ViT-L/14 for photographs, or one that is given."""

from dataclasses import dataclass
from pathlib import Path

import torch

from videograin.errors import ModelError
from videograin.evaluation.metrics import ClipScorer
from videograin.evaluation.vocabulary import known_names
from videograin.files.hub import Layout, fetch
from videograin.models.bundles import find_bundle
from videograin.models.catalog import SCORER_ID


@dataclass(frozen=True)
class NamedScorer:
    """A CLIP and what it is called in reports."""

    name: str
    clip: ClipScorer


def has_own_scorer(model: str) -> bool:
    """Whether a model, by its name or folder, brings the CLIP of its small world."""
    return bool(known_names(Path(find_bundle(model).source)))


def load_scorer(
    model: str, source: str | None = None, device: torch.device | str = "cpu", offline: bool = False
) -> NamedScorer:
    """Load the CLIP that suits a model, or another one.

    Args:
        model: that made the edit.
        source: folder or hub id of a CLIP; None takes the model's own, or ViT-L/14.
        device: where it runs.
        offline: whether to leave the network alone.

    Raises:
        ModelError: it cannot be found or loaded.
    """
    bundle = find_bundle(model)
    if source is None and has_own_scorer(model):
        return NamedScorer(f"mini CLIP of {bundle.title}", ClipScorer.load(Path(bundle.source) / "clip", device))
    source = source or SCORER_ID
    try:
        return NamedScorer(source, ClipScorer.load(fetch(source, Layout.NETWORK, offline), device))
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"'{source}' is no CLIP that can be loaded ({error}). Give a folder or a hub id.") from error
