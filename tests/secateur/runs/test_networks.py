"""Building a network for the data, and refusing one that does not fit in one line."""

import warnings
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch import nn

from secateur.config.option import option
from secateur.models.LeNet5 import LeNet5
from secateur.models.LeNet300 import LeNet300
from secateur.models.MLP5 import MLP5
from secateur.models.ResNet18 import ResNet18
from secateur.runs import networks
from secateur.runs.model_zoos import torchvision_network
from secateur.runs.networks import build_network, check_size, network_options
from secateur.utils.errors import UserError

SHAPE = (1, 8, 8)


class Flattened(nn.Module):
    """A network with options of its own, whose output each test chooses."""

    depth: int | None = option(None, "how deep")
    dropout: float | None = option(None, "how much is dropped")

    def __init__(self, input_shape, num_classes, depth=2, dropout=0.5, outputs=None):
        super().__init__()
        self.depth, self.dropout, self.outputs = depth, dropout, outputs
        self.norm = nn.BatchNorm2d(input_shape[0])
        self.classifier = nn.Linear(64, num_classes)

    def forward(self, images):
        logits = self.classifier(self.norm(images).flatten(1))
        return logits if self.outputs is None else self.outputs(logits)


class Raising(nn.Module):
    """Raises what it is told to, when it is built or when it is used."""

    def __init__(self, input_shape, num_classes, error, late=True):
        super().__init__()
        if not late:
            raise error
        self.error = error

    def forward(self, images):
        raise self.error


def flags(**given):
    """The settings of a run: those of every one, and those that `Flattened` declares."""
    return {"model": "Some", "hidden_dim": None, "depth": None, "dropout": None, **given}


def test_options_are_the_constructors_own_that_have_a_value():
    assert network_options(Flattened, flags(depth=3, dropout=None, learning_rate=0.1)) == {"depth": 3}
    assert network_options(Flattened, flags(depth=3, dropout=0.0)) == {"depth": 3, "dropout": 0.0}
    assert network_options(Flattened, flags(input_shape=(9, 9, 9), num_classes=2)) == {}


def test_hidden_dim_reaches_a_network_that_has_one():
    assert network_options(MLP5, flags(hidden_dim=32)) == {"hidden_dim": 32}
    assert network_options(MLP5, flags()) == {}


@pytest.mark.parametrize("build", [LeNet300, partial(torchvision_network, "resnet18")])
def test_hidden_dim_is_refused_where_there_is_none(build):
    with pytest.raises(UserError, match="--hidden_dim: Other has no hidden width to set"):
        network_options(build, flags(model="Other", hidden_dim=32))


def test_a_network_of_a_zoo_has_no_options():
    assert network_options(partial(torchvision_network, "resnet18"), flags(name="x")) == {}


def test_the_network_is_built_with_its_options_and_ready_for_training():
    network = build_network(Flattened, "Flattened", SHAPE, 10, {"depth": 7})
    assert network.depth == 7
    assert all(module.training for module in network.modules())


def test_trying_the_network_changes_nothing_of_it_nor_of_the_global_generator():
    torch.manual_seed(4)
    tried = build_network(ResNet18, "ResNet18", SHAPE, 10, {}).state_dict()
    after_trying = torch.get_rng_state()
    torch.manual_seed(4)
    built = ResNet18(SHAPE, 10).state_dict()
    assert torch.equal(torch.get_rng_state(), after_trying)
    assert all(tried[key].equal(built[key]) for key in built)


def test_a_real_network_on_images_that_are_too_small_for_it():
    with pytest.raises(UserError, match=r"LeNet5 does not work on images of 3x2x2: .*--input_dim") as caught:
        build_network(LeNet5, "LeNet5", (3, 2, 2), 10, {})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("kind", [RuntimeError, ValueError, TypeError, IndexError, ZeroDivisionError])
def test_a_network_that_fails_on_the_images_is_told_in_one_line(kind, late):
    error = kind("sizes\n  do not\tmatch")
    with pytest.raises(UserError) as caught:
        build_network(Raising, "Mine", (3, 5, 6), 10, {"error": error, "late": late})
    text = str(caught.value)
    assert text.startswith("Mine does not work on images of 3x5x6: sizes do not match (")
    assert "--input_dim" in text
    assert caught.value.__cause__ is error


def test_a_users_error_passes_as_it_is():
    error = UserError("there is no network 'x'")
    with pytest.raises(UserError) as caught:
        build_network(Raising, "Mine", SHAPE, 10, {"error": error, "late": False})
    assert caught.value is error


@pytest.mark.parametrize(
    ("outputs", "found"),
    [
        (lambda logits: logits[:, :9], r"\(2, 9\)"),
        (lambda logits: logits[:1], r"\(1, 10\)"),
        (lambda logits: logits[:, :, None, None], r"\(2, 10, 1, 1\)"),
        (lambda logits: (logits, logits), "tuple"),
        (lambda logits: {"logits": logits}, "dict"),
        (lambda logits: None, "NoneType"),
    ],
)
def test_anything_but_one_logit_a_class_is_refused(outputs, found):
    pattern = rf"Mine returns {found} for two images of 1x8x8 instead of logits \(2, 10\)"
    with pytest.raises(UserError, match=pattern):
        build_network(Flattened, "Mine", SHAPE, 10, {"outputs": outputs})


def test_a_network_that_returns_more_in_training_is_refused():
    class Auxiliary(Flattened):
        def forward(self, images):
            logits = super().forward(images)
            return (logits, logits) if self.training else logits

    with pytest.raises(UserError, match=r"returns tuple for two images of 1x8x8 instead of logits .* in training"):
        build_network(Auxiliary, "Mine", SHAPE, 10, {})


def test_memory_that_runs_out_is_no_fault_of_the_images():
    error = RuntimeError("DefaultCPUAllocator: can't allocate memory")
    with pytest.raises(RuntimeError):
        build_network(Raising, "Mine", SHAPE, 10, {"error": error})


def test_the_line_of_the_networks_own_file_is_named():
    with pytest.raises(UserError, match=r"test_networks\.py:\d+\)"):
        build_network(Raising, "Mine", SHAPE, 10, {"error": ValueError("x")})


def test_the_advice_is_never_the_images_that_were_just_refused():
    with pytest.raises(UserError) as caught:
        build_network(Raising, "Mine", (3, 32, 32), 10, {"error": RuntimeError("too small")})
    assert "--input_dim 3 32 32" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((3, 31, 31), "3 32 32"),
        ((3, 32, 31), "3 64 64"),
        ((1, 31, 32), "1 64 64"),
        ((200, 63, 8), "200 64 64"),
        ((3, 64, 1), "3 224 224"),
        ((3, 223, 223), "3 224 224"),
        ((3, 224, 1), None),
    ],
)
def test_the_next_usual_size_is_advised(shape, hint):
    with pytest.raises(UserError) as caught:
        build_network(Raising, "Mine", shape, 10, {"error": UserWarning("x" * 301)})
    text, _, advice = str(caught.value).partition(" (")
    assert text == f"Mine does not work on images of {shape[0]}x{shape[1]}x{shape[2]}: {'x' * 150} ... {'x' * 150}"
    assert advice.partition(")")[2] == (f"; try larger images, as by --input_dim {hint}" if hint else "")


def test_a_network_that_is_larger_than_memory_is_refused_before_any_is_taken():
    torch.manual_seed(4)
    before = torch.get_rng_state()
    with pytest.raises(
        UserError, match=r"MLP5 takes 1,200,\d{3},\d{3},\d{3},\d{3} bytes, and .* bytes of memory are free"
    ):
        check_size(MLP5, "MLP5", SHAPE, 10, {"hidden_dim": 10**7})
    check_size(MLP5, "MLP5", SHAPE, 10, {"hidden_dim": 8})
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("free", "fits"), [(2_624, True), (2_623, False)])
def test_a_network_may_be_as_large_as_memory(monkeypatch, free, fits):
    # 64 x 10 weights, 10 biases, and of the norm two numbers, two averages and a count of 8 bytes: 654 x 4 + 8
    monkeypatch.setattr(networks, "free_memory", lambda device: free)
    with (
        nullcontext()
        if fits
        else pytest.raises(UserError, match=r"^Mine takes 2,624 bytes, and 2,623 bytes of memory are free$")
    ):
        check_size(Flattened, "Mine", SHAPE, 10, {})


def test_a_network_whose_size_cannot_be_told_is_left_to_those_who_build_it():
    check_size(Raising, "Mine", SHAPE, 10, {"error": ValueError("x"), "late": False})


def test_what_a_network_warns_of_beside_layers_without_weights_is_seen():
    def build(input_shape, num_classes):
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=1)
        return Flattened(input_shape, num_classes)

    assert build_network(build, "Mine", SHAPE, 10, {}).depth == 2

    def warns(input_shape, num_classes):
        warnings.warn("another matter", UserWarning, stacklevel=1)
        return Flattened(input_shape, num_classes)

    with pytest.raises(UserError, match=r"^Mine does not work on images of 1x8x8: another matter; try"):
        build_network(warns, "Mine", SHAPE, 10, {})
