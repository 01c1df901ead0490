"""What parts of a run keep."""

import pytest
import torch
from torch import nn

import secateur
from secateur.utils.stateful import load_own


class Versioned(nn.Module):
    """Like torchvision's MNASNet it loads nothing that does not say by which version of it it was written."""

    _version = 2

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, images):
        return self.layer(images)

    def _load_from_state_dict(self, state, prefix, metadata, *others):
        if metadata.get("version") != 2:
            raise ValueError("no version")
        super()._load_from_state_dict(state, prefix, metadata, *others)


def test_modules_that_ask_for_their_version_load_what_was_kept_by_name(tmp_path):
    network, other = Versioned(), Versioned()
    kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ValueError, match="no version"):
        other.load_state_dict(kept)
    load_own(other, kept)
    assert other.layer.weight.equal(network.layer.weight)
    loaded = secateur.load(secateur.save(network, tmp_path / "versioned"), Versioned())
    assert loaded(torch.ones(1, 2)).equal(network(torch.ones(1, 2)))
