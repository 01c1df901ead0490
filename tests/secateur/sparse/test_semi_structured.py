"""Layers of 2:4 weights on GPUs: which they are, and what is refused."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import secateur
from secateur.sparse.semi_structured import fitting_layers, is_two_of_four
from secateur.utils.errors import UserError


def network_of_two_in_four():
    network = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    secateur.prune(network, "Magnitude", pattern="2:4", outer_layer_pruning=True, example=torch.zeros(1, 128))
    return network


def test_two_of_four_is_of_neighbours_in_a_row():
    row = [1.0, 0.0, 0.0, 2.0]
    assert is_two_of_four(torch.tensor([[*row, 0.0, 0.0, 0.0, 3.0], row * 2]))
    assert not is_two_of_four(torch.tensor([[0.0, 0.0, 1.0, 2.0, 3.0, 0.0, 0.0, 4.0], [1.0, 2.0, 3.0, 0.0, *row]]))
    assert not is_two_of_four(torch.zeros(2, 6))


def test_layers_that_fit_are_sparse_in_fours_and_have_sizes_that_the_hardware_takes():
    network = network_of_two_in_four()
    assert is_two_of_four(network[2].weight)
    assert list(fitting_layers(network)) == ["0"]  # 10 rows are no multiple of 32
    with torch.no_grad():
        network[0].weight.fill_(1)
    assert fitting_layers(network) == {}


def test_what_has_no_sparse_tensor_cores_is_refused():
    with pytest.raises(UserError, match="2:4 runs on NVIDIA GPUs alone, and the images are on cpu"):
        secateur.semi_structured(network_of_two_in_four(), torch.rand(64, 128))


@pytest.mark.parametrize(
    ("capability", "dtype", "message"),
    [
        ((7, 5), torch.float16, "this GPU has compute capability 7.5, 2:4 takes 8.0"),
        ((8, 0), torch.float32, "torch.float32 is not float16 or bfloat16"),
        ((8, 0), torch.bfloat16, "no Linear layer has 2:4 weights of a size that is a multiple of 32 x 64"),
        ((9, 0), torch.float16, "no Linear layer has 2:4 weights of a size that is a multiple of 32 x 64"),
    ],
)
def test_what_a_gpu_cannot_run_is_refused(monkeypatch, capability, dtype, message):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    example = SimpleNamespace(device=torch.device("cuda"), dtype=dtype)
    with pytest.raises(UserError, match=message):
        secateur.semi_structured(nn.Sequential(nn.Linear(128, 64)), example)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_it_computes_the_same():
    network = network_of_two_in_four().cuda().half()
    images = torch.rand(64, 128, device="cuda").half()
    torch.testing.assert_close(secateur.semi_structured(network, images)(images), network(images), rtol=1e-2, atol=1e-2)
    with pytest.raises(UserError, match="is not float16 or bfloat16"):
        secateur.semi_structured(network.float(), images.float())
