"""How a network is run is chosen by the clock, and written down; the clock is a list of seconds here."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from secateur.sparse import choice
from secateur.sparse.choice import (
    Choice,
    Notes,
    by_density,
    cache_folder,
    densities,
    faster_layers,
    fastest,
    fastest_to_train,
    median_times,
)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass in calls alone: each adds what it takes."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(choice.time, "perf_counter", lambda: now.seconds)
    return now


def taking(clock, *seconds):
    """A call that takes these seconds, the last of them from then on."""
    left = list(seconds)

    def call(*_):
        clock.seconds += left.pop(0) if len(left) > 1 else left[0]

    return call


def test_calls_take_turns_after_one_to_warm_up_and_the_median_counts(clock):
    calls = {"a": taking(clock, 100, 1, 5, 3), "b": taking(clock, 100, 2)}
    assert median_times(calls, 0) == {"a": 3, "b": 2}  # three times at least
    assert clock.seconds == 200 + 1 + 5 + 3 + 3 * 2
    calls = {"a": taking(clock, 0, 1, 1, 1, 9)}
    assert median_times(calls, 12) == {"a": 1}  # 1, 1, 1, 9: 12 seconds are over
    assert median_times({"a": taking(clock, 0, 1, 1, 1, 9)}, 13) == {"a": 1}
    assert median_times({"a": taking(clock, 0, 1, 1, 9)}, 12) == {"a": 5}  # 1, 1, 9, 9


class Taking(nn.Module):
    def __init__(self, clock, seconds):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.call = taking(clock, seconds)

    def forward(self, images):
        self.call()
        return self.weight * images


@pytest.mark.parametrize(("sparse", "best"), [(1 / 1.02, "dense"), (1 / 1.04, "sparse"), (2, "dense")])
def test_another_way_has_to_be_faster_by_three_per_cent(clock, sparse, best):
    ways = {"dense": Taking(clock, 1.0), "sparse": Taking(clock, sparse)}
    wanted = (best, {"dense": pytest.approx(1000), "sparse": pytest.approx(1000 * sparse)})
    assert fastest(ways, torch.ones(1)) == wanted
    assert all(way.weight.grad is None for way in ways.values())
    assert fastest_to_train(*ways.values(), torch.ones(1)) == wanted


def network_of(*kept):
    """Linear layers of ten weights, with so many that are not zero."""
    layers = [nn.Linear(10, 1) for _ in kept]
    for layer, count in zip(layers, kept, strict=True):
        layer.weight.data.zero_()[0, :count] = 1
    return nn.ModuleDict({f"l{number}": layer for number, layer in enumerate(layers)})


def test_layers_are_sparse_enough_by_their_weights_or_their_masks():
    network = network_of(3, 4, 10)
    assert densities(network) == {"l0": 0.3, "l1": 0.4, "l2": 1.0}
    assert by_density(network) == ["l0"]
    kept = {"l2": torch.arange(10)[None] < 2}
    assert densities(network, kept) == {"l0": 1.0, "l1": 1.0, "l2": 0.2}
    assert by_density(network, kept) == ["l2"]


def test_layers_run_by_their_lists_where_that_takes_less_time_and_enough_is_zero(monkeypatch):
    network = network_of(1, 2, 6, 7)
    seconds = iter([(2, 1), (1, 1), (3, 2)])
    tried = []

    def times(calls, budget):
        tried.extend(call().shape for call in calls.values())
        return dict(zip(calls, next(seconds), strict=True))

    monkeypatch.setattr(choice, "median_times", times)
    monkeypatch.setattr(type(network), "forward", lambda self, x: [layer(x) for layer in self.values()], raising=False)
    assert faster_layers(network, torch.ones(4, 10), in_blocks=False) == ["l0", "l2"]
    assert tried == [(4, 1)] * 6  # of the three layers of which at most 0.6 is left
    assert not any(layer._forward_pre_hooks for layer in network.values())
    unusual = torch.ones(2, 4, 10)  # of such inputs there are no lists
    assert faster_layers(network, unusual, in_blocks=False) == []


def test_a_choice_says_what_it_is():
    assert str(Choice()) == "dense"
    assert str(Choice(compacted=True)) == "compacted"
    assert str(Choice(["a", "b"])) == "2 layers sparse"
    assert str(Choice(["a"], compacted=True)) == "compacted, 1 layers sparse"


def test_choices_are_written_down_for_the_same_network_images_and_mode(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    network, images = network_of(1, 2), torch.ones(4, 10)
    notes = Notes(network, images, None, (True,), {})
    assert notes.read() is None
    written = Choice(["l0"], True, {"dense": 2.0}, 4)
    notes.write(written)
    assert notes.path.parent == tmp_path / "secateur" / "execution" == cache_folder()
    assert [path.name for path in notes.path.parent.iterdir()] == [notes.path.name]
    assert Notes(network, images, None, (True,), {}).read() == written
    others = [
        Notes(network_of(1, 3), images, None, (True,), {}), Notes(network, images[:3], None, (True,), {}),
        Notes(network, images, {"l0": torch.zeros(1, 10)}, (True,), {}), Notes(network, images, None, (False,), {}),
    ]  # fmt: skip
    assert len({notes.path, *(other.path for other in others)}) == 5
    for content in ("", "[]", '{"unknown": 1}', json.dumps({"layers": ["elsewhere"]})):
        notes.path.write_text(content)
        assert Notes(network, images, None, (True,), {}).read() is None
    assert notes.read() == written, "what a network was run by counts before the disk"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "secateur" / "execution"


def test_where_nothing_can_be_kept_nothing_is_said(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    Notes(network_of(1), torch.ones(4, 10), None, (), {}).write(Choice())


def test_layers_are_sparse_at_thirty_five_per_cent():
    network = nn.ModuleDict({str(kept): nn.Linear(20, 1) for kept in (7, 8)})
    for kept, layer in network.items():
        layer.weight.data.zero_()[0, : int(kept)] = 1
    assert by_density(network) == ["7"]


def test_at_three_per_cent_exactly_evaluation_is_sparse_and_training_dense(monkeypatch):
    given = []

    def times(calls, budget):
        given.append(budget)
        for call in calls.values():
            call()
        return {"dense": 1.03, "sparse": 1.0}

    monkeypatch.setattr(choice, "median_times", times)
    ways = [nn.Linear(1, 1, bias=False) for _ in range(2)]
    for way in ways:
        way.weight.data.fill_(2)
    milliseconds = {"dense": 1030, "sparse": 1000}
    images = torch.full((1, 1), 3.0)
    assert fastest(dict(zip(milliseconds, ways, strict=True)), images) == ("sparse", milliseconds)
    assert fastest_to_train(*ways, images) == ("dense", milliseconds)
    assert given == [1, 1]
    assert [way.weight.grad.item() for way in ways] == [36, 36]  # of (2 * 3) ** 2


class Mixed(nn.Module):
    """A convolution, a layer of tokens, and a layer of features, without weights."""

    def __init__(self):
        super().__init__()
        self.convolution, self.tokens, self.last = nn.Conv2d(1, 2, 1), nn.Linear(2, 2), nn.Linear(2, 5)
        for layer in self.children():
            layer.weight.data.zero_()

    def forward(self, images):
        return self.last(self.tokens(self.convolution(images).flatten(2).transpose(1, 2)).mean(1))


@pytest.mark.parametrize(
    ("in_blocks", "shapes"),
    [
        (False, [(3, 2, 4, 6), (3, 2, 4, 6), (3, 5), (3, 5)]),
        (True, [(3, 2, 4, 6), (1, 2, 4, 6, 16), (3, 5), (1, 5, 16)]),
    ],
)
def test_convolutions_and_layers_of_features_are_tried_in_their_form(monkeypatch, in_blocks, shapes):
    tried, budgets = [], []

    def times(calls, budget):
        budgets.append(budget)
        tried.extend(call().shape for call in calls.values())
        return {"dense": 2, "sparse": 1}

    monkeypatch.setattr(choice, "median_times", times)
    assert faster_layers(Mixed(), torch.ones(3, 1, 4, 6), in_blocks) == ["convolution", "last"]
    assert tried == shapes
    assert budgets == [0.1, 0.1]


def test_choices_replace_those_of_before_and_are_remembered_when_they_are_read(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Choice() == Choice([], False, {}, 0)
    given = network_of(1), torch.ones(4, 10), None, (True,)
    for written in (Choice(["l0"]), Choice(images=3)):
        Notes(*given, {}).write(written)
        own = {}
        notes = Notes(*given, own)
        assert notes.read() == written
        notes.path.unlink()
        assert notes.read() == written
        assert list(own) == [notes.name]
        Notes(*given, {}).write(written)
    assert (len(notes.name), notes.path.suffix) == (32, ".json")
    assert [path.name for path in notes.path.parent.iterdir()] == [f"{notes.name}.json"]
