"""What the operator of a studio decides, read from environment variables in this one place."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from videograin.errors import ProjectError, SettingsError
from videograin.files.atomic import check_writable
from videograin.media.video import MAX_FRAMES
from videograin.models.bundles import DEFAULT_MODEL
from videograin.models.segmenters import OFFERED_SEGMENTERS

PREFIX = "VIDEOGRAIN_"

THREAD, RAY = "thread", "ray"
"""Where jobs run: in this process, on one GPU of a machine of one's own or lent by a Space; on a cluster of Ray's."""


class ZeroGpuSize(StrEnum):
    """How much of a GPU ZeroGPU lends for a job: half of one, or a whole one for twice the visitor's quota."""

    LARGE = "large"
    XLARGE = "xlarge"


_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True)
class Between:
    """The range of a number, both ends allowed."""

    low: float
    high: float


@dataclass(frozen=True)
class OneOf:
    """The words that a setting may be."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class Login:
    """Who may use the studio."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class OperatorSettings:
    """The settings of one studio; a field is set by the variable of its name, VIDEOGRAIN_MAX_FRAMES for `max_frames`.

    Attributes:
        data_folder: where clips, jobs and results are kept; of this process alone.
        models: names, folders, files or hub ids that may be chosen, separated by commas; the first is the default.
        segmenters: names that may be chosen, separated by commas; the first one for drawings and the first one for
            photographs that are on this machine are the defaults of models for these.
        device: cuda, mps or cpu; empty takes the best there is.
        second_device: cuda:1, say: another GPU, which computes half of the guidance of each edit; empty leaves both
            halves to `device`.
        offline: whether to leave model hubs alone.
        executor: thread or ray: whether edits run in this process, one at a time, or on the GPUs of a cluster.
        ray_address: of the cluster's head, as Ray takes it; empty starts a cluster of this machine alone.
        ray_device: cuda or cpu: where its edits run; empty is cuda if it has a GPU when the studio starts. `device` is
            where the studio's own process follows objects.
        ray_gpus: 1 or 2 GPUs for each edit of the cluster's; the second one computes half of the guidance.
        ray_actors: most GPUs that are used, or pairs of GPUs, or groups of CPUs where there is no GPU; 0 is as many as
            the cluster has when the studio starts. One that grows by itself starts hosts until it has this number.
        ray_cpus: CPU cores that each of them takes.
        ray_idle_minutes: after how long without work all but one of them are given back, so that a cluster can shrink;
            they are asked for again when jobs wait. 0 keeps them.
        job_files: fsspec URL, s3://bucket/prefix say, of this studio alone, by which the files of jobs travel to the
            cluster's hosts and back; empty where all of them mount the data folder under the same name.
        zero_gpu_size: large or xlarge: half a GPU or a whole one for each job, on a Space with ZeroGPU.
        metrics: whether /metrics tells Prometheus of jobs and GPUs; whoever reaches the page reaches it.
        max_upload_mb: largest file that may be uploaded, in megabytes.
        max_video_seconds: longest video that may be uploaded.
        max_frames: most frames of one edit.
        max_side: longest side of an edit's frames in pixels.
        max_steps: most denoising steps of one edit.
        max_waiting: jobs that may wait at once.
        max_waiting_each: jobs that one session may have waiting.
        max_waiting_address: jobs that all sessions from one network address may have waiting together.
        max_open_address: requests that one network address may have open at once; a page in a browser has one or two.
        trusted_proxies: addresses or networks of proxies, separated by commas, that are believed who a visitor is and
            under which name the studio is reached; * believes all. On a Hugging Face Space its own proxy always stands
            in front, and it is *.
        max_session_mb: what one session's clips, masks and results may take on the disk, in megabytes.
        max_data_gb: what the data folder may take, in gigabytes.
        min_free_gb: what must stay free on the data folder's disk, in gigabytes.
        retention_hours: how long clips and results are kept after their last use.
        auth: user:password, several separated by commas, asked for before the page opens; empty lets everyone in.
        mcp: whether agents may use the studio as an MCP server.
        log_prompts: whether users' words may appear in the log.
    """

    data_folder: Path = field(default_factory=lambda: user_data_folder())
    models: tuple[str, ...] = (DEFAULT_MODEL, "sd15", "sd2.1-base", "sd2.1")
    segmenters: tuple[str, ...] = OFFERED_SEGMENTERS
    device: str = ""
    second_device: str = ""
    offline: bool = False
    executor: Annotated[str, OneOf((THREAD, RAY))] = THREAD
    ray_address: str = ""
    ray_device: Annotated[str, OneOf(("cuda", "cpu"))] = ""
    ray_gpus: Annotated[int, Between(1, 2)] = 1
    ray_actors: Annotated[int, Between(0, 10_000)] = 0
    ray_cpus: Annotated[int, Between(1, 1024)] = 1
    ray_idle_minutes: Annotated[float, Between(0, 100_000)] = 0.0
    job_files: str = ""
    zero_gpu_size: Annotated[ZeroGpuSize, OneOf(tuple(ZeroGpuSize))] = ZeroGpuSize.LARGE
    metrics: bool = False
    max_upload_mb: Annotated[int, Between(1, 10_000)] = 200
    max_video_seconds: Annotated[float, Between(1, 86_400)] = 600.0
    max_frames: Annotated[int, Between(1, MAX_FRAMES)] = 1800
    max_side: Annotated[int, Between(64, 4096)] = 1024
    max_steps: Annotated[int, Between(1, 1000)] = 100
    max_waiting: Annotated[int, Between(1, 10_000)] = 32
    max_waiting_each: Annotated[int, Between(1, 10_000)] = 8
    max_waiting_address: Annotated[int, Between(1, 10_000)] = 16
    max_open_address: Annotated[int, Between(1, 100_000)] = 100
    trusted_proxies: tuple[str, ...] = ()
    max_session_mb: Annotated[int, Between(1, 10_000_000)] = 4000
    max_data_gb: Annotated[float, Between(0.001, 100_000)] = 100.0
    min_free_gb: Annotated[float, Between(0, 100_000)] = 0.5
    retention_hours: Annotated[float, Between(0.1, 8760)] = 24.0
    auth: tuple[Login, ...] = ()
    mcp: bool = False
    log_prompts: bool = False


def read_operator_settings(environment: Mapping[str, str] = os.environ) -> OperatorSettings:
    """Return the settings that environment variables give; an empty variable counts as absent.

    Raises:
        SettingsError: a value that cannot be, or a variable that is misspelt.
    """
    hints = get_type_hints(OperatorSettings, include_extras=True)
    _check_spelling(environment, [variable_of(name) for name in hints])
    given = {name: environment.get(variable_of(name), "").strip() for name in hints}
    if environment.get("SPACE_ID"):
        given["trusted_proxies"] = given["trusted_proxies"] or "*"
    return OperatorSettings(**{name: _parse(name, text, hints[name]) for name, text in given.items() if text})


def variable_of(name: str) -> str:
    """Return the environment variable of a field."""
    return PREFIX + name.upper()


def user_data_folder() -> Path:
    """Return the folder for data that a user would miss."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "videograin"


def make_data_folder(settings: OperatorSettings) -> None:
    """Make the data folder, and find out whether files can be written there.

    Raises:
        SettingsError: they cannot.
    """
    folder = settings.data_folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_writable(folder / "jobs")
    except (OSError, ProjectError) as error:
        raise SettingsError(
            f"{variable_of('data_folder')} is '{folder}', which cannot be written. Give it to the user that runs the "
            "studio, or choose another folder."
        ) from error


def _check_spelling(environment: Mapping[str, str], known: list[str]) -> None:
    for name in environment:
        near = get_close_matches(name, known, n=1, cutoff=0.85)
        if name.startswith(PREFIX) and name not in known and near:
            raise SettingsError(f"The variable {name} is unknown. Did you mean {near[0]}?")


def _parse(name: str, text: str, kind: Any) -> Any:
    if get_origin(kind) is Annotated:
        base, allowed = get_args(kind)
        is_word = isinstance(allowed, OneOf)
        return base(_word(name, text, allowed)) if is_word else _number(name, text, base, allowed)
    if kind is bool:
        return _truth(name, text)
    if kind == tuple[Login, ...]:
        return _logins(name, text)
    if kind == tuple[str, ...]:
        return _several(name, text)
    return Path(text).expanduser().absolute() if kind is Path else text


def _word(name: str, text: str, allowed: OneOf) -> str:
    if text.lower() not in allowed.words:
        raise _error(name, text, " or ".join(allowed.words))
    return text.lower()


def _number(name: str, text: str, kind: type[int] | type[float], allowed: Between) -> float:
    try:
        number = kind(text)
    except ValueError:
        number = None
    if number is None or not allowed.low <= number <= allowed.high:
        what = "a whole number" if kind is int else "a number"
        raise _error(name, text, f"{what} from {allowed.low:g} to {allowed.high:g}")
    return number


def _truth(name: str, text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise _error(name, text, "true or false")
    return text.lower() in _TRUE


def _logins(name: str, text: str) -> tuple[Login, ...]:
    pairs = [part.strip().partition(":") for part in text.split(",")]
    logins = tuple(Login(user, password) for user, _, password in pairs)
    if not all(login.user and login.password for login in logins):  # not shown: the value may hold a password
        raise SettingsError(
            f"{variable_of(name)} has no user or no password somewhere; give user:password, several separated by "
            "commas."
        )
    if len({login.user for login in logins}) < len(logins):
        raise SettingsError(f"{variable_of(name)} names a user twice; give each of them one password.")
    return logins


def _several(name: str, text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        raise _error(name, text, "names separated by commas")
    return parts


def _error(name: str, text: str, allowed: str) -> SettingsError:
    return SettingsError(f"{variable_of(name)} is '{text}'; give {allowed}.")
