import pytest
import torch
import torch.nn.functional as F
from interpreted_kernels import interpreted
from torch import Tensor

ROWS = torch.randn(3, 50, 2 * 70)
SUM = (*(torch.randn(2, 70, 9, 9).contiguous(memory_format=torch.channels_last) for _ in range(2)), torch.randn(70))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> dict[str, Tensor]:
    kernel = "videograin.diffusion.fused.elementwise_kernel"
    return interpreted(tmp_path_factory.mktemp("kernel"), kernel, "", {"gated_gelu": (ROWS,), "add_channels_last": SUM})


def test_a_gate_is_that_of_the_exact_gelu(outputs):
    value, gate = ROWS.double().chunk(2, -1)
    torch.testing.assert_close(outputs["gated_gelu"].double(), value * F.gelu(gate), atol=1e-6, rtol=1e-5)


def test_a_bias_is_added_to_its_channel(outputs):
    hidden, residual, bias = SUM
    expected = hidden + residual + bias[:, None, None]
    torch.testing.assert_close(outputs["add_channels_last"], expected, atol=1e-6, rtol=1e-5)
