"""The words of a model's own small world, where it has one: names, and phrases to offer for them."""

import json
from functools import cache
from pathlib import Path

from videograin.models.bundles import find_bundle

_NO_ARTICLE = ("grapes", "sunglasses")


def known_names(folder: Path) -> list[str]:
    """Return the names that a model folder's judge knows; none where the folder has no judge."""
    vocabulary = folder / "clip/vocabulary.json"
    return json.loads(vocabulary.read_text()) if vocabulary.is_file() else []


@cache
def known_phrases(model: str) -> tuple[str, ...]:
    """Return the objects that a model is known to draw, with articles; none where it does not say."""
    return tuple(with_article(name) for name in known_names(Path(find_bundle(model).source)))


def with_article(noun: str) -> str:
    """Return a noun with "a" or "an", or bare where English wants none ("grapes", "blue sunglasses")."""
    if noun.split()[-1] in _NO_ARTICLE:
        return noun
    return f"{'an' if noun[0].lower() in 'aeio' or noun.startswith('umb') else 'a'} {noun}"
