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


class OnGpu(torch.Tensor):
    """A tensor that says that it is on a GPU."""

    device = torch.device("cuda")


@pytest.fixture
def gpu(monkeypatch):
    """A GPU that has sparse tensor cores, whose results are what the weights times `gpu["error"]` give."""
    found = {"error": 1.0, "weights": []}

    def compressed(weight):
        found["weights"].append(weight)
        return weight * found["error"]

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr("secateur.sparse.semi_structured.to_sparse_semi_structured", compressed)
    return found


def bfloat16_of_two_in_four():
    """One layer of whole numbers that bfloat16 holds; its outputs of ones are -8, and 4 otherwise."""
    network = nn.Sequential(nn.Linear(64, 32))
    nn.init.zeros_(network[0].bias)
    with torch.no_grad():
        network[0].weight.zero_()[:, :16:4] = 1
        network[0].weight[0, ::8] = -1
        network[0].weight[0, 4:16:8] = 0
    return network.bfloat16()


@pytest.mark.parametrize(("error", "agrees"), [(1.0, True), (1.03125, True), (0.96875, True), (1.0625, False)])
def test_outputs_have_to_agree_to_a_twentieth_of_the_largest(gpu, error, agrees):
    network = bfloat16_of_two_in_four().train()
    gpu["error"] = error
    images = torch.ones(2, 64, dtype=torch.bfloat16).as_subclass(OnGpu)
    before = network[0].weight.clone()
    if agrees:
        fast = secateur.semi_structured(network, images)
        assert not fast.training
        assert not any(parameter.requires_grad for parameter in fast.parameters())
        assert torch.equal(fast[0].weight, before * error)
        assert fast[0].weight is not network[0].weight
    else:
        with pytest.raises(UserError, match="outputs differ from those of the network, which stays as it is"):
            secateur.semi_structured(network, images)
    assert len(gpu["weights"]) == 1
    assert network.training
    assert network[0].weight.requires_grad
    assert torch.equal(network[0].weight, before)


def test_outputs_that_are_all_zero_agree(gpu):
    network = bfloat16_of_two_in_four()
    nn.init.zeros_(network[0].weight)
    secateur.semi_structured(network, torch.ones(2, 64, dtype=torch.bfloat16).as_subclass(OnGpu))
    assert len(gpu["weights"]) == 1


@pytest.mark.parametrize(
    ("rows", "columns", "fits"),
    [(32, 64, True), (96, 128, True), (64, 32, False), (33, 64, False), (32, 65, False), (64, 96, False)],
)
def test_sizes_are_multiples_of_32_rows_and_64_columns(rows, columns, fits):
    layer = nn.Linear(columns, rows)
    with torch.no_grad():
        layer.weight.zero_()
    assert bool(fitting_layers(nn.Sequential(layer))) is fits


def test_other_layers_than_linear_ones_do_not_fit():
    class Own(nn.Linear):
        pass

    network = nn.Sequential(Own(64, 32), nn.ReLU(), nn.Linear(64, 32))
    with torch.no_grad():
        network[0].weight.zero_()
        network[2].weight.zero_()
    assert list(fitting_layers(network)) == ["2"]
