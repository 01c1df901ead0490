"""Scores and masks beside those of the authors' programs: the same network, weights and batch.

    python3 benchmarks/side_by_side.py ORIGINALS --data_dir gitignored/data

ORIGINALS is a folder with clones of the programs, each at the commit that was compared with:

    snip                    github.com/mil-ad/snip 883c805
    SNIP-it                 github.com/StijnVerdenius/SNIP-it fec11fc
    GraSP                   github.com/alecwangcq/GraSP f17d87a
    Synaptic-Flow           github.com/ganguli-lab/Synaptic-Flow 9dfa57a
    force                   github.com/naver/force 7494eed
    neuron-merging          github.com/friendshipkim/neuron-merging d25cf3e
    rigl-torch              github.com/nollied/rigl-torch 34d19e4
    gate-decorator-pruning  github.com/youzhonghui/gate-decorator-pruning 05e4c31
    Taylor_pruning          github.com/NVlabs/Taylor_pruning 4b70120
    block_movement_pruning  github.com/huggingface/block_movement_pruning c16ceca
    sparse-evolutionary-artificial-neural-networks
                            github.com/dcmocanu/sparse-evolutionary-artificial-neural-networks 62ac974

They are imported from there, as they are, and run with the rights of this command. Where one is missing, its part of
the table ends. MNIST lies in DATA_DIR/MNIST, CIFAR-10 as JPEG files in DATA_DIR/cifar10-jpg (train/ and test/, each
with a folder for each class).

A row of the table is a comparison: the largest difference of two scores, each divided by the mean size of its side's,
as a share of the largest; Spearman's rank correlation of all scores; then, at each of two sparsities, the Jaccard index
of the masks (kept by both over kept by either) and how much of what the program keeps is kept here too. A "-" stands
where there is no such thing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from originals import channel_rows, training_rows, weight_rows
from originals.bench import HEADINGS, Bench, Row

from secateur.utils.errors import UserError
from secateur.utils.torchvision_import import torchvision  # noqa: F401 - programs import it, and this way alone works

#: Functions that yield rows, by the name that `--only` takes.
PARTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "snip": weight_rows.snip,
    "steps": weight_rows.steps,
    "flow": weight_rows.flow,
    "grasp": weight_rows.grasp,
    "units": channel_rows.units,
    "filters": channel_rows.filters,
    "gates": channel_rows.gates,
    "rigl": training_rows.dynamic,
    "set": training_rows.signs,
    "training": training_rows.training,
}


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Print the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("originals", type=Path)
    parser.add_argument("--data_dir", type=Path, default=Path("gitignored/data"))
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts of the table alone")
    arguments = parser.parse_args()
    try:
        bench = Bench(arguments.originals, arguments.data_dir)
    except UserError as error:
        sys.exit(f"side_by_side.py: {error}")
    say("| " + " | ".join(HEADINGS) + " |")
    say("|---" * len(HEADINGS) + "|")
    for name in arguments.only:
        try:
            for row in PARTS[name](bench):
                say(str(row))
        except (ModuleNotFoundError, FileNotFoundError) as error:
            sys.stderr.write(f"side_by_side.py: {name} ends here, as a program is not there: {error}\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
