import torch
from torch import nn
from torch.nn import functional

from secateur.criterions.SNIP import SNIP
from secateur.models.LogisticRegression import LogisticRegression
from secateur.pruning.masks import Masks


def snip(network, **options):
    masks = Masks(network)
    return SNIP(network, masks, functional.cross_entropy, masks.weights, **options)


def linear_case():
    network = LogisticRegression((1, 2, 2), 3)
    return network, torch.randn(6, 1, 2, 2), torch.tensor([0, 1, 2, 0, 1, 2])


def test_scores_equal_the_closed_form_on_a_linear_model():
    network, images, targets = linear_case()
    weight, bias, inputs = network.classifier.weight, network.classifier.bias, images.flatten(1)
    # dL/dW of cross-entropy is mean over samples of (softmax(Wx + b) - onehot) x^T
    error = (inputs @ weight.T + bias).softmax(1) - functional.one_hot(targets, 3)
    expected = (error.T @ inputs / 6 * weight).abs()
    scores = snip(network).scores([(images, targets)])
    torch.testing.assert_close(scores["classifier"], expected)


def test_several_batches_of_one_size_score_as_one_large_batch():
    network, images, targets = linear_case()
    criterion = snip(network)
    together = criterion.scores([(images, targets)])
    apart = criterion.scores([(images[:3], targets[:3]), (images[3:], targets[3:])])
    torch.testing.assert_close(apart, together)


def test_the_raw_form_takes_minus_the_right_logit_for_the_loss():
    network, images, targets = linear_case()
    # dL/dW of mean(-logit_y) is minus the mean over samples of onehot x^T
    expected = (functional.one_hot(targets, 3).float().T @ images.flatten(1) / 6 * network.classifier.weight).abs()
    scores = snip(network, saliency_loss="nll_on_logits").scores([(images, targets)])
    torch.testing.assert_close(scores["classifier"], expected)


def test_a_weight_on_a_dead_input_goes_first():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    images = torch.randn(8, 1, 2, 2)
    images[:, :, 0, 0] = 0
    criterion = snip(network)
    criterion.prune(0.25, [(images, torch.arange(8) % 3)])
    assert criterion.masks.kept["1"].tolist() == [[False, True, True, True]] * 3
