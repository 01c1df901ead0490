"""CIFAR's files in their true format: read, missing, of other content. No test touches the network."""

import hashlib
import pickle
import urllib.error
import urllib.request

import numpy as np
import pytest
import torch

from secateur.data.augmentation import HorizontalFlip, RandomCrop
from secateur.data_sets.CIFAR10 import CIFAR10
from secateur.data_sets.CIFAR100 import CIFAR100
from secateur.utils.errors import UserError
from secateur.utils.torchvision_import import torchvision


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def urlopen(*_, **__):
        raise urllib.error.URLError("there is no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)


def write(folder, kind, monkeypatch, label_key, classes_key):
    """Write batches of six random images as the published files are laid out, and take their checksums for right."""
    where = folder / kind.base_folder
    where.mkdir()
    generator = np.random.default_rng(0)
    written, lists = [], {}
    for name in ("train_list", "test_list"):
        lists[name] = []
        for file, _ in getattr(kind, name):
            pixels = generator.integers(0, 256, (6, 3072), dtype=np.uint8)
            labels = generator.integers(0, 10, 6).tolist()
            content = pickle.dumps({"data": pixels, label_key: labels})
            (where / file).write_bytes(content)
            lists[name].append([file, hashlib.md5(content).hexdigest()])
            written.append((pixels.reshape(6, 3, 32, 32), labels))
    meta = pickle.dumps({classes_key: [str(number) for number in range(10)]})
    (where / kind.meta["filename"]).write_bytes(meta)
    monkeypatch.setattr(kind, "train_list", lists["train_list"])
    monkeypatch.setattr(kind, "test_list", lists["test_list"])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": hashlib.md5(meta).hexdigest()})
    return written


@pytest.mark.parametrize(
    ("name", "data_set", "label_key", "classes_key"),
    [("CIFAR10", CIFAR10, "labels", "label_names"), ("CIFAR100", CIFAR100, "fine_labels", "fine_label_names")],
)
def test_the_files_are_read_as_they_are(tmp_path, monkeypatch, name, data_set, label_key, classes_key):
    kind = getattr(torchvision.datasets, name)
    *train, test = write(tmp_path, kind, monkeypatch, label_key, classes_key)
    found = data_set().load(tmp_path)
    for images, parts in zip(found, (train, [test]), strict=True):
        assert images.pixels.equal(torch.from_numpy(np.concatenate([pixels for pixels, _ in parts])))
        assert images.labels.tolist() == [label for _, labels in parts for label in labels]


def test_missing_files_are_told_with_their_names_place_and_address(tmp_path):
    with pytest.raises(UserError) as caught:
        CIFAR10().load(tmp_path)
    for part in (
        "data_batch_1, data_batch_2",
        "test_batch missing",
        "cifar-10-python.tar.gz",
        "https://",
        str(tmp_path),
    ):
        assert part in str(caught.value)


def test_files_of_other_content_are_not_unpickled(tmp_path, monkeypatch):
    kind = torchvision.datasets.CIFAR10
    write(tmp_path, kind, monkeypatch, "labels", "label_names")
    (tmp_path / kind.base_folder / "test_batch").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(UserError, match="its files are not the published ones"):
        CIFAR10().load(tmp_path)


def test_images_are_shifted_mirrored_and_normalised_as_the_options_say():
    usual = CIFAR10()
    assert usual.augmentation == (RandomCrop(4), HorizontalFlip(0.5))
    assert (usual.mean, usual.std) == (CIFAR10.mean, CIFAR10.std)
    other = CIFAR10(crop=0, flip=0.2, normalisation="imagenet")
    assert other.augmentation == (HorizontalFlip(0.2),)
    assert (other.mean, other.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert CIFAR100(crop=2, flip=0).augmentation == (RandomCrop(2),)
    with pytest.raises(UserError, match=r"^normalisation: 'mine' is not one of own, imagenet$"):
        CIFAR10(normalisation="mine")
