"""LoRAs and textual inversions beside a model's own weights: their weights, their words, and their family."""

from pathlib import Path

import pytest
import torch
from fakes import TEXT_WIDTH, tiny_frames, tiny_pipeline, tiny_regions
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.hub import LoopbackHub
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.prompt_embeds import embed_prompts, encode_prompts
from videograin.errors import ModelError, SettingsError
from videograin.models.adapters import Adapter, parse_adapter, read_adapter
from videograin.models.adapting import adapted, with_triggers
from videograin.models.catalog import find_entry
from videograin.region import EditRequest

LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


def low_rank_update(value: float = 1.0, width: int = 8) -> dict[str, Tensor]:
    return {
        f"unet.{LAYER}.lora_A.weight": torch.ones(2, width),
        f"unet.{LAYER}.lora_B.weight": torch.full((width, 2), value),
    }


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    save_file(low_rank_update(), tmp_path / "style.safetensors")
    return tmp_path / "style.safetensors"


@pytest.fixture
def embedding(tmp_path: Path) -> Path:
    """Two vectors for one new word."""
    save_file({"emb_params": torch.ones(2, TEXT_WIDTH)}, tmp_path / "zorb.safetensors")
    return tmp_path / "zorb.safetensors"


def answer(pipeline: VideoGrainPipeline) -> Tensor:
    """What the layer makes of ones: the sum of its weights' rows, LoRAs included."""
    layer = pipeline.unet.get_submodule(LAYER)
    return layer(torch.ones(1, 8)).detach()


def request(target_prompt: str = "", background: str = "") -> EditRequest:
    return EditRequest(tiny_frames(), tiny_regions(), "a dog", target_prompt, background)


def test_several_loras_add_up_by_their_weights_and_leave_nothing_behind(lora: Path, tmp_path: Path) -> None:
    save_file(low_rank_update(0.5), tmp_path / "other.safetensors")
    pipeline = tiny_pipeline()
    plain, weights = answer(pipeline), pipeline.unet.state_dict()
    adapters = [Adapter(file=lora, weight=0.5), Adapter(file=tmp_path / "other.safetensors", weight=-1.0)]
    with adapted(pipeline, adapters):
        assert torch.allclose(answer(pipeline), plain + 0.5 * 16 - 1.0 * 8, atol=1e-4)
    assert torch.equal(answer(pipeline), plain)
    assert pipeline.unet.state_dict().keys() == weights.keys()


def test_a_lora_of_the_hub_is_asked_for_and_then_used(lora: Path, hub: LoopbackHub) -> None:
    for name in ("style", "night"):
        target = hub.root / f"owner/styles/{name}.safetensors"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(lora.read_bytes())
    with pytest.raises(ModelError, match=r"Name one file of 'owner/styles'.* night\.safetensors, style\.safetensors"):
        find_entry("lora:owner/styles").missing_bytes()
    entry = find_entry("lora:owner/styles/style.safetensors")
    assert not entry.is_installed
    assert entry.download() == lora.stat().st_size
    pipeline = tiny_pipeline()
    plain = answer(pipeline)
    with adapted(pipeline, [Adapter(hub_id="owner/styles/style.safetensors")], offline=True):
        assert torch.allclose(answer(pipeline), plain + 16, atol=1e-4)


@pytest.mark.parametrize(
    ("layer", "shape", "family"),
    [
        ("transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight", (2, 8), "Flux"),
        ("lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight", (2, 8), "Flux"),
        ("diffusion_model.blocks.0.self_attn.q.lora_A.weight", (2, 8), "Wan"),
        ("transformer.joint_blocks.0.x_block.attn.qkv.lora_A.weight", (2, 8), "Stable Diffusion 3"),
        ("lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight", (2, 8), "Stable Diffusion XL"),
        ("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight", (2, 768), "1.x"),
        ("unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight", (2, 1024), "2.x"),
    ],
)
def test_a_lora_of_another_family_is_refused_by_its_name(
    tmp_path: Path, layer: str, shape: tuple[int, int], family: str
) -> None:
    save_file({layer: torch.zeros(shape)}, tmp_path / "foreign.safetensors")
    assert family in read_adapter(tmp_path / "foreign.safetensors").family
    pipeline = tiny_pipeline()
    pipeline.unet.register_to_config(cross_attention_dim=1024 if family == "1.x" else 768)
    with (
        pytest.raises(ModelError, match=f"'foreign.safetensors' was made for .*{family}.* fits no layer of Stable"),
        adapted(pipeline, [Adapter(file=tmp_path / "foreign.safetensors")]),
    ):
        pass


def test_a_lora_whose_layers_are_not_there_is_refused(tmp_path: Path) -> None:
    save_file({name.replace("unet.", "unet.lost."): each for name, each in low_rank_update().items()},
              tmp_path / "lost.safetensors")  # fmt: skip
    save_file(low_rank_update(width=6), tmp_path / "narrow.safetensors")
    for name in ("lost", "narrow"):
        with (
            pytest.raises(ModelError, match=f"LoRA '{name}.safetensors' (fits no layer|does not fit)|lora '{name}"),
            adapted(pipeline := tiny_pipeline(), [Adapter(file=tmp_path / f"{name}.safetensors")]),
        ):
            pass
        assert pipeline.unet.state_dict().keys() == tiny_pipeline().unet.state_dict().keys()


def test_what_is_no_adapter_is_said(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("nothing")
    save_file({"a.hada_w1_a": torch.zeros(1)}, tmp_path / "loha.safetensors")
    save_file({"a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "model.safetensors")
    save_file({"emb_params": torch.tensor(1.0)}, tmp_path / "scalar.safetensors")
    refused = {"text": "as safetensors", "loha": "LyCORIS", "model": "neither a LoRA nor", "scalar": "neither a LoRA"}
    for name, words in refused.items():
        with pytest.raises(ModelError, match=words):
            read_adapter(tmp_path / f"{name}.safetensors")
    with pytest.raises(SettingsError, match="choose a value from -4 to 4"):
        Adapter(hub_id="owner/style", weight=5)
    with pytest.raises(SettingsError, match="either as a file or as a hub id"):
        Adapter()


def test_trigger_words_end_the_target_prompt(lora: Path) -> None:
    pipeline, adapters = tiny_pipeline(), [Adapter(file=lora, words="in red")]
    with adapted(pipeline, adapters):
        assert with_triggers(request(), adapters).target_prompt == "a red panda and a blue fire engine, in red"
        assert with_triggers(request(target_prompt="a fox"), adapters).target_prompt == "a fox, in red"


def test_the_word_of_a_textual_inversion_stands_for_all_its_vectors(embedding: Path) -> None:
    pipeline, adapters = tiny_pipeline(), [Adapter(file=embedding)]
    before = len(pipeline.tokenizer)
    with adapted(pipeline, adapters):
        ids = pipeline.tokenizer("on zorb zorb_1").input_ids
        vectors = pipeline.text_encoder.get_input_embeddings().weight[ids[-3:-1]]
        assert torch.equal(vectors, torch.ones(2, TEXT_WIDTH))
        asked = with_triggers(request(background="on zorb"), adapters)
        told = embed_prompts(
            pipeline.tokenizer, pipeline.text_encoder, asked, torch.device("cpu"), pipeline.expanded
        ).plain_target[-1]
        words = "a red panda and a blue fire engine on zorb zorb_1"
        (expected,) = encode_prompts(pipeline.tokenizer, pipeline.text_encoder, [words])
        assert torch.allclose(told, expected, atol=1e-6)
    assert len(pipeline.tokenizer) == before


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("zorb.pt", {"string_to_token": {"*": 265}, "string_to_param": {"*": torch.ones(2, TEXT_WIDTH)}}),
        ("zorb.bin", {"<zorb>": torch.ones(2, TEXT_WIDTH)}),
    ],
)
def test_a_textual_inversion_may_be_a_pickle_of_tensors(tmp_path: Path, name: str, held: dict[str, object]) -> None:
    torch.save(held, tmp_path / name)
    pipeline, adapters = tiny_pipeline(), [Adapter(file=tmp_path / name)]
    with adapted(pipeline, adapters):
        assert pipeline.expanded("on zorb") == "on zorb zorb_1"
        word = pipeline.tokenizer.convert_tokens_to_ids("zorb")
        assert torch.equal(pipeline.text_encoder.get_input_embeddings().weight[word], torch.ones(TEXT_WIDTH))


def test_a_pickle_of_anything_else_is_refused_with_the_format_to_use(tmp_path: Path) -> None:
    torch.save({"<zorb>": Path("code could be here")}, tmp_path / "code.pt")
    torch.save({"a.lora_A.weight": torch.ones(2, 8), "a.lora_B.weight": torch.ones(8, 2)}, tmp_path / "lora.bin")
    with pytest.raises(ModelError, match=r"'code\.pt' is no file of tensors alone.* Convert it to \.safetensors"):
        read_adapter(tmp_path / "code.pt")
    with pytest.raises(ModelError, match=r"'lora\.bin' holds no textual inversion\. Give a LoRA as \.safetensors"):
        read_adapter(tmp_path / "lora.bin")


def test_a_repository_of_a_pickled_inversion_alone_needs_no_file_name(hub: LoopbackHub) -> None:
    folder = hub.root / "sd-concepts-library/zorb"
    folder.mkdir(parents=True)
    torch.save({"<zorb>": torch.ones(1, TEXT_WIDTH)}, folder / "learned_embeds.bin")
    find_entry("lora:sd-concepts-library/zorb").download()
    pipeline, adapter = tiny_pipeline(), Adapter(hub_id="sd-concepts-library/zorb", words="zorb")
    with adapted(pipeline, [adapter], offline=True):
        assert "zorb" in pipeline.tokenizer.get_vocab()


def test_the_command_line_tells_files_from_hub_ids(lora: Path) -> None:
    assert parse_adapter(f"{lora}:0.8") == Adapter(file=lora, weight=0.8)
    assert parse_adapter("owner/style:-1") == Adapter(hub_id="owner/style", weight=-1.0)
    assert parse_adapter("owner/style") == Adapter(hub_id="owner/style")
    with (
        pytest.raises(ModelError, match=r"There is no file 'gone\.safetensors'"),
        adapted(tiny_pipeline(), [parse_adapter("gone.safetensors")]),
    ):
        pass
