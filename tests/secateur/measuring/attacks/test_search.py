import math

import pytest
import torch
from torch import nn

from secateur.data.batches import Batches
from secateur.data.data_set import Images
from secateur.measuring.attacks.catalogue import find_attacks
from secateur.measuring.attacks.outcome import rows_of, weaker_than_noise
from secateur.measuring.attacks.search import AttackError, PixelModel, classes, search

# Distances within which clipping to [0, 1] plays no part: the pixels lie from 0.35 to 0.65.
EPSILONS = [0, 0.01, 0.03, 0.1, 0.3]
#: One of each kind of attack, but SpatialAttack, which has no norm.
MANY = (
    "FGSM,FGM,L1FastGradient,LinfPGD,L2PGD,L1PGD,LinfAdamPGD,LinfBasicIterative,MIFGSM,SparseL1Descent,"
    "L2ContrastReduction,VirtualAdversarial,L2AdditiveGaussianNoise,LinfAdditiveUniformNoise,L2RepeatedGaussian,"
    "L2ClippingAwareAdditiveUniformNoise,DDN,L2DeepFool,LinfDeepFool,CarliniWagner,EAD,NewtonFool,L0FMN,L1FMN,L2FMN,"
    "LinfFMN,Inversion,BinarySearchContrastReduction,LinearSearchContrastReduction,GaussianBlur,SaltAndPepper,"
    "LinearSearchBlendedUniformNoise,Dataset,Boundary,HopSkipJump,Pointwise,Gen"
)


@pytest.fixture
def linear():
    """A linear classifier of 1x4x4 images with data: the model, pixels, labels (three of them wrong), their margins.

    The margin is how far the right class's logit is above the other's; its gradient is that for pixels in [0, 1].
    """
    images = Images(torch.randint(90, 166, (40, 1, 4, 4), dtype=torch.uint8), torch.zeros(40, dtype=torch.int64))
    batches = Batches(images, 40, mean=[0.5], std=[0.25])
    layer = nn.Linear(16, 2)
    model = PixelModel(nn.Sequential(nn.Flatten(), layer), batches).eval().requires_grad_(False)
    pixels = images.pixels.float() / 255
    logits = layer(((pixels - 0.5) / 0.25).flatten(1))
    labels = logits.argmax(1)
    labels[:3] = 1 - labels[:3]
    margins = (logits[:, 1] - logits[:, 0]) * (2 * labels - 1)
    return model, pixels, labels, margins, (layer.weight[1] - layer.weight[0]) / 0.25


def attacked(name, linear, epsilons=EPSILONS):
    model, pixels, labels, *_ = linear
    [attack] = find_attacks(name, None, None)
    predicted = classes(model, pixels, 16)
    return attack, search(attack, model, pixels, labels, predicted, epsilons, (pixels, predicted))


@pytest.mark.parametrize(
    ("name", "loss_of_margin"),
    [
        ("FGSM", lambda gradient: gradient.abs().sum()),  # the dual norms
        ("LinfPGD", lambda gradient: gradient.abs().sum()),
        ("FGM", lambda gradient: gradient.norm()),
        ("L1FastGradient", lambda gradient: gradient.square().sum() / gradient.abs().sum()),
    ],
)
def test_on_a_linear_classifier_what_breaks_is_told_by_margin_and_dual_norm(linear, name, loss_of_margin):
    *_, margins, gradient = linear
    attack, found = attacked(name, linear)
    right = margins[3:]
    assert (margins[:3] < 0).all()
    assert (right > 0).all()
    for row, epsilon in enumerate(EPSILONS):
        assert found.broken[row].tolist() == (right < epsilon * loss_of_margin(gradient)).tolist()
    rows = rows_of("net", attack, EPSILONS, [found])
    expected = [(right >= epsilon * loss_of_margin(gradient)).sum().item() / 40 for epsilon in EPSILONS]
    assert [row["robust"] for row in rows] == expected
    assert len(set(expected)) > 1
    assert all(row["clean"] == 37 / 40 for row in rows)
    assert [row["success"] for row in rows] == pytest.approx([1 - 40 * robust / 37 for robust in expected])


@pytest.mark.parametrize(("name", "dual"), [("L2DeepFool", 2), ("LinfDeepFool", 1), ("DDN", 2)])
def test_on_a_linear_classifier_the_smallest_change_is_margin_by_dual_norm(linear, name, dual):
    *_, margins, gradient = linear
    epsilons = [0.01, 0.05, 0.2, math.inf]
    attack, found = attacked(name, linear, epsilons)
    smallest = margins[3:] / gradient.norm(p=dual)
    assert (found.norms >= 0.999 * smallest).all()  # nothing nearer exists
    assert found.norms.median() == pytest.approx(float(smallest.median()), rel=0.15)
    rows = rows_of("net", attack, epsilons, [found])
    robust = [row["robust"] for row in rows]
    assert robust == sorted(robust, reverse=True)
    assert robust[-1] == 0
    assert rows[0]["median_norm"] == found.norms.double().median()  # of 37, an odd number


def test_noise_finds_less_than_an_attack_and_one_that_does_not_is_named(linear):
    noise, drawn = attacked("LinfUniformNoise", linear)
    fgsm, found = attacked("FGSM", linear)
    assert (drawn.broken.sum(1) <= found.broken.sum(1)).all()
    assert drawn.broken.sum() < found.broken.sum()
    rows = [*rows_of("net", fgsm, EPSILONS, [found]), *rows_of("net", noise, EPSILONS, [drawn])]
    assert list(weaker_than_noise(rows, {noise.name})) == []
    rows[-1]["robust"] = rows[4]["robust"] - 0.1
    assert list(weaker_than_noise(rows, {noise.name})) == [
        "FGSM on net finds less than noise does within epsilon 0.3: distrust it"
    ]


def test_normalisation_is_inside(linear):
    model, pixels, *_ = linear
    batches = Batches(Images((pixels * 255).round().byte(), torch.zeros(40)), 40, mean=[0.5], std=[0.25])
    [(normalised, _)] = list(batches)
    assert torch.allclose(model(pixels), model.network(normalised), atol=1e-5)


@pytest.mark.parametrize("name", MANY.split(","))
def test_what_an_attack_found_is_misclassified_and_as_near_as_it_is_said_to_be(linear, name):
    model = linear[0]
    epsilons = [0.25, 2.0, 16.0]
    _, found = attacked(name, linear, epsilons)
    assert found.images == 40
    assert found.broken.shape == (3, 37)
    assert found.adversarial.shape == found.originals.shape
    assert ((found.adversarial >= 0) & (found.adversarial <= 1)).all()
    assert found.broken.any() == (len(found.adversarial) > 0)
    if len(found.adversarial):
        assert (model(found.adversarial).argmax(1) != model(found.originals).argmax(1)).all()
    if found.norms is not None:
        assert found.broken.tolist() == [(found.norms <= epsilon * 1.0001 + 1e-6).tolist() for epsilon in epsilons]


def test_by_a_change_of_one_pixels_become_black_or_white(linear):
    _, found = attacked("FGSM", linear, [1])
    assert found.adversarial.unique().tolist() == [0, 1]


def test_a_claim_that_is_not_finite_does_not_count(linear, monkeypatch):
    [attack] = find_attacks("DDN", None, None)
    monkeypatch.setattr(type(attack.engine), "run", lambda self, model, inputs, criterion: inputs * math.nan)
    _, found = attacked("DDN", linear)
    assert found.norms.isinf().all()
    assert not found.broken.any()


def test_an_attack_that_gives_up_is_told_from_a_bug(linear, monkeypatch):
    def give_up(self, model, inputs, criterion):
        raise ValueError("no gradient")

    [attack] = find_attacks("DDN", None, None)
    monkeypatch.setattr(type(attack.engine), "run", give_up)
    with pytest.raises(AttackError, match="no gradient"):
        attacked("DDN", linear)


def test_where_nothing_is_right_nothing_is_attacked(linear):
    model, pixels, *_ = linear
    predicted = classes(model, pixels, 16)
    for name in ("FGSM", "DDN"):
        [attack] = find_attacks(name, None, None)
        found = search(attack, model, pixels, 1 - predicted, predicted, [0.1], (pixels, predicted))
        [row] = rows_of("net", attack, [0.1], [found])
        assert (row["clean"], row["robust"], row["success"], row["median_norm"]) == (0, 0, None, None)


def test_walking_attacks_leave_images_alone_where_none_of_another_class_is_there_to_start_from(linear):
    model, pixels, *_ = linear
    [attack] = find_attacks("Boundary", None, 10)
    predicted = classes(model, pixels, 16)
    same = predicted == predicted[0]
    alone = (pixels[same], predicted[same])
    assert not search(attack, model, *alone, predicted[same], [8.0], alone).broken.any()
    everything = (pixels, predicted)
    assert search(attack, model, *alone, predicted[same], [8.0], everything).broken.all()
