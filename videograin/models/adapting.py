"""Put LoRAs and textual inversions beside a pipeline's weights for the time of an edit, unfused."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from diffusers.utils import logging as diffusers_logging
from peft.tuners.lora import LoraLayer

from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.prompt import compose_target_prompt
from videograin.diffusion.shortcuts.distilled import few_steps_note, sampler_of_name
from videograin.errors import ModelError, SettingsError
from videograin.files.hub import WEIGHTS_LOCK, Layout, fetch, first_line
from videograin.models.adapters import (
    FAMILY_OF_WIDTH,
    MAX_ADAPTERS,
    SDXL,
    Adapter,
    AdapterFile,
    AdapterKind,
    is_pickle,
    read_adapter,
    read_pickle,
)
from videograin.region import EditRequest, EditSettings


@contextmanager
def adapted(pipeline: VideoGrainPipeline, adapters: Sequence[Adapter], *, offline: bool = False) -> Iterator[None]:
    """Make a pipeline draw with LoRAs and understand the words of textual inversions within the block.

    Args:
        pipeline: as it was loaded; afterwards it is so again.
        adapters: at most `MAX_ADAPTERS`, LoRAs in the sum of their weights.
        offline: whether to leave the hub alone.

    Raises:
        ModelError: one cannot be had or read, or was made for another family of models, which the message names.
        SettingsError: there are too many.
    """
    if len(adapters) > MAX_ADAPTERS:
        raise SettingsError(f"There are {len(adapters)} LoRAs and textual inversions; at most {MAX_ADAPTERS} are used.")
    found = [(adapter, locate(adapter, offline=offline)) for adapter in adapters]
    try:
        with WEIGHTS_LOCK:
            for number, (adapter, file) in enumerate(found):
                _load(pipeline, adapter, file, name=f"adapter_{number}")
            weights = {
                f"adapter_{number}": adapter.weight
                for number, (adapter, file) in enumerate(found)
                if file.kind is AdapterKind.LORA
            }
            if weights:
                pipeline.set_adapters([*weights], [*weights.values()])
        yield
    finally:
        if found:
            pipeline.unload_lora_weights()
            pipeline.unload_textual_inversion()


def locate(adapter: Adapter, *, offline: bool = False) -> AdapterFile:
    """Return the file of a LoRA or textual inversion, fetching it where need be.

    Raises:
        ModelError: it cannot be had or read.
    """
    if adapter.file is None:
        return read_adapter(fetch(adapter.hub_id, Layout.FILE, offline))
    if not adapter.file.is_file():
        raise ModelError(f"There is no file {adapter.title}. Check the path, or give a hub id.")
    return read_adapter(adapter.file)


def sampler_notes(adapters: Sequence[Adapter], settings: EditSettings) -> list[str]:
    """Return what to tell a user of LoRAs whose names say that they were made for few steps by another sampler."""
    return [
        note
        for adapter in adapters
        for note in few_steps_note(f"The LoRA {adapter.title}", sampler_of_name(adapter.title), settings)
    ]


def with_triggers(request: EditRequest, adapters: Sequence[Adapter]) -> EditRequest:
    """Return a request whose target prompt ends with the trigger words of LoRAs, which are on this machine by now."""
    files = [locate(adapter, offline=True) for adapter in adapters]
    triggers = [
        adapter.words
        for adapter, file in zip(adapters, files, strict=True)
        if file.kind is AdapterKind.LORA and adapter.words.strip()
    ]
    if not triggers:
        return request
    composed = request.target_prompt or compose_target_prompt(
        [region.prompt for region in request.regions], request.background
    )
    return replace(request, target_prompt=", ".join([composed, *triggers]))


def _load(pipeline: VideoGrainPipeline, adapter: Adapter, file: AdapterFile, name: str) -> None:
    width = pipeline.unet.config["cross_attention_dim"]
    _check_family(adapter, file, FAMILY_OF_WIDTH.get(width, ""))
    try:
        if file.kind is AdapterKind.EMBEDDING:
            token = adapter.words.strip() or file.path.stem
            source = {token: read_pickle(file.path)} if is_pickle(file.path) else str(file.path)
            pipeline.load_textual_inversion(source, token=token, local_files_only=True)
            return
        with _quiet():
            pipeline.load_lora_weights(str(file.path), adapter_name=name, local_files_only=True)
    except (ValueError, RuntimeError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(
            f"The {file.kind} {adapter.title} does not fit this model ({first_line(error)}). Choose one that was made "
            "for it."
        ) from error
    if not _is_in_use(pipeline, name):
        raise ModelError(
            f"The LoRA {adapter.title} fits no layer of this model; it was made for another family. Choose one that "
            "was made for it."
        )


def _check_family(adapter: Adapter, file: AdapterFile, family: str) -> None:
    """Raise ModelError where a file says that it was made for another family than the model's, which may be unknown."""
    is_foreign = file.family and (file.family != family if family else "Stable Diffusion" not in file.family)
    if is_foreign or file.family == SDXL:
        ours = family or "this model"
        raise ModelError(
            f"The {file.kind} {adapter.title} was made for {file.family} and fits no layer of {ours}. Choose one that "
            f"was made for {ours}."
        )


def _is_in_use(pipeline: VideoGrainPipeline, name: str) -> bool:
    networks = (pipeline.unet, pipeline.text_encoder)
    layers = (module for network in networks for module in network.modules() if isinstance(module, LoraLayer))
    return any(name in layer.r for layer in layers)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep diffusers from warning of a LoRA without layers for one of the networks, as most are."""
    before = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        diffusers_logging.set_verbosity(before)
