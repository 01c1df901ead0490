"""Going back after pruning: lottery tickets, many shots, weights drawn anew."""

import pytest
import torch

from secateur.channels.surgery import replay
from secateur.trainers.DefaultTrainer import DefaultTrainer
from secateur.utils.errors import UserError

ROUNDS = "--model LeNet5 --prune_criterion IMP --N 64 --batch_size 32 --snip_steps 2 --outer_layer_pruning"


class Watch(DefaultTrainer):
    """Keeps what the network, the optimizer and the learning rate are before and after each pruning step."""

    def __init__(self, run):
        self.before, self.after = {}, {}
        super().__init__(run)

    def prune_as_planned(self):
        self.before[self.pruner.step] = self.state()
        super().prune_as_planned()
        self.after[self.pruner.step] = self.state()

    def state(self):
        moments = self.optimizer.state_dict()["state"]
        return {
            "network": {name: tensor.clone() for name, tensor in self.network.state_dict().items()},
            "moments": {
                key: {n: torch.as_tensor(t).clone() for n, t in value.items()} for key, value in moments.items()
            },
            "rate": self.optimizer.param_groups[0]["lr"],
        }


def test_rewinding_gives_back_network_optimizer_and_rate_bit_for_bit(make_run):
    run = make_run(f"{ROUNDS} --epochs 7 --prune_freq 3 --enable_rewinding --rewind_to 1 --lr_schedule cosine")
    trainer = Watch(run)
    trainer.train()
    saved, kept = trainer.before[2], run.masks.kept
    for step in (6, 12):  # of the optimizer: epochs 3 and 6 of two batches
        rewound = trainer.after[step]
        for name, tensor in saved["network"].items():
            layer = name.removesuffix(".weight")
            masked = tensor * (rewound["network"][name] != 0) if name.endswith("weight") and layer in kept else tensor
            assert torch.equal(rewound["network"][name], masked), name
        assert rewound["moments"].keys() == saved["moments"].keys()
        for key, moments in saved["moments"].items():
            assert all(torch.equal(rewound["moments"][key][name], value) for name, value in moments.items())
        assert not torch.equal(
            trainer.before[step]["network"]["classifier.weight"], saved["network"]["classifier.weight"]
        )
    # Each period ends at the next pruning step: the first round of 3 epochs, then 1 + 3, at last 1 + 1.
    assert trainer.before[2]["rate"] == pytest.approx(rate(1, 3))
    assert trainer.after[6]["rate"] == pytest.approx(rate(1, 4))
    assert trainer.after[12]["rate"] == pytest.approx(rate(1, 2))


def rate(epoch, of):
    """The learning rate of the cosine schedule."""
    return 2e-3 * (1 + torch.cos(torch.tensor(torch.pi * epoch / of)).item()) / 2


def test_rewinding_to_the_start_forgets_what_the_optimizer_knew(make_run):
    trainer = Watch(make_run(f"{ROUNDS} --epochs 5 --prune_freq 2 --enable_rewinding"))
    trainer.train()
    assert trainer.before[4]["moments"]
    assert trainer.after[4]["moments"] == {}
    assert torch.equal(trainer.after[4]["network"]["classifier.bias"], trainer.before[0]["network"]["classifier.bias"])


def test_weights_alone_go_back_where_that_is_asked(make_run):
    trainer = Watch(make_run(f"{ROUNDS} --epochs 5 --prune_freq 2 --enable_rewinding --rewind_weights_only"))
    trainer.train()
    start, before, after = trainer.before[0]["network"], trainer.before[4]["network"], trainer.after[4]["network"]
    assert torch.equal(after["classifier.bias"], before["classifier.bias"])
    assert torch.equal(after["classifier.weight"], start["classifier.weight"] * (after["classifier.weight"] != 0))
    assert trainer.after[4]["moments"].keys() == trainer.before[4]["moments"].keys()


def test_many_shots_train_prune_and_rewind_in_turn(make_run):
    run = make_run(
        "--model LeNet300 --prune_criterion mag --experiment multishot --snip_steps 2 --pre_epochs 2 --epochs 1 "
        "--pruning_limit 0.75 --outer_layer_pruning --N 64 --batch_size 32"
    )
    trainer = Watch(run)
    results = trainer.train()
    assert results["epochs"] == 5
    assert results["weight_sparsity"] == 0.75
    start = trainer.before[0]["network"]["classifier.bias"]
    assert all(torch.equal(trainer.after[step]["network"]["classifier.bias"], start) for step in (4, 8))
    # half of the weights go in each shot
    assert [int((trainer.after[step]["network"]["features.1.weight"] != 0).sum()) > 0 for step in (4, 8)]


def test_a_state_after_the_first_pruning_step_cannot_be_gone_back_to(make_run):
    with pytest.raises(UserError, match="--rewind_to 4 is after the first pruning step, which comes at epoch 3"):
        DefaultTrainer(make_run(f"{ROUNDS} --epochs 9 --prune_freq 3 --enable_rewinding --rewind_to 4"))


def test_drawn_anew_the_network_has_its_masks_and_other_weights(make_run):
    def pruned(flags):
        run = make_run(f"--model LeNet300 --prune_criterion SNIP --outer_layer_pruning --epochs 0 {flags}")
        DefaultTrainer(run).train()
        return run

    plain, anew, again = pruned(""), pruned("--reinitialise"), pruned("--reinitialise")
    for name, mask in plain.masks.kept.items():
        weights = [run.masks.weights[name].detach() for run in (plain, anew, again)]
        assert all(torch.equal(weight != 0, mask) for weight in weights)
        assert torch.equal(weights[1], weights[2])
        assert not torch.isclose(weights[0], weights[1])[mask].any()
        # drawn from the same distribution
        assert float(weights[1].std() / weights[0].std()) == pytest.approx(1, rel=0.2)


def test_drawn_anew_without_its_channels_it_is_a_fresh_network_without_them(make_run):
    run = make_run("--model LeNet300 --prune_criterion SNAP --pruning_limit 0.5 --epochs 0 --reinitialise --N 64")
    DefaultTrainer(run).train()
    fresh = run.fresh_network(run.options.seed + 1)
    replay(fresh, run.example, run.removed)
    own = run.network.state_dict()
    assert own["features.1.weight"].shape[0] < 300
    assert all(torch.equal(own[name], tensor) for name, tensor in fresh.state_dict().items())


def test_moments_of_regrown_weights_are_zero(make_run):
    run = make_run("--model LeNet300 --prune_criterion SET --pruning_limit 0.9 --epochs 4 --N 64 --batch_size 32")
    trainer = DefaultTrainer(run)
    seen = []
    original = run.hooks.pruned

    class Relay:
        def __getattr__(self, name):
            return getattr(hooks, name)

        def pruned(self, run, step):
            original(run=run, step=step)
            for name, regrown in step.regrown.items():
                moments = trainer.optimizer.state[run.masks.weights[name]]
                seen.append(int(regrown.sum()))
                assert all((moments[kind][regrown] == 0).all() for kind in ("exp_avg", "exp_avg_sq"))
                assert moments["exp_avg"].abs().sum() > 0

    hooks, run.hooks = run.hooks, Relay()
    trainer.train()
    assert sum(seen) > 0


def test_the_seeds_for_all_that_is_random_make_a_run_repeatable(make_run):
    def weights(criterion):
        run = make_run(f"--model LeNet300 --prune_criterion {criterion} --pruning_limit 0.9 --epochs 3 --N 64")
        DefaultTrainer(run).train()
        return run.network.state_dict()

    for criterion in ("SET", "RigL --update_steps 1", "MovementPruning", "FORCE --snip_steps 4 --shuffle_masks"):
        first, again = weights(criterion), weights(criterion)
        assert all(torch.equal(tensor, again[name]) for name, tensor in first.items()), criterion
