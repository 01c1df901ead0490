"""The controls of a grid: which there are, and what they take after."""

import json

import pytest
import torch

from secateur.grid.controls import flags_of_results, waits_for
from secateur.grid.engines import run_all
from secateur.grid.outcome import Outcome
from secateur.grid.run_folders import command_of, folders_by_key
from secateur.grid.trials import Trial
from secateur.measuring.sparsity import measure_sparsity
from secateur.models.LeNet300 import LeNet300
from secateur.pruning.pruner import Pruner
from secateur.utils.errors import UserError
from tests.secateur.grid.test_read_grid import grid

RUN = "--model LeNet300 --data_set DIGITS"
ALL = ["same_parameters", "same_flops", "same_densities", "shuffled", "reinitialised"]


def controls(command):
    """The words of each run behind those of the same command without `--controls`; keys as numbers of runs."""
    trials = grid(command).trials
    keys = {trial.key: str(number) for number, trial in enumerate(trials)}
    found = [" ".join(trial.argv) for trial in trials if "control" in trial.settings]
    for key, number in keys.items():
        found = [words.replace(key, number) for words in found]
    return found


def test_each_run_that_prunes_has_a_control_of_each_kind_and_all_share_the_dense_network():
    command = f"{RUN} --prune_criterion SNIP,EmptyCrit --pruning_limit 0.9,0.5 --epochs 3 --controls"
    base = "--data_set DIGITS --epochs 3 --model LeNet300 --prune_criterion"
    again = "--model LeNet300 --data_set DIGITS --prune_criterion SNIP --pruning_limit"
    assert controls(command) == [
        words
        for number, limit in (("0", "0.9"), ("1", "0.5"))
        for words in (
            f"{base} Narrower --control same_parameters --control_of _{number}",
            f"{base} Narrower --control same_flops --control_of _{number}",
            f"{base} UnstructuredRandom --outer_layer_pruning --control same_densities --control_of _{number}",
            f"{again} {limit} --epochs 3 --shuffle_masks --control shuffled --control_of _{number}",
            f"{again} {limit} --epochs 3 --reinitialise --control reinitialised --control_of _{number}",
        )
    ]
    assert len(grid(command).trials) == 4 + 10  # a dense network is there
    dense = grid(f"{RUN} --prune_criterion SNIP --pruning_limit 0.9,0.5 --controls dense").trials[2:]
    assert [" ".join(trial.argv) for trial in dense] == [
        "--data_set DIGITS --model LeNet300 --prune_criterion EmptyCrit"
    ]


@pytest.mark.parametrize(
    ("flags", "kinds"),
    [
        ("--prune_criterion L1Norm", ["same_parameters", "same_flops", "reinitialised"]),
        ("--prune_criterion rand", ["same_parameters", "same_flops", "reinitialised"]),
        ("--prune_criterion GateDecorators", ["same_parameters", "same_flops"]),
        ("--prune_criterion SNIP --prune_moment after", ALL[:-1]),
        ("--prune_criterion HoyerSquare --hoyer_square --hoyer_reg 0.1", ALL),
        ("--prune_criterion SNIP --shuffle_masks", []),
        ("--prune_criterion SNIP --compression 1", []),
        ("--prune_criterion EmptyCrit", []),
    ],
)
def test_what_says_nothing_of_a_criterion_is_left_out(flags, kinds):
    trials = grid(f"{RUN} {flags} --controls").trials
    assert [trial.settings["control"][0] for trial in trials if "control" in trial.settings] == kinds
    assert not any(
        "hoyer" in word for trial in trials if trial.settings.get("control") in [(ALL[0],)] for word in trial.argv
    )


def test_of_a_trained_network_none_is_made_narrower(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"")
    trials = grid(f"{RUN} --prune_criterion SNIP --checkpoint_model {tmp_path}/weights.pth --controls").trials
    assert [trial.settings["control"][0] for trial in trials if "control" in trial.settings] == ALL[2:]


def test_the_dense_network_trains_as_long():
    command = f"{RUN} --prune_criterion IMP --pre_epochs 3 --epochs 2 --prune_freq 1 --controls dense"
    assert " ".join(grid(command).trials[-1].argv).startswith("--data_set DIGITS --epochs 5 --model LeNet300")


def test_a_grid_that_gets_controls_goes_on_in_its_folder():
    command = f"{RUN} --prune_criterion SNIP --seed 1,2"
    one, other = grid(command), grid(f"{command} --controls shuffled,dense")
    assert one.folder == other.folder
    assert [trial.key for trial in one.trials] == [trial.key for trial in other.trials[:2]]
    with pytest.raises(UserError, match="'x' is not one of dense, "):
        grid(f"{command} --controls dense,x")


@pytest.fixture
def controlled(tmp_path):
    """Write the results of a run; returns its key."""

    def write(results, key="0123abcd"):
        output = tmp_path / f"2026-01-01_00.00.00_SNIP_{key}" / "output"
        output.mkdir(parents=True)
        (output / "results.json").write_text(json.dumps(results))
        return key

    return write


def control(kind, key):
    return Trial({"control": (kind,), "control_of": (f"_{key}",)}, {})


def test_controls_take_after_what_the_run_has_left(controlled, tmp_path):
    key = controlled(
        {
            "parameters_kept": 1234,
            "flops_effective": 567,
            "layer_densities": {"a": 0.1, "b": 1.0, "c": 0, "d": 0.999999},
        }
    )
    folders = folders_by_key(tmp_path)
    assert flags_of_results(control("same_parameters", key), folders) == ["--target", "params=1234"]
    assert flags_of_results(control("same_flops", key), folders) == ["--target", "flops=567"]
    assert flags_of_results(control("same_densities", key), folders) == [
        *("--layer_sparsity", "a=0.900000000000,c=0.999999999999"),
        *("--ignore_layers", "b,d"),
    ]
    assert command_of(control("same_flops", key), tmp_path)[4:6] == ["--target", "flops=567"]
    assert flags_of_results(control("shuffled", "ffffffff"), {}) == []


@pytest.mark.parametrize("results", [None, {"interrupted": True}, {"layer_densities": [1]}, {}])
def test_a_control_of_what_has_not_finished_is_one_line(controlled, tmp_path, results):
    key = controlled(results) if results is not None else "0123abcd"
    with pytest.raises(UserError, match="--control_of _0123abcd: "):
        flags_of_results(control("same_densities", key), folders_by_key(tmp_path))


class Ending:
    """An engine whose runs end in the order in which they began; controls of what has failed do not begin."""

    def __init__(self):
        self.begun = []

    def start(self, trial):
        if trial.settings.get("control_of") == ("_failed",):
            raise UserError("it has not finished")
        self.begun.append(trial)
        return trial

    def wait(self, running):
        return [(running[0], Outcome(0, ""))]

    def close(self):
        pass


def test_a_control_begins_when_its_run_has_ended_and_others_go_before():
    first, second = (Trial({"seed": (seed,)}, {}) for seed in "12")
    waiting, free = control("same_flops", first.key), control("shuffled", first.key)
    lost = Trial({"control": ("same_flops",), "control_of": ("_failed",)}, {})
    engine = Ending()
    outcomes = list(run_all([first, waiting, free, lost, second], engine, 2))
    assert engine.begun == [first, free, waiting, second]
    assert {trial.key: outcome.status for trial, outcome in outcomes}[lost.key] == 2
    assert len(outcomes) == 5
    assert (waits_for(waiting), waits_for(free), waits_for(first)) == (first.key, None, None)


def test_random_weights_have_exactly_the_densities_of_the_layers(controlled, tmp_path):
    image, batch = torch.zeros(1, 1, 8, 8), (torch.randn(20, 1, 8, 8), torch.arange(20) % 10)
    pruned = LeNet300((1, 8, 8), 10)
    Pruner(pruned, "SNIP", sparsity=0.97, batches=[batch], outer_layer_pruning=True, at_once=True)
    found = measure_sparsity(pruned)
    assert len({*found.densities.values()}) == 3
    key = controlled({"layer_densities": json.loads(json.dumps(found.densities))})
    _, shares = flags_of_results(control("same_densities", key), folders_by_key(tmp_path))
    random = LeNet300((1, 8, 8), 10)
    options = {"layer_sparsity": shares.split(","), "outer_layer_pruning": True}
    pruner = Pruner(random, "UnstructuredRandom", example=image, at_once=True, **options)
    assert measure_sparsity(random).nonzero == found.nonzero
    kept = {name: layer.weight != 0 for name, layer in pruned.named_modules() if name in found.sizes}
    assert not any(torch.equal(kept[name], pruner.masks.kept[name]) for name in kept)


def test_a_shuffled_mask_is_a_permutation_within_each_layer():
    batch = (torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(20) % 10)
    masks = []
    for shuffle in (False, True):
        torch.manual_seed(1)
        network = LeNet300((1, 8, 8), 10)
        options = {"outer_layer_pruning": True, "shuffle_masks": shuffle}
        pruner = Pruner(network, "SNIP", sparsity=0.9, batches=[batch], at_once=True, **options)
        masks.append(pruner.masks.kept)
    for plain, shuffled in zip(*(one.values() for one in masks), strict=True):
        assert torch.equal(plain.flatten().sort().values, shuffled.flatten().sort().values)
        assert not torch.equal(plain, shuffled)
