"""Streamed images: the same as those in memory, bit for bit, whatever is done with them."""

import itertools
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from secateur.data import image_files, streaming
from secateur.data.batches import Batches
from secateur.data.data_set import Images
from secateur.data.options import DataOptions
from secateur.data.prepare import prepare_data
from secateur.data.streaming import StreamedImages
from secateur.data_sets.IMAGEFOLDER import IMAGEFOLDER
from secateur.utils.errors import UserError
from tests.commands import QUICK

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    """Random photographs of several sizes, 13 a class for training and 5 for testing."""
    generator = np.random.default_rng(0)
    for part, count in (("train", 13), ("test", 5)):
        for name in ("cat", "dog"):
            place = tmp_path / "pictures" / part / name
            place.mkdir(parents=True)
            for number in range(count):
                height, width = generator.integers(9, 20, 2)
                pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.jpg")
    return tmp_path / "pictures"


@pytest.fixture
def prepared(folder, make_settings, monkeypatch):
    """Both forms of the folder's batches under a command line: streamed, for want of memory, and preloaded."""

    def prepare(command=""):
        monkeypatch.setattr(image_files, "free_memory", lambda device: 1000)
        forms = []
        for preload in ("", "--preload_all_data"):
            words = f"--data_set IMAGEFOLDER --image_size 12 --batch_size 4 {command} {preload}"
            settings = make_settings(f"{words} --data_dir {folder}")
            data_set = IMAGEFOLDER(**settings.options_for(IMAGEFOLDER))
            forms.append(prepare_data(data_set, settings.section(DataOptions), CPU, seed=settings["seed"]))
        streamed, kept = forms
        assert isinstance(streamed.train.images, StreamedImages)
        assert isinstance(kept.train.images, Images)
        return streamed, kept

    return prepare


def same(first, second):
    first, second = list(first), list(second)
    return len(first) == len(second) and all(
        torch.equal(one, other) for pair in zip(first, second, strict=True) for one, other in zip(*pair, strict=True)
    )


@pytest.mark.parametrize("command", ["", "--tuning", "--N 10 --random_shuffle_labels", "--input_dim 1 7 9"])
def test_every_batch_is_that_of_the_images_in_memory(prepared, command):
    streamed, kept = prepared(command)
    assert (streamed.input_shape, streamed.num_classes) == (kept.input_shape, kept.num_classes)
    assert (len(streamed.train), len(streamed.train.images)) == (len(kept.train), len(kept.train.images))
    assert same(streamed.held_out, kept.held_out)
    assert same(streamed.train, kept.train)
    assert same(streamed.train.epoch(3), kept.train.epoch(3))


def test_an_epoch_is_repeatable_and_another_is_different(prepared):
    streamed, _ = prepared()
    torch.manual_seed(1)
    first = list(streamed.train.epoch(1))
    torch.manual_seed(2)
    assert same(first, streamed.train.epoch(1))
    assert not same(first, streamed.train.epoch(2))


def test_an_epoch_leaves_the_global_generator_alone(prepared):
    streamed, _ = prepared()
    state = torch.get_rng_state()
    list(streamed.train.epoch(0))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_workers_end_with_the_epoch_or_where_it_is_left(prepared):
    streamed, _ = prepared()
    before = set(multiprocessing.active_children())
    epoch = streamed.train.epoch(0)
    next(epoch)
    assert set(multiprocessing.active_children()) - before
    epoch.close()
    assert not set(multiprocessing.active_children()) - before
    assert len(list(itertools.islice(streamed.train.epoch(0), 2))) == 2
    list(streamed.held_out)
    assert not set(multiprocessing.active_children()) - before


def test_a_file_that_is_no_image_is_one_line(prepared):
    streamed, _ = prepared()
    Path(streamed.train.images.files[5]).write_bytes(b"no image")
    with pytest.raises(UserError, match=r"^the image \S+\.jpg cannot be read: cannot identify") as caught:
        list(streamed.train.epoch(0))
    assert "\n" not in str(caught.value)


def test_channels_that_cannot_be_converted_are_refused(prepared):
    with pytest.raises(UserError, match=r"--input_dim 4 .*3 channels convert to 1 only"):
        prepared("--input_dim 4 8 8")


def test_images_are_streamed_where_they_need_more_than_half_of_the_free_memory(folder, monkeypatch):
    size = (26 + 10) * 3 * 8 * 8
    for free, kind in ((2 * size - 1, StreamedImages), (2 * size, Images)):
        monkeypatch.setattr(image_files, "free_memory", lambda device, free=free: free)
        assert {type(part) for part in IMAGEFOLDER(image_size=8).load(folder)} == {kind}
        assert (folder / "train" / ".secateur").exists() == (kind is Images)


def test_free_memory_is_some_of_what_the_machine_has():
    assert 2**20 < image_files.free_memory(CPU) < 2**50


def test_a_single_image_left_over_joins_the_batch_before(prepared):
    streamed, _ = prepared()
    images = streamed.train.images.subset(torch.arange(9))
    sizes = [len(labels) for _, labels in Batches(images, 4, [0.5] * 3, [0.2] * 3)]
    assert sizes == [4, 5]


def test_a_run_is_the_same_streamed_and_in_memory(folder, run, monkeypatch):
    monkeypatch.setattr(image_files, "free_memory", lambda device: 1000)
    command = f"--model LeNet300 --data_set IMAGEFOLDER --data_dir {folder} --image_size 8 --batch_size 8 --epochs 2"
    command += f" --prune_criterion SNIP {QUICK}"
    streamed, kept = run(command), run(f"{command} --preload_all_data")
    assert (streamed.status, kept.status) == (0, 0)
    for figure in ("test_loss", "test_accuracy", "train_loss", "weight_sparsity"):
        assert streamed.results[figure] == kept.results[figure]


def test_workers_are_forked_by_a_run_that_is_alone_and_served_beside_the_threads_of_several(monkeypatch):
    assert streaming._start_method() is None
    assert streaming._forks() == (multiprocessing.get_start_method() == "fork")
    monkeypatch.setattr(streaming, "size", lambda: 2)
    assert streaming._start_method().get_start_method() == "forkserver"
    assert not streaming._forks()
