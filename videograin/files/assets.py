"""Where the assets shipped with the code lie: the embedded model and the example clips, in a checkout or a wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]

ASSETS = next(folder for folder in (_PACKAGE / "assets", _PACKAGE.parent / "assets") if folder.is_dir())
"""Beside `videograin/` in a checkout; a wheel, which owns no folder there, carries them within."""

EMBEDDED_MODEL = ASSETS / "models/emoji-world"
"""Emoji World, in diffusers' layout, with its segmenter in `sam/` and its CLIP in `clip/`."""
