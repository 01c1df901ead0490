"""Numbers of pixels, by hand: statistics, fingerprints, patterns, images that are shrunk or decoded."""

import math
import os
import signal
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from secateur.data import batches as batches_module
from secateur.data import streaming
from secateur.data.augmentation import HorizontalFlip, RandomCrop, RandomResizedCrop
from secateur.data.batches import Batches
from secateur.data.conversion import converted
from secateur.data.corruptions import blur, gaussian_noise, occlusion, pixelate, shot_noise
from secateur.data.data_set import DataSet, Images, check_labels
from secateur.data.decoding import decode
from secateur.data.prepare import fingerprint
from secateur.data.statistics import channel_statistics
from secateur.data.streaming import StreamedImages
from secateur.data.synthetic import class_patterns, placeholder
from secateur.utils.errors import UserError


def images(values, shape=(1, 1, 1)):
    """An image of each value, all of whose pixels are that."""
    pixels = torch.tensor(values, dtype=torch.uint8)[:, None, None, None].expand(-1, *shape).contiguous()
    return Images(pixels, torch.arange(len(values)))


def test_statistics_are_mean_and_deviation_of_each_channel():
    pixels = torch.tensor([[[[0, 255]], [[51, 51]]], [[[255, 255]], [[51, 102]]]], dtype=torch.uint8)
    mean, deviation = channel_statistics(Images(pixels, torch.zeros(2)))
    assert mean == pytest.approx([0.75, 0.25])
    assert deviation == pytest.approx([math.sqrt(3) / 4, math.sqrt(0.0075)])  # squares of mean 0.75 and 0.07


def test_of_4000_images_every_other_one_is_looked_at_and_no_deviation_is_zero():
    assert channel_statistics(images([0, 255] * 2000)) == ([0.0], [0.001])
    (mean,), (deviation,) = channel_statistics(images([0, 255] * 1999))
    assert (mean, deviation) == (pytest.approx(0.5), pytest.approx(0.5))


def checksum(tensor):
    return f"{zlib.crc32(tensor.numpy().tobytes()):08x}"


@pytest.mark.parametrize(("number", "sample"), [(3, [0, 1, 2]), (127, list(range(0, 127, 2)))])
def test_a_fingerprint_has_checksums_of_labels_all_pixels_and_64_of_them(number, sample):
    found = images(list(range(number)), (2, 1, 3))
    assert fingerprint(found) == {
        "images": number,
        "labels": checksum(found.labels),
        "sample": checksum(found.pixels[sample]),
        "pixels": checksum(found.pixels),
    }


def test_a_fingerprint_of_files_has_their_names_within_their_folder(monkeypatch):
    monkeypatch.setattr(StreamedImages, "batches", lambda self, spans: iter([(torch.zeros(2, 1, 1, 1), None)]))
    found = StreamedImages(["/a/b/one/1.png", "/a/b/two/2.png"], torch.tensor([0, 1]), (1, 1, 1), (1, 1, 1))
    told = fingerprint(found)
    assert told["files"] == f"{zlib.crc32(b'/one/1.png' + bytes([10]) + b'/two/2.png'):08x}"
    assert set(told) == {"images", "labels", "sample", "files"}


def test_patterns_of_classes_are_symmetric_and_always_the_same():
    torch.manual_seed(1)
    found = class_patterns((2, 6, 10), 3)
    coarse = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    wanted = functional.interpolate(coarse + coarse.flip(3), (6, 10), mode="bicubic")
    assert found.equal(wanted)
    assert found.allclose(found.flip(3), atol=1e-5)


@pytest.mark.parametrize(("classes", "labels"), [(12, [*range(10), 0, 1]), (3, [0, 1, 2] * 4)])
def test_a_placeholder_has_ten_classes_at_most(classes, labels):
    train, test = placeholder(SimpleNamespace(input_shape=(1, 4, 4), num_classes=classes), 12)
    assert train.labels.tolist() == test.labels.tolist() == labels
    assert not train.pixels.equal(test.pixels)
    again, _ = placeholder(SimpleNamespace(input_shape=(1, 4, 4), num_classes=classes), 12)
    assert train.pixels.equal(again.pixels)
    noise = torch.randn(12, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    patterns = class_patterns((1, 4, 4), min(classes, 10))
    assert train.pixels.equal((127.5 + 20 * patterns[labels] + 50 * noise).clamp(0, 255).byte())


def test_images_are_shrunk_by_the_mean_of_all_that_lies_near():
    line = torch.tensor([0, 0, 0, 0, 240, 0, 0, 0], dtype=torch.uint8).view(1, 1, 1, 8)
    # The weights fall from the new centres, 1.5 and 5.5, to nothing 4 pixels away: 0.375 and 0.625, of 3.5 in all.
    assert converted(line, (1, 1, 2)).flatten().tolist() == [26, 43]


def test_labels_are_classes_or_refused_in_these_words():
    check_labels(torch.tensor([0, 2]), 3, "labels")
    for labels, found in (
        (torch.tensor([0, 3]), "torch.int64, 0 to 3"),
        (torch.tensor([-1, 2]), "torch.int64, -1 to 2"),
        (torch.tensor([0, 2], dtype=torch.int32), "torch.int32, 0 to 2"),
        (torch.tensor([], dtype=torch.int64), "torch.int64, none"),
    ):
        with pytest.raises(UserError) as caught:
            check_labels(labels, 3, "mine: the labels")
        assert str(caught.value) == f"mine: the labels must be int64 from 0 to 2: they are {found}"


def test_a_data_set_says_what_it_is_by_default():
    assert (DataSet.batch_size, DataSet.download, DataSet.augmentation, DataSet.device.type) == (512, True, (), "cpu")
    assert (HorizontalFlip().probability, RandomCrop().padding) == (0.5, 4)
    assert RandomResizedCrop() == RandomResizedCrop(0.08, 4 / 3)


def test_pixels_and_labels_come_by_spans_of_the_order():
    found = images([10, 11, 12, 13, 14])
    spans = [(0, 2), (3, 5)]
    for order, wanted in ((None, [[0, 1], [3, 4]]), (torch.tensor([4, 3, 2, 1, 0]), [[4, 3], [1, 0]])):
        parts = list(found.batches(spans, order))
        assert [labels.tolist() for _, labels in parts] == wanted
        assert [pixels.flatten().tolist() for pixels, _ in parts] == [[10 + one for one in part] for part in wanted]


@pytest.mark.parametrize("flip", [False, True])
def test_two_processes_share_each_batch_as_one_has_it(monkeypatch, flip):
    found = images(list(range(11)), (1, 3, 3))
    found.pixels[:, :, :, 0] += 100
    whole = Batches(found, 4, [0.0], [1.0], [RandomCrop(1)], 5, flip)
    assert whole.shared() is whole
    wanted = list(whole.epoch(2))
    monkeypatch.setattr(batches_module, "size", lambda: 2)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(
            batches_module, "part", lambda number, rank=rank: slice(rank * (number // 2), (1 + rank) * number // 2)
        )
        shared = whole.shared()
        assert (shared.is_shared, whole.is_shared, shared.sizes, len(shared)) == (True, False, [4, 4, 3], 3)
        shares.append(list(shared.epoch(2)))
    assert [len(labels) for _, labels in shares[0]] == [2, 2, 1]
    for (inputs, labels), *parts in zip(wanted, *shares, strict=True):
        assert torch.cat([part for part, _ in parts]).equal(inputs)
        assert torch.cat([part for _, part in parts]).equal(labels)
    monkeypatch.setattr(batches_module, "part", lambda number: slice(0, number // 4))
    tested = [labels.tolist() for _, labels in whole.shared()]
    assert tested == [[0], [4]]  # where the last batch has no image for this process


@pytest.mark.parametrize("corrupt", [gaussian_noise, shot_noise, occlusion])
def test_a_corruption_draws_from_its_own_generator_alone(corrupt):
    ones = torch.full((4, 1, 8, 8), 0.5)
    state = torch.get_rng_state()
    first, again = (corrupt(ones, 0.5, torch.Generator().manual_seed(3)) for _ in range(2))
    assert first.equal(again)
    assert torch.get_rng_state().equal(state)


def test_lengths_are_shares_of_the_shorter_side():
    point = torch.zeros(1, 1, 40, 21)
    point[0, 0, 20, 10] = 1
    spread = blur(point, 1 / 21, None)[0, 0]  # of deviation 1, to three pixels away
    weights = torch.exp(-(torch.arange(-3.0, 4) ** 2) / 2)
    weights /= weights.sum()
    assert spread[17:24, 7:14].allclose(weights[:, None] * weights)
    assert float(spread.sum()) == pytest.approx(1)
    narrow = torch.zeros(1, 1, 9, 9)
    narrow[0, 0, 4, 4] = 1
    assert (blur(narrow, 0.016, None)[0, 0] > 0).sum() == 9  # at least one pixel to each side
    assert pixelate(torch.rand(1, 1, 6, 9), 0.1, None).unique().numel() == 1
    assert [len(row.unique()) for row in pixelate(torch.rand(1, 1, 6, 9), 0.34, None)[0, 0]] == [3] * 6
    assert (occlusion(torch.ones(1, 1, 9, 9), 0.01, torch.Generator()) == 0.5).sum() == 1


def test_files_are_decoded_in_grey_or_colour_and_their_middle_is_taken(tmp_path):
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, 2:6] = (200, 100, 50)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert decode(str(tmp_path / "a.png"), (3, 4, 4)).tolist() == [[[one] * 4] * 4 for one in (200, 100, 50)]
    grey = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    assert decode(str(tmp_path / "a.png"), (1, 4, 4)).tolist() == [[[grey] * 4] * 4]
    assert decode(str(tmp_path / "a.png"), (3, 2, 4)).shape == (3, 2, 4)


@pytest.mark.parametrize(("cores", "spans", "workers"), [(20, 20, 8), (20, 3, 3), (2, 20, 2), (20, 0, 0)])
def test_batches_are_decoded_by_as_many_processes_as_help(monkeypatch, cores, spans, workers):
    asked = {}
    monkeypatch.setattr(streaming, "_cores", lambda: cores)

    def loader(data, **options):
        asked.update(options, data=data)
        return [torch.zeros(2, 1, 2, 2, dtype=torch.uint8)] * spans

    monkeypatch.setattr(streaming, "DataLoader", loader)
    found = StreamedImages(["a", "b", "c"], torch.arange(3), (1, 2, 2), (1, 2, 2))
    list(found.batches([(0, 2)] * spans, torch.tensor([2, 0, 1])))
    assert (asked["num_workers"], asked["batch_size"], asked["pin_memory"]) == (workers, None, False)
    assert asked["sampler"] == [[2, 0]] * spans
    assert isinstance(asked["generator"], torch.Generator)
    assert (asked["data"].files, asked["data"].shape, asked["multiprocessing_context"]) == (
        found.files,
        (1, 2, 2),
        None,
    )
    ended = []
    monkeypatch.setattr(streaming, "end_with", lambda *arguments: ended.append(arguments))
    asked["worker_init_fn"](0)
    assert ended == [(os.getpid(), signal.SIGKILL)]


def test_cores_are_those_that_may_be_used(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 2, 5} if process == 0 else set(), raising=False)
    assert streaming._cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    for told, cores in ((5, 5), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda told=told: told)
        assert streaming._cores() == cores
