"""Runs that are interrupted, and whether two ended alike."""

import csv

import torch
from safetensors.torch import load_file

from secateur.trainers.DefaultTrainer import DefaultTrainer
from tests.commands import QUICK, results

#: Four steps an epoch.
SMALL = f"--N 64 --batch_size 16 --save_minutes 0 --lr_schedule cosine {QUICK}"
WEIGHTS = "--model LeNet300 --outer_layer_pruning --pruning_limit 0.8"
CHANNELS = "--model LeNet5 --pruning_limit 0.5 --snip_steps 1"
#: Command, and the steps after which the run is interrupted: within epochs, at their ends, before the first.
RUNS = {
    "before": (f"{WEIGHTS} --prune_criterion SNIP --grad_noise 0.01 --epochs 4", (0, 9)),
    "dense": ("--model MLP5 --hidden_dim 16 --optimizer SGD --epochs 4 --tuning --eval_freq 0 --keep_best", (2, 12)),
    "rounds": (f"{WEIGHTS} --prune_criterion IMP --snip_steps 2 --enable_rewinding --rewind_to 1 --epochs 5 "
               "--lookahead 3", (4, 10)),
    "rewound to the start": (f"{WEIGHTS} --pruner IMP --snip_steps 2 --rewind_weights_only --enable_rewinding "
                             "--epochs 4", (6,)),
    "multishot": (f"{WEIGHTS} --pruner mag --experiment multishot --pre_epochs 1 --snip_steps 3 --epochs 2", (5, 13)),
    "gradual": (f"{WEIGHTS} --pruner GradualMagnitude --epochs 5 --optimizer RMSPROP", (6, 13)),
    "values come back": (f"{WEIGHTS} --pruner MovementPruning --epochs 5", (6, 14)),
    "SET": (f"{WEIGHTS} --pruner SET --epochs 5", (1, 10)),
    "within epochs": (f"{WEIGHTS} --pruner RigL --update_steps 3 --epochs 5", (7, 13)),
    "gradients of training": (f"{WEIGHTS} --pruner RigL --update_steps 4 --growth_batches training --epochs 5", (5, 8)),
    "after": (f"{WEIGHTS} --pruner mag --prune_moment after --snip_steps 2 --prune_schedule linear --epochs 3", (11,)),
    "threshold": (f"{WEIGHTS} --hoyer_square --hoyer_threshold 0.02 --prune_delay 1 --epochs 3", (6, 10)),
    "drawn anew": (f"{WEIGHTS} --pruner mag --prune_moment during --prune_delay 2 --reinitialise --shuffle_masks "
                   "--epochs 4", (9,)),
    "channels": (f"{CHANNELS} --pruner SNAPitDuring --epochs 5 --optimizer SGD --track_weights --lookahead 3", (6, 13)),
    "channels, rewound": (f"{CHANNELS} --pruner SNAP --prune_moment rounds --enable_rewinding --rewind_to 1 "
                          "--prune_schedule linear --snip_steps 2 --epochs 4 --channels_last", (6, 10)),
    "channels by a threshold": (f"{CHANNELS} --group_hoyer_square --hoyer_threshold 0.05 --prune_delay 1 --epochs 3",
                                (6, 10)),
    "both": (f"{CHANNELS} --pruner CNIPitDuring --epochs 5", (6,)),
    "asked for": ("--model LeNet5 --pruner SNAPitDuring --snip_steps 2 --target flops=0.5,params=0.6 --epochs 5",
                  (6, 13)),
    "L0": ("--model LeNet300 --l0 --l0_reg 10 --epochs 4 --beta_ema 0.9", (0, 9)),
    "L0 and weights": (f"{WEIGHTS} --pruner mag --prune_moment during --train_scheme L0Trainer --epochs 4", (6,)),
    "Tick-Tock": ("--model MLP5 --hidden_dim 16 --train_scheme TickTock --pruning_limit 0.5 --snip_steps 3 "
                  "--tick_epochs 1 --tock_epochs 1 --epochs 7", (6, 10, 24)),
    "LBFGS": ("--model LogisticRegression --optimizer LBFGS --learning_rate 0.1 --epochs 3", (5,)),
    "fast": ("--model ResNet20 --pruner mag --prune_moment during --prune_delay 1 --optimizer NESTEROV --lookahead 3 "
             "--train_sizes 4 8 --label_smoothing 0.1 --epochs 3", (6,)),
    "whitened": ("--model LeNet5 --outer_layer_pruning --pruning_limit 0.8 --pruner mag --prune_moment during "
                 "--prune_delay 1 --enable_rewinding --whitening --epochs 3", (0, 6)),
    "scaled": (f"{WEIGHTS} --pruner mag --precision fp16 --epochs 3", (5,)),
}  # fmt: skip


def stop_at(monkeypatch, steps, error=KeyboardInterrupt):
    """Interrupt the next run within step number `steps`; returns what lets the one after that pass."""
    train_batch = DefaultTrainer.train_batch
    done = 0

    def interrupted(self, inputs, targets):
        nonlocal done
        if done == steps:
            raise error
        done += 1
        train_batch(self, inputs, targets)

    monkeypatch.setattr(DefaultTrainer, "train_batch", interrupted)
    return lambda: monkeypatch.setattr(DefaultTrainer, "train_batch", train_batch)


def without_times(value):
    """Leave out what no two runs have alike, and how many bytes it takes to write that down."""
    if not isinstance(value, dict):
        return value
    apart = ("seconds", "latency", "samples_per_second", "checkpoint_bytes", "crc32")
    return {name: without_times(item) for name, item in value.items() if not name.startswith(apart)}


def assert_same(folder, other):
    """All that was computed is alike: results, metrics, every checkpoint, the statistics of weights."""
    assert not (other / "state").exists()
    assert without_times(results(folder)) == without_times(results(other))
    rows = [
        [without_times(row) for row in csv.DictReader((one / "output" / "metrics.csv").read_text().splitlines())]
        for one in (folder, other)
    ]
    assert rows[0] == rows[1]
    files = [sorted(path.relative_to(one) for path in one.rglob("*.safetensors")) for one in (folder, other)]
    assert files[0] == files[1]
    for file in files[0]:
        tensors, others = load_file(folder / file), load_file(other / file)
        assert tensors.keys() == others.keys(), file
        different = [name for name, tensor in tensors.items() if not torch.equal(tensor, others[name])]
        assert not different, (file, different)


SHORT = f"--model LogisticRegression --epochs 4 {SMALL}"


def states(folder):
    return sorted((folder / "state").glob("*.safetensors"))


def tear(folder):
    path = states(folder)[-1]
    path.write_bytes(path.read_bytes()[:-100])
