"""The settings of an edit as the method's authors write them: YAML in sections, read into one typed value.

docs/reproduce.md lists the keys. Sections are for the reader's eye: a key means the same in each of them.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml

from videograin.errors import ProjectError
from videograin.files.document import DocumentReader

MAX_BYTES = 2**20
"""Of a file of settings; such files have a few kilobytes."""

MODEL = "stable-diffusion-v1-5/stable-diffusion-v1-5"
"""What the paper edits with."""

_REFERENCE = re.compile(r"\$\{[.\w]*?(\w+)\}")
"""Another key in its place, as OmegaConf writes it: "${..num_inference_steps}"."""


@dataclass(frozen=True, kw_only=True)
class AuthorsConfig:
    """What a file of the authors asks for, key by key.

    Attributes:
        path: folder of frames, or a video.
        prompt: what the clip shows.
        layout_mask_dir: folder of a folder of masks for each object.
        editing_prompts: edits; of each the whole target prompt, then a phrase for each object, empty ones keep.
        layout_mask_order: names of the folders of masks; none takes all in the order of their names.
        n_sample_frame: frames that are edited.
        start_sample_frame: number of the first one.
        sampling_rate: step from each to the next.
        pretrained_model_path: folder, file or hub id.
        control_type: what holds the edit to the source; none is no ControlNet.
        controlnet_conditioning_scale: factor on its residuals.
        num_inference_steps: of the full schedule.
        guidance_scale: of classifier-free guidance.
        negative_prompt: what to avoid.
        blending_percentage: share of the steps that are left out, from the noisiest.
        modulated_percentage: share of the steps that are modulated; their code does not read it.
        use_pnp: whether features of the inversion are injected; unsaid, they are where `inject_step` is not 0.
        inject_step: in how many steps.
        flatten_res: resolutions, in latent cells of frames of 512 pixels, that attend along optical flow.
        use_freeu: whether the UNet goes by FreeU.
        seed: of the noise in the kept part.
        cluster_inversion_feature, mixed_precision: without a part in the result.
    """

    path: str
    prompt: str
    layout_mask_dir: str
    editing_prompts: tuple[tuple[str, ...], ...]
    layout_mask_order: tuple[str, ...] = ()
    n_sample_frame: int = 16
    start_sample_frame: int = 0
    sampling_rate: int = 1
    pretrained_model_path: str = MODEL
    control_type: Literal["dwpose", "openpose", "depth", "depth_zoe", "canny"] | None = None
    controlnet_conditioning_scale: float = 1.0
    num_inference_steps: int = 50
    guidance_scale: float = 7.5
    negative_prompt: str = ""
    blending_percentage: float = 0.0
    modulated_percentage: float | None = None
    use_pnp: bool | None = None
    inject_step: int = 0
    flatten_res: tuple[int, ...] = (64,)
    use_freeu: bool = False
    seed: int = 0
    cluster_inversion_feature: bool = False
    mixed_precision: str = ""

    def __post_init__(self) -> None:
        if not self.editing_prompts or not all(self.editing_prompts):
            raise ProjectError("editing_prompts is empty. Give the whole target prompt and a phrase for each mask.")
        for name, least in {"n_sample_frame": 1, "start_sample_frame": 0, "sampling_rate": 1}.items():
            if (value := getattr(self, name)) < least:
                raise ProjectError(f"{name} is {value}; give {least} or more.")
        if not 0 <= self.blending_percentage < 1:
            raise ProjectError(f"blending_percentage is {self.blending_percentage}; give a share from 0 to below 1.")


def read_authors_config(file: Path, ignored: Collection[str] = ()) -> AuthorsConfig:
    """Read a file of settings.

    Args:
        file: YAML.
        ignored: keys that are known not to be known, and are left out.

    Raises:
        ProjectError: the file cannot be read, a key is unknown or given twice, or a value does not belong.
    """
    places: dict[str, tuple[str, Any]] = {}
    for place, value in _leaves(_parse(file)):
        name = place.rpartition(".")[2]
        if place in ignored or name in ignored:
            continue
        known = places.setdefault(name, (place, value))[1]
        if _refers_to(known) == name:
            places[name] = place, value
        elif value != known and _refers_to(value) != name:
            raise ProjectError(f"'{file.name}' has '{name}' twice, as {places[name][0]} and {place}. Take one out.")
    _check_known({place: name for name, (place, _) in places.items()}, file)
    values = {name: _resolved(value, places, file) for name, (_, value) in places.items() if value is not None}
    for name, shaped in (("editing_prompts", _as_edits), ("flatten_res", _as_sides)):
        if name in values:
            values[name] = shaped(values[name])
    return DocumentReader(file).read(AuthorsConfig, values, "")


def _parse(file: Path) -> Mapping[Any, Any]:
    try:
        if (size := file.stat().st_size) > MAX_BYTES:
            raise ProjectError(f"'{file.name}' has {size >> 20} MiB; settings have at most {MAX_BYTES >> 20}.")
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProjectError(f"'{file}' cannot be read ({error.strerror}). Check its name and folder.") from error
    except (yaml.YAMLError, UnicodeError, RecursionError) as error:
        raise ProjectError(f"'{file.name}' is no YAML: {' '.join(str(error).split())}. Mend it there.") from error
    if not isinstance(document, dict):
        raise ProjectError(f"'{file.name}' holds no settings. Give keys and values; docs/reproduce.md lists them.")
    return document


def _leaves(document: Mapping[Any, Any], section: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value with its place, "section.key"."""
    for key, value in document.items():
        place = f"{section}.{key}" if section else str(key)
        if isinstance(value, dict):
            yield from _leaves(value, place)
        else:
            yield place, value


def _check_known(names: Mapping[str, str], file: Path) -> None:
    """Raise ProjectError unless all keys are known, given their names by their places."""
    known = [field.name for field in fields(AuthorsConfig)]
    unknown = [place for place, name in names.items() if name not in known]
    if not unknown:
        return
    near = {place: get_close_matches(names[place], known, n=1) for place in unknown}
    listed = ", ".join(place + (f" (did you mean '{near[place][0]}'?)" if near[place] else "") for place in unknown)
    raise ProjectError(
        f"'{file.name}' has keys that are unknown here: {listed}. docs/reproduce.md lists those that are read; leave "
        "a key out with --ignore KEY."
    )


def _resolved(value: Any, places: Mapping[str, tuple[str, Any]], file: Path) -> Any:
    """Return a value with the value of the key that it refers to in its place."""
    other = _refers_to(value)
    if other is None:
        return value
    if other not in places or _refers_to(places[other][1]) is not None:
        raise ProjectError(f"'{file.name}': '{value}' refers to no value. Write the value itself.")
    return places[other][1]


def _refers_to(value: Any) -> str | None:
    """Return the name of the key that a value refers to."""
    match = _REFERENCE.fullmatch(value.strip()) if isinstance(value, str) else None
    return match[1] if match else None


def _as_edits(value: Any) -> Any:
    """Return a list of edits where the file has one edit alone; a phrase that is left out is empty."""
    if not isinstance(value, list):
        return value
    edits = value if any(isinstance(each, list) for each in value) else [value]
    return [["" if phrase is None else phrase for phrase in each] if isinstance(each, list) else each for each in edits]


def _as_sides(value: Any) -> Any:
    """Return the shorter side of each resolution, which may be a number or [height, width]."""
    sides = value if isinstance(value, list) else [value]
    return [min(each) if isinstance(each, list) and each and all(map(_is_int, each)) else each for each in sides]


def _is_int(value: Any) -> bool:
    return isinstance(value, int)
