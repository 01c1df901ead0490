"""Files in the format of MNIST (idx): read, fetched, missing, damaged. No test touches the network."""

import gzip
import hashlib
import io
import struct
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch

from secateur.data.torchvision_files import load_torchvision
from secateur.utils.errors import UserError
from secateur.utils.torchvision_import import torchvision

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
#: The code of unsigned bytes in an idx file.
BYTES = 8


def idx(tensor, kind=BYTES):
    """An idx file: two zero bytes, type, number of dimensions, the dimensions as big-endian integers, the values."""
    return struct.pack(f">BBBB{tensor.dim()}I", 0, 0, kind, tensor.dim(), *tensor.shape) + bytes(tensor.flatten())


def small_set():
    """Twelve training and five test images of 28x28 with their labels, as the four files hold them."""
    generator = torch.Generator().manual_seed(3)
    images = [torch.randint(0, 256, (n, 28, 28), generator=generator, dtype=torch.uint8).tolist() for n in (12, 5)]
    images = [torch.tensor(part, dtype=torch.uint8) for part in images]
    labels = [torch.arange(12, dtype=torch.uint8) % 10, torch.tensor([9, 0, 3, 3, 7], dtype=torch.uint8)]
    return dict(zip(NAMES, (images[0], labels[0], images[1], labels[1]), strict=True))


@pytest.fixture
def where(tmp_path):
    """The folder the files belong in, with four good files."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, tensor in small_set().items():
        (folder / name).write_bytes(idx(tensor))
    return folder


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """Takes the network away; holds the addresses that were asked for."""
    addresses = []

    def urlopen(request, *_, **__):
        addresses.append(request.full_url)
        raise urllib.error.URLError("there is no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return addresses


@pytest.fixture
def zipped(monkeypatch):
    """The four files of the small set as they are downloaded, with their checksums in place of the real ones."""
    files = {f"{name}.gz": gzip.compress(idx(tensor), mtime=0) for name, tensor in small_set().items()}
    resources = [(name, hashlib.md5(content).hexdigest()) for name, content in files.items()]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
    return files


class Response(io.BytesIO):
    """What urlopen returns, as far as torchvision looks."""

    def __init__(self, url, content):
        super().__init__(content)
        self.url = url
        self.length = len(content)


def serving(files, asked):
    """A urlopen that answers with these files, by name, and notes in `asked` the addresses of which it sent one."""

    def urlopen(request, *_, **__):
        url = request.full_url
        if request.get_header("Method") == "HEAD":  # torchvision looks for redirections first
            return Response(url, b"")
        asked.append(url)
        return Response(url, files[url.rpartition("/")[2]])

    return urlopen


def load(where):
    return load_torchvision("MNIST", where.parents[1], where)


def check_small_set(train, test):
    expected = small_set()
    for part, (images, labels) in zip((train, test), (NAMES[:2], NAMES[2:]), strict=True):
        assert part.pixels.dtype == torch.uint8
        assert part.labels.dtype == torch.int64
        assert part.pixels.is_contiguous()
        assert part.pixels.equal(expected[images][:, None])
        assert part.labels.tolist() == expected[labels].tolist()


@pytest.mark.parametrize("name", ["MNIST", "KMNIST", "FashionMNIST", "fashion"])
def test_data_sets_of_this_format_read_their_files_from_a_folder_of_their_name(tmp_path, make_settings, name):
    data_set = make_settings(f"--data_set {name}").components["data_set"].load()
    folder = tmp_path / data_set.__name__ / "raw"
    folder.mkdir(parents=True)
    for file, tensor in small_set().items():
        (folder / file).write_bytes(idx(tensor))
    check_small_set(*data_set().load(tmp_path))


def check_advice(error, where):
    """One line that names the four files, their folder and their address."""
    text = str(error)
    assert "\n" not in text
    assert all(f"{name}.gz" in text for name in NAMES)
    assert str(where) in text
    assert "https://ossci-datasets.s3.amazonaws.com/mnist/" in text


def test_files_that_are_there_are_read_without_the_network(where, asked):
    check_small_set(*load(where))
    assert asked == []


def test_the_format_by_hand(where):
    (where / "t10k-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, *range(6)]))
    (where / "t10k-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 4, 1]))
    _, test = load(where)
    assert test.pixels.tolist() == [[[[0, 1, 2]]], [[[3, 4, 5]]]]
    assert test.labels.tolist() == [4, 1]


def test_zipped_files_put_there_by_hand_are_unpacked_without_the_network(tmp_path, zipped, asked):
    where = tmp_path / "MNIST" / "raw"
    where.mkdir(parents=True)
    for name, content in zipped.items():
        (where / name).write_bytes(content)
    check_small_set(*load(where))
    assert asked == []


def test_files_that_are_missing_are_downloaded_silently_and_once(tmp_path, zipped, monkeypatch, capfd):
    asked = []
    monkeypatch.setattr(urllib.request, "urlopen", serving(zipped, asked))
    where = tmp_path / "MNIST" / "raw"
    check_small_set(*load(where))
    check_small_set(*load(where))
    assert asked == [f"https://ossci-datasets.s3.amazonaws.com/mnist/{name}.gz" for name in NAMES]
    assert capfd.readouterr() == ("", "")


def test_a_download_that_breaks_off_is_never_taken_for_the_data_set(tmp_path, zipped, monkeypatch):
    cut = {name: content[: len(content) // 2] for name, content in zipped.items()}
    where = tmp_path / "MNIST" / "raw"
    monkeypatch.setattr(urllib.request, "urlopen", serving(cut, []))
    with pytest.raises(UserError) as caught:
        load(where)
    check_advice(caught.value, where)
    monkeypatch.setattr(urllib.request, "urlopen", serving(zipped, []))
    check_small_set(*load(where))


def test_nothing_there_and_no_network_says_which_files_belong_where(tmp_path, asked, capfd):
    where = tmp_path / "MNIST" / "raw"
    with pytest.raises(UserError) as caught:
        load(where)
    check_advice(caught.value, where)
    assert asked[0] == "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", NAMES)
def test_one_file_missing_is_as_bad_as_all(where, name):
    (where / name).unlink()
    with pytest.raises(UserError) as caught:
        load(where)
    check_advice(caught.value, where)
    assert f"cannot be read: {name} missing: put" in str(caught.value)


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path):
    (tmp_path / "MNIST").write_text("in the way")
    with pytest.raises(UserError) as caught:
        load(tmp_path / "MNIST" / "raw")
    check_advice(caught.value, tmp_path / "MNIST" / "raw")


def cut(content):
    return content[: len(content) // 2]


def overlong(content):
    return content + b"\x00" * 5


def garbage(content):
    return bytes(range(37, 255)) * 3


def empty(content):
    return b""


def header_only(content):
    return content[:6]


def real_numbers(content):
    """The same file, declared to hold 32-bit floats."""
    return content[:2] + b"\x0d" + content[3:]


def web_page(content):
    return b"<!DOCTYPE html><html><body>Sign in to this network</body></html>"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", [cut, overlong, garbage, empty, header_only, real_numbers, web_page])
def test_damaged_files_are_refused_in_one_line(where, name, damage):
    file = where / name
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(UserError) as caught:
        load(where)
    assert "\n" not in str(caught.value)
    assert f"cannot be read: {name} damaged: put" in str(caught.value)
    assert str(where) in str(caught.value)


@pytest.mark.parametrize(("images", "labels"), [NAMES[:2], NAMES[2:]])
def test_images_and_labels_of_different_number_are_refused(where, images, labels):
    shorter = small_set()[labels][:-2]
    (where / labels).write_bytes(idx(shorter))
    count = len(small_set()[images])
    with pytest.raises(UserError, match=f"{count} images in {images} but {count - 2} labels in {where / labels}"):
        load(where)


def test_images_in_place_of_labels_are_refused(where):
    (where / NAMES[1]).write_bytes((where / NAMES[0]).read_bytes())
    with pytest.raises(UserError):
        load(where)


def test_labels_beyond_the_classes_are_refused(where):
    labels = small_set()[NAMES[1]].clone()
    labels[4] = 10
    (where / NAMES[1]).write_bytes(idx(labels))
    with pytest.raises(UserError, match=f"{where / NAMES[1]} must be int64 from 0 to 9: .* 0 to 10$"):
        load(where)


def test_files_of_no_images_are_refused(where):
    (where / NAMES[0]).write_bytes(idx(torch.zeros(0, 28, 28, dtype=torch.uint8)))
    (where / NAMES[1]).write_bytes(idx(torch.zeros(0, dtype=torch.uint8)))
    with pytest.raises(UserError):
        load(where)


def test_damaged_files_are_never_replaced(where):
    damaged = where / NAMES[2]
    damaged.write_bytes(b"mine")
    with pytest.raises(UserError):
        load(where)
    assert damaged.read_bytes() == b"mine"
    assert sorted(Path(where).iterdir()) == sorted(where / name for name in NAMES)
