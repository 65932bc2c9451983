from dataclasses import replace

import pytest
import torch
from einops import rearrange
from fakes import tiny_frames, tiny_pipeline, tiny_regions
from torch import Tensor, nn

from videograin.diffusion.attention.processors import SelfAttentionProcessor
from videograin.diffusion.attention.step import AttentionStep, Forward, ForwardKind
from videograin.diffusion.denoiser import Denoiser
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.windows.anchor_bank import AnchorBank, BankRoom
from videograin.region import EditRequest, EditResult, EditSettings
from videograin.settings import Sampler

FRAMES = 8
SETTINGS = EditSettings(num_inference_steps=2, window_frames=6, anchor_frames=2, window_overlap=1)
NO_ROOM = BankRoom(0, 0)


def edit(pipe: VideoGrainPipeline, settings: EditSettings = SETTINGS) -> EditResult:
    clip = tiny_frames(FRAMES)
    controls = [clip] if pipe.controlnet else []
    request = EditRequest(
        clip, tiny_regions(FRAMES), "a man and a dog", background="on grass", control_images=controls, settings=settings
    )
    return pipe.edit(request)


class CarriedAlong(SelfAttentionProcessor):
    """The oracle: anchors ride at the end of the window's batch; all frames see them, they see only one another."""

    anchors = 2

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float, step: AttentionStep) -> Tensor:
        own = slice(query.shape[1] - self.anchors)
        among = slice(query.shape[1] - self.anchors, None)
        window = super()._attend(query[:, own], key, value, scale, step)
        return torch.cat([window, super()._attend(query[:, among], key[:, among], value[:, among], scale, step)], 1)


@torch.no_grad()
def test_windows_see_in_the_bank_what_anchors_carried_along_would_show_them() -> None:
    pipe = tiny_pipeline()
    latents, text = torch.randn(6, 4, 8, 8), torch.randn(2, 77, pipe.unet.config["cross_attention_dim"])

    def predict(clip: Tensor, step: AttentionStep) -> Tensor:
        embeds = text.repeat_interleave(step.frames, 0)
        both = clip.repeat(2, 1, 1, 1)
        noise = pipe.unet(both, 500, embeds, cross_attention_kwargs={"step": step}, return_dict=False)[0]
        return rearrange(noise, "(b f) c h w -> b f c h w", b=2)

    inputs: dict[str, Tensor] = {}
    predict(latents[4:], AttentionStep(2, keep_states=inputs.__setitem__))
    beside = predict(latents[:4], AttentionStep(4, anchor_states=inputs))
    alone = predict(latents[:4], AttentionStep(4))
    processors = {
        name: CarriedAlong(each.name) if isinstance(each, SelfAttentionProcessor) else each
        for name, each in pipe.unet.attn_processors.items()
    }
    pipe.unet.set_attn_processor(processors)  # pyright: ignore[reportArgumentType]
    carried = predict(latents, AttentionStep(6))[:, :4]
    assert torch.allclose(beside, carried, atol=1e-5)
    assert not torch.allclose(beside, alone, atol=1e-3)


def same_edit_in_any_room(pipe: VideoGrainPipeline, settings: EditSettings, rooms: list[int]) -> bool:
    results = []
    for room in rooms:
        pipe.bank_room = BankRoom(0, room)
        results.append(edit(pipe, settings).latents)
    return all(torch.equal(results[0], other) for other in results[1:])


def test_what_a_bank_has_no_room_for_is_computed_again_with_the_same_result() -> None:
    settings = replace(SETTINGS, joint_group_norm=True)
    assert same_edit_in_any_room(tiny_pipeline(1), settings, [2**30, 0])


def test_so_is_what_steps_with_shortcuts_saw() -> None:
    quick = replace(
        SETTINGS, num_inference_steps=4, modulated_fraction=0.25, guidance_end=0.5, cache_interval=2, key_frames=1,
        sampler=Sampler.DPM_SOLVER,
    )  # fmt: skip
    assert same_edit_in_any_room(tiny_pipeline(), quick, [2**30, 0])


def test_so_is_what_a_step_saw_after_the_only_one_with_guidance() -> None:
    guided_once = replace(
        SETTINGS, num_inference_steps=4, modulated_fraction=0.0, guidance_start=0.25, guidance_end=0.5,
        cache_interval=4,
    )  # fmt: skip
    assert same_edit_in_any_room(tiny_pipeline(), guided_once, [2**30, 0])


@pytest.mark.slow
def test_so_is_what_anchors_saw_of_landmarks() -> None:
    settings = replace(SETTINGS, num_inference_steps=1, anchor_frames=6)  # two landmarks, and two groups of two
    assert same_edit_in_any_room(tiny_pipeline(), settings, [2**30, 0])


@pytest.mark.slow
def test_so_are_the_features_that_are_injected() -> None:
    quick = replace(SETTINGS, num_inference_steps=1, inject_steps=1)
    assert same_edit_in_any_room(tiny_pipeline(widths=(8, 8, 8, 8)), quick, [2**30, 0])


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frames each forward has, halves counted apart."""
    counts: list[int] = []
    original = Denoiser.predict_noise

    def count(self: Denoiser, latents: Tensor, timestep: int, conditioning, step: AttentionStep) -> Tensor:
        counts.append(step.frames * conditioning.halves)
        return original(self, latents, timestep, conditioning, step)

    monkeypatch.setattr(Denoiser, "predict_noise", count)
    return counts


def test_of_many_anchors_each_is_computed_once_though_windows_see_several_sets(evaluated: list[int]) -> None:
    edit(tiny_pipeline(), replace(SETTINGS, num_inference_steps=1, anchor_frames=6))
    windows, anchors = 3 + 3 + 3 + 2, 2 + 2 + 2  # two landmarks, and two groups of two
    assert sum(evaluated) == (windows + anchors) * 3  # halves: 1 of inversion, 2 of editing


def test_a_banked_edit_computes_its_anchors_once(evaluated: list[int]) -> None:
    pipe = tiny_pipeline()
    windows, anchors = (3 + 3 + 3 + 2) * 2 * 3, 2 * 2 * 3  # frames · steps · (1 half of inversion + 2 of editing)
    edit(pipe)
    assert sum(evaluated) == windows + anchors
    evaluated.clear()
    pipe.bank_room = NO_ROOM
    edit(pipe)
    assert sum(evaluated) == windows + 5 * anchors  # once for themselves, once for each window


def test_a_bank_fills_the_device_first_then_the_host_and_keeps_forwards_whole() -> None:
    bank, layers = AnchorBank(BankRoom(4, 8)), {"a": torch.zeros(1), "b": torch.ones(1)}
    forwards = [Forward(ForwardKind.EDIT, index) for index in range(2)]
    for forward in forwards:
        bank.add(forward, layers)
    assert bank.get(forwards[0]) == layers
    assert bank.get(forwards[1]) is None


def test_an_edit_leaves_the_networks_as_they_were() -> None:
    pipe = tiny_pipeline(1)
    edit(pipe, replace(SETTINGS, joint_group_norm=True))
    hooks = [module for module in pipe.unet.modules() if module._forward_hooks or module._forward_pre_hooks]
    assert hooks == []
    assert isinstance(pipe.controlnet.controlnet_cond_embedding.conv_in, nn.Conv2d)
