"""Batches that have as many images of every class, and the masks that a single class would give."""

import pytest
import torch
from torch import nn

from secateur.pruning.class_balance import balanced_batches
from secateur.pruning.class_masks import snip_masks
from secateur.utils.errors import UserError

TARGETS = torch.tensor([0, 0, 0, 1, 1, 0, 1, 1, 0, 1])


def batches():
    """Images 0 to 9 in batches of two."""
    return zip(torch.arange(10.0).split(2), TARGETS.split(2), strict=True)


@pytest.mark.parametrize(("number", "per_class", "left"), [(1, 2, 2), (1, 3, 1), (2, 2, 1), (2, 1, 2), (1, 1, 3)])
def test_no_more_batches_are_read_than_are_needed(number, per_class, left):
    source = batches()
    found = balanced_batches(source, number, per_class, 2)
    assert [len(targets) for _, targets in found] == [2 * per_class] * number
    assert [targets.bincount().tolist() for _, targets in found] == [[per_class] * 2] * number
    assert len(list(source)) == left


def test_each_image_is_in_one_batch_with_its_class():
    found = balanced_batches(batches(), 2, 2, 2)
    assert [inputs.tolist() for inputs, _ in found] == [[0, 1, 3, 4], [2, 5, 6, 7]]
    assert [targets.tolist() for _, targets in found] == [[0, 0, 1, 1], [0, 0, 1, 1]]


def test_where_there_are_too_few_those_that_there_are_can_be_taken():
    found = balanced_batches(batches(), 2, 3, 3, partial=True)
    assert [inputs.tolist() for inputs, _ in found] == [[0, 1, 2, 3, 4, 6], [5, 7, 8, 9]]


@pytest.mark.parametrize(
    ("source", "number", "per_class", "classes", "message"),
    [
        (batches, 3, 2, 2, "3 such batches take 6 images of each class, and there are 5 of class 0"),
        (batches, 1, 1, 4, "1 such batches take 1 images of each class, and there are 0 of class 2"),
        (list, 2, 3, 2, "2 such batches take 6 images of each class, and there are 0 of class 0"),
    ],
)
def test_too_few_images_are_told_with_their_class(source, number, per_class, classes, message):
    with pytest.raises(UserError) as raised:
        balanced_batches(source(), number, per_class, classes)
    assert str(raised.value) == (
        f"--samples_per_class {per_class}: {message}: ask for fewer, or lower --saliency_batches"
    )


def test_the_masks_of_a_class_are_those_of_snip_over_all_layers():
    network = nn.Sequential(nn.Linear(4, 1, bias=False), nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, -2.0, 3.0, -4.0]]))
        network[1].weight.fill_(2.0)
    images = torch.tensor([[7.0, 2.0, 1.0, 1.0], [3.0, 0.0, 1.0, 1.0]])  # on average 5, 1, 1, 1
    # |dL/dw * w|: 10, 4, 6, 8, and of the second layer (5 - 2 + 3 - 4) * 2 = 4, which comes after its equal
    masks = snip_masks(network, lambda outputs, _: outputs.mean(), [(images, torch.zeros(2))], [0.4, 0.6, 0.0])
    assert [mask["0"].tolist() for mask in masks] == [
        [[True, False, True, True]], [[True, False, False, True]], [[True] * 4],
    ]  # fmt: skip
    assert [mask["1"].tolist() for mask in masks] == [[[False]], [[False]], [[True]]]
