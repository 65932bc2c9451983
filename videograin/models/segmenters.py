"""Which segmenter marks objects unless the user says otherwise: one for the kind of clip that the model is for."""

from collections.abc import Sequence

from videograin.models.bundles import find_bundle
from videograin.segment.names import DEFAULT_SEGMENTER, is_here

OFFERED_SEGMENTERS = (DEFAULT_SEGMENTER, "sam2.1-tiny", "edgetam", "vit_b", "vit_l", "vit_h", "grabcut")
"""What users may choose from unless the operator says otherwise; for photographs GrabCut is what is always here."""


def in_order(offered: Sequence[str], device: str) -> tuple[str, ...]:
    """Return the segmenters offered in the order in which they are tried on a kind of device ("cpu", "cuda", …).

    An operator's own order stays. In ours EdgeTAM goes before SAM 2.1 on a CPU, where a frame takes it 1.7 s of one
    core instead of 6.1 s.
    """
    if device != "cpu" or tuple(offered) != OFFERED_SEGMENTERS:
        return tuple(offered)
    return tuple(sorted(offered, key=lambda name: (is_for_photographs(name), name != "edgetam")))


def default_segmenter(model: str, offered: Sequence[str]) -> str:
    """Return the segmenter that goes with a model; as `suitable_segmenter`."""
    return suitable_segmenter(find_bundle(model).knows_photographs, offered)


def suitable_segmenter(is_photograph: bool, offered: Sequence[str]) -> str:
    """Return the first of the segmenters offered for a kind of clip that is here.

    Where none of these is here, the first of them, which has to be downloaded.
    """
    candidates = [name for name in offered if is_for_photographs(name) == is_photograph] or list(offered)
    return next((name for name in candidates if is_here(name)), candidates[0])


def is_for_photographs(segmenter: str) -> bool:
    """Return whether a segmenter can mark photographs; the embedded one knows only drawings."""
    return segmenter != DEFAULT_SEGMENTER
