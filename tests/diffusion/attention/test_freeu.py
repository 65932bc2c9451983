import pytest
import torch
from fakes import TEXT_WIDTH, tiny_unet

from videograin.diffusion.attention.freeu import SD1_FACTORS, SD2_FACTORS, factors_for, freeu


def test_a_unet_goes_by_diffusers_freeu_while_it_is_open_and_not_after():
    unet, other = tiny_unet(), tiny_unet()
    other.load_state_dict(unet.state_dict())
    sample, text = torch.randn(1, 4, 8, 8), torch.randn(1, 7, TEXT_WIDTH)

    def predict(model):
        with torch.no_grad():
            return model(sample, 500, text).sample

    plain = predict(unet)
    with freeu(unet):
        changed = predict(unet)
    other.enable_freeu(s1=0.9, s2=0.2, b1=1.5, b2=1.6)
    assert torch.equal(changed, predict(other))
    assert not torch.allclose(changed, plain)
    assert torch.equal(predict(unet), plain)


@pytest.mark.parametrize(("width", "factors"), [(768, SD1_FACTORS), (1024, SD2_FACTORS)])
def test_the_factors_are_those_of_the_model_s_family(width, factors):
    unet = tiny_unet()
    unet.register_to_config(cross_attention_dim=width)
    assert factors_for(unet) == factors
