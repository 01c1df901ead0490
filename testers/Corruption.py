"""Accuracy on images that are not as good as those of training."""

from collections.abc import Iterable
from statistics import fmean

import torch
from torch import Tensor

from secateur.config.option import option
from secateur.data.batches import Batches
from secateur.data.corruption_strengths import LEVELS
from secateur.data.corruptions import as_pixels, corrupted
from secateur.measuring.charts.corruption import curves, examples
from secateur.measuring.evaluation import evaluate
from secateur.runs.run import Run
from secateur.testers.DefaultTester import DefaultTester
from secateur.utils.errors import UserError
from secateur.utils.seeds import seeded_generator
from secateur.utils.tables import Table


class Corruption(DefaultTester):
    """Accuracy under corruptions of five levels, in the spirit of Hendrycks & Dietterich, 2019.

    Gaussian noise, shot noise, blur, contrast, brightness, occlusion and pixelation: secateur/data/corruptions.py says
    what they do, corruption_strengths.py how strongly. The mean corruption accuracy is the mean over all corruptions
    and levels. All networks see the same corrupted images.
    """

    corruptions: list[str] = option(
        ["gaussian_noise", "shot_noise", "blur", "contrast", "brightness", "occlusion", "pixelate"],
        "which of gaussian_noise, shot_noise, blur, contrast, brightness, occlusion, pixelate (default: all)",
        choices=("gaussian_noise", "shot_noise", "blur", "contrast", "brightness", "occlusion", "pixelate"),
        metavar="A,B",
    )
    corruption_images: int | None = option(
        None, "number of test images to corrupt, chosen at random (default: all)", low=1
    )

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.batches: Batches = run.data.held_out
        if wanted := self.corruption_images:
            there = len(self.batches.images)
            if wanted > there:
                raise UserError(f"--corruption_images {wanted}: there are {there} {run.data.held_out_name} images only")
            # The same images whatever the seed, so that networks of several seeds are comparable.
            order = torch.randperm(there, generator=seeded_generator(0, "images to corrupt"))[:wanted]
            self.batches = self.batches.subset(order)

    def evaluate(self) -> dict[str, object]:
        """Measure each network, tabulate and draw; adds `corruption` to the results, by network."""
        run = self.run
        results = super().evaluate()
        clean = {label: self.accuracy(one, self.batches) for label, one in run.compared.items()}
        found = {label: self.under_corruption(one) for label, one in run.compared.items()}
        mean = {label: fmean(fmean(levels) for levels in levels_of.values()) for label, levels_of in found.items()}
        rows = []
        for label, levels_of in found.items():
            rows.append({"network": label, "corruption": "none", "mean": clean[label]})
            for name, levels in levels_of.items():
                row = {"network": label, "corruption": name, "mean": fmean(levels)}
                rows.append(row | {f"level_{level}": value for level, value in zip(LEVELS, levels, strict=True)})
            rows.append({"network": label, "corruption": "mean", "mean": mean[label]})
        title = f"accuracy on {results['data_set']} corrupted, {len(self.batches.images):,} images"
        forms = dict.fromkeys(("mean", *(f"level_{level}" for level in LEVELS)), "{:.2%}")
        run.hooks.table_created(run=run, table=Table("corruption", title, rows, forms))
        curves(clean, found, title, run.folder.output / "corruption.png")
        inputs, _ = next(iter(self.batches))
        image = as_pixels(self.batches, inputs[:1])
        examples(image, self.corruptions, run.options.seed, run.folder.output / "corruption_examples.png")
        return {
            **results,
            "corruption": {label: {"clean": clean[label], "mean": mean[label], **found[label]} for label in found},
        }

    def under_corruption(self, run: Run) -> dict[str, list[float]]:
        """The accuracy of one network, by corruption and level."""
        seed = self.run.options.seed
        return {
            name: [self.accuracy(run, corrupted(self.batches, name, level, seed)) for level in LEVELS]
            for name in self.corruptions
        }

    def accuracy(self, run: Run, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
        """The share of the images that one network names rightly."""
        return evaluate(run.executed, run.loss, batches, run.data.num_classes, run.precision.autocast).accuracy
