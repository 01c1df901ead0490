import pytest
import torch
from torch import nn

from secateur.criterions.CNIP import CNIP
from secateur.hooks import hookimpl, plugin_manager
from secateur.measuring.sparsity import layer_outputs
from secateur.trainers.DefaultTrainer import DefaultTrainer
from secateur.utils.errors import UserError

BATCH = [(torch.ones(1, 2), torch.tensor([0]))]


def mean_output(outputs, targets):
    return outputs.mean()


@pytest.fixture
def two_paths(build):
    """x -> W1 (2, 2) -> w2 (1, 2): two weights into each of two nodes, one out of each."""
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    network[0].weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    network[1].weight.data = torch.tensor([[5.0, -6.0]])
    criterion = build(CNIP, network, loss=mean_output)
    criterion.example, criterion.dense_outputs = torch.zeros(1, 2), layer_outputs(network)
    return criterion


def test_weights_and_nodes_compete_by_hand(two_paths):
    # |g w| is [[5, 10], [18, 24]] and [[15, 42]]; |dL/dc| = |w2 h| is 15 and 42 for h = (3, 7).
    # Of these eight the four best are 42, 42, 24 and 18: three weights and one node.
    step = two_paths.prune(0.5, BATCH)
    assert (step.weights.unit, step.weights.candidates, step.weights.kept) == ("weights", 6, 3)
    assert step.weights.sparsity == 0.5
    assert (step.unit, step.candidates, step.kept) == ("units", 2, 1)
    assert step.weights.masks["0"].tolist() == [[False, False], [True, True]]
    assert step.weights.masks["1"].tolist() == [[False, True]]
    assert step.masks["0"].tolist() == [False, True]
    assert two_paths.network[0].weight.tolist() == [[3.0, 4.0]]
    assert two_paths.network[1].weight.tolist() == [[-6.0]]
    assert all(mask.all() for mask in two_paths.masks.kept.values())


def test_one_threshold_divides_both_and_what_is_gone_stays_below_it(two_paths):
    two_paths.trace()
    weights = {"0": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "1": torch.tensor([[5.0, 6.0]])}
    nodes = {"0": torch.tensor([0.5, 7.0])}
    # of 7 6 5 4 3 2 1 0.5 the best four: one node, and the weights 6, 5 and 4
    assert two_paths.fractions(weights, nodes, 0.5) == (0.5, 0.5)
    # without the second layer's weights: 7 4 3 2
    two_paths.masks.set({"1": torch.tensor([[False, False]])})
    assert two_paths.fractions(weights, nodes, 0.5) == (0.5, 0.5)
    assert two_paths.fractions(weights, nodes, 0.75) == (1 - 1 / 6, 0.5)
    # there are no more than are left
    assert two_paths.fractions(weights, nodes, 0.0) == (pytest.approx(1 / 3), 0.0)


def test_the_raw_loss_of_the_paper_s_program_serves_both_scores(build):
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    criterion = build(CNIP, network, "--saliency_loss nll_on_logits")
    criterion.example, criterion.dense_outputs = torch.zeros(1, 2), layer_outputs(network)
    criterion.trace()
    outgoing = (network[2].weight[0] * network[:2](BATCH[0][0])).detach().abs()
    torch.testing.assert_close(criterion.channel_scores(BATCH)["0"], outgoing[0])
    torch.testing.assert_close(criterion.snip.scores(BATCH)["2"][0], outgoing[0])


class Steps:
    """An observer that keeps the pruning steps."""

    def __init__(self):
        self.steps = []

    @hookimpl
    def pruned(self, step):
        self.steps.append(step)


@pytest.fixture
def prune(make_run):
    """Train a run of LeNet5; returns it, its pruning steps, and how many weights and nodes competed at first."""

    def start(command):
        run = make_run(f"--model LeNet5 --N 64 --batch_size 32 --eval_freq 0 {command}")
        manager, _ = plugin_manager()
        seen = Steps()
        manager.register(seen)
        run.hooks = manager.hook
        dense = run.criterion.dense_weight_count + run.criterion.dense_nodes
        results = DefaultTrainer(run).train()
        return run, seen.steps, dense, results

    return start


@pytest.mark.parametrize(
    ("flags", "number"),
    [
        ("CNIP --epochs 0", 1),
        ("CNIPit --epochs 0", 7),
        ("CNIPitDuring --epochs 15 --prune_delay 1 --prune_freq 2", 7),
        ("CNIPit --epochs 0 --outer_layer_pruning", 7),
    ],
)
def test_the_limit_is_met_by_both_together(prune, flags, number):
    run, steps, dense, results = prune(f"--prune_criterion {flags} --pruning_limit 0.9")
    assert len(steps) == number
    targets = [sparsity for sparsities in run.plan.pruning_steps.values() for sparsity in sparsities]
    for step, sparsity in zip(steps, targets, strict=True):
        # The first steps may take more: weights go with their nodes. A layer's last node stays whatever its score.
        assert step.weights.kept + step.kept <= round((1 - sparsity) * dense) + 3
    last = steps[-1]
    assert last.weights.kept + last.kept == pytest.approx(0.1 * dense, abs=3)
    assert 0 < last.kept < last.candidates
    assert 0 < results["node_sparsity"] < 0.9
    for name, mask in run.masks.kept.items():
        assert mask.shape == run.masks.weights[name].shape
        assert (run.masks.weights[name][~mask] == 0).all()


def test_the_steps_during_training_come_when_the_flags_say(make_run):
    run = make_run("--model LeNet5 --N 64 --batch_size 32 --prune_criterion CNIPitDuring --pruning_limit 0.9 "
                   "--prune_delay 1 --prune_freq 2 --epochs 15")  # fmt: skip
    assert [step / 2 for step in run.plan.pruning_steps] == [1, 3, 5, 7, 9, 11, 13]


def test_where_only_one_kind_competes_there_is_nothing_to_combine(make_run):
    with pytest.raises(UserError, match="no weights can be pruned"):
        make_run("--model LogisticRegression --prune_criterion CNIP")
    with pytest.raises(UserError, match="no channels"):
        make_run("--model LogisticRegression --prune_criterion CNIP --outer_layer_pruning")
