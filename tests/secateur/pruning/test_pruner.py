"""The object that prunes a network step by step, in anybody's loop."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

import secateur


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10))


@pytest.fixture
def batches():
    images, labels = torch.rand(64, 1, 8, 8), torch.arange(64) % 10
    return [(images[i : i + 16], labels[i : i + 16]) for i in range(0, 64, 16)]


def nonzero(model):
    return sum(int((weight != 0).sum()) for weight in model.parameters() if weight.dim() > 1)


TOTAL = 72 + 576 + 1280


def epochs_of(model, batches, optimizer, epochs, accumulate=1, scaler=None):
    for _ in range(epochs):
        for number, (inputs, targets) in enumerate(batches):
            loss = functional.cross_entropy(model(inputs), targets) / accumulate
            (scaler.scale(loss) if scaler else loss).backward()
            if (number + 1) % accumulate:
                continue
            if scaler:
                scaler.step(optimizer)
                scaler.update()
            else:
                optimizer.step()
            optimizer.zero_grad()


def test_steps_come_when_the_plan_says_and_tell_what_they_did(batches):
    model, told = network(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    pruner = secateur.Pruner(
        model, "GradualMagnitude", sparsity=0.64, batches=batches, optimizer=optimizer, epochs=6, snip_steps=4,
        outer_layer_pruning=True, on_step=lambda step: told.append((step.epoch, nonzero(model))),
    )  # fmt: skip
    assert len(pruner.steps) == 1  # at once: the plan begins before the first epoch
    epochs_of(model, batches, optimizer, 6)
    # 0.64 * (1 - (1 - i / 4)^3)
    assert told == [(epoch, round((1 - limit) * TOTAL)) for epoch, limit in enumerate((0.37, 0.56, 0.63, 0.64))]
    assert pruner.finished
    assert pruner.sparsity == pytest.approx(0.64, abs=1e-3)
    assert [step.kept for step in pruner.steps] == [kept for _, kept in told]
    assert str(pruner).startswith("GradualMagnitude: 4 of 4 pruning steps, sparsity 0.64")


class Epochs(list):
    """Batches in another order at each epoch; notes which were asked for, and how many batches of them."""

    def __init__(self, batches):
        super().__init__(batches)
        self.asked = {}

    def epoch(self, number):
        for batch in self:
            self.asked[number] = self.asked.get(number, 0) + 1
            yield batch


def test_each_step_scores_on_batches_of_an_epoch_that_training_never_sees(batches):
    source = Epochs(batches)
    pruner = secateur.Pruner(network(), "SNIPit", sparsity=0.9, batches=source, snip_steps=3, saliency_batches=2)
    assert len(pruner.steps) > 2
    assert source.asked == {-number: 2 for number in range(1, len(pruner.steps) + 1)}


def test_a_state_replaces_the_masks_that_there_were(batches):
    options = {"sparsity": 0.5, "batches": batches, "epochs": 8, "snip_steps": 2, "prune_delay": 1}
    pruner = secateur.Pruner(network(), "SNIPitDuring", **options)
    state = pruner.state_dict()
    pruner.masks.set({"0": torch.zeros(8, 1, 3, 3, dtype=torch.bool)})
    pruner.load_state_dict(state)
    assert pruner.masks.kept == state["masks"] == {}


OPTIMIZERS = {
    "SGD": lambda weights: torch.optim.SGD(weights, lr=0.05, momentum=0.9, weight_decay=1e-3),
    "Adam": lambda weights: torch.optim.Adam(weights, lr=1e-3, weight_decay=1e-3),
    "AdamW": lambda weights: torch.optim.AdamW(weights, lr=1e-3),
    "Adagrad": lambda weights: torch.optim.Adagrad(weights, lr=1e-2),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("variant", ["plain", "accumulated", "scaled"])
def test_the_target_is_exact_after_many_steps(batches, make, variant):
    model = network()
    optimizer = make(model.parameters())
    secateur.Pruner(
        model, "SNIPitDuring", sparsity=0.9, batches=batches, optimizer=optimizer, epochs=20, snip_steps=3,
        outer_layer_pruning=True, steps_per_epoch=2 if variant == "accumulated" else 4,
    )  # fmt: skip
    scaler = torch.amp.GradScaler("cpu") if variant == "scaled" else None
    epochs_of(model, batches, optimizer, 20, 2 if variant == "accumulated" else 1, scaler)
    assert nonzero(model) == round(0.1 * TOTAL)


def test_lbfgs_calls_its_closure_again_and_again_and_zeros_stay(batches):
    model = network()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
    secateur.prune(model, "Magnitude", sparsity=0.9, batches=batches, outer_layer_pruning=True)
    inputs, targets = batches[0]

    def closure():
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs), targets)
        loss.backward()
        return loss

    for _ in range(20):
        optimizer.step(closure)
    assert nonzero(model) == round(0.1 * TOTAL)


def test_steps_of_other_optimizers_do_not_count(batches):
    model, other = network(), nn.Linear(2, 2)
    mine, theirs = (torch.optim.SGD(one.parameters(), lr=0.1) for one in (model, other))
    pruner = secateur.Pruner(model, "SNIPitDuring", sparsity=0.9, batches=batches, epochs=10, snip_steps=2)
    other(torch.ones(1, 2)).sum().backward()
    theirs.step()
    assert pruner.step == 0
    epochs_of(model, batches, mine, 1)
    assert pruner.step == 4


def test_a_moving_average_gets_its_zeros_when_it_is_asked_to(batches):
    model = network()
    average = torch.optim.swa_utils.AveragedModel(model)
    pruner = secateur.prune(model, "Magnitude", sparsity=0.9, batches=batches, outer_layer_pruning=True).pruner
    average.update_parameters(model)
    average.update_parameters(model)
    pruner.masks.apply_to_state(average.module)
    assert nonzero(average.module) == round(0.1 * TOTAL)


@pytest.mark.parametrize("criterion", ["SNIPitDuring", "SNAPitDuring", "IMP", "MovementPruning", "RigL"])
def test_training_that_goes_on_from_its_state_ends_the_same(batches, criterion):
    options = {"sparsity": 0.7, "batches": batches, "epochs": 8, "prune_freq": 1}
    options |= {} if criterion == "RigL" else {"snip_steps": 2}

    def begin(model):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        return optimizer, secateur.Pruner(model, criterion, optimizer=optimizer, **options)

    whole = network()
    optimizer, pruner = begin(whole)
    epochs_of(whole, batches, optimizer, 2)
    parts = [copy.deepcopy(part.state_dict()) for part in (pruner, whole, optimizer)]
    epochs_of(whole, batches, optimizer, 4)

    again = network(seed=5)
    optimizer = torch.optim.SGD(again.parameters(), lr=0.1, momentum=0.9)
    pruner_again = secateur.Pruner(again, criterion, optimizer=optimizer, attach=False, **options)
    for part, state in zip((pruner_again, again, optimizer), parts, strict=True):
        part.load_state_dict(state)
    pruner_again.attach()
    epochs_of(again, batches, optimizer, 4)
    assert all(torch.equal(whole.state_dict()[name], value) for name, value in again.state_dict().items())
    assert pruner_again.steps_done == pruner.steps_done


def test_rewinding_puts_the_weights_back_under_the_masks_of_now(batches):
    model = network()
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    rewound = []
    pruner = secateur.Pruner(
        model, "IMP", sparsity=0.75, batches=batches, optimizer=optimizer, epochs=8, prune_freq=2, snip_steps=2,
        enable_rewinding=True,
    )  # fmt: skip
    pruner.on_rewind = rewound.append
    epochs_of(model, batches, optimizer, 2)
    mask = pruner.masks.kept["2"]
    assert torch.equal(model[2].weight, before["2.weight"] * mask)
    assert torch.equal(model[0].weight, before["0.weight"])
    assert rewound == [0]


def test_what_it_cannot_do_is_one_line(batches):
    with pytest.raises(ValueError, match=r"7 pruning steps, .* need at least --epochs 7; there are 3"):
        secateur.Pruner(network(), "SNIPitDuring", sparsity=0.98, batches=batches, epochs=3)
    with pytest.raises(ValueError, match="rewind_to: -1 is out of range"):
        secateur.Pruner(network(), "IMP", batches=batches, rewind_to=-1)
    with pytest.raises(ValueError, match="no weights can be pruned"):
        secateur.Pruner(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), "SNIP", batches=batches)


@pytest.mark.parametrize("rewinds", [True, False])
def test_the_criterion_knows_whether_training_goes_back(batches, rewinds):
    pruner = secateur.Pruner(network(), "SNIP", sparsity=0.5, batches=batches, epochs=2, enable_rewinding=rewinds)
    assert pruner.criterion.rewinds == pruner.rewinds == rewinds
