"""Pruning in Lightning's trainer, where Lightning is installed."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import secateur
import secateur.utils.torchvision_import

pytest.importorskip("lightning")
pytestmark = pytest.mark.filterwarnings("ignore")  # of Lightning's own


def module(seed=0):
    from lightning.pytorch import LightningModule

    class Classifier(LightningModule):
        def __init__(self):
            super().__init__()
            torch.manual_seed(seed)
            self.model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

        def forward(self, images):
            return self.model(images)

        def training_step(self, batch, _number):
            return functional.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)

    return Classifier()


def loader():
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.rand(64, 1, 8, 8, generator=generator), torch.arange(64) % 10
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), batch_size=16)


def trainer(folder, callback, **options):
    from lightning.pytorch import Trainer

    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu"}
    return Trainer(max_epochs=4, callbacks=[callback], default_root_dir=folder, **quiet, **options)


def callback(criterion="SNIPitDuring", **options):
    from secateur.integrations.lightning import PruningCallback

    return PruningCallback(criterion, sparsity=0.9, outer_layer_pruning=True, **options)


@pytest.mark.parametrize("options", [{}, {"gradient_clip_val": 1.0}, {"precision": "bf16-mixed"}])
def test_the_target_is_hit_exactly_while_lightning_trains(tmp_path, options):
    network, pruning = module(), callback(snip_steps=2)
    trainer(tmp_path, pruning, enable_checkpointing=False, **options).fit(network, loader())
    weights = [network.model[1].weight, network.model[3].weight]
    assert sum(int((weight != 0).sum()) for weight in weights) == round(0.1 * (64 * 32 + 320))
    assert pruning.pruner.finished


def test_the_masks_are_those_of_a_loop_of_plain_torch(tmp_path):
    network, pruning = module(), callback(snip_steps=2)
    trainer(tmp_path, pruning, enable_checkpointing=False).fit(network, loader())
    own = module()
    optimizer = torch.optim.SGD(own.parameters(), lr=0.1, momentum=0.9)
    pruner = secateur.Pruner(
        own, "SNIPitDuring", sparsity=0.9, batches=loader(), optimizer=optimizer, epochs=4, snip_steps=2,
        outer_layer_pruning=True,
    )  # fmt: skip
    for _ in range(4):
        for images, labels in loader():
            optimizer.zero_grad()
            functional.cross_entropy(own(images), labels).backward()
            optimizer.step()
    assert all(torch.equal(pruner.masks.kept[name], mask) for name, mask in pruning.pruner.masks.kept.items())


def test_accumulated_gradients_make_fewer_steps_an_epoch(tmp_path):
    network, pruning = module(), callback(snip_steps=2)
    trainer(tmp_path, pruning, enable_checkpointing=False, accumulate_grad_batches=2).fit(network, loader())
    assert pruning.pruner.step == 8
    assert pruning.pruner.finished


def test_training_goes_on_from_lightnings_checkpoint(tmp_path):
    network, pruning = module(), callback("Magnitude")
    first = trainer(tmp_path, pruning)
    first.fit(network, loader())
    first.save_checkpoint(tmp_path / "last.ckpt")
    again, pruning_again = module(seed=1), callback("Magnitude")
    longer = trainer(tmp_path, pruning_again, enable_checkpointing=False)
    longer.fit_loop.max_epochs = 6
    longer.fit(again, loader(), ckpt_path=tmp_path / "last.ckpt")
    assert pruning_again.pruner.steps_done == 1
    assert torch.equal(again.model[1].weight != 0, pruning.pruner.masks.kept["model.1"])
