"""One batch under attack, by attacks that the test makes up: what is counted, kept, timed, and given to them."""

import itertools
import math
import warnings
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from secateur.measuring.attacks import search as module
from secateur.measuring.attacks.catalogue import find_attacks
from secateur.measuring.attacks.outcome import rows_of, weaker_than_noise
from secateur.measuring.attacks.search import Found, search


class Bright(nn.Module):
    """Logits of three classes of one pixel p: 0, 4 p - 2 and 8 p - 7; class 1 from 0.5 on, class 2 beyond 1.25."""

    def forward(self, pixels):
        pixel = pixels.flatten(1)
        return torch.cat([0 * pixel, 4 * pixel - 2, 8 * pixel - 7], 1)


def made_up(run, **what):
    """An attack of this run of an engine, by default one that runs for each epsilon."""
    kind = {"norm": "Linf", "minimises": False, "walks": False, "is_targeted": False, **what}
    distance = find_attacks("FGSM", None, None)[0].engine.distance
    return SimpleNamespace(engine=SimpleNamespace(run=run, distance=distance), name="made up", **kind)


def brighter(model, inputs, criterion, epsilon=5):
    return inputs + epsilon


def searched(attack, values, epsilons, pool=None):
    pixels = torch.tensor(values).view(-1, 1, 1, 1)
    model = Bright().eval()
    labels = (pixels >= 0.5).flatten().long()
    return search(attack, model, pixels, labels, model(pixels).argmax(1), epsilons, pool or (pixels, labels))


def test_an_image_is_shown_as_the_smallest_epsilon_changed_it():
    found = searched(made_up(brighter), [0.375, 0.125, 0.0], [0, 0.25, 0.5])
    # 0.25 takes the first across 0.5, and 0.5 the second
    assert found.broken.tolist() == [[False] * 3, [True, False, False], [True, True, False]]
    assert found.originals.flatten().tolist() == [0.375, 0.125]
    assert found.adversarial.flatten().tolist() == [0.625, 0.625]


def test_six_images_at_most_are_kept_and_they_are_the_first():
    values = [0.25, 0.4375, 0.375, 0.3125, 0.28125, 0.34375, 0.40625, 0.46875]
    found = searched(made_up(brighter), values, [0.25])
    # 0.25 comes to 0.5 itself, where both logits are 0 and the first class is named.
    assert found.broken.tolist() == [[False, *[True] * 7]]
    assert found.originals.flatten().tolist() == values[1:7]
    assert found.adversarial.flatten().tolist() == [value + 0.25 for value in values[1:7]]


def test_the_smallest_change_is_measured_after_pixels_are_brought_into_their_range():
    found = searched(made_up(brighter, minimises=True), [0.375, 0.75], [0.5, 0.75])
    assert found.norms.tolist() == [0.625, math.inf]  # 5 is clipped to 1, where the second logit is still the largest
    assert found.images == 2


def test_the_seconds_of_each_epsilon_are_those_of_its_run(monkeypatch):
    now = itertools.accumulate(itertools.count(10))  # 10, 21, 33, 46
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(now)))
    assert searched(made_up(brighter), [0.375], [0, 0.25, 0.5]).seconds == [0, 11, 13]
    now = itertools.accumulate(itertools.count(10))
    assert searched(made_up(brighter, minimises=True), [0.375], [0, 0.25, 0.5]).seconds == [11] * 3


def test_rounding_may_take_a_change_a_little_beyond_epsilon_and_0_holds_nothing():
    norms = torch.tensor([0.0, 2.0, 2.0002, 2.0003, math.inf], dtype=torch.float64)
    assert module._within(norms, 2.0).tolist() == [True, True, True, False, False]
    assert module._within(norms, math.inf).tolist() == [True] * 4 + [False]
    assert not module._within(norms, 0).any()
    assert module._within(torch.tensor([1e-6, 1.1e-6], dtype=torch.float64), 1e-9).tolist() == [True, False]
    edge = 2 * (1 + 1e-4) + 1e-6
    assert module._within(torch.tensor([edge], dtype=torch.float64), 2).tolist() == [True]


def test_what_walks_starts_at_the_nearest_image_that_is_taken_for_another_class():
    starts = []

    def walk(model, inputs, criterion, starting_points):
        starts.extend(zip(inputs.flatten().tolist(), starting_points.flatten().tolist(), strict=True))
        return starting_points

    pool = torch.tensor([0.125, 0.375, 0.625, 1.0]).view(-1, 1, 1, 1), torch.tensor([0, 0, 1, 1])
    found = searched(made_up(walk, walks=True, minimises=True), [0.25, 0.75], [1.0], pool)
    assert starts == [(0.25, 0.625), (0.75, 0.375)]
    assert found.norms.tolist() == [0.375, 0.375]
    zeros = torch.tensor([0.125, 0.375]).view(-1, 1, 1, 1), torch.tensor([0, 0])
    starts.clear()
    found = searched(made_up(walk, walks=True, minimises=True), [0.25, 0.75], [1.0], zeros)
    assert starts == [(0.75, 0.375)]  # for the first there is none
    assert found.norms.tolist() == [math.inf, 0.375]


def test_what_must_be_told_a_class_aims_at_the_likeliest_of_the_others():
    aims = []

    def aim(model, inputs, criterion, epsilon):
        aims.append(criterion)
        return inputs

    searched(made_up(aim, is_targeted=True), [0.25, 0.625, 0.9375], [0.5])
    (criterion,) = aims
    assert type(criterion).__name__ == "TargetedMisclassification"
    assert criterion.target_classes.raw.tolist() == [1, 0, 2]  # logits 0, 1.75 and 0.5 of the last
    searched(made_up(aim), [0.25], [0.5])
    assert type(aims[1]).__name__ == "Misclassification"


def test_what_foolbox_warns_of_is_not_shown():
    def warn(model, inputs, criterion, epsilon):
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        return inputs

    assert not searched(made_up(warn), [0.25], [0.5]).broken.any()


def test_want_of_memory_ends_the_attack_as_what_it_is():
    def run_out(model, inputs, criterion, epsilon):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        searched(made_up(run_out), [0.25], [0.5])


def test_images_of_a_batch_before_are_no_longer_there_for_an_attack_by_the_data_set():
    [attack] = find_attacks("Dataset", None, None)
    assert searched(attack, [0.25, 0.375, 0.75], [1.0]).broken.all()
    # Of two images of one class neither can be taken for the other's.
    assert not searched(attack, [0.25, 0.375], [1.0]).broken.any()


def test_the_rows_of_two_batches_by_hand():
    none = torch.zeros(0)
    first = Found(4, torch.tensor([[True, False, False], [True, True, False]]), None, [1.0, 0.0], none, none)
    second = Found(4, torch.tensor([[False], [True]]), None, [3.0, 0.0], none, none)
    attack = SimpleNamespace(name="FGSM", norm="Linf")
    row = {"network": "net", "attack": "FGSM", "norm": "Linf", "images": 8, "clean": 0.5, "median_norm": None}
    assert rows_of("net", attack, [0.1, 0.3], [first, second]) == [
        row | {"epsilon": 0.1, "robust": 3 / 8, "success": 1 / 4, "samples_per_s": 1.0},
        row | {"epsilon": 0.3, "robust": 1 / 8, "success": 3 / 4, "samples_per_s": None},
    ]
    norms = [torch.tensor([0.5, math.inf, 2.0]), torch.tensor([1.5])]
    both = [replace(one, norms=norm, seconds=[1.0, 1.0]) for one, norm in zip((first, second), norms, strict=True)]
    assert [row["median_norm"] for row in rows_of("net", attack, [0.1, 0.3], both)] == [1.5, 1.5]


def test_each_epsilon_within_which_noise_finds_more_is_named():
    def row(attack, epsilon, robust, norm="L2"):
        return {"network": "net", "attack": attack, "norm": norm, "epsilon": epsilon, "robust": robust}

    rows = [row("few", epsilon, robust) for epsilon, robust in ((0.1, 0.5), (0.2, 0.75), (1 / 3, 0.75), (0.4, 0.75))]
    rows += [row("noise", epsilon, 0.5) for epsilon in (0.1, 0.2, 1 / 3)]
    rows += [row("few", 0.2, 0.9, "Linf"), row("loud", 0.2, 0.75)]
    assert list(weaker_than_noise(rows, {"noise"})) == [
        "few on net finds less than noise does within epsilon 0.2, 0.3333: distrust it",
        "loud on net finds less than noise does within epsilon 0.2: distrust it",
    ]
    assert list(weaker_than_noise(rows, {"noise", "loud"}))[1:] == []
