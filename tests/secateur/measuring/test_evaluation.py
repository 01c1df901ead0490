"""Evaluation over a whole set equals a loop by hand, whatever the batches."""

import contextlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from secateur.data.batches import Batches
from secateur.data.data_set import Images
from secateur.measuring import evaluation
from secateur.measuring.evaluation import among_guesses, evaluate
from secateur.models.LeNet5 import LeNet5


class Given(nn.Module):
    """Its input is its output."""

    def forward(self, inputs):
        return inputs


def cut(inputs, targets, sizes):
    return list(zip(inputs.split(sizes), targets.split(sizes), strict=True))


def test_three_images_by_hand():
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0], [0.0, 3.0]])
    targets = torch.tensor([0, 1, 0])
    found = evaluate(Given(), functional.cross_entropy, cut(logits, targets, [2, 1]), 2)
    # -log softmax: log(1 + e^-2), log 2, log(1 + e^3)
    assert found.loss == pytest.approx((0.126928 + 0.693147 + 3.048587) / 3, abs=1e-6)
    # Image 1 is a tie, which goes to the first class.
    assert found.accuracy == pytest.approx(1 / 3)
    assert found.confusion.tolist() == [[1, 1], [1, 0]]


def test_the_class_is_among_the_five_largest_logits_where_fewer_than_five_come_before_it():
    falling = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    nan = float("nan")
    rows = [falling, falling, [0.0] * 6, [0.0] * 6, [nan, 1.0, 1.0, 1.0, 1.0, 1.0], [nan] * 6]
    logits, targets = torch.tensor(rows), torch.tensor([4, 5, 4, 5, 4, 0])
    # Equal logits go by position; what is no number stands before all others, and is never right.
    assert among_guesses(logits, targets).tolist() == [True, False, True, False, True, False]
    found = evaluate(Given(), lambda logits, targets: logits[0, 0], cut(logits[:4], targets[:4], [3, 1]), 6)
    assert found.top5_accuracy == 2 / 4
    assert evaluate(Given(), functional.cross_entropy, [(logits[:, :5], targets % 5)], 5).top5_accuracy is None


@settings(deadline=None, max_examples=30)
@given(
    number=st.integers(1, 40),
    batch_size=st.integers(1, 15),
    classes=st.integers(2, 6),
    seed=st.integers(0, 1000),
)
def test_any_cut_into_batches_gives_the_figures_of_the_whole(number, batch_size, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(number, classes, generator=generator)
    targets = torch.randint(classes, (number,), generator=generator)
    found = evaluate(Given(), functional.cross_entropy, cut(logits, targets, batch_size), classes)
    predicted = logits.argmax(1)
    assert found.loss == pytest.approx(float(functional.cross_entropy(logits, targets)), rel=1e-5, abs=1e-6)
    assert found.accuracy == int((predicted == targets).sum()) / number
    assert found.confusion.dtype == torch.int64
    by_hand = [
        [int(((targets == true) & (predicted == taken)).sum()) for taken in range(classes)] for true in range(classes)
    ]
    assert found.confusion.tolist() == by_hand


def test_a_network_over_uneven_batches_equals_a_loop_over_single_images():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (23, 1, 28, 28), generator=generator, dtype=torch.uint8)
    images = Images(pixels, torch.randint(10, (23,), generator=generator))
    torch.manual_seed(1)
    network = LeNet5((1, 28, 28), 10).eval()
    batches = Batches(images, 8, [0.5], [0.25])
    assert [len(targets) for _, targets in batches] == [8, 8, 7]
    found = evaluate(network, functional.cross_entropy, batches, 10)
    total, right = 0.0, 0
    with torch.no_grad():
        for pixel, label in zip(pixels, images.labels, strict=True):
            logits = network(((pixel / 255 - 0.5) / 0.25)[None])[0]
            total += float(logits.exp().sum().log() - logits[label])
            right += int(logits.argmax() == label)
    assert found.loss == pytest.approx(total / 23, rel=1e-4)
    assert found.accuracy == right / 23
    assert found.confusion.sum(1).equal(images.labels.bincount(minlength=10))


def mixed():
    """A network with dropout and batch norm, which know the mode."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))


def batches():
    generator = torch.Generator().manual_seed(2)
    return cut(torch.randn(10, 6, generator=generator), torch.randint(3, (10,), generator=generator), 4)


@pytest.mark.parametrize("training", [True, False])
def test_it_runs_in_evaluation_mode_and_leaves_the_mode_as_it_was(training):
    network = mixed().train(training)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    modes = []
    network.register_forward_pre_hook(lambda *_: modes.append(network[2].training))
    state = torch.get_rng_state()
    evaluate(network, functional.cross_entropy, batches(), 3)
    assert modes == [False] * 3
    assert [module.training for module in network.modules()] == [training] * 5
    assert all(tensor.equal(before[key]) for key, tensor in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_part_that_was_frozen_in_evaluation_mode_stays_so():
    network = mixed().train()
    network[1].eval()
    evaluate(network, functional.cross_entropy, batches(), 3)
    assert [module.training for module in network.modules()] == [True, True, False, True, True]


def test_no_gradients_are_recorded():
    network = mixed()
    recorded = []
    network.register_forward_hook(lambda _module, _inputs, outputs: recorded.append(outputs.requires_grad))
    evaluate(network, functional.cross_entropy, batches(), 3)
    assert recorded == [False] * 3
    assert torch.is_grad_enabled()


def test_every_batch_runs_under_autocast():
    entered = []

    @contextlib.contextmanager
    def autocast():
        entered.append(True)
        with torch.autocast("cpu", torch.bfloat16):
            yield

    network = mixed()
    kinds = []
    network.register_forward_hook(lambda _module, _inputs, outputs: kinds.append(outputs.dtype))
    found = evaluate(network, functional.cross_entropy, batches(), 3, autocast)
    assert len(entered) == 3
    assert kinds == [torch.bfloat16] * 3
    plain = evaluate(network, functional.cross_entropy, batches(), 3)
    assert found.loss == pytest.approx(plain.loss, rel=0.05)


def test_more_classes_than_labels_make_a_larger_matrix():
    logits = torch.tensor([[0.0, 1.0, 5.0, 2.0]])
    found = evaluate(Given(), functional.cross_entropy, [(logits, torch.tensor([1]))], 4)
    assert found.confusion.tolist() == [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert found.accuracy == 0


def test_a_confusion_matrix_of_very_many_classes_is_not_counted():
    logits, targets = torch.eye(3, 100_000), torch.tensor([0, 1, 7])
    found = evaluate(Given(), functional.cross_entropy, [(logits, targets)], 100_000)
    assert found.confusion is None
    assert found.accuracy == pytest.approx(2 / 3)


def test_two_thousand_classes_are_the_most_whose_confusion_is_counted():
    def found(classes):
        batch = torch.zeros(1, classes), torch.tensor([5])
        return evaluate(Given(), functional.cross_entropy, [batch], classes)

    assert found(2000).confusion.nonzero().tolist() == [[5, 0]]
    assert found(2001).confusion is None


def test_a_process_without_batches_tells_what_all_processes_have_counted(monkeypatch):
    def with_others(tensors):
        assert [tensor.dtype for tensor in tensors] == [torch.int64]  # as the others have it
        tensors[0] += torch.tensor([[1, 2], [0, 1]])

    monkeypatch.setattr(
        evaluation, "sum_of_numbers", lambda *own: [a + b for a, b in zip(own, (6.0, 2, 0, 4), strict=True)]
    )
    monkeypatch.setattr(evaluation, "sum_over_processes", with_others)
    found = evaluate(Given(), functional.cross_entropy, [], 2)
    assert (found.loss, found.accuracy, found.top5_accuracy) == (1.5, 0.5, None)
    assert found.confusion.tolist() == [[1, 2], [0, 1]]
