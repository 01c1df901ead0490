"""Trained networks pruned without training: accuracy by criterion, repair and how much is pruned, over seeds.

    python3 benchmarks/one_shot.py --networks LeNet5 ResNet20 ViT_tiny

Each network is trained, where that was not done, by a run of main.py under gitignored/results/one_shot, or --results;
--data_dir is where MNIST and the folder cifar10-jpg lie. Then copies of it are pruned and tested in this process, each
of which is one line of a file beside the run, so that the table can be stopped and gone on with. All layers are
prunable. Channels are those inside the blocks of a residual network, and all hidden ones of others.
"""

import argparse
import copy
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from secateur.cli import ENVIRONMENT

os.environ.update(ENVIRONMENT | os.environ)  # read when torch starts

import secateur
from secateur.config.command_line import parse
from secateur.config.registry import Registry
from secateur.hooks import plugin_manager
from secateur.measuring.evaluation import evaluate
from secateur.runs.assemble import assemble
from secateur.runs.run import Run
from secateur.training.precision import choose_precision, tune_cpu

RESULTS = ROOT / "gitignored" / "results" / "one_shot"
SEEDS = (1, 2, 3)
#: How each network is trained.
CIFAR = "--data_set IMAGEFOLDER --channels_last --precision auto --batch_size 128"
TRAINING = {
    "LeNet5": "--data_set MNIST --epochs 4 --optimizer SGD --learning_rate 0.1 --batch_size 100 --l2_reg 5e-4 "
    "--lr_schedule cosine --channels_last",
    # as recipes/cifar_fast.toml, in fewer epochs
    "ResNet20": f"{CIFAR} --epochs 10 --optimizer NESTEROV --learning_rate 0.2 --lr_schedule linear:0.2 --l2_reg 5e-4 "
    "--grad_clip 0 --label_smoothing 0.1 --alternating_flip --lookahead 5 --train_sizes 16 24 32 --whitening",
    "ViT_tiny": f"{CIFAR} --epochs 7 --optimizer AdamW --learning_rate 1e-3 --lr_schedule linear:0.2 --l2_reg 0.05 "
    "--train_sizes 16 16 16 16 16 24 32",
}
#: Layers whose outputs are not inside a block, beside those that cannot go.
OUTSIDE = {"ResNet20": ["stem.0", "*.conv2"]}
CRITERIA = ("Magnitude", "Wanda", "SparseGPT")
CHANNELS = ("L1Norm", "ZipLM")
AMOUNTS = ("50%", "70%", "80%", "90%", "2:4")
CHANNEL_AMOUNTS = ("30%", "50%")
#: How each is repaired: options of `secateur.prune`. The last one prunes in six steps, each repaired.
REPAIRS = {
    "none": {},
    "bn": {"repair": ["bn"]},
    "least_squares": {"repair": ["least_squares", "bn"]},
    "distill": {"repair": ["least_squares", "bn", "distill"]},
    "steps": {
        "prune_schedule": "exponential",
        "snip_steps": 6,
        "repair_between": ["least_squares"],
        "repair": ["least_squares", "distill"],
        "repair_images": 1024,
        "distill_steps": 1000,
    },
}
#: What is repaired by `distill` as well, at once and in steps, which takes as long as a short training.
DISTILLED = (
    ("Magnitude", "80%"),
    ("SparseGPT", "80%"),
    ("SparseGPT", "90%"),
    *itertools.product(CHANNELS, CHANNEL_AMOUNTS),
)


def main() -> None:
    """Train and prune what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=TRAINING, default=list(TRAINING))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--criteria", nargs="+", choices=(*CRITERIA, *CHANNELS), default=[*CRITERIA, *CHANNELS])
    parser.add_argument("--repairs", nargs="+", choices=REPAIRS, default=list(REPAIRS))
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the trained runs lie, or come to lie")
    parser.add_argument("--data_dir", type=Path, default=ROOT / "gitignored" / "data")
    parser.add_argument("--distribution", default="global", help="of the kept weights over the layers")
    parser.add_argument("--batches", type=int, default=5, help="of training data, for scores and repairs")
    parser.add_argument("--every", type=int, default=1, help="test on each n-th batch of the test images alone")
    parser.add_argument("--minutes", type=float, default=0, help="stop after so long, and go on next time")
    arguments = parser.parse_args()
    tune_cpu()
    ends = time.perf_counter() + 60 * arguments.minutes if arguments.minutes else float("inf")
    for network, seed in itertools.product(arguments.networks, arguments.seeds):
        try_all(network, seed, arguments, ends)
    for network in arguments.networks:
        print_table(network, arguments)


def trained(network: str, seed: int, arguments: argparse.Namespace) -> Path:
    """Return the folder of the run that has trained a network, which is made where there is none."""
    name = f"one_shot_{network}_{seed}"
    if found := sorted(arguments.results.glob(f"*_{name}/models/*_finished.json")):
        return found[0].parent.parent
    places = ["--results_dir", arguments.results, "--data_dir", arguments.data_dir]
    if "IMAGEFOLDER" in TRAINING[network]:
        places[-1] = arguments.data_dir / "cifar10-jpg"
    command = f"--model {network} {TRAINING[network]} --prune_criterion EmptyCrit --seed {seed} --eval_freq 0"
    subprocess.run([sys.executable, ROOT / "main.py", *command.split(), *places, "--run_name", name], check=True)
    return trained(network, seed, arguments)


def trials(network: str) -> list[tuple[str, str, str]]:
    """All that is tried: (criterion, amount, repair)."""
    normed = network.startswith("ResNet")
    repairs = [name for name in REPAIRS if normed or name != "bn"]
    weights = itertools.product(CRITERIA, AMOUNTS, repairs)
    every = [*weights, *itertools.product(CHANNELS, CHANNEL_AMOUNTS, repairs)]
    return [one for one in every if one[2] not in ("distill", "steps") or one[:2] in DISTILLED]


def record(folder: Path, arguments: argparse.Namespace) -> Path:
    """The file of what is measured of a run's network."""
    return folder / f"one_shot_{arguments.distribution}_{arguments.batches}_{arguments.every}.jsonl"


def done(folder: Path, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """What was measured of a run's network so far: accuracy in [0, 1] and seconds, by the trial."""
    path = record(folder, arguments)
    lines = path.read_text().splitlines() if path.exists() else []
    return {found["trial"]: found for found in map(json.loads, lines)}


def try_all(network: str, seed: int, arguments: argparse.Namespace, ends: float) -> None:
    """Make the trials on one network that were not made before."""
    folder = trained(network, seed, arguments)
    there = done(folder, arguments)
    asked = [one for one in trials(network) if one[0] in arguments.criteria and one[2] in arguments.repairs]
    missing = [trial for trial in asked if " ".join(trial) not in there]
    if not missing or time.perf_counter() > ends:
        return
    run = run_of(folder)
    batches = list(itertools.islice(run.data.train.epoch(0), arguments.batches))
    precision, _ = choose_precision(run.device, "dense")
    tested = list(itertools.islice(run.data.held_out, 0, None, arguments.every))
    for trial in [("dense", "", ""), *missing]:
        if time.perf_counter() > ends:
            return
        pruned, start = copy.deepcopy(run.network), time.perf_counter()
        if trial[0] != "dense":
            criterion, amount, repair = trial
            options = {"pattern": amount} if ":" in amount else {"sparsity": float(amount.rstrip("%")) / 100}
            if criterion in CHANNELS:
                options |= {"ignore_layers": OUTSIDE.get(network)}
            elif ":" not in amount:
                options |= {"distribution": arguments.distribution}
            options |= {"saliency_batches": arguments.batches, "outer_layer_pruning": True} | REPAIRS[repair]
            secateur.prune(pruned, criterion, batches=batches, precision=precision, **options).pruner.detach()
        seconds = time.perf_counter() - start
        accuracy = evaluate(pruned, run.loss, tested, run.data.num_classes, run.precision.autocast).accuracy
        line = json.dumps({"trial": " ".join(trial).strip(), "accuracy": accuracy, "seconds": seconds})
        with record(folder, arguments).open("a") as file:
            file.write(line + "\n")
        sys.stderr.write(f"{network} {seed}: {line}\n")


def run_of(folder: Path) -> Run:
    """Build a run that tests the network of another."""
    hooks, _ = plugin_manager()
    settings = parse(["--eval", "--checkpoint_name", str(folder)], Registry(hooks), hooks)
    return assemble(settings, Registry(hooks), hooks)


def print_table(network: str, arguments: argparse.Namespace) -> None:
    """Print one network's table in Markdown: accuracy in per cent, mean and standard deviation over the seeds."""
    found = [done(trained(network, seed, arguments), arguments) for seed in arguments.seeds]

    def cell(trial: str, key: str = "accuracy", factor: float = 100) -> str:
        values = [factor * one[trial][key] for one in found if trial in one]
        spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        return f"{statistics.mean(values):.2f}{spread}" if values else ""

    amounts = [*AMOUNTS, *(f"channels {amount}" for amount in CHANNEL_AMOUNTS)]
    lines = [f"| {network}, dense {cell('dense')} | repair | {' | '.join(amounts)} | seconds |"]
    lines.append("|---" * (3 + len(amounts)) + "|")
    for criterion, repair in itertools.product(arguments.criteria, arguments.repairs):
        own = CHANNEL_AMOUNTS if criterion in CHANNELS else AMOUNTS
        before = len(AMOUNTS) if criterion in CHANNELS else 0
        cells = [cell(f"{criterion} {amount} {repair}") for amount in own]
        if not any(cells):
            continue
        cells = [""] * before + cells + [""] * (len(amounts) - before - len(cells))
        seconds = cell(f"{criterion} {own[-1]} {repair}", "seconds", 1)
        lines.append(f"| {criterion} | {repair} | {' | '.join(cells)} | {seconds} |")
    sys.stdout.write("\n".join(lines) + "\n\n")


if __name__ == "__main__":
    main()
