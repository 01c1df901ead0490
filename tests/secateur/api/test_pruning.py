"""secateur.prune and secateur.compact on networks that one holds."""

import copy
import gc
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional

import secateur


def zeros(network):
    return sum(int((weight == 0).sum()) for weight in network.parameters() if weight.dim() > 1)


def train(network, batches, optimizer, epochs=3):
    network.train()
    for _ in range(epochs):
        for inputs, targets in batches:
            optimizer.zero_grad()
            functional.cross_entropy(network(inputs), targets).backward()
            optimizer.step()


def test_weights_are_pruned_at_once_to_exactly_what_was_asked(make_network, batches):
    network = make_network()
    result = secateur.prune(network, "SNIP", sparsity=0.9, batches=batches, outer_layer_pruning=True)
    total = 8 * 9 + 16 * 8 * 9 + 640
    assert zeros(network) == total - round(0.1 * total)
    assert result.sparsity == pytest.approx(zeros(network) / total)
    assert "SNIP: sparsity 0.9" in str(result)
    assert f"{round(0.1 * total)} of" in str(result)


def test_first_and_last_layer_are_spared_unless_asked(make_network, batches):
    network = make_network()
    secateur.prune(network, "Magnitude", sparsity=0.5, batches=batches)
    assert [int((layer.weight == 0).sum()) for layer in (network[0], network[3], network[7])] == [0, 576, 0]


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop])
def test_masks_hold_in_a_loop_that_knows_nothing_of_them(make_network, batches, optimizer):
    network = make_network()
    options = {"momentum": 0.9} if optimizer is torch.optim.SGD else {}
    own = optimizer(network.parameters(), lr=0.01, weight_decay=1e-3, **options)
    train(network, batches, own)  # so that momentum is there already
    secateur.prune(network, "Magnitude", sparsity=0.8, batches=batches, outer_layer_pruning=True)
    before = zeros(network)
    train(network, batches, own)
    assert zeros(network) == before


def test_gradients_are_masked_before_clipping_sees_them(make_network, batches):
    network = make_network()
    result = secateur.prune(network, "Magnitude", sparsity=0.8, batches=batches)
    for inputs, targets in batches:  # accumulated
        functional.cross_entropy(network(inputs), targets).backward()
    for name, mask in result.masks.items():
        assert not network.get_submodule(name).weight.grad[~mask].any()


def test_letting_go_leaves_zeros_until_somebody_changes_them(make_network, batches):
    network = make_network()
    result = secateur.prune(network, "Magnitude", sparsity=0.8, batches=batches)
    before = zeros(network)
    result.pruner.detach()
    assert zeros(network) == before
    train(network, batches, torch.optim.SGD(network.parameters(), lr=0.1))
    assert zeros(network) < before


def test_pruning_again_begins_with_what_is_pruned_already(make_network, batches):
    network = make_network()
    secateur.prune(network, "Magnitude", sparsity=0.5, batches=batches)
    first = network[3].weight == 0
    secateur.prune(network, "UnstructuredRandom", sparsity=0.75, batches=batches)
    assert int((network[3].weight == 0).sum()) == 864
    assert (network[3].weight == 0)[first].all()


def test_a_method_that_regrows_sees_dense_gradients_of_pruned_weights(make_network, batches):
    network = make_network()
    secateur.prune(network, "FORCE", sparsity=0.9, batches=batches, snip_steps=8)
    assert int((network[3].weight == 0).sum()) == 1152 - round(0.1 * 1152)


def test_channels_leave_smaller_layers_and_the_optimizer_goes_on(make_network, batches, images):
    network = make_network()
    optimizer = torch.optim.Adam(network.parameters())
    train(network, batches, optimizer)
    moments = optimizer.state[network[3].weight]["exp_avg"].clone()
    result = secateur.prune(network, "L1Norm", sparsity=0.5, example=images[:1], optimizer=optimizer)
    assert (network[0].out_channels, network[3].in_channels, network[3].out_channels) == (4, 4, 8)
    kept = dict(result.pruner.removed[0])
    left = [channel for channel in range(16) if channel not in kept["3"]]
    inner = [channel for channel in range(8) if channel not in kept["0"]]
    assert torch.equal(optimizer.state[network[3].weight]["exp_avg"], moments[left][:, inner])
    train(network, batches, optimizer)
    assert network(images).shape == (64, 10)


def test_a_copy_a_compiled_network_and_a_state_dict_are_as_before(make_network, batches, images):
    network, names = make_network(), list(make_network().state_dict())
    secateur.prune(network, "Magnitude", sparsity=0.8, batches=batches)
    assert list(network.state_dict()) == names
    again = copy.deepcopy(network)
    assert torch.equal(again.eval()(images), network.eval()(images))
    train(again, batches, torch.optim.SGD(again.parameters(), lr=0.1))
    assert zeros(again) < zeros(network)  # a copy has no hooks: it is pruned anew, or loaded


def test_nothing_keeps_a_network_alive_that_was_pruned(make_network, batches):
    network = make_network()
    secateur.prune(network, "Magnitude", sparsity=0.8, batches=batches)
    gone = weakref.ref(network)
    del network
    gc.collect()
    assert gone() is None


def test_a_class_of_ones_own_is_a_criterion_and_its_options_are_keywords(make_network, batches):
    class Guarded(secateur.Criterion):
        """Magnitude to a power that changes no rank."""

        guard: float = secateur.option(0.5, "the power", low=0, high=1)

        def scores(self, batches):
            return {name: weight.abs() ** (1 + self.guard) for name, weight in self.weights.items()}

    one, other = make_network(), make_network()
    secateur.prune(one, Guarded, sparsity=0.7, batches=batches, guard=1.0)
    secateur.prune(other, "Magnitude", sparsity=0.7, batches=batches)
    assert torch.equal(one[3].weight, other[3].weight)
    with pytest.raises(ValueError, match="guard: 2 is out of range: at least 0 and at most 1"):
        secateur.prune(make_network(), Guarded, batches=batches, guard=2)


@pytest.mark.parametrize(
    ("criterion", "options", "message"),
    [
        ("SNOP", {}, "there is no criterion 'SNOP': did you mean SNIP"),
        ("SNIP", {"sparsity": 1.0}, "pruning_limit: 1.0 is out of range: at least 0 and below 1"),
        ("SNIP", {"sparsity": 90}, r"90 is out of range: at least 0 and below 1 \(90 % is 0.9\)"),
        ("SNIP", {"sparsity": True}, "pruning_limit: True is not"),
        ("SNIP", {"saliency_los": "loss"}, "SNIP has no option 'saliency_los': did you mean saliency_loss"),
        ("SNIP", {"saliency_loss": "l"}, "saliency_loss: 'l' is not one of loss, nll_on_logits"),
        (nn.Linear, {}, "is not a criterion"),
    ],
)
def test_what_cannot_be_is_one_line_and_the_network_stays(make_network, batches, criterion, options, message):
    network = make_network()
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(ValueError, match=message) as raised:
        secateur.prune(network, criterion, batches=batches, **options)
    assert "\n" not in str(raised.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_without_batches_and_example_it_says_what_to_give(make_network):
    with pytest.raises(ValueError, match=r"give batches=, some .* or example=, an image"):
        secateur.prune(make_network(), "Magnitude")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([{"image": torch.rand(2, 1, 8, 8), "label": 1}], r"dictionaries of 'image', 'label': .*one\['image'\]"),
        (
            (torch.rand(2, 1, 8, 8), torch.arange(2)),
            r"yields a Tensor: give pairs .* of one batch \[\(inputs, targets\)\]",
        ),
        ([(torch.rand(1, 8, 8), 1)], r"images of batches= of shape \(1, 8, 8\).*four dimensions, \(1, C, H, W\)"),
        ([(torch.rand(2, 1, 8, 8).half(), 1)], r"torch.float16: .*; its weights are torch.float32: give such images"),
    ],
)
def test_batches_that_are_no_pairs_of_images_are_one_line(make_network, given, message):
    with pytest.raises(ValueError, match=message) as raised:
        secateur.prune(make_network(), "SNIP", batches=given)
    assert "\n" not in str(raised.value)


def test_an_example_that_the_network_does_not_take_is_one_line(make_network, images):
    for example, message in (
        (images[0], r"does not run on example= of shape \(1, 8, 8\) .*image\[None\]"),
        (torch.rand(1, 3, 8, 8), "does not run on example= .* expected input"),
        (images[:1].numpy(), "example= is a ndarray: give a tensor"),
    ):
        with pytest.raises(ValueError, match=message):
            secateur.prune(make_network(), "L1Norm", example=example)
    with pytest.raises(ValueError, match="is not a network: give a module"):
        secateur.prune(nn.Sequential, "L1Norm", example=images[:1])


def test_it_names_the_layers_that_are_spared(make_network, batches):
    lines = str(secateur.prune(make_network(), "Magnitude", sparsity=0.9, batches=batches)).splitlines()
    assert lines[0].startswith("Magnitude: sparsity 0.5563 of the weights of all layers")  # 1037 of 72 + 1152 + 640
    assert lines[-1] == "not pruned without outer_layer_pruning: 0, 7, the first and the last layer"


def test_a_compact_network_computes_the_same_with_fewer_channels(make_network, images):
    network = make_network()
    with torch.no_grad():
        network[3].weight[::2] = 0
        network[3].bias[::2] = 0
    smaller = secateur.compact(network, images[:1])
    assert smaller[3].out_channels == 8
    assert network[3].out_channels == 16
    assert torch.allclose(smaller.eval()(images), network.eval()(images), atol=1e-6)
    same = secateur.compact(make_network(), images[:1])
    assert same[3].out_channels == 16
