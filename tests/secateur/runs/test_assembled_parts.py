"""Every part of a run is what the settings say, and where parts do not fit together that is told."""

from dataclasses import fields
from types import SimpleNamespace

import pytest
import torch

from secateur.criterions.SNIP import SNIP
from secateur.losses.CrossEntropy import CrossEntropy
from secateur.models.LeNet300 import LeNet300
from secateur.models.MLP5 import MLP5
from secateur.runs import assemble as module
from secateur.runs.checkpoint import save_checkpoint
from secateur.runs.run import Run
from secateur.utils.errors import UserError


def save(run, **facts):
    """Save a run's network as the finished one; returns the words that name it."""
    name = f"{run.model_name}_finished"
    save_checkpoint(run.folder.models / name, run.network, run.masks, {**run.model_spec, "cuts": run.removed, **facts})
    return f"--checkpoint_name {run.folder.path}"


def same(network, other):
    return all(tensor.equal(other.state_dict()[name]) for name, tensor in network.state_dict().items())


def test_the_network_and_what_is_drawn_later_follow_from_the_seed_alone(make_run):
    for command in ("--model LeNet300 --N 16", "--model LeNet300 --N 40 --batch_size 8 --prune_criterion SNIP"):
        run = make_run(f"{command} --seed 5")
        assert torch.get_rng_state().equal(torch.Generator().manual_seed(5).get_state())
        torch.manual_seed(5)
        assert same(run.network, LeNet300((1, 8, 8), 10))
        torch.manual_seed(6)
        assert same(run.fresh_network(6), LeNet300((1, 8, 8), 10))


def test_the_pruner_and_its_criterion_have_what_was_typed(make_run):
    run = make_run(
        "--model LeNet300 --N 40 --batch_size 16 --seed 7 --prune_criterion SNIP --pre_epochs 2 --epochs 3 --smoke "
        "--saliency_batches 1 --pruning_limit 0.75 --rewind_to 1 --enable_rewinding --execution sparse "
        "--label_smoothing 0.1"
    )
    pruner, criterion, timeline = run.pruner, run.criterion, run.pruner.timeline
    assert (type(criterion), type(run.loss)) == (SNIP, CrossEntropy)
    assert (criterion.seed, criterion.smoke, criterion.saliency_batches, criterion.pruning_limit) == (7, True, 1, 0.75)
    assert (criterion.execution, criterion.rewinds, criterion.meter) == ("sparse", True, None)
    assert criterion.dense_outputs == {"features.1": 300, "features.3": 100, "classifier": 10}
    assert list(criterion.left_out) == ["features.1", "classifier"]
    assert (criterion.masks, criterion.loss, pruner.masks) == (run.masks, run.loss, run.masks)
    assert (pruner.seed, pruner.enable_rewinding, pruner.rewind_to, pruner.optimizer) == (7, True, 1, None)
    assert (timeline.pre_epochs, timeline.epochs, timeline.batches) == (1, 3, len(run.data.train))
    assert (pruner.plan.epochs, pruner.steps, pruner.step) == (4, [], 0)  # nothing is pruned yet
    assert pruner.batches is run.data.train
    assert pruner.fresh_network is run.fresh_network
    assert run.dense.nonzero == {"features.1": 64 * 300, "features.3": 300 * 100, "classifier": 100 * 10}
    assert pruner.dense is run.dense
    assert run.loss.label_smoothing == 0.1


def test_a_run_holds_all_its_parts_and_says_what_it_is_of(make_run, tmp_path):
    run = make_run(
        "--model MLP5 --hidden_dim 12 --data_set RUBBISH --rubbish_images 30 --N 20 --seed 3 --epochs 0 "
        "--disable_masking"
    )
    assert {field.name for field in fields(Run)} == vars(run).keys()
    assert run.example.equal(torch.zeros(1, *run.data.input_shape))
    assert (run.options.seed, run.machine.device, run.checkpointing.eval) == (3, "auto", False)
    assert (run.log.name, run.log.level, run.device) == ("secateur", 20, torch.device("cpu"))
    assert run.settings["batch_size"] == run.data.train.batch_size
    assert len(run.data.train.images) == 20
    assert not run.masks.hold
    assert run.flops.total == 2 * sum(weight.numel() for weight in run.network.parameters() if weight.dim() == 2)
    assert run.model_spec == {
        "model": "MLP5",
        "input_shape": run.data.input_shape,
        "num_classes": run.data.num_classes,
        "options": {"hidden_dim": 12},
        "data_set": "RUBBISH",
        "data_dir": str(tmp_path / "data"),
        "data_options": {**run.model_spec["data_options"], "rubbish_images": 30},
        "prune_criterion": "EmptyCrit",
        "loss": "CrossEntropy",
        "seed": 3,
        "disable_autoconfig": False,
        "layers_left_out": {},
    }
    assert "batch_size" not in run.model_spec["data_options"]
    pruned = make_run("--model LeNet300 --N 20 --prune_criterion SNIP")
    assert list(pruned.model_spec["layers_left_out"]) == ["features.1", "classifier"]
    assert pruned.masks.hold


def test_a_network_that_goes_on_keeps_its_options_and_how_it_came_about(make_run):
    trained = make_run("--model MLP5 --hidden_dim 12 --N 16 --prune_criterion SNIP --outer_layer_pruning")
    trained.masks.set({"classifier": torch.rand(10, 12) > 0.5})
    named = save(trained, layers_left_out={"x": "because"})
    run = make_run(f"{named} --N 16 --seed 9")
    assert run.model_spec["options"] == {"hidden_dim": 12}
    assert same(run.network, trained.network)
    assert run.masks.kept["classifier"].equal(trained.masks.kept["classifier"])
    assert (run.model_spec["prune_criterion"], run.model_spec["layers_left_out"]) == ("SNIP", {"x": "because"})
    other = make_run(f"{named} --N 16 --prune_criterion Magnitude")
    assert other.model_spec["prune_criterion"] == "Magnitude"
    assert "x" not in other.model_spec["layers_left_out"]
    tested = make_run(f"{named} --eval --prune_criterion Magnitude")
    assert (tested.model_spec["prune_criterion"], tested.pruner.plan.pruning_steps) == ("SNIP", {})
    plain = make_run(f"{named} --N 16 --disable_masking")
    assert (plain.masks.kept, plain.masks.hold) == ({}, False)
    with pytest.raises(UserError) as caught:
        make_run(f"{named} --N 16 --hidden_dim 13")
    assert str(caught.value) == (
        "the checkpoint MLP5_finished is of another network: its options is {'hidden_dim': 12}, not {'hidden_dim': 13}"
    )


def test_each_network_that_is_compared_has_its_own_parts(make_run):
    first, second = (
        make_run("--model LeNet300 --N 16 --seed 1"),
        make_run("--model MLP5 --hidden_dim 12 --N 16 --seed 2"),
    )
    names = [save(one).removeprefix("--checkpoint_name ") for one in (first, second)]
    run = make_run(f"--eval --checkpoint_name {','.join(names)}")
    one, other = run.compared.values()
    assert one is run
    assert (type(one.network), type(other.network)) == (LeNet300, MLP5)
    assert same(one.network, first.network)
    assert same(other.network, second.network)
    assert (other.model_spec["model"], other.model_spec["options"]) == ("MLP5", {"hidden_dim": 12})
    assert (one.model_spec["model"], one.model_spec["options"]) == ("LeNet300", {})
    assert (other.data, other.settings, other.hooks) == (run.data, run.settings, run.hooks)
    assert other.loss.masks is other.masks is other.criterion.masks is not run.masks
    assert other.criterion.loss is other.loss is not run.loss
    assert other.pruner.network is other.network
    assert other.dense.sizes == second.dense.sizes
    assert other.flops.total == second.flops.total
    third = make_run("--model LeNet300 --N 16 --output_dim 12")
    with pytest.raises(
        UserError,
        match=r"^--checkpoint_name compares networks on the same images: the num_classes of .* is 12, not 10$",
    ):
        make_run(f"--eval --checkpoint_name {names[0]},{save(third).removeprefix('--checkpoint_name ')}")


def test_one_image_is_no_batch_for_norms(make_run):
    line = r"^--batch_size 1: the batch normalisation of LeNet5_BN needs at least 2 images to train on$"
    for flags in ("--N 1", "--N 16 --batch_size 1"):
        with pytest.raises(UserError, match=line):
            make_run(f"--model LeNet5_BN {flags}")
        assert make_run(f"--model LeNet5 {flags}").data.train.batch_size >= 1
    trained = make_run("--model LeNet5_BN --N 2 --batch_size 2")
    assert make_run(f"{save(trained)} --eval --N 1 --batch_size 1").network is not None


def test_a_batch_has_an_image_for_each_process(monkeypatch):
    data = SimpleNamespace(train=SimpleNamespace(sizes=[5, 3], batch_size=5))
    monkeypatch.setattr(module, "size", lambda: 3)
    module._check_processes(data)
    monkeypatch.setattr(module, "size", lambda: 4)
    with pytest.raises(UserError) as caught:
        module._check_processes(data)
    assert str(caught.value) == (
        "--batch_size 5: a batch has 3 images, too few for 4 processes; take another batch size, or fewer processes"
    )


def test_a_network_that_runs_sparsely_is_not_compiled(make_run):
    with pytest.raises(UserError, match=r"^--compile compiles the dense network: leave it out, or --execution sparse$"):
        make_run("--model LeNet300 --N 16 --compile --execution sparse")
    assert make_run("--model LeNet300 --N 16 --compile").machine.compile


def test_what_auto_chose_is_the_first_that_is_told(make_run, monkeypatch):
    monkeypatch.setattr(module, "choose_precision", lambda device, execution: ("bf16", f"{device} {execution} says so"))
    run = make_run("--model LeNet300 --N 16 --precision auto --beta_ema 0.5")
    assert run.notices[0] == "--precision auto: bf16, as cpu dense says so"
    assert run.notices[-1] == run.notices[1] or "beta_ema" in "".join(run.notices[1:])
    assert (run.settings["precision"], run.machine.precision, run.precision.type) == ("bf16", "bf16", torch.bfloat16)
    monkeypatch.setattr(module, "spare_memory", lambda network: run.told.append(network))
    run.told = []
    other = make_run("--model LeNet300 --N 16 --channels_last")
    assert run.told == [other.network]
