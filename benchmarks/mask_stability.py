"""How far masks differ where next to nothing else does: SNIP's one step and SNIP-it's seven, LeNet300 on MNIST.

    python3 benchmarks/mask_stability.py --data_dir gitignored/data

Each network is pruned again with one small change: another number of threads, the smallest possible change of a single
weight (one unit in the last place), or one weight fewer kept in each step. The table shows the Jaccard index of the two
masks, kept by both over kept by either, as mean and smallest of the seeds. For comparison: masks of other batches, and
what two random masks of that sparsity have in common.
"""

import argparse
import itertools
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

import secateur
from secateur.criterions.SNIP import SNIP
from secateur.criterions.SNIPit import SNIPit
from secateur.data.batches import Batches
from secateur.data_sets.MNIST import MNIST
from secateur.models.LeNet300 import LeNet300

Masks = dict[str, Tensor]
#: Of the weight whose last bit is changed, the row and column in the first hidden layer: it sees the image's middle.
ROW, COLUMN = 100, 14 * 28 + 14


def main() -> None:
    """Prune as often as the table has cells, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=Path("gitignored/data"))
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.9, 0.95, 0.98])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    arguments = parser.parse_args()
    data_set = MNIST()
    images, _ = data_set.load(arguments.data_dir)

    def batches(seed: int) -> Batches:
        return Batches(images, data_set.batch_size, data_set.mean, data_set.std, seed=seed)

    table = Table(title=f"Jaccard index of masks, mean (smallest) of {len(arguments.seeds)} seeds", box=None)
    for heading in ("sparsity", "change", "SNIP, one step", "SNIPit, seven steps"):
        table.add_column(heading, justify="left" if heading == "change" else "right")
    found: dict[tuple[float, str, str], list[float]] = {}
    trials = list(itertools.product(arguments.sparsities, arguments.seeds, (SNIP, SNIPit)))
    for sparsity, seed, criterion in track(trials, "pruning", console=Console(stderr=True)):
        masks = pruned(criterion, sparsity, batches(seed), seed)
        for change, again in changes(criterion, sparsity, batches, seed).items():
            found.setdefault((sparsity, change, criterion.__name__), []).append(jaccard(masks, again()))
        kept = 1 - sparsity
        found[sparsity, "chance", criterion.__name__] = [kept / (2 - kept)]
    for sparsity, change in dict.fromkeys((sparsity, change) for sparsity, change, _ in found):
        cells = [_shown(found[sparsity, change, name]) for name in ("SNIP", "SNIPit")]
        table.add_row(f"{sparsity:g}", change, *cells)
    Console(width=100).print(table)


def changes(
    criterion: type[SNIP], sparsity: float, batches: Callable[[int], Batches], seed: int
) -> dict[str, Callable[[], Masks]]:
    """Return ways to prune the same network again, each a little changed, by name."""

    class OneFewer(criterion):
        def select(self, scores: dict[str, Tensor], keep: int) -> Masks:
            return super().select(scores, keep - 1)

    def with_threads(number: int) -> Masks:
        before = torch.get_num_threads()
        torch.set_num_threads(number)
        try:
            return pruned(criterion, sparsity, batches(seed), seed)
        finally:
            torch.set_num_threads(before)

    return {
        "none": lambda: pruned(criterion, sparsity, batches(seed), seed),
        "two threads, not one": lambda: with_threads(2),
        "one ulp of one weight": lambda: pruned(criterion, sparsity, batches(seed), seed, one_ulp),
        "one ulp of each weight": lambda: pruned(criterion, sparsity, batches(seed), seed, each_ulp),
        "K - 1 weights in each step": lambda: pruned(OneFewer, sparsity, batches(seed), seed),
        "other batches": lambda: pruned(criterion, sparsity, batches(seed + 1000), seed),
    }


def pruned(
    criterion: type[SNIP],
    sparsity: float,
    batches: Batches,
    seed: int,
    change: Callable[[nn.Module], None] = lambda network: None,
) -> Masks:
    """Build the network of a seed, change it, and prune it; returns its masks, True where a weight is kept."""
    torch.manual_seed(seed)
    network = LeNet300(batches.images.shape, 10)
    change(network)
    result = secateur.prune(network, criterion, sparsity=sparsity, batches=batches, outer_layer_pruning=True)
    return result.masks


@torch.no_grad()
def one_ulp(network: nn.Module) -> None:
    """Change one weight to the next larger number that there is."""
    weight = network.features[1].weight
    weight[ROW, COLUMN] = torch.nextafter(weight[ROW, COLUMN], torch.tensor(torch.inf))


@torch.no_grad()
def each_ulp(network: nn.Module) -> None:
    """Change every weight and bias to the next larger number that there is."""
    for parameter in network.parameters():
        parameter.copy_(torch.nextafter(parameter, torch.tensor(torch.inf)))


def jaccard(first: Masks, second: Masks) -> float:
    """Return how many weights both keep, as a share of those that at least one keeps."""
    both = sum(int((first[name] & second[name]).sum()) for name in first)
    either = sum(int((first[name] | second[name]).sum()) for name in first)
    return both / either


def _shown(found: list[float]) -> str:
    return f"{statistics.mean(found):.4f} ({min(found):.4f})"


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
