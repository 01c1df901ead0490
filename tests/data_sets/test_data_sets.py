"""The data sets of the laboratory: their facts, their split, that they can be learned."""

import importlib
import struct
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits

from secateur.data.batches import Batches
from secateur.data.data_set import DataSet
from secateur.data_sets.DIGITS import DIGITS
from secateur.data_sets.MNIST import MNIST
from secateur.data_sets.RUBBISH import RUBBISH
from secateur.models.LogisticRegression import LogisticRegression
from secateur.utils.errors import UserError

NOWHERE = Path("does-not-exist")
FOLDER = Path(__file__).parents[2] / "data_sets"


def load(kind, **options):
    return kind(**options).load(NOWHERE)


def statistics(images):
    scaled = images.pixels.double() / 255
    return scaled.mean((0, 2, 3)).tolist(), scaled.std((0, 2, 3)).tolist()


@pytest.mark.parametrize("name", [path.stem for path in FOLDER.glob("*.py") if path.stem[0] != "_"])
def test_facts_fit_each_other(name):
    kind = getattr(importlib.import_module(f"secateur.data_sets.{name}"), name)
    assert issubclass(kind, DataSet)
    assert len(kind.input_shape) == 3
    assert len(kind.mean) == len(kind.std) == kind.input_shape[0]
    assert all(0 < mean < 1 for mean in kind.mean)
    assert all(0 < std <= 0.5 for std in kind.std), "values in [0, 1] cannot deviate by more than 0.5"
    assert kind.num_classes >= 2
    assert kind.batch_size >= 1


@pytest.mark.parametrize("kind", [DIGITS, RUBBISH])
def test_what_is_loaded_is_what_was_declared(kind):
    state = torch.get_rng_state()
    for images in load(kind):
        assert images.pixels.dtype == torch.uint8
        assert images.labels.dtype == torch.int64
        assert images.pixels.shape == (len(images), *kind.input_shape)
        assert images.labels.unique().tolist() == list(range(kind.num_classes))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", [DIGITS, RUBBISH])
def test_loading_gives_the_same_every_time(kind):
    torch.manual_seed(1)
    first = load(kind)
    torch.manual_seed(2)
    for one, other in zip(first, load(kind), strict=True):
        assert one.pixels.equal(other.pixels)
        assert one.labels.equal(other.labels)


def test_digits_are_split_once_by_class():
    train, test = load(DIGITS)
    assert (len(train), len(test)) == (1437, 360)
    whole = torch.from_numpy(load_digits().target).bincount()
    assert (train.labels.bincount() + test.labels.bincount()).equal(whole)
    assert ((test.labels.bincount() - whole * 360 / 1797).abs() < 1).all()


def test_digits_are_all_there_and_none_twice():
    train, test = load(DIGITS)
    found = torch.cat([train.pixels, test.pixels]).flatten(1)
    labels = torch.cat([train.labels, test.labels])
    digits = load_digits()
    # 0 stays 0, 8 becomes 127.5, rounded to even, and 16 becomes 255
    steps = torch.tensor([round(value * 255 / 16) for value in range(17)])
    assert steps[[0, 8, 16]].tolist() == [0, 128, 255]
    whole = steps[torch.from_numpy(digits.data).long()]
    found_rows = sorted([*row, label] for row, label in zip(found.tolist(), labels.tolist(), strict=True))
    assert found_rows == sorted([*row, label] for row, label in zip(whole.tolist(), digits.target, strict=True))


def test_declared_statistics_of_digits_are_those_of_its_training_images():
    mean, std = statistics(load(DIGITS)[0])
    assert DIGITS.mean == pytest.approx(mean, abs=5e-4)
    assert DIGITS.std == pytest.approx(std, abs=5e-4)


def test_declared_statistics_of_rubbish_are_roughly_those_of_its_training_images():
    mean, std = statistics(load(RUBBISH)[0])
    assert RUBBISH.mean == pytest.approx(mean, abs=0.01)
    assert RUBBISH.std == pytest.approx(std, abs=0.01)


@pytest.mark.parametrize(
    ("options", "sizes"),
    [({}, (5000, 1000)), ({"rubbish_images": 64}, (64, 1000)), ({"rubbish_images": 10}, (10, 1000))],
)
def test_size_of_rubbish(options, sizes):
    train, test = load(RUBBISH, **options)
    assert (len(train), len(test)) == sizes


def test_rubbish_is_tested_on_the_same_images_whatever_it_is_trained_on():
    tests = [load(RUBBISH, rubbish_images=count)[1] for count in (10, 64)]
    assert tests[0].pixels.equal(tests[1].pixels)
    assert tests[0].labels.equal(tests[1].labels)


@pytest.mark.parametrize("count", [9, 1000001, 5.5, "many"])
def test_size_of_rubbish_is_checked(count, make_settings):
    with pytest.raises(UserError, match=f"^--rubbish_images: .*{count}"):
        make_settings(f"--data_set RUBBISH --rubbish_images {count}")
    with pytest.raises(UserError, match=f"^rubbish_images: .*{count}"):
        RUBBISH(rubbish_images=count)


def test_rubbish_stays_in_its_class_when_mirrored():
    train, test = load(RUBBISH)
    means = torch.stack([train.pixels[train.labels == label].float().mean(0) for label in range(10)])
    centred = (means - means.mean(0)).flatten(1)

    def accuracy(pixels):
        nearest = ((pixels.float() - means.mean(0)).flatten(1) @ centred.T - centred.square().sum(1) / 2).argmax(1)
        return float((nearest == test.labels).float().mean())

    assert accuracy(test.pixels) > 0.9
    assert accuracy(test.pixels.flip(3)) > 0.9


def test_rubbish_is_learned_in_a_few_steps():
    train, test = load(RUBBISH, rubbish_images=3000)
    torch.manual_seed(0)
    network = LogisticRegression(RUBBISH.input_shape, RUBBISH.num_classes)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    held_out = Batches(test, 1000, RUBBISH.mean, RUBBISH.std)

    @torch.no_grad()
    def accuracy():
        [(inputs, targets)] = held_out
        return float((network(inputs).argmax(1) == targets).float().mean())

    assert accuracy() < 0.3
    for inputs, targets in Batches(train, RUBBISH.batch_size, RUBBISH.mean, RUBBISH.std).epoch(0):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
    assert accuracy() > 0.9


def test_mnist_reads_its_four_files(tmp_path):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    pixels = torch.arange(3 * 28 * 28).view(3, 28, 28) % 251
    for part, count in (("train", 3), ("t10k", 2)):
        images = struct.pack(">4I", 0x803, count, 28, 28) + bytes(pixels[:count].flatten().tolist())
        (folder / f"{part}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + bytes([7, 0, 9][:count]))
    train, test = MNIST().load(tmp_path)
    assert train.pixels.equal(pixels[:, None].byte())
    assert test.pixels.equal(pixels[:2, None].byte())
    assert (train.labels.tolist(), test.labels.tolist()) == ([7, 0, 9], [7, 0])
    assert train.pixels.shape[1:] == MNIST.input_shape


def test_mnist_says_where_its_files_belong(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("there is no network in tests")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz.*https://") as caught:
        MNIST().load(tmp_path)
    assert str(tmp_path / "MNIST" / "raw") in str(caught.value)
