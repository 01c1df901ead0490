"""secateur.measure, evaluate, calibration and attack."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import secateur


def test_a_network_is_counted_by_hand(images):
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10))
    with torch.no_grad():
        network[1].weight[:5] = 0
    found = secateur.measure(network, images[:1], batch_sizes=(2,), seconds=0.01)
    assert (found.parameters, found.parameters_kept) == (1510, 1510 - 320)
    assert found.weight_sparsity == 320 / 1480
    assert found.node_sparsity == 5 / 20
    assert (found.flops, found.flops_effective) == (2 * 1480, 2 * (1480 - 320))
    assert found.bytes == 4 * 1510
    assert set(found.latency_ms) == {2}
    assert found.latency_ms[2] > 0
    assert "parameters kept" in str(found)
    assert "1,190 of 1,510" in str(found)


def test_an_evaluation_by_hand(images):
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    labels = torch.arange(64) % 3
    batches = [(images[:40], labels[:40]), (images[40:], labels[40:])]
    logits = network(images).detach()
    right = logits.argmax(1) == labels
    found = secateur.evaluate(network, batches)
    assert found["accuracy"] == float(right.float().mean())
    assert found["loss"] == pytest.approx(float(functional.cross_entropy(logits, labels)))
    assert found["images"] == int(found["confusion"].sum()) == 64
    assert found["class_accuracies"] == pytest.approx([float(right[labels == k].float().mean()) for k in range(3)])
    assert secateur.evaluate(network, batches, loss=lambda logits, targets: logits.sum() * 0 + 2)["loss"] == 2


def test_no_batches_are_refused():
    with pytest.raises(ValueError, match="batches= holds no batch"):
        secateur.evaluate(nn.Linear(2, 2), [])


def test_calibration_of_a_network_that_is_always_sure_and_half_right():
    network = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        network.weight.copy_(1000 * torch.eye(2))
    inputs = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    found = secateur.calibration(network, [(inputs, torch.tensor([0, 1, 1, 0]))], bins=10)
    assert (found["accuracy"], found["confidence"], found["expected_error"]) == (0.5, 1.0, 0.5)
    assert found["bins"]["images"] == [0] * 9 + [4]


def test_attacks_are_in_pixels_whatever_the_normalisation(images):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    labels = network(images).argmax(1)
    plain = secateur.attack(network, [(images, labels)], "FGSM", epsilons=[0.01, 0.3])
    assert [row["epsilon"] for row in plain.rows] == [0.01, 0.3]
    assert plain.rows[0]["clean"] == 1.0
    assert plain.rows[1]["robust"] <= plain.rows[0]["robust"] < 1
    scaled = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():  # the same function of pixels, for inputs (pixel - 0.5) / 0.25
        scaled[1].weight.copy_(network[1].weight * 0.25)
        scaled[1].bias.copy_(network[1].bias + 0.5 * network[1].weight.sum(1))
    normalised = [((images - 0.5) / 0.25, labels)]
    again = secateur.attack(scaled, normalised, "FGSM", epsilons=[0.01, 0.3], mean=[0.5], std=[0.25])
    assert [row["robust"] for row in again.rows] == [row["robust"] for row in plain.rows]
    with pytest.raises(ValueError, match="foolbox has no attack 'FGMS'"):
        secateur.attack(network, [(images, labels)], "FGMS")
