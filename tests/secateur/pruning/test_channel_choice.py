"""Which channels go, by scores that a test gives, and what the step says of it."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from secateur.channels.surgery import Surgery
from secateur.measuring.sparsity import layer_outputs
from secateur.models.ViT_tiny import Attention
from secateur.pruning import structured
from secateur.pruning.masks import Masks
from secateur.pruning.plan import Timeline
from secateur.pruning.structured import StructuredCriterion
from secateur.utils.errors import UserError


def criterion_of(network, scores, image=(1, 2), **options):
    """A criterion of the network's channels that has these scores."""

    class Given(StructuredCriterion):
        def channel_scores(self, batches):
            return {root: torch.tensor(score) for root, score in scores.items()}

    masks = Masks(network)
    criterion = Given(network, masks, nn.functional.cross_entropy, masks.weights, **options)
    criterion.example, criterion.dense_outputs = torch.zeros(image), layer_outputs(network)
    criterion.trace()
    return criterion


def layers(*widths):
    """Linear layers between two inputs and one output, named by their numbers."""
    sizes = (2, *widths, 1)
    return nn.Sequential(*(nn.Linear(*pair) for pair in itertools.pairwise(sizes)))


def test_a_step_says_what_went_in_the_order_of_the_layer_and_what_is_left(monkeypatch):
    times = iter([10.0, 12.5])
    monkeypatch.setattr(structured, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    network = layers(5)
    before = network[0].weight.detach().clone()
    # 1.5 of five channels should go: with two the target is as near as with one
    step = criterion_of(network, {"0": [3.0, 1.0, 4.0, 0.5, 5.0]}).prune(0.3, [])
    assert (step.epoch, step.sparsity, step.candidates, step.kept, step.unit) == (0, 0.3, 5, 3, "units")
    assert step.removed == [("0", [1, 3])]
    assert (step.masks["0"].dtype, step.masks["0"].tolist()) == (torch.bool, [True, False, True, False, True])
    assert step.scores["0"].tolist() == [3, 1, 4, 0.5, 5]
    assert step.kept_indices["1.weight"].tolist() == [[0, 2, 4]]
    assert (step.notices, step.seconds) == ([], 2.5)
    assert torch.equal(network[0].weight, before[[0, 2, 4]])
    again = criterion_of(layers(5), {})
    assert again.remove_by({"0": torch.arange(5.0)}, again.trace(), [], 0.2).epoch == 0


@pytest.mark.parametrize(
    ("width", "sparsity", "kept"),
    [(5, 0.5, 2), (5, 0.48, 3), (10, 0.25, 7), (10, 0.24, 8), (10, 0.05, 9), (10, 0.04, 10), (4, 0.99, 1), (4, 0.0, 4)],
)
def test_as_many_go_as_is_nearest_and_rather_one_more_than_one_less(width, sparsity, kept):
    scores = {"0": [float(number) for number in range(width)]}
    assert criterion_of(layers(width), scores).prune(sparsity, []).kept == kept


def test_where_the_next_ones_are_too_many_no_others_go_in_their_place():
    class Added(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other, self.third = nn.Linear(2, 3), nn.Linear(2, 3), nn.Linear(3, 5)
            self.last = nn.Linear(5, 1)

        def forward(self, inputs):
            return self.last(self.third(self.one(inputs) + self.other(inputs)).relu())

    network = Added()
    coupled = next(root for root in criterion_of(network, {}).groups if root != "third")
    criterion = criterion_of(network, {coupled: [0.1, 5.0, 6.0], "third": [1.0, 2.0, 3.0, 4.0, 7.0]})
    assert criterion.prune(0.07, []).kept == 11  # 0.77 of 11: a pair is farther away than none
    step = criterion.prune(0.1, [])
    assert (step.kept, network.one.out_features, network.third.out_features) == (9, 2, 5)


def test_a_layer_with_a_sparsity_of_its_own_goes_as_far_as_the_others_have_come():
    scores = {"0": [float(number) for number in range(16)], "1": [float(number) for number in range(4)]}
    own = criterion_of(layers(16, 4), scores)
    own.own_sparsities = {"0": 0.25}  # of a limit of 0.5
    step = own.prune(0.25, [])
    assert [own.network[number].out_features for number in (0, 1)] == [14, 3]
    assert step.sparsity == pytest.approx(3 / 20)
    own = criterion_of(layers(16, 4), scores)
    own.own_sparsities = {"0": 0.25}
    assert own.prune(0.5, []).sparsity == pytest.approx(6 / 20)
    assert [own.network[number].out_features for number in (0, 1)] == [12, 2]


def test_behind_a_concatenation_the_share_is_that_of_all_layers_each_of_which_keeps_a_channel():
    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Conv2d(1, 8, 1), nn.Conv2d(1, 4, 1)
            self.depthwise, self.last = nn.Conv2d(12, 12, 1, groups=12), nn.Linear(12, 2)

        def forward(self, images):
            return self.last(self.depthwise(torch.cat([self.left(images), self.right(images)], 1)).flatten(1))

    network = Joined()
    scores = {}
    criterion = criterion_of(network, scores, (1, 1, 1, 1), distribution="uniform")
    found = []
    for sparsity in (0.25, 0.5, 0.75):
        scores |= {root: [float(number) for number in range(one.channels)] for root, one in criterion.groups.items()}
        step = criterion.prune(sparsity, [])
        found.append((network.left.out_channels, network.right.out_channels, step.kept))
        criterion.trace()
    assert found == [(5, 4, 18), (2, 4, 12), (1, 2, 6)]
    assert (criterion.dense_nodes, criterion.nodes) == (24, 6)


def test_what_would_break_the_network_stays_and_is_told(monkeypatch):
    criterion = criterion_of(layers(4, 4), {"0": [1.0, 2.0, 3.0, 4.0], "1": [1.0, 2.0, 3.0, 4.0]})
    monkeypatch.setattr(Surgery, "breaches", lambda self, removals: {"0": "it would be another"})
    step = criterion.prune(0.5, [])
    assert (step.removed, step.kept) == ([("1", [0, 1])], 6)
    assert step.masks["0"].tolist() == [True] * 4
    assert step.notices == ["no channels of 0 and what is coupled to it were removed: it would be another"]
    assert [layer.out_features for layer in criterion.network] == [4, 2, 1]


@pytest.mark.parametrize(
    ("width", "number", "round_to", "left"),
    [
        (16, 3, 8, 16),  # 13 are nearer to 16 than to 8
        (16, 5, 8, 8),
        (15, 5, 8, 10),  # which is less than twice 8
        (16, 14, 8, 8),
        (22, 1, 8, 22),  # of which there are no 24
        (22, 11, 8, 8),
        (20, 4, 8, 16),
        (6, 2, 3, 3),
        (5, 2, 3, 3),
        (9, 1, 2, 8),
    ],
)
def test_a_multiple_of_channels_is_left(width, number, round_to, left):
    criterion = criterion_of(layers(width), {}, round_to=round_to)
    found = criterion._rounded({"0": list(range(number))}, {"0": list(range(width - 1))})
    assert found == ({} if left == width else {"0": list(range(width - left))})


def test_as_many_are_left_as_the_machine_likes_but_of_heads(monkeypatch):
    asked = []

    def liked(root, units):
        asked.append((root, units))
        return units + 1

    criterion = attending(heads=4, round_to=0)
    monkeypatch.setattr(criterion, "_widths", lambda: SimpleNamespace(liked=liked))
    orders = {root: [3, 2, 1] for root in (HEADS, OUTPUT)}
    assert criterion._rounded({HEADS: [3], OUTPUT: [3, 2]}, orders) == {HEADS: [3], OUTPUT: [3]}
    assert asked == [(OUTPUT, 6)]
    criterion.round_to = 2  # three of four heads would be four
    assert criterion._rounded({HEADS: [3], OUTPUT: [3, 2, 1]}, orders) == {HEADS: [3], OUTPUT: [3, 2, 1]}
    assert criterion._rounded({HEADS: [3], OUTPUT: [3]}, orders) == {HEADS: [3]}


HEADS, INSIDE, OUTPUT = "0.queries_keys_values/1", "0.queries_keys_values/0", "0.output"


def attending(heads=2, scores=(), **options):
    """A criterion of attention of two numbers a head, and what reads it."""
    width = 2 * heads
    network = nn.Sequential(Attention(width, heads), nn.Linear(width, 3))
    criterion = criterion_of(network, dict(scores), (1, 3, width), **options)
    assert set(criterion.groups) == {HEADS, INSIDE, OUTPUT}
    return criterion


def test_heads_and_what_is_in_them_score_by_the_mean_and_others_by_the_sum():
    scores = {HEADS: torch.arange(12.0), INSIDE: torch.arange(12.0), OUTPUT: torch.arange(4.0)}
    found = attending().unit_scores(scores)
    # heads have the channels 0 1 4 5 8 9 and 2 3 6 7 10 11, what is in them the even ones and the odd ones
    assert {root: score.tolist() for root, score in found.items()} == {
        HEADS: [4.5, 6.5], INSIDE: [5, 6], OUTPUT: [0, 1, 2, 3],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("excess", "least", "chosen"),
    [
        # a head is six outputs, and what is in the heads six, three of which have gone with it
        (6.0, 1, {HEADS: [0]}),
        (7.4, 1, {HEADS: [0]}),
        (7.6, 1, {HEADS: [0], INSIDE: [1]}),
        (10.0, 1, {HEADS: [0], INSIDE: [1], OUTPUT: [2]}),
        (16.0, 1, {HEADS: [0], INSIDE: [1], OUTPUT: [2, 0, 3]}),
        # of the twelve outputs seven are to stay, for which heads do not count
        (16.0, 7, {HEADS: [0]}),
    ],
)
def test_outputs_that_go_with_heads_count_once(excess, least, chosen):
    scores = {HEADS: [0.1, 0.9], INSIDE: [0.8, 0.2], OUTPUT: [0.4, 0.6, 0.3, 0.5]}
    criterion = attending(min_channels=least)
    assert criterion._lowest({root: torch.tensor(score) for root, score in scores.items()}, excess) == chosen


def test_groups_of_heads_stay_what_they_are_after_a_step():
    scores = {HEADS: [1.0, 2.0] * 6, INSIDE: [3.0] * 12, OUTPUT: [0.1, 4.0, 4.0, 4.0]}
    criterion = attending(scores=scores.items())
    step = criterion.prune(0.05, [])
    assert step.removed == [(OUTPUT, [0])]
    criterion.trace()
    assert set(criterion.groups) == {HEADS, INSIDE, OUTPUT}
    assert (criterion.dense_nodes, criterion.nodes) == (16, 15)


def test_groups_are_looked_for_again_only_when_the_network_or_they_have_changed():
    criterion = criterion_of(layers(4, 4), {"0": [1.0, 2.0, 3.0, 4.0], "1": [1.0, 2.0, 3.0, 4.0]})
    surgery = criterion.trace()
    assert criterion.trace() is surgery
    criterion.load_state_dict({**criterion.state_dict(), "groups": ["1"]})
    again = criterion.trace()
    assert again is not surgery
    assert list(criterion.groups) == list(again.groups) == ["1"]
    assert (criterion.dense_nodes, criterion.nodes) == (4, 4)
    again.remove([("1", [0])])
    assert criterion.trace() is not again
    assert (criterion.dense_nodes, criterion.nodes) == (4, 3)


def test_layers_that_cannot_lose_channels_are_known_from_the_first_look_on():
    network = nn.Sequential(layers(4), nn.utils.parametrizations.weight_norm(nn.Linear(1, 3)), nn.Linear(3, 2))
    left_out = criterion_of(network, {}).left_out
    assert left_out["1"] == "its weight is computed from other tensors, as by a parametrization"
    assert "0.0" not in left_out


def test_a_network_where_one_layer_alone_can_lose_channels_has_a_plan():
    criterion = criterion_of(layers(1, 4), {})
    assert criterion.plan(Timeline(0, 1, 0, 1, 1)).pruning_steps == {0: [0.5]}
    with pytest.raises(UserError) as error:
        criterion_of(nn.Linear(2, 2), {}).plan(Timeline(0, 1, 0, 1, 1))
    assert str(error.value) == "no channels of this network can be removed: they are all inputs or classes"
