"""Weights that are computed from others, as weight_norm and spectral_norm do, and channels that go."""

import copy
import json

import pytest
import torch
from torch import nn

import secateur
from tests.commands import QUICK

OLD = (nn.utils.weight_norm, nn.utils.spectral_norm)
NEW = (nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
@pytest.mark.parametrize("norm", [*OLD, *NEW], ids=["weight", "spectral", "weight again", "spectral again"])
def test_norms_of_weights_are_folded_before_channels_go(norm):
    torch.manual_seed(0)
    network = nn.Sequential(norm(nn.Conv2d(3, 8, 3)), nn.ReLU(), norm(nn.Conv2d(8, 6, 3)), nn.ReLU(), nn.Flatten())
    network.append(norm(nn.Linear(24, 3)))
    network(torch.randn(2, 3, 6, 6))
    inputs = torch.randn(2, 3, 6, 6)
    expected = network.eval()(inputs).detach()
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    with pytest.raises(ValueError, match="as of 0: fold the norms before the optimizer is made"):
        secateur.Pruner(network, "L1Norm", sparsity=0.5, example=inputs[:1], optimizer=optimizer)
    kept = copy.deepcopy(inputs)
    result = secateur.prune(network, "L1Norm", sparsity=0.0, example=inputs[:1])
    assert torch.allclose(network(kept), expected, atol=1e-6)
    assert "folded into the weights of 0, 2, 5" in str(result)
    secateur.prune(network, "L1Norm", sparsity=0.5, example=inputs[:1])
    assert network[0].out_channels + network[2].out_channels == 7
    assert network(inputs).shape == (2, 3)


NORMED = """
import torch
from torch.nn.utils.parametrizations import weight_norm


class Normed(torch.nn.Module):
    \"\"\"A weight that is computed, and attention.\"\"\"

    def __init__(self, input_shape, num_classes):
        super().__init__()
        self.first = weight_norm(torch.nn.Conv2d(input_shape[0], 12, 4, 4))
        self.attention = torch.nn.MultiheadAttention(12, 3, batch_first=True)
        self.last = torch.nn.Linear(12, num_classes)

    def forward(self, images):
        tokens = self.first(images).flatten(2).transpose(1, 2)
        return self.last((tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]).mean(1))
"""


def test_a_run_folds_norms_and_opens_attention_and_its_checkpoint_is_tested_as_it_was(run, tmp_path):
    path = tmp_path / "models" / "Normed.py"
    path.parent.mkdir()
    path.write_text(NORMED)
    small = f"--components {tmp_path} {QUICK}"
    data = "--data_set RUBBISH --input_dim 3 8 8 --N 64"
    trained = run(
        f"--model Normed {data} --epochs 1 --prune_criterion L1Norm --pruning_limit 0.4 --distribution uniform {small}"
    )
    assert trained.status == 0, trained.err
    told = " ".join((trained.out + trained.err).split())
    assert "the norms of weights were folded into the weights of first" in told
    assert "in_proj_weight is now in_proj.weight in attention, whose heads can go" in told
    results = json.loads((trained.folder / "output" / "results.json").read_text())
    assert results["layers_left_out"] == {}
    tested = run(f"--eval --checkpoint_name {trained.folder.name} {small}")
    assert tested.status == 0, tested.err
    again = json.loads((tested.folder / "output" / "results.json").read_text())
    assert [again[key] for key in again if key.startswith("test_loss")] == [
        results[key] for key in again if key.startswith("test_loss")
    ]
