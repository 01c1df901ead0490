"""Which images are attacked, how, within which distances, and what is told of what the attacks found."""

import math

import pytest
import torch

from secateur.measuring.attacks.search import EXAMPLES, AttackError, Found
from secateur.testers import AdversarialEvaluation as AdversarialEvaluation_module
from secateur.testers.AdversarialEvaluation import AdversarialEvaluation
from secateur.utils.seeds import seeded_generator

LINEAR = "--model LogisticRegression --data_set DIGITS --N 20"


@pytest.fixture
def attacking(evaluating):
    """Build the tester of one untrained network, or of as many as are asked for."""

    def make(flags, networks=1):
        return AdversarialEvaluation(evaluating(f"--attack {flags}", *[LINEAR] * networks))

    return make


def found(images, broken, seconds=1.0):
    """What an attack found on a batch whose images are all classified correctly."""
    pixels = torch.linspace(0, 1, images * 64).view(images, 1, 8, 8)
    broken = torch.tensor(broken)
    return Found(images, broken, None, [seconds] * len(broken), pixels.flip(0), pixels)


def test_the_same_images_are_attacked_whatever_the_seed_as_pixels_from_0_to_1(attacking):
    tester = attacking("FGSM --attack_samples 10 --seed 2")
    images = tester.run.data.held_out.images
    order = torch.randperm(360, generator=seeded_generator(0, "attacked images"))[:10]
    torch.testing.assert_close(tester.pixels, images.pixels[order] / 255)
    assert torch.equal(tester.labels, images.labels[order])
    assert tester.batch_size == 3  # a quarter of ten
    assert attacking("FGSM --attack_samples 9 --batch_size 2").batch_size == 2
    assert len(attacking("FGSM --attack_samples 360").pixels) == 360


def test_where_there_are_fewer_images_than_are_attacked_by_default_all_are(evaluating):
    run = evaluating("--attack FGSM", LINEAR)
    run.data.held_out.images = run.data.held_out.images.subset(torch.arange(7))
    assert len(AdversarialEvaluation(run).pixels) == 7


def test_distances_rise_and_attacks_that_minimise_have_one_without_bound(attacking):
    tester = attacking("FGSM,L2DeepFool,Spatial --attack_epsilons 8,1,8 --attack_samples 4")
    distances = {attack.name: tester.epsilons(attack) for attack in tester.attacks}
    assert distances == {"FGSM": [1, 8], "L2DeepFool": [1, 8, math.inf], "Spatial": [math.inf]}
    tester.attack_epsilons = None
    assert tester.epsilons(tester.attacks[0]) == [2 ** (1 + n) / 255 for n in range(6)]


def test_every_batch_of_every_network_is_attacked_with_weights_that_stay(attacking, bar_of, monkeypatch):
    tester = attacking("FGSM,LinfUniformNoise --attack_samples 8 --attack_epsilons .1", networks=2)
    networks = [one.network.train() for one in tester.run.compared.values()]
    seen, (bars, steps) = [], bar_of("AdversarialEvaluation")

    def search(attack, model, pixels, labels, predicted, epsilons, pool):
        (number,) = [number for number, network in enumerate(networks) if model.network is network]
        assert torch.equal(pool[0], tester.pixels)
        assert torch.equal(pool[1], model(tester.pixels).argmax(1))
        place = next(place for place in range(8) if torch.equal(tester.pixels[place], pixels[0]))
        assert torch.equal(labels, tester.labels[place : place + 2])
        assert torch.equal(predicted, pool[1][place : place + 2])
        still = not any(parameter.requires_grad for parameter in networks[number].parameters())
        seen.append((attack.name, number, place, epsilons, still and not networks[number].training))
        return found(2, [[True, False]])

    monkeypatch.setattr(AdversarialEvaluation_module, "search", search)
    tester.attack_networks()
    names = ("FGSM", "LinfUniformNoise")
    assert seen == [(name, number, place, [0.1], True) for number in (0, 1) for name in names for place in (0, 2, 4, 6)]
    assert bars == [(2 * 2 * 8, "images")]
    assert steps == [(done, f"{name} on net{n}") for n in (0, 1) for name in names for done in (0, 2, 2, 2, 2)]
    assert all(network.training for network in networks)
    assert [len(batches) for batches in tester.found.values()] == [4] * 4


def test_the_rows_the_figures_and_a_notice_of_an_attack_weaker_than_noise(attacking, calls_of, monkeypatch):
    robustness = calls_of("AdversarialEvaluation.robustness")
    pictures = calls_of("AdversarialEvaluation.adversarial_images")
    tester = attacking("FGSM,LinfUniformNoise --attack_samples 8 --attack_epsilons .1")
    run = tester.run

    def attack_batch(attack, model, predicted, start):
        return found(2, [[attack.is_noise, start == 0]], seconds=0.5)

    monkeypatch.setattr(tester, "attack_batch", attack_batch)
    results = tester.evaluate()
    (label,) = run.compared
    same = {"network": label, "norm": "Linf", "epsilon": 0.1, "images": 8, "clean": 1.0, "median_norm": None}
    rows = [
        {**same, "attack": "FGSM", "robust": 7 / 8, "success": 1 / 8, "samples_per_s": 4.0},
        {**same, "attack": "LinfUniformNoise", "robust": 3 / 8, "success": 5 / 8, "samples_per_s": 4.0},
    ]
    assert results["attacks"] == rows
    assert (results["attack_samples"], results["interrupted"], run.interruption) == (8, False, None)
    title = "attacks on DIGITS"
    ((name, shown, told, _),) = run.hooks.tables
    assert (name, shown, told) == ("attacks", f"{title}, epsilon and norm of pixels in [0, 1]", rows)
    assert robustness == [(rows, {"LinfUniformNoise"}, title, run.folder.output / "robustness.png")]
    assert run.notices == [f"FGSM on {label} finds less than noise does within epsilon 0.1: distrust it"]
    ((originals, adversarial, pairs, heading, path),) = pictures
    batch = found(2, [[True, True]])
    torch.testing.assert_close(originals, torch.cat([batch.originals] * 3))
    torch.testing.assert_close(adversarial, torch.cat([batch.adversarial] * 3))
    assert len(pairs) == EXAMPLES
    normalised = [run.data.held_out.normalise(255 * images) for images in (originals, adversarial)]
    classes = [run.network.eval()(images).argmax(1).tolist() for images in normalised]
    assert pairs == list(zip(*classes, strict=True))
    assert (heading, path) == (f"FGSM on {label}: the smallest change found", run.folder.output / "adversarial.png")


def test_nothing_is_drawn_where_no_image_was_classified_correctly(attacking, calls_of, monkeypatch):
    robustness = calls_of("AdversarialEvaluation.robustness")
    pictures = calls_of("AdversarialEvaluation.adversarial_images")
    tester = attacking("FGSM --attack_samples 4 --attack_epsilons .1")
    none = Found(1, torch.zeros(1, 0, dtype=torch.bool), None, [0.0], torch.zeros(0, 1, 8, 8), torch.zeros(0, 1, 8, 8))
    monkeypatch.setattr(tester, "attack_batch", lambda *arguments: none)
    (row,) = tester.evaluate()["attacks"]
    assert (row["images"], row["clean"], row["success"]) == (4, 0, None)
    assert (len(robustness), pictures) == (1, [])


def test_what_an_attack_found_before_it_gave_up_does_not_count(attacking, monkeypatch):
    tester = attacking("FGSM,FGM --attack_samples 4 --attack_epsilons .1")

    def attack_batch(attack, model, predicted, start):
        if attack.name == "FGSM" and start:
            raise AttackError("ValueError no gradient")
        return found(1, [[True]])

    monkeypatch.setattr(tester, "attack_batch", attack_batch)
    tester.attack_networks()
    (label,) = tester.run.compared
    assert list(tester.found) == [(label, "FGM")]
    assert tester.run.notices == [f"FGSM on {label} is left out, because it failed: ValueError no gradient"]


def test_an_interruption_before_the_first_batch_leaves_no_table(attacking, calls_of, monkeypatch):
    robustness = calls_of("AdversarialEvaluation.robustness")
    tester, stop = attacking("FGSM --attack_samples 4"), KeyboardInterrupt()

    def attack_batch(*arguments):
        raise stop

    monkeypatch.setattr(tester, "attack_batch", attack_batch)
    results = tester.evaluate()
    assert (results["attacks"], results["interrupted"]) == ([], True)
    assert tester.run.interruption is stop
    assert tester.run.notices == ["interrupted: the attacks below are of the images that were done by then"]
    assert tester.run.hooks.tables == robustness == []
