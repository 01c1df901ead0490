"""Into which tasks a convolution is split, on how many threads it runs, and in which memory."""

from types import SimpleNamespace

import pytest
import torch

from secateur.sparse import convolution
from secateur.sparse.convolution import PlaneJobs, convolve_blocks, from_blocks, to_blocks, weight_gradients
from secateur.sparse.lists import PlaneWalk, Shape, forward_walk


@pytest.fixture
def threads(monkeypatch):
    """How many threads torch computes on; the test may change it."""
    threads = SimpleNamespace(number=1)
    monkeypatch.setattr(convolution, "number_of_threads", lambda: threads.number)
    return threads


@pytest.fixture
def runs(monkeypatch, threads):
    """Jobs that are run, on how many threads, with how many bytes of scratch memory for all; none runs."""
    found = []
    monkeypatch.setattr(convolution, "_aligned", lambda length: found.append(length) or 0)
    monkeypatch.setattr(
        convolution,
        "run",
        lambda kernel, job, number: found.append((job.tasks, job.bands, job.parts, number, job.weight_gradients)),
    )
    return found


@pytest.mark.parametrize(
    ("blocks", "rows", "tasks", "split"),
    [
        (4, 5, 4, (1, 1)),
        (8, 5, 4, (1, 1)),
        (17, 5, 4, (1, 1)),
        (3, 5, 4, (3, 1)),
        (5, 9, 4, (2, 1)),
        (1, 2, 7, (2, 4)),
        (1, 2, 8, (2, 4)),
        (2, 1, 7, (1, 4)),
        (1, 30, 7, (14, 1)),
        (3, 2, 6, (2, 1)),
    ],
)
def test_work_is_split_into_bands_of_rows_and_then_into_channels(blocks, rows, tasks, split):
    assert convolution._split(blocks, rows, tasks) == split


def walk_of(weights):
    """A 1x1 convolution of 512 channels of 4 x 16 pixels to one, with so many weights."""
    return forward_walk((torch.arange(512) < weights).view(1, 512, 1, 1), Shape((1, 1)), (4, 16))


@pytest.mark.parametrize(
    ("weights", "number", "expected"),
    [
        (512, 3, (4, 4, 1, 3, 0)),
        (511, 3, (4, 4, 1, 1, 0)),  # less than 65,536 operations
        (512, 9, (12, 4, 3, 9, 0)),
        (512, 1, (1, 1, 1, 1, 0)),
    ],
)
def test_little_work_runs_on_one_thread(threads, runs, weights, number, expected):
    threads.number, walk = number, walk_of(weights)
    convolve_blocks(walk, torch.empty(1, 512, 4, 16, 16), torch.empty(weights), torch.empty(1, 1, 4, 16, 16))
    assert runs == [expected[3] * walk.scratch_bytes, expected]


def test_the_work_of_all_blocks_counts(threads, runs):
    threads.number, walk = 5, walk_of(0)  # what is copied counts too: 2 of these have 65,536 operations
    for blocks in (1, 2):
        convolve_blocks(walk, torch.empty(blocks, 512, 4, 16, 16), torch.empty(0), torch.empty(blocks, 1, 4, 16, 16))
    assert [run[3] for run in runs[1::2]] == [1, 5]


@pytest.mark.parametrize(("number", "expected"), [(16, (8, 4, 2, 8, 1)), (2, (8, 4, 2, 2, 1))])
def test_gradients_of_weights_are_split_alike_on_any_number_of_threads(threads, runs, number, expected):
    threads.number, walk = number, walk_of(512)
    sums = weight_gradients(walk, torch.empty(1, 512, 4, 16, 16), torch.empty(1, 1, 4, 16, 16))
    assert runs == [expected[3] * walk.scratch_bytes, expected]
    assert torch.equal(sums, torch.zeros(512))


def test_gradients_of_weights_are_summed_over_sixteen_bands(runs):
    walk = forward_walk(torch.ones(1, 1, 1, 1, dtype=torch.bool), Shape((1, 1)), (20, 1))
    weight_gradients(walk, torch.empty(1, 1, 20, 1, 16), torch.empty(1, 1, 20, 1, 16))
    assert runs[1] == (16, 16, 1, 1, 1)


def test_memory_is_whole_vectors_and_kept_until_more_is_needed(monkeypatch):
    held = convolution._held
    monkeypatch.setattr(held, "scratch", None, raising=False)
    address = convolution._aligned(1000)
    assert address % 64 == 0
    assert held.scratch.data_ptr() <= address < held.scratch.data_ptr() + 64
    assert held.scratch.nbytes == 1064
    before = held.scratch
    assert convolution._aligned(1000) == convolution._aligned(3) == address
    assert held.scratch is before
    convolution._aligned(1001)
    assert held.scratch.nbytes == 1065


def small_and_large():
    """Walks of planes of which one takes more memory for its images, the other for its results."""
    small = PlaneWalk(torch.ones(2, 9, 1, 1, dtype=torch.bool), Shape((1, 1)), (2, 3))
    large = PlaneWalk(torch.ones(3, 1, 1, 1, dtype=torch.bool), Shape((1, 1)), (5, 4))
    assert small.image_bytes > large.image_bytes
    assert small.results_bytes < large.results_bytes
    return small, large


def test_layers_of_a_few_images_are_split_into_four_tasks_for_each_thread(monkeypatch, threads):
    threads.number = 5
    small, large = small_and_large()
    lengths, steps = [], []
    monkeypatch.setattr(convolution, "_aligned", lambda length: lengths.append(length) or 10_000)
    monkeypatch.setattr(convolution, "run_jobs", lambda kernel, jobs: steps.extend(jobs))
    PlaneJobs([small, large], 3).run([(1, 2, 3, 4, 5, True), (6, 7, 8, 9, 0, False)])
    planes = 9 * 2 * 3 * 4 * 3 + 512
    assert lengths == [planes + 5 * large.results_bytes]
    names = ("copying", "jobs", "parts", "tasks", "inputs", "scratch")
    copying = [[getattr(step, name) for name in names] for step in steps[::2]]
    assert copying == [[1, 4, 7, 21, 1, 10_000], [1, 0, 7, 21, 6, 10_000]]
    names = ("copying", "jobs", "parts", "tasks", "scratch", "results")
    names += ("outputs", "weights", "bias", "added", "relu", "channels")
    computing = [[getattr(step, name) for name in names] for step in steps[1::2]]
    common = [0, 0, 7, 21, 10_000, 10_000 + planes]
    assert computing == [[*common, 2, 3, 4, 5, 1, 9], [*common, 7, 8, 9, 0, 0, 1]]


def test_jobs_are_those_of_the_same_layers_images_and_threads(threads):
    small, large = small_and_large()
    jobs = PlaneJobs([small, large], 3)
    assert jobs.fit([small, large], 3)
    assert not jobs.fit([small, large], 2)
    assert not jobs.fit([small, small], 3)
    assert not jobs.fit([small], 3)
    assert not jobs.fit([small, large, large], 3)
    threads.number = 2
    assert not jobs.fit([small, large], 3)


@pytest.mark.parametrize("shape", [(2,), (2, 3, 1)])
@pytest.mark.parametrize(("number", "blocks"), [(1, 1), (16, 1), (17, 2)])
def test_blocks_hold_sixteen_images_side_by_side_and_zeros_at_the_end(shape, number, blocks):
    images = torch.arange(1, number * 2 * 3 + 1).view(number, 2, 3, 1) if shape[1:] else torch.ones(number, 2).cumsum(0)
    found = to_blocks(images)
    assert found.shape == (blocks, *shape, 16)
    assert found.is_contiguous()
    for number_, image in enumerate(images):
        assert torch.equal(found[number_ // 16, ..., number_ % 16], image)
    assert found.count_nonzero() == images.count_nonzero()
    assert torch.equal(from_blocks(found, number), images)
    assert from_blocks(found, number).is_contiguous()
