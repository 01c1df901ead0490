"""What is drawn of masks, and what the first layers read, by hand."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

from secateur.data.corruptions import as_pixels
from secateur.pruning.layers import prunable_layers
from secateur.testers import MaskPictures as MaskPictures_module
from secateur.testers.MaskPictures import MaskPictures
from secateur.utils.errors import UserError
from secateur.utils.seeds import seeded_generator

SCHEME = "--test_scheme MaskPictures"
COLOUR = "--data_set RUBBISH --input_dim 3 4 4 --rubbish_images 40"


@pytest.fixture
def charts(monkeypatch):
    """What is drawn, by the name of the chart."""
    drawn = {}
    names = ("pixels_read", "kernels", "kept_layers", "classes")
    fakes = {name: lambda *arguments, name=name: drawn.__setitem__(name, arguments) for name in names}
    monkeypatch.setattr(MaskPictures_module, "charts", SimpleNamespace(**fakes))
    return drawn


def as_lists(value):
    """Tensors as lists, which can be compared, in whatever they stand."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {name: as_lists(one) for name, one in value.items()}
    return [as_lists(one) for one in value] if isinstance(value, list | tuple) else value


def test_pixels_are_counted_by_channel_and_classes_drawn_for_a_first_layer_that_reads_them(
    evaluating, charts, monkeypatch
):
    run = evaluating(SCHEME, f"--model LogisticRegression {COLOUR}")
    weight = run.network.classifier.weight.data
    weight.fill_(2.0)
    weight[:, 0] = 0  # the first pixel of the first channel
    weight[1:, 17] = 0  # the second of the second channel is read by the first output alone
    weight[9] = 0
    tester, classes = MaskPictures(run), []
    monkeypatch.setattr(tester, "draw_classes", classes.append)
    results = tester.evaluate()
    (label,) = run.compared
    kept = 480 - 10 - 9 - 46
    row = {"network": label, "layer": "classifier", "shape": "10x48", "weights_kept": kept}
    row |= {"density": pytest.approx(kept / 480), "outputs_used": 9, "pixels_read": 47}
    assert results["first_layers"] == [row]
    assert run.hooks.tables == [("first_layers", "the first layer on RUBBISH", [row], {"density": "{:.2%}"})]
    counts = torch.full((3, 4, 4), 9)
    counts[0, 0, 0], counts[1, 0, 1] = 0, 1
    output = run.folder.output
    mask = {label: {"classifier": (weight != 0).tolist()}}
    assert as_lists(charts) == {
        "pixels_read": [{label: counts.tolist()}, output / "mask_pixels.png"],
        "kept_layers": [mask, output / "mask_layers.png"],
    }
    assert classes == ["classifier"]
    assert run.notices == []


def test_kernels_are_drawn_of_a_convolution_and_no_classes(evaluating, charts):
    run = evaluating(SCHEME, "--model LeNet5 --data_set DIGITS --N 20")
    results = MaskPictures(run).evaluate()
    (label,) = run.compared
    name, layer = next(iter(prunable_layers(run.network).items()))
    assert set(charts) == {"kernels", "kept_layers"}
    assert as_lists(charts["kernels"]) == [{label: layer.weight.tolist()}, run.folder.output / "mask_kernels.png"]
    (row,) = results["first_layers"]
    assert (row["pixels_read"], row["outputs_used"], row["density"]) == (None, len(layer.weight), 1)
    notice = f"no pictures of single classes: {name}, the first layer, has no weights of its own for each pixel"
    assert run.notices == [notice]


def test_the_fresh_network_is_pruned_by_the_images_of_each_class_and_of_all(evaluating, charts, monkeypatch):
    flags = "--mask_sparsities .5,.75 --mask_images 2 --seed 5"
    run = evaluating(f"{SCHEME} {flags}", f"--model LogisticRegression {COLOUR}")
    monkeypatch.setattr(MaskPictures_module, "MOST_CLASSES", 3)
    asked = []

    def snip_masks(network, loss, batches, sparsities):
        asked.append((loss, sparsities, batches.images.labels.tolist()))
        assert torch.equal(network.classifier.weight, run.fresh_network(5).classifier.weight)
        masks = [torch.zeros(10, 48, dtype=torch.bool) for _ in sparsities]
        for number, mask in enumerate(masks):
            mask[: number + 2, [0, 16, 33]] = True  # a pixel in two channels, and another in the third
        return [{"classifier": mask} for mask in masks]

    monkeypatch.setattr(MaskPictures_module, "snip_masks", snip_masks)
    tester = MaskPictures(run)
    tester.draw_classes("classifier")
    labels = run.data.train.images.labels
    order = torch.randperm(len(labels), generator=seeded_generator(5, "images of classes"))
    chosen = [order[labels[order] == number][:2] for number in range(3)]
    positions = {**{f"class {number}": own for number, own in enumerate(chosen)}, "all": torch.cat(chosen)}
    assert as_lists(tester.positions(range(3))) == as_lists(positions)
    assert [set(labels) for _, _, labels in asked] == [{0}, {1}, {2}, {0, 1, 2}]
    assert all(one[:2] == (functional.cross_entropy, [0.5, 0.75]) for one in asked)
    columns, sparsities, title, path = charts["classes"]
    assert list(columns) == list(positions)
    for label, (mean, pictures) in columns.items():
        batches = run.data.train.subset(positions[label])
        pixels = torch.cat([as_pixels(run.data.train, inputs) for inputs, _ in batches])
        torch.testing.assert_close(mean, pixels.mean(0))
        expected = torch.zeros(2, 4, 4, dtype=torch.int64)
        expected[0, 0, :2], expected[1, 0, :2] = torch.tensor([4, 2]), torch.tensor([6, 3])
        assert as_lists(pictures) == expected.tolist()
    assert sparsities == [0.5, 0.75]
    assert title == (
        "LogisticRegression, seed 5: weights of each pixel that SNIP keeps in classifier, by the images of one class"
    )
    assert path == run.folder.output / "mask_classes.png"


def test_a_network_without_layers_has_no_masks_to_draw(evaluating, monkeypatch):
    run = evaluating(SCHEME, "--model LogisticRegression --data_set DIGITS --N 20")
    monkeypatch.setattr(MaskPictures_module, "execution_order", lambda network, example: [])
    with pytest.raises(UserError, match="LogisticRegression has no Linear layer and no convolution to draw"):
        MaskPictures(run).evaluate()
