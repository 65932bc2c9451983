import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fakes import TEXT_WIDTH, tiny_frames, tiny_pipeline, tiny_regions
from safetensors.torch import save_file
from torch import Tensor, nn

from videograin.device import choose_second_device
from videograin.diffusion.attention.reference import PlacedReference, RegionReference
from videograin.diffusion.attention.step import AttentionStep
from videograin.diffusion.denoiser import Conditioning, Denoiser
from videograin.diffusion.devices.split_denoiser import SecondDevice, SplitDenoiser
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.errors import Cancelled, SettingsError
from videograin.models.adapters import Adapter
from videograin.models.adapting import adapted
from videograin.region import Convention, EditRequest, EditResult, EditSettings

FRAMES = 5
CPU = torch.device("cpu")
EXACT = EditSettings(num_inference_steps=3)
SHORT_CUTS = replace(EXACT, cache_interval=2, key_frames=1, guidance_end=0.8, shared_control=True)
WINDOWS = {"window_frames": 4, "anchor_frames": 1, "window_overlap": 0}
ROUNDING = 2e-5
"""Of the largest latent, about 20 here: a batch of one half is summed in another order than one of two in float32
(2⁻²⁴ of each product), and guidance makes 12.5 times as much of it in each step. An error shows at 1e-3 or more."""


@pytest.fixture(autouse=True)
def _one_core_each() -> Iterator[None]:
    """Leave a core to each of the two threads that compute: teams of threads would wait for each other's cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def second() -> SecondDevice:
    return SecondDevice(CPU)


def edit(pipe: VideoGrainPipeline, settings: EditSettings) -> EditResult:
    clip = tiny_frames(FRAMES)
    request = EditRequest(
        clip, tiny_regions(FRAMES), "a man and a dog", background="on grass", negative_prompt="a red road",
        control_images=[clip] if pipe.controlnet else [], settings=settings,
    )  # fmt: skip
    return pipe.edit(request, record_attention=True)


@pytest.mark.parametrize(
    "settings",
    [
        EXACT,
        replace(EXACT, **WINDOWS),
        SHORT_CUTS,
        replace(SHORT_CUTS, **WINDOWS),
        replace(EXACT, inject_steps=1, joint_group_norm=True),
        replace(EXACT, convention=Convention.RELEASE),
    ],
    ids=["exact", "windows", "draft", "draft in windows", "injected features", "release"],
)
def test_two_devices_make_what_one_makes(settings: EditSettings, second: SecondDevice) -> None:
    pipe = tiny_pipeline(1, widths=(8, 8, 8, 8) if settings.inject_steps else (8, 16))
    alone = edit(pipe, settings)
    pipe.second_device = second
    batches = set()
    pipe.unet.register_forward_pre_hook(lambda _unet, inputs: batches.add(len(inputs[0])))
    split = edit(pipe, settings)
    assert max(batches) <= FRAMES  # the first device never has both halves
    assert (alone.latents - split.latents).abs().max() < ROUNDING * alone.latents.abs().max()
    assert alone.attention is not None
    assert split.attention is not None
    assert split.attention == pytest.approx(alone.attention, abs=1e-5)


def forward(denoiser: Denoiser, step: AttentionStep, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    latents, text = torch.randn(3, 4, 8, 8, generator=generator), torch.randn(2, 77, TEXT_WIDTH, generator=generator)
    return denoiser.predict_noise(latents, 500, Conditioning(text, text), step)


def test_halves_may_have_latents_of_their_own(second: SecondDevice) -> None:
    denoiser, text = Denoiser(tiny_pipeline().unet), torch.randn(2, 77, TEXT_WIDTH)
    latents = torch.randn(2, 3, 4, 8, 8)
    alone, split = (
        each.predict_noise(latents, 500, Conditioning(text, text), AttentionStep(3))
        for each in (denoiser, second.split(denoiser))
    )
    assert torch.allclose(alone, split, atol=1e-5)


def test_pictures_are_shown_to_either_half_as_on_one_device(second: SecondDevice) -> None:
    unet = tiny_pipeline().unet
    layers = [module for name, module in unet.named_modules() if name.endswith("attn2")]
    keys = {layer: tuple(torch.randn(2, 2, 4, layer.to_k.out_features)) for layer in layers}  # pyright: ignore
    cells = {64: torch.ones(3, 64), 16: torch.ones(3, 16)}
    step = AttentionStep(3, references=[PlacedReference(RegionReference(0, 1.0, keys), cells)])  # pyright: ignore
    denoiser = Denoiser(unet)
    assert torch.allclose(forward(second.split(denoiser), step), forward(denoiser, step), atol=1e-5)
    assert not torch.allclose(forward(denoiser, step), forward(denoiser, AttentionStep(3)), atol=1e-2)


def test_loras_are_on_both_devices_during_an_edit(second: SecondDevice, tmp_path: Path) -> None:
    layer = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_v"
    update = {f"{layer}.lora_A.weight": torch.ones(2, TEXT_WIDTH), f"{layer}.lora_B.weight": torch.ones(8, 2)}
    save_file(update, tmp_path / "lora.safetensors")
    pipe, step = tiny_pipeline(), AttentionStep(3)
    plain = forward(Denoiser(pipe.unet), step)
    with adapted(pipe, [Adapter(file=tmp_path / "lora.safetensors")]):
        alone, split = (forward(each, step) for each in (Denoiser(pipe.unet), second.split(Denoiser(pipe.unet))))
    assert torch.allclose(alone, split, atol=1e-5)
    assert not torch.allclose(alone, plain, atol=1e-2)


def test_what_fails_on_the_second_device_is_raised_here(second: SecondDevice) -> None:
    def fail(_module: nn.Module, _inputs: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    denoiser = second.split(Denoiser(tiny_pipeline().unet))
    denoiser.other.unet.register_forward_pre_hook(fail)
    for step in (AttentionStep(3), AttentionStep(3, keep_states=lambda _name, _states: None)):
        with pytest.raises(torch.OutOfMemoryError):
            forward(denoiser, step)


def test_an_edit_is_stopped_within_a_step_and_leaves_nothing_on_the_second_device(
    second: SecondDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins, steps = [], []
    split = second.split

    def watched(denoiser: Denoiser) -> SplitDenoiser:
        result = split(denoiser)
        twins.append(weakref.ref(result.other.unet))
        return result

    def stop(pipe: VideoGrainPipeline, index: int, _timestep: int, _values: dict[str, Tensor]) -> dict[str, Tensor]:
        steps.append(index)
        pipe.interrupt()
        return {}

    monkeypatch.setattr(second, "split", watched)
    pipe = tiny_pipeline()
    pipe.second_device = second
    with pytest.raises(Cancelled):
        pipe.edit(
            EditRequest(tiny_frames(), tiny_regions(), "a man and a dog", settings=EXACT), callback_on_step_end=stop
        )
    gc.collect()
    assert steps == [0]
    assert [twin() for twin in twins] == [None]


def test_where_networks_take_turns_on_a_device_it_computes_both_halves(second: SecondDevice) -> None:
    pipe = tiny_pipeline()
    pipe.second_device = second
    assert pipe.splits_guidance
    pipe.unet.to("meta")  # as accelerate keeps it while it has no turn
    assert not pipe.splits_guidance


def test_a_second_device_that_cannot_be_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="Device 'cuda:99' is not on this machine"):
        choose_second_device("cuda:99", CPU)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert choose_second_device("cuda:1", torch.device("cuda")) == torch.device("cuda:1")
    assert choose_second_device("cuda", torch.device("cuda:1")) == torch.device("cuda:0")
    for name, first in (("cuda:0", "cuda"), ("cpu", "cuda"), ("cuda:1", "cpu")):
        with pytest.raises(
            SettingsError, match=f"The second device is '{name}' and the first '{first}'. Name two GPUs"
        ):
            choose_second_device(name, torch.device(first))
