"""Repairs: what each of them computes, and that none raises the error on the calibration batches."""

import copy
import itertools
import json

import pytest
import torch
from torch import nn

import secateur
from secateur.pruning import repair as repairs
from secateur.pruning.masks import Masks
from secateur.pruning.repair import REPAIRS, Reference
from secateur.utils.errors import UserError
from tests.commands import QUICK
from tests.compensated import outputs, randomised

IMAGES = torch.randn(60, 2, 6, 6)
BATCHES = [(part, torch.zeros(len(part), dtype=torch.long)) for part in IMAGES.split(20)]


def network(seed=0):
    torch.manual_seed(seed)
    layers = nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=2), nn.ReLU(), nn.ConvTranspose2d(8, 4, 2), nn.Flatten(), nn.Linear(100, 5),
    )  # fmt: skip
    return randomised(layers)


def pruned(criterion, repair, seed=0, sparsity=0.7, **options):
    found = network(seed)
    result = secateur.prune(
        found, criterion, sparsity=sparsity, batches=BATCHES, outer_layer_pruning=True, repair=repair, **options
    )
    result.pruner.detach()
    return found, result


@pytest.mark.parametrize("name", REPAIRS)
@pytest.mark.parametrize(("criterion", "seed"), list(itertools.product(("Magnitude", "SparseGPT", "L1Norm"), range(2))))
def test_no_repair_raises_the_error_and_what_is_pruned_stays_so(name, criterion, seed):
    reference = Reference(network(seed), BATCHES, follows=True)
    plain, left = pruned(criterion, None, seed)
    found, result = pruned(criterion, [name], seed, distill_steps=20)
    (done,) = result.steps[-1].repairs
    assert done.error_after <= done.error_before
    assert done.taken_back or done.error_after < done.error_before
    assert result.steps[-1].kept == left.steps[-1].kept
    assert [tensor.shape for tensor in found.state_dict().values()] == [x.shape for x in plain.state_dict().values()]
    for layer, mask in result.masks.items():
        assert not found.get_submodule(layer).weight[~mask].any()
    if criterion != "L1Norm":
        measured = reference.output_error if name == "distill" else reference.layer_error
        assert measured(plain) == pytest.approx(done.error_before)
        assert measured(found) == pytest.approx(done.error_after)


def test_what_layers_gave_is_compared_with_what_their_channels_that_stay_give():
    """Channels that give nothing leave all others as they were, whichever layer they are of."""
    found = network()
    with torch.no_grad():
        found[0].weight[[2, 6]] = 0
        found[1].bias[[2, 6]] = found[1].running_mean[[2, 6]] = 0
        found[5].weight[:, 2] = found[5].bias[2] = 0
    options = {"distribution": "global", "repair": ["least_squares", "bias"]}
    (step,) = secateur.prune(found, "L1Norm", sparsity=0.15, batches=BATCHES, **options).steps
    assert dict(step.removed) == {"0": [2, 6], "5": [2]}
    assert [one.error_before < 1e-9 for one in step.repairs] == [True, True]


def test_batch_norms_take_the_statistics_of_the_calibration_batches():
    found, _ = pruned("Magnitude", None)
    inputs = outputs(found[:1], IMAGES)
    repairs.renew_batch_norms(found, Reference(network(), BATCHES), Masks(found), repairs.Steps())
    torch.testing.assert_close(found[1].running_mean, inputs.mean((0, 2, 3)))
    torch.testing.assert_close(found[1].running_var, inputs.var((0, 2, 3)))


def test_biases_give_back_the_mean_of_each_output():
    found, dense = pruned("Magnitude", None)[0], network()
    repairs.correct_means(found, Reference(dense, BATCHES), Masks(found), repairs.Steps())
    for end in (2, 4, 6, 8):  # behind the norm and the layers that have a bias
        means = [outputs(one[:end], IMAGES).movedim(1, -1).flatten(0, -2).mean(0) for one in (found, dense)]
        torch.testing.assert_close(*means, rtol=1e-4, atol=1e-4)


def test_least_squares_gives_the_best_weights_under_the_mask():
    torch.manual_seed(0)
    inputs = torch.randn(500, 6) @ torch.randn(6, 6)
    dense = nn.Sequential(nn.Linear(6, 4))
    found = copy.deepcopy(dense)
    batches = [(inputs, torch.zeros(500))]
    secateur.prune(
        found, "Magnitude", sparsity=0.5, batches=batches, outer_layer_pruning=True, repair=["least_squares"]
    ).pruner.detach()
    targets = outputs(dense, inputs)
    for row in range(4):
        kept = found[0].weight[row] != 0
        best = torch.linalg.lstsq(torch.cat([inputs[:, kept], torch.ones(500, 1)], 1), targets[:, row]).solution
        torch.testing.assert_close(found[0].weight[row, kept].detach(), best[:-1], rtol=1e-2, atol=1e-2)
        torch.testing.assert_close(found[0].bias[row].detach(), best[-1], rtol=1e-2, atol=1e-2)


def test_what_would_raise_the_error_is_taken_back(monkeypatch):
    def spoil(network, *_):
        with torch.no_grad():
            network[7].weight.add_(torch.randn(100))

    monkeypatch.setitem(REPAIRS, "bias", spoil)
    found, result = pruned("Magnitude", ["bias", "least_squares"])
    spoilt, fitted = result.steps[-1].repairs
    assert (spoilt.taken_back, spoilt.error_after) == (True, spoilt.error_before)
    assert fitted.error_before == spoilt.error_before
    assert all(
        map(torch.equal, found.state_dict().values(), pruned("Magnitude", ["least_squares"])[0].state_dict().values())
    )
    assert "was undone" in str(result)


def test_of_several_steps_at_once_the_last_is_repaired_to_what_the_dense_network_gave():
    found, result = pruned("SNIP", ["least_squares"], prune_schedule="linear", snip_steps=3)
    assert [len(step.repairs) for step in result.steps] == [0, 0, 1]
    (done,) = result.steps[-1].repairs
    assert Reference(network(), BATCHES).layer_error(found) == pytest.approx(done.error_after)


def test_a_pruned_network_that_is_held_is_repaired_by_a_call():
    found, dense = pruned("Magnitude", None)[0], network()
    zeros = {name: weight == 0 for name, weight in found.state_dict().items() if name.endswith("weight")}
    done = secateur.repair(found, dense, ["least_squares", "bn"], batches=BATCHES)
    assert [one.name for one in done] == ["least_squares", "bn"]
    assert done[0].error_after < done[0].error_before
    for name in ("0.weight", "3.weight", "5.weight", "7.weight"):
        assert torch.equal(found.state_dict()[name] == 0, zeros[name])
    for arguments, words in (
        ((found, dense, "bm"), "there is no repair 'bm': did you mean bn"),
        ((found, dense[:7], "bn"), "of the same shapes"),
    ):
        with pytest.raises(UserError, match=words.replace("'", ".")):
            secateur.repair(*arguments, batches=BATCHES)
    with pytest.raises(UserError, match="holds no batch"):
        secateur.repair(found, dense, "bn", batches=[])


@pytest.mark.parametrize(
    ("criterion", "options", "words"),
    [
        ("Magnitude", {}, "--repair merge is for channels that are removed, and Magnitude prunes weights"),
        ("L1Norm", {"compensate": "least_squares"}, "--repair merge and --compensate least_squares adjust the same"),
    ],
)
def test_merging_is_for_channels_and_alone(criterion, options, words):
    with pytest.raises(UserError, match=words):
        pruned(criterion, ["merge", "bn"], **options)


def test_repairs_without_effect_are_told():
    for options, words in (
        ({"enable_rewinding": True}, "--repair bn has no effect with rewinding"),
        ({}, "--repair bn has no effect without batch norms"),
    ):
        found = nn.Sequential(nn.Flatten(), nn.Linear(72, 3))
        options |= {"sparsity": 0.5, "batches": BATCHES, "outer_layer_pruning": True}
        (step,) = secateur.prune(found, "Magnitude", repair=["bn"], **options).steps
        assert step.notices == [words]


def test_a_run_repairs_and_says_so(run):
    command = f"--model LeNet300 --N 64 --epochs 0 --prune_criterion Wanda --pruning_limit 0.8 {QUICK}"
    done = run(f"{command} --repair least_squares,distill --distill_steps 2")
    assert done.status == 0
    assert "repair least_squares: error " in done.out
    results = json.loads((done.folder / "output" / "results.json").read_text())
    assert [one["name"] for one in results["repairs"]] == ["least_squares", "distill"]
    first = results["repairs"][0]
    assert (first["epoch"], first["sparsity"], first["taken_back"]) == (0, 0.8, False)
    assert first["error_after"] < first["error_before"]
    done = run(f"{command} --repair bm")
    assert (done.status, "'bm' is not one of merge, bn, bias" in done.err) == (2, True)


def test_the_first_step_of_distillation_moves_every_weight_that_is_left_by_the_step_size():
    """Adam's moments are those of one gradient: g / |g|, whose sign the error of the outputs has."""
    layer = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0, -1.0], [0.5, -2.0, 3.0]]))
    images = torch.ones(repairs.DISTILL_BATCH, 3)
    reference = Reference(layer, [(images, torch.zeros(len(images), dtype=torch.long))])
    masks = Masks(layer)
    masks.set({"": torch.tensor([[True, False, True], [False, True, True]])})
    # the outputs were 2 and 1.5, and are 0 and 1
    rate = 0.002
    repairs.distill(layer, reference, masks, repairs.Steps(1, rate))
    torch.testing.assert_close(
        layer.weight.detach(), torch.tensor([[1 + rate, 0, -1 + rate], [0, -2 + rate, 3 + rate]]), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("images", [1, 40])
def test_norms_have_the_statistics_of_all_images_after_distillation(images):
    """Each step takes those of its own images; a single image may have no variance, and the norm keeps what it has."""
    torch.manual_seed(0)
    dense = randomised(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))).eval()
    found, inputs = copy.deepcopy(dense), torch.randn(images, 3)
    reference = Reference(dense, [(inputs, torch.zeros(images, dtype=torch.long))])
    with torch.no_grad():
        found[0].weight += 0.3 * torch.randn(4, 3)
    before = reference.output_error(found)
    (done,) = repairs.repair(found, reference, ["distill"], Masks(found), repairs.Steps(60, 0.01))
    if images > 1:
        assert reference.output_error(found) == pytest.approx(done.error_after)
        assert done.error_after < 0.3 * before
        variance, mean = torch.var_mean(found[0](inputs), dim=0)
        torch.testing.assert_close(found[1].running_mean, mean.detach())
        torch.testing.assert_close(found[1].running_var, variance.detach())
    else:
        assert torch.equal(found[1].running_var, dense[1].running_var)
    assert not any(module.training for module in found.modules())


def half(kind):
    return lambda: torch.autocast("cpu", kind)


def test_float16_does_not_lose_the_small_gradients_of_distillation():
    """Of 3,200 outputs of 30,000 that are doubled each has a gradient of 2e-8, less than the smallest number."""
    layer = nn.Linear(1, 100, bias=False)
    with torch.no_grad():
        layer.weight.fill_(30_000)
    images = torch.ones(repairs.DISTILL_BATCH, 1)
    reference = Reference(layer, [(images, torch.zeros(len(images), dtype=torch.long))])
    with torch.no_grad():
        layer.weight.mul_(2)
    repairs.distill(layer, reference, Masks(layer), repairs.Steps(1, 16, autocast=half(torch.float16)))
    torch.testing.assert_close(layer.weight.detach(), torch.full((100, 1), 60_000.0 - 16), rtol=0, atol=0.5)


def test_only_the_steps_of_distillation_are_taken_by_the_precision():
    """Their 3 forward passes; what was wanted, the fit and the errors are in float32."""
    found, seen = network(), []
    found[-1].register_forward_hook(lambda _, inputs, output: seen.append((output.dtype, output.requires_grad)))
    options = {"batches": BATCHES, "repair": ["least_squares", "distill"], "distill_steps": 3, "precision": "bf16"}
    secateur.prune(found, "Magnitude", **options)
    assert [dtype for dtype, steps in seen if steps] == 3 * [torch.bfloat16]
    assert {dtype for dtype, steps in seen if not steps} == {torch.float32}
    seen.clear()
    secateur.repair(found, network(), "distill", batches=BATCHES, distill_steps=2, precision="bf16")
    assert [dtype for dtype, steps in seen if steps] == 2 * [torch.bfloat16]


def test_a_precision_that_is_none_is_refused():
    words = "^precision 'bf61' is not one of float32, bf16, fp16: did you mean bf16, fp16[?]$"
    with pytest.raises(UserError, match=words):
        secateur.prune(network(), "Magnitude", batches=BATCHES, precision="bf61")
    with pytest.raises(UserError, match=words):
        secateur.repair(network(), network(), "bn", batches=BATCHES, precision="bf61")
