"""Corruptions by their laws and formulas; the accuracy under them."""

import csv
from statistics import fmean

import pytest
import torch

from secateur.data.batches import Batches
from secateur.data.corruption_strengths import LEVELS, STRENGTHS
from secateur.data.corruptions import (
    as_pixels,
    blur,
    brightness,
    contrast,
    corrupt,
    corrupted,
    gaussian_noise,
    occlusion,
    pixelate,
    shot_noise,
)
from secateur.data.data_set import Images
from tests.commands import QUICK


def randomness():
    return torch.Generator().manual_seed(0)


def test_gaussian_noise_has_the_stated_deviation():
    noise = gaussian_noise(torch.full((10, 3, 32, 32), 0.5), 0.24, randomness()) - 0.5
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)
    assert float(noise.std()) == pytest.approx(0.24, rel=0.02)


def test_shot_noise_counts_photons():
    noisy = shot_noise(torch.full((10, 1, 32, 32), 0.5), 12, randomness())
    counts = noisy * 12
    assert counts.allclose(counts.round(), atol=1e-5)
    # Poisson: mean and variance of the counts are both 6
    assert float(counts.mean()) == pytest.approx(6, rel=0.02)
    assert float(counts.var()) == pytest.approx(6, rel=0.05)
    assert not shot_noise(torch.zeros(1, 1, 4, 4), 12, randomness()).any(), "no light, no photons"


def test_a_blurred_point_is_a_gaussian_that_sums_to_one():
    image = torch.zeros(1, 2, 41, 41)
    image[0, 0, 20, 20] = 1
    spread = blur(image, 2 / 41, randomness())[0]
    assert float(spread[0].sum()) == pytest.approx(1, abs=1e-5)
    assert not spread[1].any(), "channels stay apart"
    places = torch.arange(41.0) - 20
    assert float((spread[0].sum(0) * places**2).sum()) == pytest.approx(4, rel=0.05)
    assert spread[0].allclose(spread[0].T)
    assert float(spread[0, 20, 22] / spread[0, 20, 20]) == pytest.approx(2.718281828 ** (-4 / 8), rel=1e-4)


def test_a_blur_leaves_an_even_image_alone():
    even = torch.full((2, 3, 8, 5), 0.3)
    assert blur(even, 0.065, randomness()).allclose(even)


def test_contrast_and_brightness():
    image = torch.tensor([0.0, 0.2, 0.4, 1.0]).view(1, 1, 2, 2)  # of mean 0.4
    assert contrast(image, 0.5, randomness()).flatten().tolist() == pytest.approx([0.2, 0.3, 0.4, 0.7])
    assert brightness(image, 0.25, randomness()).flatten().tolist() == pytest.approx([0.25, 0.45, 0.65, 1.25])
    other = torch.cat([image, 1 - image], 1)
    assert contrast(other, 0.0, randomness()).mean((2, 3)).flatten().tolist() == pytest.approx([0.4, 0.6]), "by channel"


def test_occlusion_covers_one_square_of_each_image_in_all_channels():
    images = torch.ones(200, 3, 12, 10)
    covered = occlusion(images, 0.35, randomness()) == 0.5  # round(0.35 * 10) = 4
    assert covered.equal(covered[:, :1].expand_as(covered))
    rows, columns = covered[:, 0].any(2), covered[:, 0].any(1)
    assert (rows.sum(1) == 4).all()
    assert (columns.sum(1) == 4).all()
    assert covered[:, 0].flatten(1).sum(1).eq(16).all()
    assert rows[:, 1:].logical_and(~rows[:, :-1]).sum(1).le(1).all(), "in one piece"
    # every start occurs: 12 - 4 + 1 of the rows, 10 - 4 + 1 of the columns
    starts = {(int(row.int().argmax()), int(column.int().argmax())) for row, column in zip(rows, columns, strict=True)}
    assert {row for row, _ in starts} == set(range(9))
    assert {column for _, column in starts} == set(range(7))


def test_pixelate_averages_blocks():
    image = torch.arange(16.0).view(1, 1, 4, 4) / 16
    small = pixelate(image, 0.5, randomness())[0, 0]
    assert small[0].mul(16).tolist() == [2.5, 2.5, 4.5, 4.5]
    assert small[3].mul(16).tolist() == [10.5, 10.5, 12.5, 12.5]


@pytest.mark.parametrize("name", STRENGTHS)
def test_levels_take_images_further_and_further_within_range(name):
    ramp = torch.linspace(0, 1, 28).view(1, 1, 1, 28).expand(20, 1, 28, 28)
    ramp = torch.cat([ramp, ramp.mT, (ramp > 0.5).float()], 1)
    generator = randomness()
    away = []
    for level in LEVELS:
        changed = corrupt(ramp, name, level, generator)
        assert changed.shape == ramp.shape
        assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
        away.append(float((changed - ramp).abs().mean()))
    assert away == sorted(away)
    assert away[0] > 0


@pytest.mark.parametrize("name", STRENGTHS)
@pytest.mark.parametrize("shape", [(2, 1, 1, 1), (1, 3, 3, 7)])
def test_tiny_images_survive(name, shape):
    assert corrupt(torch.rand(shape), name, 5, randomness()).shape == shape


@pytest.fixture
def batches():
    pixels = torch.randint(0, 256, (7, 2, 6, 6), dtype=torch.uint8)
    return Batches(Images(pixels, torch.arange(7) % 3), 3, [0.3, 0.6], [0.2, 0.5])


def test_normalised_images_become_pixels_again(batches):
    pixels = torch.cat([as_pixels(batches, inputs) for inputs, _ in batches])
    assert pixels.mul(255).round().byte().equal(batches.images.pixels)
    assert float((pixels * 255 - batches.images.pixels).abs().max()) < 1e-4


def test_corrupted_batches_repeat_with_the_seed_and_are_normalised(batches):
    def inputs(*what):
        return torch.cat([inputs for inputs, _ in corrupted(batches, *what)])

    once = inputs("gaussian_noise", 2, 5)
    assert once.equal(inputs("gaussian_noise", 2, 5))
    assert not once.equal(inputs("gaussian_noise", 2, 6))
    brighter = inputs("brightness", 1, 0)
    expected = batches.normalise((batches.images.pixels.float() + 25.5).clamp(0, 255))
    assert brighter.allclose(expected, atol=1e-5)
    assert torch.cat([labels for _, labels in corrupted(batches, "blur", 1, 0)]).equal(batches.images.labels)


def test_two_networks_under_two_corruptions(run):
    trained = "--epochs 1 --N 256"
    names = [
        run(f"--model {name} {trained} --run_name {name} {QUICK}").folder.name
        for name in ("LogisticRegression", "MLP5")
    ]
    command = f"--eval --test_scheme Corruption --corruptions contrast,occlusion --checkpoint_name {','.join(names)}"
    tested = run(f"{command} {QUICK}")
    assert tested.status == 0, tested.err
    found = tested.results["corruption"]
    for label in ("LogisticRegression", "MLP5"):
        figures = found[label]
        assert list(figures) == ["clean", "mean", "contrast", "occlusion"]
        assert figures["clean"] == tested.results["compared"][label]["test_accuracy"]
        assert figures["mean"] == pytest.approx(fmean([*figures["contrast"], *figures["occlusion"]]))
        assert len(figures["contrast"]) == 5
    with (tested.folder / "output" / "corruption.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["network"] == "MLP5"]
    assert [row["corruption"] for row in rows] == ["none", "contrast", "occlusion", "mean"]
    assert float(rows[2]["level_5"]) == found["MLP5"]["occlusion"][4]
    for picture in ("corruption", "corruption_examples"):
        assert (tested.folder / "output" / f"{picture}.png").stat().st_size > 10_000

    again = run(f"{command} {QUICK}")
    assert again.results["corruption"] == found
    few = run(f"{command.replace('contrast,', '')} --corruption_images 20 {QUICK}")
    assert few.results["corruption"]["MLP5"]["occlusion"][0] * 20 % 1 == pytest.approx(0)
    assert "20 images" in few.out


def test_what_cannot_be_corrupted_is_refused(run):
    folder = run(f"--model LogisticRegression --epochs 0 --N 64 {QUICK}").folder
    command = f"--eval --test_scheme Corruption --checkpoint_name {folder.name}"
    many = run(f"{command} --corruption_images 1000")
    assert (many.status, many.folder) == (2, None)
    assert "--corruption_images 1000: there are 360 test images only" in many.err
    other = run(f"{command} --corruptions snow")
    assert "'snow' is not one of gaussian_noise, shot_noise" in other.err
