"""Making networks of plain layers: what is folded and opened, what is told, and what stays as it is."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from secateur.channels.folding import fold_norms_of_weights, make_plain

weight_norm, spectral_norm = parametrizations.weight_norm, parametrizations.spectral_norm


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def attention():
    return nn.MultiheadAttention(4, 2)


def test_nothing_is_told_of_a_network_of_plain_layers_whatever_trains_it():
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    network[0].register_forward_pre_hook(lambda module, inputs: None)
    assert make_plain(network) == []
    assert make_plain(network, torch.optim.SGD(network.parameters(), 0.1)) == []
    assert fold_norms_of_weights(network, None) == []
    assert len(network[0]._forward_pre_hooks) == 1


def test_what_is_folded_and_opened_is_told_in_a_line_each_and_once():
    network = nn.Sequential(weight_norm(nn.Linear(3, 4)), attention(), spectral_norm(weight_norm(nn.Linear(4, 4))))
    network.extend([attention(), attention(), attention(), attention()])
    assert make_plain(network) == [
        "the norms of weights were folded into the weights of 0, 2",
        "in_proj_weight is now in_proj.weight in 1, 3, 4 and 2 more, whose heads can go",
    ]
    assert make_plain(network) == []
    assert not any(parametrize.is_parametrized(module) for module in network.modules())
    assert [name for name, _ in network[0].named_parameters()] == ["bias", "weight"]
    assert make_plain(nn.Sequential(attention())) == ["in_proj_weight is now in_proj.weight in 0, whose heads can go"]


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.spectral_norm, weight_norm, spectral_norm])
def test_an_optimizer_that_trains_what_is_normed_is_refused_and_nothing_is_folded(norm):
    network = nn.Sequential(nn.Linear(3, 4), norm(nn.Linear(4, 4)), norm(nn.Linear(4, 2)), attention())
    names = list(network.state_dict())
    with pytest.raises(ValueError, match="as of 1: fold") as caught:
        make_plain(network, torch.optim.SGD(network.parameters(), 0.1))
    assert str(caught.value) == (
        "channels cannot go where weights are normed, as of 1: fold the norms before the optimizer is made, by "
        "torch.nn.utils.remove_weight_norm, remove_spectral_norm or parametrize.remove_parametrizations"
    )
    assert list(network.state_dict()) == names


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.spectral_norm, weight_norm, spectral_norm])
def test_a_folded_weight_is_the_one_of_evaluation_mode_and_hooks_of_others_stay(norm):
    layer = norm(nn.Linear(3, 4))
    layer.register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))
    network, inputs = nn.Sequential(layer).train(), torch.rand(5, 3)
    with torch.no_grad():
        expected = network.eval()(inputs)
    network.train()
    assert fold_norms_of_weights(network, None) == ["the norms of weights were folded into the weights of 0"]
    assert network.training
    assert layer.training
    torch.testing.assert_close(network.eval()(inputs).detach(), expected)
    assert sorted(network.state_dict()) == ["0.bias", "0.weight"]
    assert isinstance(layer.weight, nn.Parameter)
    assert len(layer._forward_pre_hooks) == 1


def test_parametrizations_that_are_no_norms_stay_and_those_beside_them():
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), weight_norm(nn.Linear(3, 3)))
    parametrize.register_parametrization(network[0], "weight", Doubled())
    parametrize.register_parametrization(weight_norm(network[1]), "weight", Doubled())
    inputs = torch.rand(2, 3)
    expected = network(inputs).detach()
    assert make_plain(network) == ["the norms of weights were folded into the weights of 2"]
    assert [parametrize.is_parametrized(layer) for layer in network] == [True, True, False]
    torch.testing.assert_close(network(inputs).detach(), expected)


def test_copies_that_were_made_before_keep_their_norms():
    network, inputs = nn.Sequential(weight_norm(nn.Linear(3, 4))), torch.rand(2, 3)
    before = copy.deepcopy(network)
    expected = network(inputs).detach()
    assert len(make_plain(network)) == 1
    assert [parametrize.is_parametrized(each[0]) for each in (network, before)] == [False, True]
    for each in (network, before):
        torch.testing.assert_close(each(inputs).detach(), expected)
    assert isinstance(network[0], nn.Linear)
    assert make_plain(before) == ["the norms of weights were folded into the weights of 0"]
