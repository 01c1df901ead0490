"""Accuracy on images that are changed so that the network errs."""

import contextlib
import math

import torch

from secateur.config.option import FREE_TEXT, KEEP, option
from secateur.data.batches import Batches
from secateur.measuring.attacks.catalogue import EPSILONS, Attack, find_attacks
from secateur.measuring.attacks.outcome import FORMS, rows_of, weaker_than_noise
from secateur.measuring.attacks.search import EXAMPLES, AttackError, Found, PixelModel, classes, search
from secateur.measuring.charts.attacks import adversarial_images, robustness
from secateur.runs.run import Run
from secateur.testers.DefaultTester import DefaultTester
from secateur.utils.errors import UserError
from secateur.utils.modes import evaluation_mode, frozen
from secateur.utils.seeds import seeded_generator, seeded_globally
from secateur.utils.tables import Table
from secateur.utils.terminal import progress_bar

#: A batch is at most this share of the images, so that an interruption loses little.
LARGEST_SHARE = 1 / 4


class AdversarialEvaluation(DefaultTester):
    """Attacks of foolbox (Rauber et al., 2020) on each network, on the same images, with pixels in [0, 1].

    robust accuracy(e) = share of the images that are classified correctly and of which no misclassified image was
    found within the distance e; success rate(e) = share of the correctly classified ones of which one was. An attack
    that looks for the smallest change runs once for all epsilons: its row of epsilon inf counts what it found at any
    distance, and its median norm is over that. Others run once for each epsilon. What they find is measured here.
    """

    attack: str | None = option(
        None,
        "with --eval: attack the network; all, or attacks of foolbox by name, as FGSM,LinfPGD,L2DeepFool",
        pattern=FREE_TEXT,
        metavar="NAMES",
        general=True,
        stands_for=("test_scheme", "AdversarialEvaluation"),
        check="secateur.measuring.attacks.catalogue:check_attacks",
        suggested_for="adversarial",
    )
    attack_epsilons: list[float] | None = option(
        None,
        "sizes of perturbations, for pixels in [0, 1], as 0.1,8/255 (default: six that double, of Linf from 2/255, of "
        "L2 from 1/8, of L1 and L0 from 1)",
        low=0,
        metavar="E,E,...",
        general=True,
        smoke=KEEP,
    )
    attack_samples: int = option(
        200, "attack the first N test images, in a shuffled order that is always the same", low=1, general=True, smoke=2
    )
    attack_norm: str | None = option(
        None,
        "L0, L1, L2 or Linf, for attacks without a norm in their name, as DeepFool (default: the usual one of each)",
        choices=("L0", "L1", "L2", "Linf"),
        metavar="NORM",
        general=True,
    )
    attack_steps: int | None = option(
        None, "steps of iterative attacks (default: foolbox's; fewer of the slowest)", low=1
    )

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        images = run.data.held_out.images
        if not self.attack:
            raise UserError("--test_scheme AdversarialEvaluation needs --attack: names of attacks, or all")
        if "attack_samples" in self.given and self.attack_samples > len(images):
            raise UserError(
                f"--attack_samples {self.attack_samples}: there are {len(images):,} {run.data.held_out_name} images"
            )
        self.attacks = find_attacks(self.attack, self.attack_norm, self.attack_steps)
        # The same images whatever the seed, so that networks of several seeds are comparable.
        order = torch.randperm(len(images), generator=seeded_generator(0, "attacked images"))[: self.attack_samples]
        channels, batch_size = run.data.input_shape[0], run.data.held_out.batch_size
        plain = Batches(images.subset(order.to(images.labels.device)), batch_size, [0.0] * channels, [1.0] * channels)
        pixels, labels = zip(*plain, strict=True)
        self.pixels, self.labels = torch.cat(pixels).clamp(0, 1), torch.cat(labels)
        self.batch_size = min(batch_size, math.ceil(LARGEST_SHARE * len(self.labels)))
        #: By network and attack, batch by batch.
        self.found: dict[tuple[str, str], list[Found]] = {}

    def evaluate(self) -> dict[str, object]:
        """Test each network, attack it, and return what goes to results.json; an interruption ends it early."""
        results = super().evaluate()
        try:
            self.attack_networks()
        except (KeyboardInterrupt, SystemExit) as stop:
            self.run.interruption = stop
            self.run.notify("interrupted: the attacks below are of the images that were done by then")
        rows = [
            row
            for label in self.run.compared
            for attack in self.attacks
            if (found := self.found.get((label, attack.name)))
            for row in rows_of(label, attack, self.epsilons(attack), found)
        ]
        if rows:
            noise = {attack.name for attack in self.attacks if attack.is_noise}
            for notice in weaker_than_noise(rows, noise):
                self.run.notify(notice)
            title = f"attacks on {results['data_set']}, epsilon and norm of pixels in [0, 1]"
            self.run.hooks.table_created(run=self.run, table=Table("attacks", title, rows, FORMS))
            robustness(rows, noise, title.partition(",")[0], self.run.folder.output / "robustness.png")
            self.draw_examples()
        stopped = self.run.interruption is not None
        return {**results, "attack_samples": len(self.pixels), "interrupted": stopped, "attacks": rows}

    def attack_networks(self) -> None:
        """Attack every network by every attack, batch by batch."""
        total = len(self.run.compared) * len(self.attacks) * len(self.pixels)
        with progress_bar(total, "images") as advance, contextlib.ExitStack() as modes:
            for label, run in self.run.compared.items():
                for mode in (evaluation_mode, frozen):
                    modes.enter_context(mode(run.network))
                model = PixelModel(run.executed, run.data.held_out, run.precision.autocast).eval()
                predicted = classes(model, self.pixels, self.batch_size)
                for attack in self.attacks:
                    batches = self.found.setdefault((label, attack.name), [])
                    advance(0, f"{attack.name} on {label}")
                    try:
                        for start in range(0, len(self.pixels), self.batch_size):
                            batches.append(self.attack_batch(attack, model, predicted, start))
                            advance(batches[-1].images, f"{attack.name} on {label}")
                    except AttackError as error:
                        del self.found[label, attack.name]
                        self.run.notify(f"{attack.name} on {label} is left out, because it failed: {error}")

    def attack_batch(self, attack: Attack, model: PixelModel, predicted: torch.Tensor, start: int) -> Found:
        """Attack the images from `start` on; `predicted` (N,) is what the model takes all of them for."""
        part = slice(start, start + self.batch_size)
        with seeded_globally(self.run.options.seed, f"{attack.name} {start}"):
            return search(
                attack,
                model,
                self.pixels[part],
                self.labels[part],
                predicted[part],
                self.epsilons(attack),
                pool=(self.pixels, predicted),
            )

    def epsilons(self, attack: Attack) -> list[float]:
        """The distances within which an attack is evaluated, rising."""
        if attack.is_spatial:
            return [math.inf]
        asked = self.attack_epsilons or EPSILONS[attack.norm]
        return [*sorted(set(asked)), math.inf] if attack.minimises else sorted(set(asked))

    def draw_examples(self) -> None:
        """Draw what the first attack found on the first network."""
        label, attack = next(key for key, batches in self.found.items() if batches)
        batches = self.found[label, attack]
        originals = torch.cat([batch.originals for batch in batches])[:EXAMPLES]
        adversarial = torch.cat([batch.adversarial for batch in batches])[:EXAMPLES]
        if not len(originals):
            return
        run = self.run.compared[label]
        model = PixelModel(run.executed, run.data.held_out, run.precision.autocast).eval()
        with evaluation_mode(run.network):
            pairs = [classes(model, images.to(run.device), EXAMPLES).tolist() for images in (originals, adversarial)]
        title = f"{attack} on {label}: the smallest change found"
        path = self.run.folder.output / "adversarial.png"
        adversarial_images(originals, adversarial, list(zip(*pairs, strict=True)), title, path)
