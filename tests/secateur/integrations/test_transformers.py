"""Pruning in transformers' trainer, where transformers is installed."""

import pytest
import torch

import secateur.utils.torchvision_import  # noqa: F401 - before transformers, which imports torchvision itself

pytest.importorskip("transformers")
pytest.importorskip("accelerate")
pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers' own


class Pixels(torch.utils.data.Dataset):
    """32 random images as transformers' trainer takes them."""

    def __len__(self):
        return 32

    def __getitem__(self, number):
        generator = torch.Generator().manual_seed(number)
        return {"pixel_values": torch.rand(3, 16, 16, generator=generator), "labels": number % 4}


def test_the_target_is_hit_exactly_while_transformers_trains(tmp_path):
    from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

    from secateur.integrations.transformers import PruningCallback

    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=16, patch_size=8,
        num_labels=4,
    )  # fmt: skip
    model = ViTForImageClassification(config)
    pruning = PruningCallback("GradualMagnitude", sparsity=0.8, snip_steps=2)
    arguments = TrainingArguments(
        output_dir=str(tmp_path), num_train_epochs=3, per_device_train_batch_size=8, report_to=[], use_cpu=True,
        save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    Trainer(model, arguments, train_dataset=Pixels(), callbacks=[pruning]).train()
    assert pruning.pruner.finished
    pruned = {name.removeprefix("model."): mask for name, mask in pruning.pruner.masks.kept.items()}
    left = sum(int((model.get_submodule(name).weight != 0).sum()) for name in pruned)
    assert left == round(0.2 * sum(mask.numel() for mask in pruned.values()))
