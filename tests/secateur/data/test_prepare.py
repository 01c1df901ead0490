"""The flags that change a data set."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.data.augmentation import HorizontalFlip
from secateur.data.data_set import Images
from secateur.data.options import DataOptions
from secateur.data.prepare import prepare_data
from secateur.utils.errors import UserError
from tests.secateur.data.small_sets import COUNTS, SEED, Coloured, Grey, prepared

CPU = torch.device("cpu")


def which(images):
    return images.pixels[:, 0, 0, 0].int() - 50


def original_labels():
    return Coloured().load(None)[0].labels


def test_without_flags_the_data_set_says_everything():
    data = prepared()
    assert data.input_shape == (3, 4, 4)
    assert data.num_classes == 4
    assert data.held_out_name == "test"
    assert (len(data.train.images), len(data.held_out.images)) == (100, 10)
    assert (data.train.batch_size, data.held_out.batch_size) == (16, 16)
    assert data.train.augmentation == (HorizontalFlip(),)
    assert data.train.seed == 333
    inputs, targets = next(iter(data.train))
    # The first image is (50, 0, 9): (50 / 255 - 0.1) / 0.5, (0 - 0.2) / 0.25, (9 / 255 - 0.6) / 0.75
    assert inputs[0, :, 0, 0].tolist() == pytest.approx([0.1921569, -0.8, -0.7529412], abs=1e-5)
    assert targets[0] == original_labels()[0]


def test_the_held_out_images_are_never_augmented_nor_shuffled():
    data = prepared(tuning=True)
    assert tuple(data.held_out.augmentation) == ()
    inputs = torch.cat([inputs for inputs, _ in data.held_out])
    again = torch.cat([inputs for inputs, _ in data.held_out])
    assert torch.equal(inputs, again)
    assert torch.cat([targets for _, targets in data.held_out]).equal(data.held_out.images.labels)


def test_batch_size_on_the_command_line_wins():
    data = prepared(batch_size=9)
    assert (data.train.batch_size, data.held_out.batch_size) == (9, 9)


def test_the_seed_reaches_the_order_of_the_batches():
    orders = [torch.cat([targets for _, targets in prepared(seed=seed).train.epoch(0)]).tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("number", [1, 37, 100])
def test_n_takes_the_first_training_images_and_leaves_the_test_set(number):
    data = prepared(N=number)
    assert which(data.train.images).tolist() == list(range(number))
    assert data.train.images.labels.equal(original_labels()[:number])
    assert len(data.held_out.images) == 10


def test_n_larger_than_the_training_set_is_refused():
    with pytest.raises(UserError, match=r"--N 101.*100 training images"):
        prepared(N=101)


def test_tuning_holds_a_tenth_of_each_class_out_of_the_training_set():
    data = prepared(tuning=True)
    assert data.held_out_name == "validation"
    assert data.held_out.images.labels.bincount().tolist() == [4, 2, 3, 1]
    assert data.train.images.labels.bincount().tolist() == [36, 18, 30, 6]
    train, held_out = set(which(data.train.images).tolist()), set(which(data.held_out.images).tolist())
    # Together the training set, and nothing of the test set, whose images would be number 100 and more.
    assert train | held_out == set(range(100))
    assert not train & held_out
    for images in (data.train.images, data.held_out.images):
        assert images.labels.equal(original_labels()[which(images)])


def test_tuning_holds_the_same_images_out_whatever_the_seed():
    chosen = [which(prepared(tuning=True, seed=seed).held_out.images).tolist() for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] == chosen[2]  # else a run could train on what another is evaluated on


@settings(deadline=None)
@given(labels=st.lists(st.integers(0, 4), min_size=10, max_size=200), seed=st.integers(0, 2**32 - 1))
def test_tuning_splits_any_labels_within_half_an_image_of_a_tenth(labels, seed):
    class Drawn(Coloured):
        num_classes = 5
        input_shape = (1, 1, 1)
        mean, std = (0.5,), (0.5,)

        def load(self, folder):
            pixels = torch.arange(len(labels)).byte()[:, None, None, None]
            return Images(pixels, torch.tensor(labels)), Images(pixels[:1], torch.tensor([0]))

    counts = [labels.count(label) for label in range(5)]
    if all(round(count / 10) == 0 for count in counts):
        with pytest.raises(UserError, match="too few"):
            prepared(Drawn, tuning=True, seed=seed)
        return
    data = prepared(Drawn, tuning=True, seed=seed)
    held_out = data.held_out.images.labels.bincount(minlength=5).tolist()
    assert all(abs(part - count / 10) <= 0.5 for part, count in zip(held_out, counts, strict=True))
    numbers = [*data.train.images.pixels.flatten().tolist(), *data.held_out.images.pixels.flatten().tolist()]
    assert sorted(numbers) == list(range(len(labels)))


def test_tuning_with_too_few_images_is_refused():
    with pytest.raises(UserError, match=r"--tuning: 4 training images are too few"):
        prepared(tuning=True, N=4)


def test_num_valid_holds_exactly_so_many_out_of_each_class_its_share():
    data = prepared(tuning=True, num_valid=10)
    # A tenth of 40, 20, 33 and 7 is 4, 2, 3.3 and 0.7: the one that is missing goes to the largest remainder.
    assert data.held_out.images.labels.bincount().tolist() == [4, 2, 3, 1]
    assert data.train.images.labels.bincount().tolist() == [36, 18, 30, 6]
    numbers = [*which(data.train.images).tolist(), *which(data.held_out.images).tolist()]
    assert sorted(numbers) == list(range(100))
    assert len(prepared(tuning=True, num_valid=99).train.images) == 1
    with pytest.raises(UserError, match=r"--num_valid 100: there are 100 training images, and some must be left"):
        prepared(tuning=True, num_valid=100)


def test_to_keep_the_best_network_images_are_held_out_beside_the_test_set():
    data = prepared(validates=True, num_valid=10)
    assert (data.held_out_name, len(data.held_out.images)) == ("test", 10)
    assert which(data.held_out.images).tolist() == list(range(100, 110))
    tuned = prepared(tuning=True, num_valid=10)
    assert which(data.validation.images).tolist() == which(tuned.held_out.images).tolist()
    assert which(data.train.images).tolist() == which(tuned.train.images).tolist()
    assert tuned.validation is tuned.held_out
    assert prepared().validation is None
    with pytest.raises(UserError, match=r"--keep_best: 4 training images are too few.*--num_valid"):
        prepared(validates=True, N=4)


def test_shuffled_labels_are_the_same_labels_at_other_images():
    data = prepared(random_shuffle_labels=True)
    assert which(data.train.images).tolist() == list(range(100))
    labels = data.train.images.labels
    assert labels.bincount().tolist() == list(COUNTS)
    # Of 100 labels in random order about 31 stay the same, by the squares of the classes' shares.
    assert (labels == original_labels()).sum() < 55
    assert data.held_out.images.labels.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert labels.equal(prepared(random_shuffle_labels=True).train.images.labels)
    assert not labels.equal(prepared(random_shuffle_labels=True, seed=9).train.images.labels)


def test_shuffled_labels_spare_the_validation_set():
    data = prepared(tuning=True, random_shuffle_labels=True)
    held_out = data.held_out.images
    assert held_out.labels.equal(original_labels()[which(held_out)])
    assert data.train.images.labels.bincount().tolist() == [36, 18, 30, 6]
    assert not data.train.images.labels.equal(original_labels()[which(data.train.images)])


def test_disable_autoconfig_takes_no_normalisation_augmentation_or_batch_size():
    data = prepared(disable_autoconfig=True, input_dim=[3, 4, 4], output_dim=4)
    assert (data.train.batch_size, data.held_out.batch_size) == (512, 512)
    assert tuple(data.train.augmentation) == ()
    inputs, targets = next(iter(data.train))
    assert len(targets) == 100
    assert inputs[0, :, 0, 0].tolist() == pytest.approx([50 / 255, 0, 9 / 255], abs=1e-6)
    held_out, _ = next(iter(data.held_out))
    assert held_out[0, 0, 0, 0] == pytest.approx(150 / 255, abs=1e-6)


def test_disable_autoconfig_keeps_a_batch_size_that_was_given():
    data = prepared(Grey, disable_autoconfig=True, input_dim=[1, 2, 2], output_dim=2, batch_size=33)
    assert data.train.batch_size == 33


def test_output_dim_may_be_larger_than_the_number_of_classes_but_not_smaller():
    assert prepared(output_dim=4).num_classes == 4
    assert prepared(output_dim=11).num_classes == 11
    with pytest.raises(UserError, match=r"--output_dim 3 is less than the 4 classes"):
        prepared(output_dim=3)


def test_preparing_draws_nothing_from_the_global_generator():
    state = torch.get_rng_state()
    prepared(tuning=True, random_shuffle_labels=True, input_dim=[1, 6, 6])
    assert torch.equal(torch.get_rng_state(), state)


class Unseen(Grey):
    """Its test image is of a class that no training image has."""

    def load(self, folder):
        train, test = super().load(folder)
        return Images(train.pixels, torch.tensor([0, 0])), test


def test_classes_that_training_never_sees_are_noticed():
    assert prepared().notices == prepared(Grey).notices == []
    assert prepared(Unseen).notices == ["the test images have a class, 1, that no training image has"]


def test_a_data_set_knows_the_device_that_it_is_for():
    data_set, device = Coloured(), torch.device("cpu:0")
    prepare_data(data_set, DataOptions(data_dir=Path("unused")), device, seed=SEED)
    assert data_set.device == device


class ByClass(Coloured):
    """The same numbers of images, class by class, as folders hold them."""

    def load(self, folder):
        train, test = super().load(folder)
        return train.subset(train.labels.argsort(stable=True)), test


def test_the_first_images_are_of_every_class_where_they_lie_class_by_class():
    data = prepare_data(ByClass(), DataOptions(N=20), CPU, seed=SEED)
    # a fifth of 40, 20, 33 and 7: 8, 4, 6.6 and 1.4, of which 6.6 is rounded up
    assert data.train.images.labels.bincount().tolist() == [8, 4, 7, 1]
    whole = prepare_data(ByClass(), DataOptions(), CPU, seed=SEED).train.images
    assert which(data.train.images)[:8].tolist() == which(whole)[:8].tolist()
    assert which(data.train.images)[8:12].tolist() == which(whole)[40:44].tolist()
    mixed = prepared(N=20).train.images
    assert which(mixed).tolist() == list(range(20))


def test_images_are_mirrored_in_turn_instead_of_at_random():
    data = prepared(alternating_flip=True)
    assert data.train.alternating_flip
    assert list(data.train.augmentation) == []
    with pytest.raises(UserError, match="--alternating_flip: Grey mirrors no images"):
        prepare_data(Grey(), DataOptions(alternating_flip=True), CPU, seed=SEED)
