"""Pictures that objects are drawn after, as HTML: each with its weight and a button to remove it."""

from html import escape

import numpy as np
from PIL import Image, ImageOps

from ui.rendering.pictures import THUMBNAIL, data_url
from videograin.errors import RegionError
from videograin.project.references import read_picture
from videograin.project.workspace import MarkedObject, Workspace

NONE = "<p class='vg-note'>None. An object is drawn after its picture, besides its words.</p>"


def picture_list(work: Workspace) -> str:
    """Return the pictures of a work's objects."""
    return "".join(_row(each) for each in work.objects if each.reference) or NONE


def _row(each: MarkedObject) -> str:
    assert each.reference is not None
    weight = each.reference.weight
    return (
        f"<div class='vg-word' style='--colour:{each.colour}'><span class='vg-thumb'>{_thumbnail(each)}</span>"
        f"<b>{escape(each.name)}</b><label class='vg-pull'><small>Weight <b>{weight:g}</b></small>"
        f"<input type='range' min='0' max='2' step='0.05' data-value='{weight:g}' data-action='weigh' "
        f"data-id='{each.id}' aria-label='Weight of the picture of {escape(each.name)}'></label>"
        f"<button type='button' class='vg-button' data-action='remove' data-id='{each.id}'>Remove</button></div>"
    )


def _thumbnail(each: MarkedObject) -> str:
    assert each.reference is not None
    try:
        picture = Image.fromarray(read_picture(each.reference.file))
    except RegionError:  # gone since; the edit will say so
        return ""
    return f"<img src='{data_url(np.asarray(ImageOps.fit(picture, (THUMBNAIL, THUMBNAIL))))}' alt=''>"
