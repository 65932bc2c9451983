import gc
import weakref
from contextlib import suppress
from pathlib import Path
from threading import Event

import pytest
import torch
from fakes import tiny_pipeline

from videograin import engine
from videograin.errors import Cancelled, ModelError, SettingsError
from videograin.jobs import model_shelf
from videograin.jobs.model_shelf import ModelShelf
from videograin.region import ControlKind, EditSettings

SETTINGS = EditSettings(num_inference_steps=4)
CLIP = (3, 16, 16)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Folders of two tiny models."""
    root = tmp_path_factory.mktemp("models")
    for name in ("one", "two"):
        tiny_pipeline(controlnets=1).save_pretrained(root / name)
    return [str(root / name) for name in ("one", "two")]


@pytest.fixture
def shelf(tmp_path: Path) -> ModelShelf:
    return ModelShelf(tmp_path, "cpu", offline=True, speed=1e9)


def test_a_model_is_loaded_once(shelf: ModelShelf, models: list[str]) -> None:
    assert shelf.get(models[0]) is shelf.get(models[0])


def test_another_model_takes_its_place_and_its_memory(shelf: ModelShelf, models: list[str]) -> None:
    first = weakref.ref(shelf.get(models[0]))
    other = shelf.get(models[1])
    assert first() is None
    assert other is shelf.get(models[1])


def test_a_second_device_is_given_to_each_model_and_makes_edits_shorter(
    shelf: ModelShelf, models: list[str], tmp_path: Path
) -> None:
    paired = ModelShelf(tmp_path, "cpu", second_device="cpu", offline=True, speed=1e9)
    estimates = []
    for each in (shelf, paired):
        each.get(models[0])
        estimates.append(each.estimate(models[0], (), CLIP, SETTINGS))
    alone, split = estimates
    assert alone is not None
    assert split is not None
    assert split.inversion_seconds == alone.inversion_seconds
    denoising = split.seconds - split.inversion_seconds, alone.seconds - alone.inversion_seconds
    assert 0.5 * denoising[1] <= denoising[0] < 0.7 * denoising[1]  # besides encoding and decoding


def test_a_second_device_that_is_not_here_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Device 'cuda:9' is not on this machine"):
        ModelShelf(tmp_path, "cpu", second_device="cuda:9")


def test_other_controlnets_make_another_model(shelf: ModelShelf, models: list[str]) -> None:
    assert shelf.get(models[0], ()).controlnet is None
    assert shelf.get(models[0], (ControlKind.CANNY,)).controlnet is not None


def test_a_model_that_cannot_be_loaded_leaves_an_empty_shelf_that_still_works(
    shelf: ModelShelf, models: list[str]
) -> None:
    shelf.get(models[0])
    with pytest.raises(ModelError, match="no model at"):
        shelf.get("/no/such/model")
    assert shelf.get(models[1]).unet.device == torch.device("cpu")


def test_a_cpus_speed_is_measured_again_after_a_while_but_not_beside_an_edit_of_our_own(
    tmp_path: Path, models: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now, speeds = [0.0], [4e9, 1e9, 2e9]
    monkeypatch.setattr("videograin.jobs.model_shelf.time.monotonic", lambda: now[0])
    monkeypatch.setattr(engine, "measure_speed", lambda *_: speeds.pop(0))
    shelf = ModelShelf(tmp_path, "cpu", offline=True)
    shelf.get(models[0])

    def seconds() -> float:
        estimate = shelf.estimate(models[0], (), CLIP, SETTINGS)
        assert estimate is not None
        return estimate.seconds

    at_rest = seconds()
    now[0] = 60.0
    with shelf.at_work():
        assert seconds() == at_rest
    assert seconds() == pytest.approx(4 * at_rest)  # something else runs here by now


def test_an_edit_is_estimated_once_its_model_is_loaded(shelf: ModelShelf, models: list[str]) -> None:
    assert shelf.estimate(models[0], (), CLIP, SETTINGS) is None
    shelf.get(models[0])
    estimate = shelf.estimate(models[0], (), CLIP, SETTINGS)
    assert estimate is not None
    assert estimate.seconds > estimate.inversion_seconds > 0
    assert shelf.estimate(models[1], (), CLIP, SETTINGS) is None


def test_a_speed_that_is_given_is_not_measured(
    tmp_path: Path, models: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "measure_speed", lambda *_: pytest.fail("measured"))
    seconds = []
    for speed in (1e9, 2e9):
        shelf = ModelShelf(tmp_path, "cpu", offline=True, speed=speed)
        shelf.get(models[0])
        estimate = shelf.estimate(models[0], (), CLIP, SETTINGS)
        assert estimate is not None
        seconds.append(estimate.seconds)
    assert seconds[0] == pytest.approx(2 * seconds[1])
    gc.collect()


def test_a_caller_that_gives_up_waiting_leaves_at_once_and_the_next_finds_the_model(
    shelf: ModelShelf, models: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, loads, load = Event(), [], engine.load_pipeline

    def load_later(model: str, *args: object, **kwargs: object) -> object:
        loads.append(model)
        assert go_on.wait(60)
        return load(model, *args, **kwargs)  # type: ignore[arg-type]

    def give_up() -> None:
        raise Cancelled("The job was stopped.")

    monkeypatch.setattr(engine, "load_pipeline", load_later)
    for model in models:  # the second one waits for what the first one began
        with pytest.raises(Cancelled):
            shelf.get(model, (), give_up)
    assert shelf.state == model_shelf.ShelfState(loading=models[0])
    go_on.set()
    assert shelf.get(models[0]) is shelf.get(models[0])
    assert loads == models[:1]


def test_a_load_without_a_waiting_caller_may_fail(shelf: ModelShelf, models: list[str]) -> None:
    def give_up() -> None:
        raise Cancelled("The job was stopped.")

    with suppress(Cancelled, ModelError):  # whichever comes first
        shelf.get("/no/such/model", (), give_up)
    assert shelf.get(models[0]).unet.device == torch.device("cpu")


def test_the_shelf_says_what_it_holds_and_what_went_wrong(
    shelf: ModelShelf, models: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    load = engine.load_pipeline

    def watch(*args: object, **kwargs: object) -> object:
        seen.append(shelf.state)
        return load(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "load_pipeline", watch)
    assert shelf.state == model_shelf.ShelfState()
    shelf.get(models[0])
    assert seen == [model_shelf.ShelfState(loading=models[0])]
    assert shelf.state == model_shelf.ShelfState(held=models[0])
    with pytest.raises(ModelError):
        shelf.get("/no/such/model")
    assert "no model at" in shelf.state.problem
    assert shelf.state.held == ""
