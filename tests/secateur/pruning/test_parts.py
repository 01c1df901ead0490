"""Which groups of channels are ranked together, and with which sparsity."""

from collections import Counter

import pytest
import torch
from torch import nn

from secateur.channels.surgery import Surgery
from secateur.pruning.parts import ranked_together, shares_of
from secateur.runs.files import write_json
from secateur.utils.errors import UserError

IMAGE = torch.zeros(1, 2, 4, 4)


class Network(nn.Module):
    """Two layers of four channels that are added up, then one of six that a convolution reads, one of eight."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 4, 1)
        self.wide, self.deep, self.last = nn.Conv2d(4, 6, 1), nn.Conv2d(6, 8, 1), nn.Linear(8, 2)

    def forward(self, inputs):
        return self.last(self.deep(self.wide(self.one(inputs) + self.other(inputs))).mean((2, 3)))


@pytest.fixture(scope="module")
def network():
    return Network()


@pytest.fixture(scope="module")
def groups(network):
    found = Surgery(network, IMAGE).groups
    # by the layers that they are of
    order = {frozenset(name for name, _, _ in group.outputs): group for group in found.values()}
    return {group.root: group for group in (order[frozenset(one)] for one in (["one", "other"], ["wide"], ["deep"]))}


def parts(network, groups, distribution, own):
    """The parts, with the coupled layers as one name."""
    coupled = next(iter(groups))
    return [
        (["coupled" if root == coupled else root for root in roots], sparsity)
        for roots, sparsity in ranked_together(network, groups, distribution, own, 0.5)
    ]


@pytest.mark.parametrize(
    ("distribution", "own", "expected"),
    [
        ("global", {}, [(["coupled", "wide", "deep"], 0.5)]),
        ("sensitivity", {}, [(["coupled", "wide", "deep"], 0.5)]),
        ("uniform", {}, [(["coupled"], 0.5), (["wide"], 0.5), (["deep"], 0.5)]),
        # a linear layer reads the last ones, and two layers put out the first
        ("isomorphic", {}, [(["coupled"], 0.5), (["wide"], 0.5), (["deep"], 0.5)]),
        # those with a sparsity of their own come last, whichever stands first
        ("global", {"other": 0.25}, [(["wide", "deep"], 0.5), (["coupled"], 0.25)]),
        ("global", {"wide": 0.75, "last": 0.1}, [(["coupled", "deep"], 0.5), (["wide"], 0.75)]),
        ("uniform", {"one": 0.25, "other": 0.25}, [(["wide"], 0.5), (["deep"], 0.5), (["coupled"], 0.25)]),
    ],
)
def test_groups_are_divided_by_the_distribution_but_for_those_with_a_sparsity_of_their_own(
    network, groups, distribution, own, expected
):
    assert parts(network, groups, distribution, own) == expected


def test_several_sparsities_of_coupled_layers_are_refused_with_the_sparser_one_last(network, groups):
    for own, names in (({"one": 0.5, "other": 0.25}, "other and one"), ({"one": 0.1, "other": 0.25}, "one and other")):
        with pytest.raises(UserError) as error:
            ranked_together(network, groups, "global", own, 0.5)
        assert str(error.value) == f"--layer_sparsity: the channels of {names} go together, by one sparsity"


@pytest.fixture
def table(tmp_path):
    """The layers other, wide and deep lose 0.4, 0.2 and 0.1 of accuracy up to a half, and all of it without weights."""
    rows = [{"layer": name, "sparsity": 0.0, "recalibrated_accuracy": 0.8} for name in ("other", "wide", "deep")]
    for name, left in (("other", 0.4), ("wide", 0.6), ("deep", 0.7)):
        rows.append({"layer": name, "sparsity": 0.5, "recalibrated_accuracy": left})
    (tmp_path / "output").mkdir()
    write_json(tmp_path / "output" / "results.json", {"sensitivity": rows})
    return tmp_path


def test_a_table_says_the_sparsity_of_each_group_by_the_layer_that_it_has_tried(groups, table):
    dense = Counter({"one": 4, "other": 4, "wide": 6, "deep": 8})
    # A drop of 0.1 is an eighth of 4 + 4, a quarter of 6 and a half of 8, which leaves 7, 4.5 and 4 of 22.
    kept = 15.5 / 22
    found = shares_of(table, groups, dense, {}, 1 - kept)
    assert found == pytest.approx({"other": 0.125, "wide": 0.25, "deep": 0.5}, abs=1e-6)
    # of what has a sparsity of its own the table says nothing
    found = shares_of(table, groups, dense, {"one": 0.75, "last": 0.1}, 1 - 8.5 / 14)
    assert found == pytest.approx({"one": 0.75, "last": 0.1, "wide": 0.25, "deep": 0.5}, abs=1e-6)


def test_a_group_that_the_table_has_not_tried_is_refused_by_its_first_layer(groups, table):
    alone = {root: group for root, group in groups.items() if root not in ("wide", "deep")}
    rows = [{"layer": "wide", "sparsity": 0.0, "recalibrated_accuracy": 0.8}]
    write_json(table / "output" / "results.json", {"sensitivity": rows})
    (first, _, _), *_ = next(iter(alone.values())).outputs
    with pytest.raises(UserError) as error:
        shares_of(table, alone, Counter({"one": 4, "other": 4}), {}, 0.5)
    assert str(error.value) == (f"--sensitivity has no layer {first}: its network, or what it has pruned, is another")
