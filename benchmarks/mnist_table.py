"""The test error of the unstructured criteria on MNIST: a table of means and standard deviations over seeds.

    python3 benchmarks/mnist_table.py --networks LeNet300 LeNet5 --jobs 2

Every trial is a run of main.py with a folder of its own under gitignored/results/mnist_table; what is there already is
not run again, so that the table can be stopped and gone on with. All criteria train for the same number of epochs in
all, but IMP, whose rounds are its nature.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.progress import track

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "gitignored" / "results" / "mnist_table"
SPARSITIES = (0.9, 0.95, 0.98, 0.99)
SEEDS = (1, 2, 3)
#: By network: epochs in all, learning rate, batch size, and what makes it faster without another result.
SETTINGS = {"LeNet300": (20, 0.2, 100, ""), "LeNet5": (5, 0.1, 50, "--channels_last")}
#: SNIP's settings (Lee et al., 2019, section 5.1), on a cosine instead of steps.
TRAINING = (
    "--data_set MNIST --outer_layer_pruning --optimizer SGD --l2_reg 5e-4 --lr_schedule cosine "
    "--eval_freq 0 --disable_histograms --disable_saliency --disable_confusion --disable_weightplot --disable_netplot"
)
CRITERIA = ("random", "magnitude", "SNIP", "SNIPit", "SNIPitDuring", "GRASP", "SynFlow", "FORCE", "IMP", "RigL")


def pruning(criterion: str, epochs: int) -> str:
    """The flags of a criterion that trains for so many epochs in all; IMP takes five rounds more."""
    between = max(epochs // 5, 1)
    steps = min(5, epochs - 4)  # one an epoch, two more steps, and some epochs to recover
    special = {
        "random": f"--prune_criterion rand --epochs {epochs}",
        "magnitude": f"--prune_criterion mag --pre_epochs {epochs - epochs // 2} --epochs {epochs // 2}",
        "SNIPitDuring": f"--prune_criterion SNIPitDuring --prune_delay 1 --snip_steps {steps} --epochs {epochs}",
        "IMP": f"--prune_criterion IMP --snip_steps 5 --prune_freq {between} --enable_rewinding --rewind_to 1 "
        f"--epochs {5 * between + epochs - 1}",
    }
    return special.get(criterion, f"--prune_criterion {criterion} --epochs {epochs}")


def main() -> None:
    """Run what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--criteria", nargs="+", choices=CRITERIA, default=list(CRITERIA))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, of one thread each")
    arguments = parser.parse_args()
    trials = [
        (network, criterion, sparsity, seed)
        for network in arguments.networks
        for seed in arguments.seeds
        for criterion in arguments.criteria
        for sparsity in SPARSITIES
    ]
    missing = [trial for trial in trials if error_of(*trial) is None]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for _ in track(pool.map(lambda trial: run(*trial), missing), "runs", len(missing)):
            pass
    for network in arguments.networks:
        print_table(network, arguments.criteria, arguments.seeds)


def name_of(network: str, criterion: str, sparsity: float, seed: int) -> str:
    """The end of a run folder's name."""
    epochs, rate, *_ = SETTINGS[network]
    return f"{network}_{epochs}x{rate:g}_{criterion}_{sparsity:g}_{seed}"


def error_of(network: str, criterion: str, sparsity: float, seed: int) -> float | None:
    """The test error of a trial in percent, where its run has finished."""
    for results in RESULTS.glob(f"*_{name_of(network, criterion, sparsity, seed)}/output/results.json"):
        return 100 * (1 - json.loads(results.read_text())["test_accuracy"])
    return None


def run(network: str, criterion: str, sparsity: float, seed: int) -> None:
    """Run one trial."""
    epochs, rate, batch_size, faster = SETTINGS[network]
    command = f"--model {network} {TRAINING} --learning_rate {rate} --batch_size {batch_size} {faster} "
    command += f"{pruning(criterion, epochs)} "
    command += f"--pruning_limit {sparsity} --seed {seed}"
    command += f" --run_name {name_of(network, criterion, sparsity, seed)}"
    done = subprocess.run(
        [sys.executable, ROOT / "main.py", "--results_dir", RESULTS, *command.split()],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        Console(stderr=True).print(f"{name_of(network, criterion, sparsity, seed)}: {done.stderr.strip()}")


def print_table(network: str, criteria: list[str], seeds: list[int]) -> None:
    """Print one network's table in Markdown."""
    lines = [f"| {network} | " + " | ".join(f"{sparsity:.0%}" for sparsity in SPARSITIES) + " |"]
    lines.append("|---" * (1 + len(SPARSITIES)) + "|")
    for criterion in criteria:
        cells = []
        for sparsity in SPARSITIES:
            errors = [error for seed in seeds if (error := error_of(network, criterion, sparsity, seed)) is not None]
            spread = f" ± {statistics.stdev(errors):.2f}" if len(errors) > 1 else ""
            cells.append(f"{statistics.mean(errors):.2f}{spread}" if errors else "")
        lines.append(f"| {criterion} | " + " | ".join(cells) + " |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
