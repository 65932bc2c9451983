"""Settings in a link: what differs from the model's own, in the address itself, without the clip or the words."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

from videograin.errors import SettingsError, VideoGrainError
from videograin.files.document import DocumentReader, to_plain
from videograin.models.bundles import find_bundle
from videograin.region import EditSettings

PARAMETER = "settings"
"""Of the page's address, which holds the token."""


def to_token(model: str, settings: EditSettings) -> str:
    """Return a model and settings for it as letters that an address may have."""
    own, chosen = to_plain(find_bundle(model).settings, Path()), to_plain(settings, Path())
    changed = {name: value for name, value in chosen.items() if value != own[name]}
    return urlsafe_b64encode(json.dumps({"model": model, **changed}).encode()).decode().rstrip("=")


def from_token(token: str) -> tuple[str, EditSettings]:
    """Return the model and the settings of a token.

    Raises:
        VideoGrainError: it is none of `to_token`'s, has a value beyond its range, or an unknown model.
    """
    try:
        changed = json.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        model = changed.pop("model")
        own = to_plain(find_bundle(model).settings, Path())
        return model, DocumentReader(Path(PARAMETER)).read(EditSettings, {**own, **changed}, PARAMETER)
    except VideoGrainError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError("The settings in this link cannot be read. Ask for the link again.") from error
