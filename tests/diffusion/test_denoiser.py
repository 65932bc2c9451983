from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from einops import rearrange, repeat
from fakes import TEXT_WIDTH, tiny_controlnet, tiny_unet
from golden_pipeline import GoldenClip, close_forward, golden_trajectories
from torch import Tensor, nn

from videograin.diffusion.attention import processors
from videograin.diffusion.attention.processors import install_layout_attention
from videograin.diffusion.attention.recorder import Features
from videograin.diffusion.attention.step import AttentionStep
from videograin.diffusion.attention.trajectory import trajectory_attention
from videograin.diffusion.denoiser import Conditioning, Control, Denoiser
from videograin.region import AttentionMode

FRAMES = 3
PER_FRAME = AttentionStep(FRAMES, AttentionMode.PER_FRAME)


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    torch.manual_seed(0)
    unet = tiny_unet()
    controlnet = tiny_controlnet(unet)
    install_layout_attention(unet)
    return Denoiser(unet, controlnet)


@pytest.fixture(scope="module")
def latents() -> Tensor:
    return torch.randn(FRAMES, 4, 8, 8, generator=torch.Generator().manual_seed(0))


def conditioning(halves: int = 2, images: int = 1, scale: float = 1.0) -> Conditioning:
    generator = torch.Generator().manual_seed(1)
    embeds = torch.randn(2, halves, 77, TEXT_WIDTH, generator=generator)
    control = [torch.rand(FRAMES, 3, 16, 16, generator=generator) for _ in range(images)]
    return Conditioning(embeds[0], embeds[1], [Control(each, scale) for each in control])


def test_halves_and_frames_ride_in_the_batch_of_the_stock_networks(denoiser, latents):
    torch.manual_seed(0)
    unet = tiny_unet()
    controlnet = tiny_controlnet(unet)
    given = conditioning()
    batch = repeat(latents, "f c h w -> (b f) c h w", b=2)
    unet_embeds, embeds = (x.repeat_interleave(FRAMES, 0) for x in (given.unet_embeds, given.controlnet_embeds))
    with torch.no_grad():
        down, mid = controlnet(batch, 500, embeds, given.controls[0].images.repeat(2, 1, 1, 1), return_dict=False)
        expected = unet(
            batch, 500, unet_embeds, down_block_additional_residuals=down, mid_block_additional_residual=mid
        ).sample
    out = denoiser.predict_noise(latents, 500, given, PER_FRAME)
    assert torch.equal(out, expected.unflatten(0, (2, FRAMES)))


def test_halves_may_have_latents_of_their_own(denoiser, latents):
    both = denoiser.predict_noise(torch.stack([latents, -latents]), 500, conditioning(), PER_FRAME)
    assert torch.equal(both[0], denoiser.predict_noise(latents, 500, conditioning(), PER_FRAME)[0])
    assert not torch.allclose(both[1], denoiser.predict_noise(latents, 500, conditioning(), PER_FRAME)[1], atol=1e-2)


def test_one_half_needs_half_the_batch(denoiser, latents):
    whole, last = conditioning(), conditioning().last_halves(1)
    assert last.halves == 1
    both = denoiser.predict_noise(latents, 500, whole, PER_FRAME)
    assert torch.allclose(denoiser.predict_noise(latents, 500, last, PER_FRAME), both[1:], atol=1e-6)


def test_control_images_are_embedded_and_text_is_projected_once_an_edit(denoiser, latents):
    to_key = next(module.to_k for name, module in denoiser.unet.named_modules() if name.endswith("attn2"))
    embedding = denoiser.controlnet.controlnet_cond_embedding.conv_in
    calls: list[nn.Module] = []
    hooks = [module.register_forward_hook(lambda module, *_: calls.append(module)) for module in (to_key, embedding)]
    given, other = conditioning(), conditioning(scale=0.5)
    expected = denoiser.predict_noise(latents, 500, conditioning(), PER_FRAME)
    calls.clear()
    with denoiser.for_clip():
        for timestep in (500, 300, 500):
            noise_pred = denoiser.predict_noise(latents, timestep, given, PER_FRAME)
        assert sorted(map(id, calls)) == sorted(map(id, (to_key, embedding)))
        denoiser.predict_noise(latents, 500, other, PER_FRAME)
    for hook in hooks:
        hook.remove()
    assert len(calls) == 4
    assert torch.allclose(noise_pred, expected, atol=1e-6)
    assert denoiser.controlnet.controlnet_cond_embedding.conv_in is embedding


def test_a_controlnet_acts_between_its_levels_alone(denoiser, latents):
    given = conditioning()
    limited = replace(given, controls=[replace(given.controls[0], above=299, up_to=599)])
    expected = {t: denoiser.predict_noise(latents, t, given, PER_FRAME) for t in (300, 599)}
    expected |= {t: denoiser.predict_noise(latents, t, conditioning(images=0), PER_FRAME) for t in (299, 600)}
    for timestep, noise_pred in expected.items():
        assert torch.equal(denoiser.predict_noise(latents, timestep, limited, PER_FRAME), noise_pred)


def test_without_control_images_or_at_scale_zero_the_controlnet_does_nothing(denoiser, latents):
    alone = replace(denoiser, controlnet=None)
    expected = alone.predict_noise(latents, 500, conditioning(), PER_FRAME)
    assert torch.equal(denoiser.predict_noise(latents, 500, conditioning(images=0), PER_FRAME), expected)
    assert torch.equal(denoiser.predict_noise(latents, 500, conditioning(scale=0), PER_FRAME), expected)
    assert not torch.allclose(denoiser.predict_noise(latents, 500, conditioning(), PER_FRAME), expected, atol=1e-3)


def test_joint_norm_ties_the_frames_of_its_own_forwards_together(denoiser, latents):
    def first_frame(others: Tensor, joint_norm: bool) -> Tensor:
        clip = torch.cat([latents[:1], others[1:]])
        return replace(denoiser, joint_norm=joint_norm).predict_noise(clip, 500, conditioning(), PER_FRAME)[:, 0]

    assert torch.equal(first_frame(latents, False), first_frame(-latents, False))
    assert not torch.allclose(first_frame(latents, True), first_frame(2 * latents, True), atol=1e-3)
    assert torch.equal(first_frame(latents, False), first_frame(-latents, False))


def test_latents_keep_their_dtype_whatever_that_of_the_networks():
    unet = tiny_unet().bfloat16()
    install_layout_attention(unet)
    given = conditioning(images=0)
    given = replace(given, unet_embeds=given.unet_embeds.bfloat16())
    out = Denoiser(unet).predict_noise(torch.randn(FRAMES, 4, 8, 8), 500, given, PER_FRAME)
    assert out.dtype == torch.float32


def test_injected_features_bring_the_other_forward_s_result_closer():
    torch.manual_seed(0)
    unet = tiny_unet(widths=(8, 8, 8, 8))
    install_layout_attention(unet)
    denoiser, given = Denoiser(unet), conditioning(images=0)
    source, other = torch.randn(2, FRAMES, 4, 16, 16)
    features = Features()
    target = denoiser.predict_noise(source, 500, given, replace(PER_FRAME, record=features))
    plain = denoiser.predict_noise(other, 500, given, PER_FRAME)
    injected = denoiser.predict_noise(other, 500, given, replace(PER_FRAME, inject=features))
    assert len(features.query_key) == 6
    assert len(features.residuals) == 3
    assert not torch.equal(injected, plain)
    itself = denoiser.predict_noise(source, 500, given, replace(PER_FRAME, inject=features))
    assert torch.equal(itself, target)
    assert torch.equal(denoiser.predict_noise(other, 500, given, PER_FRAME), plain)


# Goldens: whole forwards of the release's networks

Load = Callable[[str], dict[str, Tensor]]


@pytest.fixture(scope="module")
def clip(load_golden: Load, load_golden_config) -> GoldenClip:
    return GoldenClip.load(load_golden, load_golden_config)


def frames_first(recorded: Tensor) -> Tensor:
    """The release's (b, c, f, h, w) as (b, f, c, h, w)."""
    return rearrange(recorded, "b c f h w -> b f c h w")


def forward(
    clip: GoldenClip, golden: dict[str, Tensor], timestep: int, control: bool = True, joint: bool = True, **changes
) -> Tensor:
    """The recorded inputs at a timestep, modulated unless `changes` say otherwise."""
    given = clip.conditioning(golden["unet_text_cond"], golden["controlnet_embeds"], 1.0)
    if not control:
        given = replace(given, controls=())
    step, denoiser = replace(clip.step(timestep), **changes), replace(clip.denoiser, joint_norm=joint)
    return denoiser.predict_noise(frames_first(golden["latents"]), timestep, given, step)


PLAIN = {"modulations": {}, "trajectories": {}, "control": False}
VARIANTS = {
    "": {},
    ".no_flatten": {"trajectories": {}},
    ".no_control": {"control": False},
    ".unmodulated": {"modulations": {}},
    ".plain": PLAIN,
    ".variant_self_on_cond": {"modulated_self": (False, True)},
    ".variant_per_frame_groupnorm": {"joint": False},
    ".plain.variant_per_frame_groupnorm": PLAIN | {"joint": False},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_forward_of_the_first_step(load_golden: Load, clip, variant):
    golden, timesteps = load_golden("unet_forward"), load_golden("pipeline")["edit.timesteps"].tolist()
    out = forward(clip, golden, timesteps[0], **VARIANTS[variant])
    assert close_forward(out, frames_first(golden[f"step0.unet_out{variant}"]))


def test_golden_forward_with_other_trajectories(load_golden: Load, clip):
    golden, timesteps = load_golden("unet_forward"), load_golden("pipeline")["edit.timesteps"].tolist()
    recorded, side = load_golden("trajectories"), golden["latents"].shape[-1]
    others = {side**2: golden_trajectories(recorded, "flow_b", side)}
    assert close_forward(
        forward(clip, golden, timesteps[0], trajectories=others), frames_first(golden["step0.unet_out.flow_b"])
    )


def test_golden_forward_whose_trajectories_attend_from_output_to_output(load_golden: Load, clip, monkeypatch):
    """The release's `old_qk=0`, which the pipeline does not offer: the kernel must fit it all the same."""
    golden, timesteps = load_golden("unet_forward"), load_golden("pipeline")["edit.timesteps"].tolist()
    recorded, side = load_golden("trajectories"), golden["latents"].shape[-1]
    monkeypatch.setattr(
        processors, "trajectory_attention", lambda _q, _k, out, *rest: trajectory_attention(out, out, out, *rest)
    )
    two_levels = clip.trajectories | {side**2 // 4: golden_trajectories(recorded, "flow_a", side // 2)}
    out = forward(clip, golden, timesteps[0], trajectories=two_levels)
    assert close_forward(out, frames_first(golden["step0.unet_out.flatten_16_8_old_qk0"]))


def test_golden_forward_of_the_first_step_without_modulation(load_golden: Load, clip):
    golden, timesteps = load_golden("unet_forward"), load_golden("pipeline")["edit.timesteps"].tolist()
    out = forward(clip, golden, timesteps[15], modulations={})
    assert close_forward(out, frames_first(golden["step15.unet_out"]))


class Outputs:
    """What modules of a network gave in its last forward."""

    def __init__(self) -> None:
        self.of: dict[str, Tensor] = {}

    def watch(self, name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def keep(_module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor]) -> None:
            self.of[name] = output if isinstance(output, Tensor) else output[0]

        return module.register_forward_hook(keep)


def test_golden_activations_inside_the_unet(load_golden: Load, clip):
    golden, timesteps = load_golden("unet_forward"), load_golden("pipeline")["edit.timesteps"].tolist()
    prefix, outputs = "step0.act.", Outputs()
    names = [name.removeprefix(prefix) for name in golden if name.startswith(prefix)]
    handles = [outputs.watch(name, clip.denoiser.unet.get_submodule(name)) for name in names]
    forward(clip, golden, timesteps[0])
    for handle in handles:
        handle.remove()
    assert names
    for name in names:
        out, recorded = (
            rearrange(outputs.of[name], "(b f) ... -> b f ...", f=clip.frames),
            golden[prefix + name].float(),
        )
        expected = frames_first(recorded) if recorded.ndim == 5 else recorded[:, None].expand_as(out)
        # The activations are recorded in fp16, to within 2^-11 of each number.
        assert torch.allclose(out, expected, rtol=2**-11, atol=1e-4), name


def test_golden_residuals_of_the_controlnet(load_golden: Load, clip):
    golden, timesteps = load_golden("unet_forward"), load_golden("pipeline")["edit.timesteps"].tolist()
    residuals: list[tuple[list[Tensor], Tensor]] = []
    assert clip.denoiser.controlnet is not None
    handle = clip.denoiser.controlnet.register_forward_hook(lambda _m, _i, output: residuals.append(output))
    forward(clip, golden, timesteps[0])
    handle.remove()
    down, mid = residuals[0]
    assert len(down) == sum(name.startswith("step0.controlnet_down.") for name in golden)
    for index, residual in enumerate(down):
        recorded = rearrange(golden[f"step0.controlnet_down.{index}"], "b c f h w -> (b f) c h w")
        assert close_forward(residual, recorded), index
    assert close_forward(mid, rearrange(golden["step0.controlnet_mid"], "b c f h w -> (b f) c h w"))
