"""What pruning has kept, to look at."""

import torch
from torch import Tensor
from torch.nn import functional

from secateur.config.option import option
from secateur.data.corruptions import as_pixels
from secateur.measuring.charts import masks as charts
from secateur.pruning.class_masks import snip_masks
from secateur.pruning.layers import execution_order, outputs_first, prunable_layers
from secateur.runs.run import Run
from secateur.testers.DefaultTester import DefaultTester
from secateur.utils.errors import UserError
from secateur.utils.seeds import seeded_generator
from secateur.utils.tables import Table

#: Of more classes the first are shown.
MOST_CLASSES = 10


class MaskPictures(DefaultTester):
    """Pictures of masks: pixels that the first layer reads, kernels, all layers, and SNIP's masks of single classes.

    The last are those of Lee et al., 2019 ("SNIP", section 5.4): a fresh network, of the run's seed, is pruned by its
    connection sensitivity on images of one class alone, and the kept weights of its first layer are counted pixel by
    pixel; what is kept looks like the class. This asks for a first layer that is Linear and reads the pixels.
    """

    mask_sparsities: list[float] = option(
        [0.1, 0.5, 0.9, 0.99],
        "sparsities to which the fresh network is pruned on images of one class",
        low=0,
        high=1,
        below=True,
        metavar="S,S",
    )
    mask_images: int = option(100, "training images of each class", low=1)

    def evaluate(self) -> dict[str, object]:
        """Draw, and tabulate what the first layers read; adds `first_layers` to the results, by network."""
        run, output = self.run, self.run.folder.output
        results = super().evaluate()
        first = {label: _first_layer(one) for label, one in run.compared.items()}
        rows = [{"network": label, **self.read_by(name, weight)} for label, (name, weight) in first.items()]
        title = f"the first layer on {results['data_set']}"
        run.hooks.table_created(run=run, table=Table("first_layers", title, rows, {"density": "{:.2%}"}))
        pixels = {
            label: counts for label, (_, weight) in first.items() if (counts := self.by_pixel(weight)) is not None
        }
        if pixels:
            charts.pixels_read(pixels, output / "mask_pixels.png")
        kernels = {label: weight for label, (_, weight) in first.items() if weight.ndim == 4}
        if kernels:
            charts.kernels(kernels, output / "mask_kernels.png")
        layers = {
            label: {name: layer.weight.detach() != 0 for name, layer in prunable_layers(one.network).items()}
            for label, one in run.compared.items()
        }
        charts.kept_layers(layers, output / "mask_layers.png")
        name, weight = _first_layer(run)
        if self.by_pixel(weight) is None:
            notice = f"no pictures of single classes: {name}, the first layer, has no weights of its own for each pixel"
            run.notify(notice)
        else:
            self.draw_classes(name)
        return {**results, "first_layers": rows}

    def read_by(self, name: str, weight: Tensor) -> dict[str, object]:
        """What a first layer, weight (O, I) or (O, I, kh, kw), has left."""
        kept = weight != 0
        counts = self.by_pixel(weight)
        return {
            "layer": name,
            "shape": "x".join(map(str, weight.shape)),
            "weights_kept": int(kept.sum()),
            "density": float(kept.float().mean()),
            "outputs_used": int(kept.flatten(1).any(1).sum()),
            "pixels_read": None if counts is None else int((counts > 0).sum()),
        }

    def by_pixel(self, weight: Tensor) -> Tensor | None:
        """Count the weights (O, C * H * W) of each pixel that are not zero, as (C, H, W); None for another layer."""
        shape = self.run.data.input_shape
        if weight.ndim != 2 or weight.shape[1] != torch.Size(shape).numel():
            return None
        return (weight != 0).sum(0).view(shape).cpu()

    def draw_classes(self, layer: str) -> None:
        """Prune the fresh network by the images of each class, and of all, and draw what its first layer reads."""
        run, seed = self.run, self.run.options.seed
        network = run.fresh_network(seed).to(run.device)
        batches, classes = run.data.train, range(min(run.data.num_classes, MOST_CLASSES))
        columns = {}
        for label, positions in self.positions(classes).items():
            ours = batches.subset(positions)
            masks = snip_masks(network, functional.cross_entropy, ours, self.mask_sparsities)
            mean = torch.cat([as_pixels(batches, inputs) for inputs, _ in ours]).mean(0).cpu()
            columns[label] = mean, [self.by_pixel(one[layer]).sum(0) for one in masks]
        name = f"{run.model_spec['model']}, seed {seed}"
        title = f"{name}: weights of each pixel that SNIP keeps in {layer}, by the images of one class"
        charts.classes(columns, self.mask_sparsities, title, run.folder.output / "mask_classes.png")

    def positions(self, classes: range) -> dict[str, Tensor]:
        """Where `--mask_images` training images of each class stand, drawn at random, and those of all classes."""
        labels = self.run.data.train.images.labels.cpu()
        order = torch.randperm(len(labels), generator=seeded_generator(self.run.options.seed, "images of classes"))
        wanted = self.mask_images
        chosen = {f"class {number}": order[labels[order] == number][:wanted] for number in classes}
        there = {label: positions for label, positions in chosen.items() if len(positions)}
        return {**there, "all": torch.cat(list(there.values()))}


def _first_layer(run: Run) -> tuple[str, Tensor]:
    """The name and the weight (O, ...) of the prunable layer that the network reaches first."""
    reached = execution_order(run.network, run.example)
    if not reached:
        raise UserError(f"MaskPictures: {run.model_spec['model']} has no Linear layer and no convolution to draw")
    name = reached[0]
    return name, outputs_first(run.network.get_submodule(name)).detach().float()
