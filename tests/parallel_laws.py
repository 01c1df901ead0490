"""What several processes do, for tests/test_data_parallel.py, see parallel_runs.py."""

import itertools
from pathlib import Path

import torch
from torch import nn

import secateur.data.image_files
from secateur import cli
from secateur.parallel.batch_norm import joint_batch_norm
from secateur.parallel.collectives import (
    check_same_pruning,
    check_same_weights,
    fork_rng,
    gathered,
    part,
    rank,
    shares,
    sum_of_numbers,
    sum_over_processes,
    sync_rng,
)
from secateur.parallel.launch import process_group
from secateur.pruning.masks import Masks
from secateur.trainers.DefaultTrainer import DefaultTrainer
from secateur.utils.errors import UserError


def batch_norm_is_that_of_the_whole_batch(kind: type[nn.Module], shape: tuple[int, ...], options: dict) -> None:
    """Outputs, running statistics and all gradients; the parts differ in size, mean and spread."""
    torch.manual_seed(1)
    inputs = torch.randn(shape, dtype=torch.float64) * torch.arange(1, shape[0] + 1).view(-1, *[1] * (len(shape) - 1))
    inputs, weights = inputs + 50, torch.randn(shape, dtype=torch.float64)
    own, outcome = part(len(inputs)), []
    for joint in (False, True):
        norm = kind(shape[1], dtype=torch.float64, **options)
        for parameter in norm.parameters():
            nn.init.uniform_(parameter, 0.5, 1.5, generator=torch.Generator().manual_seed(2))
        for _ in range(2):
            seen = (inputs[own] if joint else inputs).clone().requires_grad_()
            norm.zero_grad()
            if joint:
                with joint_batch_norm():
                    outputs = norm(seen)
            else:
                outputs = norm(seen)
            (outputs.sin() * (weights[own] if joint else weights)).sum().backward()
        gradients = [parameter.grad.clone() for parameter in norm.parameters()]
        if joint:
            sum_over_processes(gradients)
        pieces = [seen.grad, outputs.detach()] if joint else [seen.grad[own], outputs.detach()[own]]
        outcome.append([*pieces, *gradients, *norm.buffers()])
        assert norm.eval()(seen).isfinite().all()
    for alone, together in zip(*outcome, strict=True):
        torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-12)


def batch_norm_of_bfloat16_keeps_its_type() -> None:
    """And is near that of float32."""
    inputs = torch.linspace(-2, 2, 8 * 3).view(8, 3)[part(8)]
    norm = nn.BatchNorm1d(3)
    with joint_batch_norm():
        exact, found = norm(inputs), norm(inputs.bfloat16())
    assert found.dtype == torch.bfloat16
    assert (found.float() - exact).abs().max() < 0.02


def parts_make_up_the_whole() -> None:
    """In order; of a batch of one image the first process has a placeholder that does not count."""
    for number in (0, 1, 2, 7, 8):
        parts = [range(number)[own] for own in gathered(part(number))]
        assert [*itertools.chain(*parts)] == [*range(number)]
    batch = (torch.arange(7.0).view(7, 1), torch.arange(7))
    ((inputs, targets, fraction),) = shares([batch])
    assert inputs.flatten().tolist() == targets.tolist() == ([0, 1, 2], [3, 4, 5, 6])[rank()]
    assert fraction == (3 / 7, 4 / 7)[rank()]
    ((inputs, _, fraction),) = shares([(torch.ones(1, 1), torch.zeros(1, dtype=torch.long))])
    assert (len(inputs), fraction) == (1, float(rank()))
    assert sum_of_numbers(rank(), 2.5) == [1, 5]


def differences_are_found() -> None:
    """Of masks, cuts and weights, on all processes alike; and random numbers are as they should be."""
    network = nn.Linear(4, 3)
    masks = Masks(network)
    same = torch.arange(12).view(3, 4) < 5
    masks.set({"": same})
    check_same_pruning(masks, [("layer", [1])])
    for cuts, mask in (([("layer", [rank()])], same), ([], same.roll(rank()))):
        masks.set({"": mask})
        assert "process 1 has pruned other" in refusal(check_same_pruning, masks, cuts)
    with torch.no_grad():
        network.weight.fill_(1)
        check_same_weights(network)
        network.weight += 0.01 * rank()
    assert "process 1 has other weights in weight" in refusal(check_same_weights, network)
    fork_rng(3, "here")
    assert len(set(gathered(float(torch.rand(()))))) == 2
    sync_rng(torch.device("cpu"))
    assert len(set(gathered(float(torch.rand(()))))) == 1


def refusal(check: object, *arguments: object) -> str:
    try:
        check(*arguments)
    except UserError as error:
        return str(error)
    return "none"


def laws() -> None:
    for kind, shape in ((nn.BatchNorm1d, (7, 3)), (nn.BatchNorm1d, (5, 2, 3)), (nn.BatchNorm2d, (3, 2, 4, 5))):
        for options in ({}, {"affine": False}, {"momentum": None}, {"track_running_stats": False}):
            batch_norm_is_that_of_the_whole_batch(kind, shape, options)
    batch_norm_of_bfloat16_keeps_its_type()
    parts_make_up_the_whole()
    differences_are_found()


def fail_in_the_third_step() -> None:
    original = DefaultTrainer.train_batch

    def train_batch(self: DefaultTrainer, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        if rank() and self.pruner.step == 2:
            raise UserError("the image lost.png cannot be read")
        original(self, inputs, targets)

    DefaultTrainer.train_batch = train_batch


def start(mode: str, argument: str) -> int:
    """Do what parallel_runs.py says; returns the exit status."""
    if mode == "fails":
        fail_in_the_third_step()
        return cli.main(argument.split())
    secateur.data.image_files.SHARE_OF_MEMORY = 0  # image files are streamed
    with process_group():
        laws()
        return max(cli.main(line.split()) for line in Path(argument).read_text().splitlines())
