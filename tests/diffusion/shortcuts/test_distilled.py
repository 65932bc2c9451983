import pytest

from videograin.diffusion.shortcuts.distilled import few_steps_note, sampler_of_name
from videograin.models.adapters import Adapter
from videograin.models.adapting import sampler_notes
from videograin.settings import EditSettings, Sampler


@pytest.mark.parametrize(
    ("name", "sampler"),
    [
        ("latent-consistency/lcm-lora-sdv1-5", Sampler.LCM),
        ("ByteDance/Hyper-SD/Hyper-SD15-8steps-lora.safetensors", Sampler.TCD),
        ("h1t/TCD-SD15-LoRA", Sampler.TCD),
        ("owner/hyperrealism", None),
        ("style.safetensors", None),
    ],
)
def test_loras_for_few_steps_are_told_by_their_names(name: str, sampler: Sampler | None) -> None:
    assert sampler_of_name(name) == sampler


def test_a_note_says_which_sampler_to_choose_until_it_is_chosen() -> None:
    adapters = [Adapter(hub_id="latent-consistency/lcm-lora-sdv1-5")]
    (note,) = sampler_notes(adapters, EditSettings())
    assert note == (
        "The LoRA 'latent-consistency/lcm-lora-sdv1-5' was made for the sampler 'lcm' and few steps, the edit goes by "
        "'ddim'. Choose 'lcm' with 4 to 8 steps and a guidance of 1 to 2."
    )
    assert not sampler_notes(adapters, EditSettings(sampler=Sampler.LCM))
    assert not few_steps_note("It", None, EditSettings())
