"""What defines each method of a comparison, on a model of a few thousand random weights."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention
from fakes import FRAMES, box, tiny_frames, tiny_pipeline
from torch import Tensor, nn

from videograin.comparison.controlvideo import edit_after_controlvideo, picture_between, shared_noise
from videograin.comparison.fatezero import Fusion, SourceAttention, align_tokens, attention_map
from videograin.comparison.frame_attention import attend_jointly, attend_to_own_and_middle
from videograin.comparison.ground_a_video import GroundedDenoising, edit_after_ground_a_video, still_cells
from videograin.comparison.methods import METHODS, find_methods
from videograin.comparison.own_methods import ABLATION, edit_one_after_the_other
from videograin.comparison.tokenflow import Propagation, adjacent, choose_keyframes, nearest_tokens, shares_after
from videograin.diffusion.attention.reference import RegionReference
from videograin.diffusion.denoiser import Denoiser
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.schedule import NoiseSchedule
from videograin.errors import SettingsError
from videograin.progress import Phase, Progress, Report, ignore
from videograin.region import EditRequest, EditResult, EditSettings, Region

PANDA, ENGINE = "a red panda", "a blue fire engine"
SETTINGS = EditSettings(num_inference_steps=2, modulated_fraction=1.0, trajectory_attention=False)


@pytest.fixture(scope="module")
def pipe() -> VideoGrainPipeline:
    return tiny_pipeline(controlnets=1)


def two_regions() -> list[Region]:
    return [Region(box(1, 2, 7, 14), PANDA, "left"), Region(box(9, 2, 15, 14), ENGINE, "right")]


def request(regions: Sequence[Region] = (), frames: np.ndarray | None = None) -> EditRequest:
    frames = tiny_frames() if frames is None else frames
    return EditRequest(frames, regions or two_regions(), "a man and a dog", background="on grass", settings=SETTINGS)


def edit(pipe: VideoGrainPipeline, name: str, asked: EditRequest) -> EditResult:
    [method] = find_methods([name])
    return method.edit(pipe, asked, ignore)


# All of them


@pytest.fixture(scope="module")
def results(pipe: VideoGrainPipeline) -> dict[str, EditResult]:
    """The same request by every method."""
    before = pipe.loops
    edited = {method.name: method.edit(pipe, request(), ignore) for method in (*METHODS, *ABLATION)}
    assert pipe.loops is before, "a method has not given its loops back"
    return edited


def test_every_method_edits_and_no_two_give_the_same_result(results: dict[str, EditResult]) -> None:
    for result in results.values():
        assert result.frames.shape == request().frames.shape
        assert np.isfinite(result.latents.numpy()).all()
        assert PANDA in result.target_prompt
    assert len({result.latents.numpy().tobytes() for result in results.values()}) == len(results) == 13


@pytest.mark.parametrize("name", ["inversion", "tokenflow", "controlvideo"])
def test_methods_without_regions_go_by_the_whole_prompt_alone(
    pipe: VideoGrainPipeline, results: dict[str, EditResult], name: str
) -> None:
    left, right = two_regions()
    swapped = [replace(left, masks=right.masks), replace(right, masks=left.masks)]
    assert torch.equal(results[name].latents, edit(pipe, name, request(swapped)).latents)


def picture_of(pipe: VideoGrainPipeline, region: int) -> RegionReference:
    layers = [each for each in pipe.unet.modules() if isinstance(each, Attention) and each.is_cross_attention]
    tokens: dict[nn.Module, tuple[Tensor, Tensor]] = {
        layer: (torch.ones(2, 4, layer.inner_dim), torch.ones(2, 4, layer.inner_dim)) for layer in layers
    }
    return RegionReference(region, 1.0, tokens)


def test_methods_after_other_papers_draw_after_no_pictures(
    pipe: VideoGrainPipeline, results: dict[str, EditResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipe, "references", [picture_of(pipe, 0)])
    for name in ("inversion", "ground-a-video"):
        assert np.array_equal(edit(pipe, name, request()).frames, results[name].frames)
    assert pipe.references


def test_a_method_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(SettingsError, match=r"no method 'dmt'. Known are: paper, release, .*, cross, first-frame"):
        find_methods(["paper", "dmt"])


# One after the other


def test_one_region_after_the_other_is_the_single_edit_where_there_is_one(pipe: VideoGrainPipeline) -> None:
    asked = request(two_regions()[:1])
    assert np.array_equal(edit_one_after_the_other(pipe, asked, ignore).frames, edit(pipe, "paper", asked).frames)


def test_the_second_region_is_edited_in_the_result_of_the_first(
    pipe: VideoGrainPipeline, results: dict[str, EditResult]
) -> None:
    left, right = two_regions()
    alone = replace(request([left, replace(right, prompt="")]), target_prompt=f"{PANDA} on grass")
    first = edit(pipe, "paper", alone).frames
    result = results["one-by-one"]
    assert np.array_equal(result.frames[left.masks], first[left.masks])
    assert not np.array_equal(result.frames[right.masks], first[right.masks])
    assert result.target_prompt == f"{PANDA} on grass, then {ENGINE} on grass"


def test_a_region_that_is_kept_meanwhile_is_drawn_after_no_picture(
    pipe: VideoGrainPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, carry_out = [], pipe.edit

    def watched(asked: EditRequest, report: Report) -> EditResult:
        seen.append([each.region for each in pipe.references])
        return carry_out(asked, report=report)

    monkeypatch.setattr(pipe, "edit", watched)
    monkeypatch.setattr(pipe, "references", [picture_of(pipe, number) for number in (0, 1)])
    edit(pipe, "one-by-one", request())
    assert seen == [[0], [1]]


# After TokenFlow


def test_a_token_of_another_frame_takes_the_features_of_its_nearest_neighbours_in_the_keyframes() -> None:
    torch.manual_seed(0)
    features = torch.randn(4, 8)
    order = torch.stack([torch.randperm(4) for _ in range(3)])
    states = features[order].flatten(0, 1)  # the same tokens in every frame, in other places
    nearest = nearest_tokens(states, 3, keyframes=[0, 2])
    query, key, value = torch.randn(3, 1, 3, 4, 1, 8)
    out = Propagation([0, 2], {"layer": nearest}).attend("layer", query, key, value, 1.0)[0].view(3, 4, 8)
    known = attend_jointly(query[:, [0, 2]], key[:, [0, 2]], value[:, [0, 2]], 1.0)[0].view(2, 4, 8)
    assert torch.equal(out[0], known[0])
    assert torch.equal(out[2], known[1])
    before, after = (known[place][order[frame].argsort()[order[1]]] for place, frame in ((0, 0), (1, 2)))
    share = torch.sigmoid(torch.tensor(0.5))
    assert torch.allclose(out[1], (1 - share) * before + share * after, atol=1e-6)


def test_keyframes_change_from_step_to_step_and_each_frame_has_one_on_either_side() -> None:
    assert {choose_keyframes(24, seed)[0] for seed in range(50)} == set(range(8))
    assert choose_keyframes(24, 0) == choose_keyframes(24, 0)
    assert choose_keyframes(1, 3) == [0]
    assert [adjacent(frame, [2, 10]) for frame in (0, 2, 5, 15)] == [(0, 0), (0, 0), (0, 1), (1, 1)]
    assert shares_after(9, [2, 10]) > shares_after(3, [2, 10]) > 0.5


# After FateZero


def test_words_of_both_prompts_are_aligned_and_the_others_stay_free() -> None:
    assert align_tokens([1, 5, 6, 9, 9], [1, 5, 7, 8, 9]) == [0, 1, -1, -1, 3]


def test_outside_the_masks_the_sources_self_attention_holds_and_inside_the_edits() -> None:
    torch.manual_seed(0)
    (query, key), (own_query, own_key, value) = torch.randn(2, 1, 2, 3, 1, 4), torch.randn(3, 2, 2, 3, 1, 4)
    inside = torch.tensor([True, False, False, False, True, True])[:, None]
    fusion = Fusion(SourceAttention({"layer": (query, key)}), {3: inside}, torch.tensor([]))
    out = fusion.attend("layer", own_query, own_key, value, 0.5)
    free, source = (
        attend_to_own_and_middle(own_query, own_key, value, 0.5),
        attend_to_own_and_middle(query, key, value[1:], 0.5),
    )
    assert torch.equal(out[0], free[0])
    assert torch.equal(out[1][inside[:, 0]], free[1][inside[:, 0]])
    assert torch.equal(out[1][~inside[:, 0]], source[0][~inside[:, 0]])


def test_a_map_holds_scores_whose_products_are_beyond_half_precision() -> None:
    query = torch.full((1, 1, 64), 40, dtype=torch.float16)  # times itself 102,400
    assert attention_map(query, torch.cat([query, -query], 1), 1 / 8).tolist() == [[[1, 0]]]


def test_words_that_the_source_has_are_attended_to_as_in_the_source() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 1, 5, 4), torch.randn(2, 1, 3, 4), torch.randn(2, 1, 3, 4)
    source = attention_map(torch.randn(1, 1, 5, 4), torch.randn(1, 1, 3, 4), 1.0)
    fusion = Fusion(SourceAttention({}, {"layer": source}), {}, torch.tensor([2, -1, 0]))
    out = fusion.attend_text("layer", query, key, value, 1.0)
    own = attention_map(query[1:], key[1:], 1.0)
    expected = torch.stack([source[..., 2], own[..., 1], source[..., 0]], -1) @ value[1:]
    assert torch.allclose(out[0], (attention_map(query[:1], key[:1], 1.0) @ value[:1])[0], atol=1e-6)
    assert torch.equal(out[1:], expected)


# After ControlVideo


def test_nothing_is_inverted_and_all_frames_start_from_one_picture_of_noise(pipe: VideoGrainPipeline) -> None:
    phases: list[Progress] = []
    edit_after_controlvideo(pipe, request(), phases.append)
    assert Phase.INVERT not in {progress.phase for progress in phases}
    schedule = NoiseSchedule.of(pipe.scheduler, SETTINGS)
    path = shared_noise(0, None, torch.zeros(3, 4, 8, 8), schedule)
    assert torch.equal(path[-1][0], path[-1][2])
    assert not torch.equal(path[-1], shared_noise(1, None, torch.zeros(3, 4, 8, 8), schedule)[-1])


def test_the_picture_between_two_is_half_way() -> None:
    ball = np.zeros((64, 64, 3), np.uint8)
    rows, columns = np.mgrid[:64, :64]
    left, middle, right = (
        np.maximum(ball, (255 * np.exp(-((columns - x) ** 2 + (rows - 32) ** 2) / 60))[..., None].astype(np.uint8))
        for x in (28, 32, 36)
    )
    between = picture_between(left, right)
    assert np.abs(between.astype(int) - middle).mean() < 0.3 * np.abs(left.astype(int) - middle).mean()
    assert np.array_equal(picture_between(left, left), left)


# After Ground-A-Video


def test_cells_that_stand_still_have_the_noise_of_the_frame_before(pipe: VideoGrainPipeline) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    moved = np.stack([noise, noise, np.roll(noise, 3, axis=1)])
    still = still_cells(moved, (8, 8))
    assert still[1].all()
    assert still[2].mean() < 0.2
    assert not still[0].any()
    frames = np.repeat(tiny_frames()[:1], FRAMES, axis=0)
    latents = edit_after_ground_a_video(pipe, request(frames=frames), ignore).latents
    assert torch.equal(latents[0], latents[1])


def test_a_region_is_guided_by_its_own_phrase(pipe: VideoGrainPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A denoiser of which each half predicts its own number shows whose words count where."""
    seen: list[Tensor] = []

    def predict(_self: Denoiser, latents: Tensor, _timestep: int, words: object, _step: object) -> Tensor:
        halves = len(words.unet_embeds)  # type: ignore[attr-defined]
        return torch.arange(halves).view(-1, 1, 1, 1, 1).expand(halves, *latents.shape[-4:]).float()

    guide = GroundedDenoising.guide
    monkeypatch.setattr(Denoiser, "predict_noise", predict)
    monkeypatch.setattr(GroundedDenoising, "guide", lambda self, noise: seen.append(noise) or guide(self, noise))
    edit_after_ground_a_video(pipe, request(), ignore)
    unconditional, wanted = seen[0]
    assert (unconditional == 0).all()
    assert wanted[0, 0, 4].tolist() == [2, 2, 2, 2, 3, 3, 3, 3]  # one phrase for the left, one for the right
    assert wanted[0, 0, 0].tolist() == [1] * 8  # the whole prompt above them
