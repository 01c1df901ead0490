"""What the pruner hands to a criterion at each step, what it makes of the answer, and what it is by default."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import secateur
from secateur.pruning.plan import record_of

BATCHES = [(torch.rand(4, 3), torch.tensor([0, 1, 0, 1])) for _ in range(3)]


def network(seed=0, hidden=4):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2))


def train(model, optimizer, epochs=1):
    for _ in range(epochs):
        for inputs, targets in BATCHES:
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs), targets).backward()
            optimizer.step()


def positive(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_().add_(0.1)
    return model


class Noting(secateur.Criterion):
    """Magnitude; notes how each step was asked for."""

    schedule = "linear"
    timing = "during"
    snip_steps = 4

    def scores(self, batches):
        return {name: weight.abs() for name, weight in self.weights.items()}

    def prune_and_repair(self, sparsity, batches, epoch=0, last=False, final=True):
        self.__dict__.setdefault("asked", []).append((round(sparsity, 3), epoch, last, final))
        return super().prune_and_repair(sparsity, batches, epoch, last, final)


def test_only_the_last_of_all_steps_is_the_last_and_the_last_of_a_moment_is_final():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    options = {"sparsity": 0.8, "batches": BATCHES, "optimizer": optimizer}
    pruner = secateur.Pruner(model, Noting, epochs=8, prune_delay=1, prune_freq=2, **options)
    train(model, optimizer, epochs=8)
    assert pruner.criterion.asked == [
        (0.2, 1, False, True), (0.4, 3, False, True), (0.6, 5, False, True), (0.8, 7, True, True),
    ]  # fmt: skip
    pruner = secateur.Pruner(network(), Noting, at_once=True, **options)
    assert pruner.criterion.asked == [
        (0.2, 0, False, False), (0.4, 0, False, False), (0.6, 0, False, False), (0.8, 0, True, True),
    ]  # fmt: skip


def test_the_steps_of_a_moment_are_returned_in_order_and_none_where_none_is_due():
    options = {"sparsity": 0.75, "batches": BATCHES, "attach": False, "snip_steps": 3}
    pruner = secateur.Pruner(network(), Noting, at_once=True, **options)
    assert (pruner.steps, pruner.finished) == ([], False)
    made = pruner.prune_as_planned()
    assert [step.kept for step in made] == [12, 8, 4]  # of 16
    assert made == pruner.steps
    assert all(step.scores == step.masks == {} for step in made)
    assert pruner.prune_as_planned() == []
    assert (pruner.steps_done, pruner.finished) == (3, True)


class Endless:
    """Batches that nobody can count."""

    def __iter__(self):
        return iter(BATCHES)


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"batches": BATCHES}, 3),
        ({"batches": BATCHES, "steps_per_epoch": 5}, 5),
        ({"batches": Endless()}, 1),
        ({"example": torch.zeros(1, 3)}, 1),
    ],
)
def test_an_epoch_has_as_many_steps_as_there_are_batches_unless_told(options, steps):
    assert secateur.Pruner(network(), "Magnitude", **options).timeline.batches == steps


def test_by_default_nothing_comes_before_or_after_and_the_seed_is_333():
    pruner = secateur.Pruner(network(), "UnstructuredRandom", batches=BATCHES)
    assert (pruner.timeline.pre_epochs, pruner.timeline.epochs, pruner.timeline.at_once) == (0, 0, False)
    assert (pruner.step, pruner.steps_done, pruner.removed, pruner.collapsed) == (0, 1, [], [])
    assert (pruner.rewinds, pruner.snapshot, pruner.masks.hold) == (False, None, True)
    same, other = (secateur.Pruner(network(), "UnstructuredRandom", batches=BATCHES, seed=seed) for seed in (333, 334))
    assert torch.equal(pruner.masks.kept["2"], same.masks.kept["2"])
    assert not torch.equal(pruner.masks.kept["2"], other.masks.kept["2"])
    unplanned = secateur.Pruner(network(), "Magnitude", batches=BATCHES, planned=False)
    assert (unplanned.plan.epochs, unplanned.plan.pruning_steps, unplanned.steps) == (0, {}, [])


def test_without_masking_what_was_pruned_comes_back_as_it_is_trained():
    model = positive(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    options = {"sparsity": 0.75, "batches": BATCHES, "optimizer": optimizer, "disable_masking": True}
    pruner = secateur.Pruner(model, "Magnitude", **options)
    assert int(model[2].weight.count_nonzero()) == 4
    train(model, optimizer)
    assert pruner.masks.kept == {}
    assert int(model[2].weight.count_nonzero()) == 16


class Growing(secateur.Criterion):
    """Exchanges weights by the gradient, which it notes."""

    regrowth = "zero"
    schedule = "linear"
    timing = "during"
    snip_steps = 2
    needs_dense_gradients = True

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.found, self.seen = [], []

    def after_backward(self, gradients):
        self.seen.append({name: int(gradient.count_nonzero()) for name, gradient in gradients.items()})

    def scores(self, batches):
        (inputs, _), *_ = batches
        weights = list(self.weights.values())
        gradients = torch.autograd.grad(self.network(inputs).square().sum(), weights)
        self.found.append([int(gradient.count_nonzero()) for gradient in gradients])
        kept = self.kept()
        # what is kept is the worst
        return {name: weight.abs() - 100.0 * kept[name] for name, weight in self.weights.items()}


def test_scores_and_gradients_of_training_are_dense_whatever_is_masked_and_momentum_of_what_comes_back_is_zero():
    model = positive(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    steps = []
    pruner = secateur.Pruner(
        model, Growing, sparsity=0.5, batches=BATCHES, optimizer=optimizer, epochs=2, ignore_layers=["0", "4"],
        outer_layer_pruning=True, on_step=steps.append,
    )  # fmt: skip
    pruner.masks.set({"2": torch.arange(16).view(4, 4) >= 8})
    for inputs, _ in BATCHES:
        optimizer.zero_grad()
        model(inputs).square().sum().backward()
        assert int(model[2].weight.grad.count_nonzero()) == 8
        with torch.no_grad():
            model[2].weight[:2] = 1.0
            for state in optimizer.state.values():
                state["momentum_buffer"] += 1.0
        optimizer.step()
    assert pruner.criterion.found == [[16], [16]]
    assert pruner.criterion.seen == [{"2": 16}] * 3  # of the layers that are pruned alone
    grown = steps[-1].regrown["2"]
    assert int(grown.sum()) > 0
    moments = optimizer.state[model[2].weight]["momentum_buffer"]
    assert not moments[grown].any()
    assert moments[~grown].any()


def test_who_attaches_nothing_shows_the_gradients_that_there_are():
    model = positive(network())
    options = {"sparsity": 0.5, "batches": BATCHES, "epochs": 2, "outer_layer_pruning": True, "attach": False}
    pruner = secateur.Pruner(model, Growing, ignore_layers=["0"], **options)
    model[4].weight.grad = torch.ones(2, 4)
    model[0].weight.grad = torch.ones(4, 3)
    pruner.after_backward()
    assert pruner.criterion.seen == [{"4": 8}]
    secateur.Pruner(model, "Magnitude", **options).after_backward()  # which has no use for them


def test_attached_twice_it_counts_each_step_once():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pruner = secateur.Pruner(model, "Magnitude", sparsity=0.5, batches=BATCHES, optimizer=optimizer)
    pruner.attach()
    train(model, optimizer)
    assert pruner.step == 3
    pruner.detach()
    train(model, optimizer)
    assert pruner.step == 3


def test_layers_that_have_lost_all_weights_are_named_once():
    model = network()
    with torch.no_grad():
        model[2].weight.mul_(1e-6)
    pruner = secateur.Pruner(model, Noting, sparsity=0.8, batches=BATCHES, at_once=True, outer_layer_pruning=True)
    assert pruner.collapsed == ["2"]


def test_channels_that_were_removed_before_are_on_the_record_of_the_next_pruner():
    model = network()
    first = secateur.Pruner(model, "L1Norm", sparsity=0.25, batches=BATCHES)
    second = secateur.Pruner(model, "L1Norm", sparsity=0.5, batches=BATCHES)
    assert len(first.removed) == 1
    assert len(second.removed) == 2
    assert second.removed[0] == first.removed[0]
    record = record_of(model)
    assert (record.removed, record.masked, record.input_shape) == (second.removed, [], (3,))
    secateur.Pruner(model, "Magnitude", sparsity=0.5, batches=BATCHES)
    assert record_of(model).masked == ["2"]


def test_options_of_rewinding_have_no_effect_without_it():
    plain = secateur.Pruner(network(), "Magnitude", batches=BATCHES)
    why = "without --enable_rewinding"
    assert plain.idle_options() == {"rewind_to": why, "rewind_weights_only": why}
    assert secateur.Pruner(network(), "Magnitude", batches=BATCHES, enable_rewinding=True).idle_options() == {}
    levels = {"experiment": "multishot", "pre_epochs": 1, "snip_steps": 2}
    assert secateur.Pruner(network(), "Magnitude", batches=BATCHES, **levels).rewinds
