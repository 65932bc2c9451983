"""Models and LoRAs that were distilled to few steps: for which sampler, and what to say where an edit has another."""

import re

from videograin.settings import EditSettings, Sampler

_SCHEDULERS = {"LCMScheduler": Sampler.LCM, "TCDScheduler": Sampler.TCD}

_NAMES = {
    Sampler.LCM: re.compile(r"(?<![a-z])lcm(?![a-z])", re.IGNORECASE),
    Sampler.TCD: re.compile(r"(?<![a-z])(tcd|hyper-?sd\d*)(?![a-z])", re.IGNORECASE),
}
"""What LoRAs for few steps are called: lcm-lora-sdv1-5, Hyper-SD15-8steps-lora, TCD-SD15-LoRA."""


def sampler_of_scheduler(name: str) -> Sampler | None:
    """Return the sampler that a checkpoint with a scheduler of this name was distilled for, None for ordinary ones."""
    return _SCHEDULERS.get(name)


def sampler_of_name(name: str) -> Sampler | None:
    """Return the sampler that a LoRA's file or hub id names; None where it names none."""
    return next((sampler for sampler, pattern in _NAMES.items() if pattern.search(name)), None)


def few_steps_note(what: str, sampler: Sampler | None, settings: EditSettings) -> list[str]:
    """Return what to tell a user whose edit goes by another sampler than a model or LoRA was made for; none if it fits.

    Args:
        what: how the message calls the model or LoRA.
        sampler: that it was made for; None has nothing to tell.
        settings: of the edit.
    """
    if sampler is None or settings.sampler == sampler:
        return []
    return [
        f"{what} was made for the sampler '{sampler}' and few steps, the edit goes by '{settings.sampler}'. Choose "
        f"'{sampler}' with 4 to 8 steps and a guidance of 1 to 2."
    ]
