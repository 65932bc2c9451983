"""All methods of a comparison by their names, and those that are described alone with what they need."""

from collections.abc import Sequence

from videograin.comparison.controlvideo import CONTROLVIDEO
from videograin.comparison.fatezero import FATEZERO
from videograin.comparison.ground_a_video import GROUND_A_VIDEO
from videograin.comparison.method import Method
from videograin.comparison.own_methods import ABLATION, OWN_METHODS
from videograin.comparison.tokenflow import TOKENFLOW
from videograin.errors import SettingsError

METHODS = (*OWN_METHODS, TOKENFLOW, FATEZERO, CONTROLVIDEO, GROUND_A_VIDEO)
"""In the order of tables."""

ABSENT = {
    "DMT": "needs a text-to-video model, whose space-time features it matches (arXiv 2311.17009)",
    "Video-P2P": "needs the model tuned on each clip and null-text optimisation (arXiv 2303.04761); given masks, it "
    "edits regions jointly by attention control, or one after the other as the row of that name does",
}
"""Methods of the paper's tables that this denoiser alone cannot carry out, and what they need."""


def find_methods(names: Sequence[str]) -> list[Method]:
    """Return methods by name in the order of `names`, each once; none returns all but the ablation.

    Raises:
        SettingsError: there is no such method.
    """
    known = {method.name: method for method in (*METHODS, *ABLATION)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SettingsError(f"There is no method '{unknown[0]}'. Known are: {', '.join(known)}.")
    return [known[name] for name in dict.fromkeys(names)] or list(METHODS)
