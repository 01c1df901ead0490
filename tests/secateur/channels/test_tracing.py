"""What a trace knows: labels of tensors, operations and what reads them, and what modules read and put out."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from secateur.channels.tracing import Operation, Trace, numbers_of, tensors_of, trace

OUTPUTS = "they are the network's outputs"
MEET = "they meet the image, or constants, channel by channel"


def read(operation):
    """An operation and all that read it, one behind the other, as (name, module)."""
    return [(operation.name, operation.module), *[read(following) for following in operation.outputs]]


def test_labels_of_a_network_are_those_of_its_parameters_and_buffers_in_turn():
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    found = Trace(network)
    assert {name: [labels.tolist() for labels in axes] for name, axes in found.tensors.items()} == {
        "0.weight": [[0, 1, 2], [3, 4]],
        "0.bias": [[5, 6, 7]],
        "1.weight": [[8, 9, 10]],
        "1.bias": [[11, 12, 13]],
        "1.running_mean": [[14, 15, 16]],
        "1.running_var": [[17, 18, 19]],
    }
    axes = found.axes(network[0].weight)
    assert [labels.tolist() for labels in axes] == [[0, 1, 2], [3, 4]]
    axes[0].fill_(9)
    assert found.tensors["0.weight"][0].tolist() == [0, 1, 2]
    other = torch.ones(2, 2)
    assert found.axes(other) is None
    assert found.known(other) == (None, None)
    assert found.known(None) == (None,)
    assert [labels.tolist() for labels in found.known(network[0].bias)] == [[5, 6, 7]]
    assert (found.cuts_follow, found.sizes, found.running) == (False, None, [])


def test_two_dimensions_that_meet_have_the_labels_of_both():
    found = Trace(nn.Module())
    one, other = found.labels.new(3), found.labels.new(3)
    mixed = torch.tensor([-1, 1, 2])
    assert found.couple(mixed, other).tolist() == [3, 1, 2]
    assert found.couple(one, None).equal(one)
    assert found.couple(None, other[:1]).equal(other[:1])
    assert found.couple(None, None) is None
    classes = found.labels.classes()
    assert classes.of(torch.arange(6)).tolist() == [0, 1, 2, 3, 1, 2]
    assert classes.held == dict.fromkeys([0, 1, 2, 3], MEET)


def test_only_dimensions_with_labels_are_held():
    found, tensor = Trace(nn.Module()), torch.ones(2, 3, 1)
    found.set(tensor, (found.labels.new(2), None, found.labels.new(1)))
    found.hold(tensor, [1, 2], "it stays")
    assert found.labels.classes().held == {2: "it stays"}


def test_what_an_attribute_counts_is_counted_alike():
    found = Trace(nn.Module())
    one, other = found.labels.new(2), found.labels.new(2)
    found.count(("", "width", 0), one)
    assert found.labels.classes().of(other).tolist() == [2, 3]
    found.count(("", "width", 0), other)
    assert found.counts[("", "width", 0)].equal(one)
    assert found.labels.classes().of(other).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("running", "labels", "dim", "averages", "together", "held"),
    [
        ([], [0, 1, 2], 1, {("", -2): [0, 1, 2]}, [0, 1, 2, 3, 4, 5], {}),
        (["outer", "inner"], [0, 1, 2], -2, {("inner", -2): [0, 1, 2]}, [0, 1, 2, 3, 4, 5], {}),
        (["known"], [0, 1, 2], 1, {}, [0, 1, 2, 0, 1, 2], {}),
        (["known"], [0, 1], 1, {}, [0, 1, 2, 3, 4, 5], {0: "it stays", 1: "it stays"}),
        ([], [0, -1, 2], 1, {}, [0, 1, 2, 3, 4, 5], {0: "it stays", 2: "it stays"}),
        ([], None, 1, {}, [0, 1, 2, 3, 4, 5], {}),
    ],
)
def test_statistics_are_taken_by_the_innermost_module_over_labels_of_one_number(
    running, labels, dim, averages, together, held
):
    found = Trace(nn.Module())
    found.labels.new(3)
    known = {("known", -2): found.labels.new(3)}
    found.averages, found.running = dict(known), running
    tensor = torch.ones(2, 3, 4)
    found.set(tensor, (None, labels if labels is None else torch.tensor(labels), None))
    found.average(tensor, dim, "it stays")
    own = {key: own.tolist() for key, own in found.averages.items() if key not in known}
    assert own == averages
    classes = found.labels.classes()
    assert classes.of(torch.arange(6)).tolist() == together
    assert classes.held == held


def test_a_norm_has_no_others_in_it_and_a_number_for_each():
    network = nn.Sequential(nn.PReLU(3), nn.Linear(2, 4), nn.Sequential(nn.PReLU(5)))
    network.own = nn.Parameter(torch.ones(6))
    found = Trace(network)
    assert not found.is_norm_of(3)
    for running, numbers in ((["", "0"], {3}), (["1"], {8, 4}), (["2"], set()), (["2", "2.0"], {5}), ([""], set())):
        found.running = running
        assert {number for number in range(10) if found.is_norm_of(number)} == numbers


def test_operations_know_what_reads_them():
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2, bias=False))
    found = trace(network, torch.rand(1, 2))
    assert list(found.uses) == ["0", "2"]
    (first,), (second,) = found.uses["0"], found.uses["2"]
    assert read(first) == [("addmm", "0"), [("relu", None), [("mm", "2")]]]
    assert first.outputs[0].outputs[0] is second
    assert copy.deepcopy(first) is first
    assert Operation("one", None).outputs is not Operation("one", None).outputs


def test_an_operation_that_reads_one_twice_is_there_once_and_what_is_made_of_weights_is_theirs():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.scale = nn.Linear(2, 2), nn.Parameter(torch.ones(2))

        def forward(self, images):
            hidden = functional.linear(images, self.layer.weight * 2)
            return hidden * hidden * (self.scale + 1)

    found = trace(Twice(), torch.rand(1, 2))
    (first,) = found.uses["layer"]
    assert read(first) == [("mm", "layer"), [("mul", None), [("mul", "")]]]
    assert len(found.uses[""]) == 1


def test_outputs_of_any_structure_stay():
    class Several(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = nn.Linear(2, 3, bias=False), nn.Linear(2, 2, bias=False)

        def forward(self, images):
            return {"one": self.one(images), "rest": ("text", [self.other(images), torch.ones(2)])}

    held = trace(Several(), torch.rand(1, 2)).labels.classes().held
    assert held == dict.fromkeys([0, 1, 2, 5, 6], OUTPUTS) | dict.fromkeys([3, 4, 7, 8], MEET)


def test_tracing_takes_all_back_that_it_changed_even_after_an_error():
    class Failing(nn.Module):
        def __init__(self, fails):
            super().__init__()
            self.layer, self.fails = nn.Linear(2, 2), fails

        def forward(self, images):
            assert not torch.backends.mha.get_fastpath_enabled()
            if self.fails:
                raise RuntimeError("no")
            return self.layer(images)

    for fails in (False, True):
        network = nn.Sequential(Failing(fails)).train()
        if fails:
            with pytest.raises(RuntimeError, match=r"^no$"):
                trace(network, torch.rand(1, 2))
        else:
            assert trace(network, torch.rand(1, 2)).running == []
        assert torch.backends.mha.get_fastpath_enabled()
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
        assert all(module.training for module in network.modules())


def test_modules_whose_errors_are_caught_run_no_longer():
    class Caught(nn.Module):
        def __init__(self):
            super().__init__()
            self.wrong, self.right = nn.Linear(3, 3), nn.Linear(2, 3)

        def forward(self, images):
            try:
                return self.wrong(images)
            except RuntimeError:
                return self.right(images)

    assert trace(Caught(), torch.rand(1, 2)).running == []


def test_tensors_and_numbers_of_a_network_are_known_by_name():
    network = nn.Sequential(nn.BatchNorm1d(2), nn.Module())
    for name, tensor, persistent in (
        ("order", torch.tensor([1, 0]), False),
        ("kept", torch.tensor([1, 0]), True),
        ("table", torch.tensor([[1, 0]]), False),
        ("small", torch.tensor([1, 0], dtype=torch.int32), False),
        ("scale", torch.ones(2), False),
    ):
        network[1].register_buffer(name, tensor, persistent=persistent)
    network.register_buffer("outer", torch.tensor([0]), persistent=False)
    assert [name for name, _ in tensors_of(network)] == [
        "0.weight", "0.bias", "0.running_mean", "0.running_var", "1.scale"
    ]  # fmt: skip
    assert [name for name, _ in numbers_of(network)] == ["outer", "1.order"]
