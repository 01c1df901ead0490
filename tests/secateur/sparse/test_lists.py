"""Lists and what kernels are told of a convolution, number by number, where no two sizes are alike."""

from itertools import product

import pytest
import torch

from secateur.sparse.kernels import Job, address_of
from secateur.sparse.lists import Axis, Entries, PlaneWalk, Shape, backward_walks, forward_walk
from secateur.sparse.vectors import most_columns

#: Kernels of 2 x 3 in 2 groups, of 8 x 7 pixels.
SHAPE, SIZE = Shape((2, 3), (2, 3), (1, 2), (3, 2), groups=2), (8, 7)


@pytest.fixture
def kept():
    """The first output lacks a weight, the second its lower row, the last all."""
    kept = torch.ones(4, 3, 2, 3, dtype=torch.bool)
    kept[0, 0, 1, 1] = False
    kept[1, :, 1] = False
    kept[3] = False
    return kept


def told(job):
    """What a job is told that is not 0."""
    return {name: number for name, _ in Job._fields_ if (number := getattr(job, name))}


def test_a_shape_is_a_plain_convolution_by_default():
    assert Shape((3, 2)) == Shape((3, 2), (1, 1), (0, 0), (1, 1), 1)
    assert SHAPE.outputs_of(SIZE) == (4, 3)
    assert Shape((3, 2), (2, 3), (1, 0), (2, 1)).outputs_of((7, 9)) == (3, 3)
    assert Axis(1, 1, 3, 2, 0).span == 5
    assert Axis(1, 1, 0, 1, 0).span == 0


def test_entries_say_where_a_weight_stands_and_what_it_joins():
    kept = torch.zeros(4, 2, 2, 3, dtype=torch.bool)
    kept[0, 1, 0, 2] = kept[3, 0, 1, 1] = True
    entries = Entries.of(kept, 2)
    found = entries.places, entries.output, entries.input, entries.row, entries.column
    assert [part.tolist() for part in found] == [[8, 40], [0, 3], [1, 2], [0, 1], [2, 1]]
    assert entries.where(torch.tensor([False, True])).places.tolist() == [40]


def test_a_forward_walk_goes_by_outputs_rows_inputs_and_columns(kept):
    walk = forward_walk(kept, SHAPE, SIZE)
    order = [(o, r, i, c) for o, r, i, c in product(range(4), range(2), range(3), range(3)) if kept[o, i, r, c]]
    assert walk.places.tolist() == [((o * 3 + i) * 2 + r) * 3 + c for o, r, i, c in order]
    assert walk.offsets.dtype == walk.starts.dtype == torch.int32
    slots, columns = {(0, 0): 0, (0, 1): 3, (1, 0): 2, (1, 1): 1}, (0, 8, 5)
    assert walk.offsets.tolist() == [
        [64 * ((slots[ring, r] * 6 + i + o // 2 * 3) * 12 + columns[c]) for o, r, i, c in order] for ring in (0, 1)
    ]
    assert walk.starts.tolist() == [[0, 9, 17], [17, 26, 26], [26, 35, 44], [44, 44, 44]]
    assert walk.starts.is_contiguous()
    assert walk.rows == Axis(4, 2, 2, 3, 1)
    assert walk.scratch_bytes == 18432
    assert told(walk.job) == {
        "offsets": walk.offsets.data_ptr(), "starts": walk.starts.data_ptr(), "entries": 44, "rings": 2, "slots": 4,
        "columns": 12, "phase_columns": 4, "channels": 6, "height": 8, "width": 7, "out_channels": 4, "out_height": 4,
        "out_width": 3, "stride_y": 2, "stride_x": 3, "taps": 2, "spacing": 3, "top": 1, "left": 2,
        "scratch_bytes": 18432,
    }  # fmt: skip


def test_a_walk_of_planes_goes_by_the_weight(kept):
    walk = PlaneWalk(kept, SHAPE, SIZE)
    order = [(o, i, r, c) for o, i, r, c in product(range(4), range(3), range(2), range(3)) if kept[o, i, r, c]]
    assert walk.places.tolist() == [((o * 3 + i) * 2 + r) * 3 + c for o, i, r, c in order]
    rows, columns = (0, 1), ((0, 0), (2, 0), (1, 1))  # remainders by the stride, and whole strides
    assert walk.offsets.tolist() == [
        80 * (((i + o // 2 * 3) * 2 + rows[r]) * 3 + columns[c][0]) + 4 * (rows[r] * 4 + columns[c][1])
        for o, i, r, c in order
    ]
    assert walk.starts.tolist() == [0, 17, 26, 44, 44]
    assert walk.offsets.dtype == walk.starts.dtype == torch.int32
    assert (walk.image_bytes, walk.results_bytes) == (2880, 64 + 64 * most_columns())
    assert told(walk.job) == {
        "offsets": walk.offsets.data_ptr(), "starts": walk.starts.data_ptr(), "channels": 6, "height": 8, "width": 7,
        "out_channels": 4, "out_height": 4, "out_width": 3, "stride_y": 2, "stride_x": 3, "top": 1, "left": 2,
        "plane": 80, "plane_rows": 5, "plane_columns": 4, "image_bytes": 2880,
        "scratch_bytes": 64 + 64 * most_columns(), "in_row": 28, "in_channel": 224, "in_block": 1344, "out_row": 12,
        "out_channel": 48, "out_block": 192,
    }  # fmt: skip


def test_gradients_of_inputs_walk_kernels_backwards_for_each_remainder_by_the_stride():
    kept, shape = torch.ones(4, 1, 3, 2, dtype=torch.bool), Shape((3, 2), (2, 2), (1, 0), (1, 2), groups=2)
    walks = backward_walks(kept, shape, (5, 4))
    assert [place for place, _ in walks] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    common = {"channels": 4, "height": 3, "width": 1, "out_channels": 2, "out_width": 2, "stride_y": 1, "stride_x": 1}
    expected = [
        {"out_height": 3, "taps": 1, "left": 1, "slots": 1, "rings": 1, "columns": 3, "entries": 8},
        {"out_height": 3, "taps": 1, "slots": 1, "rings": 1, "columns": 2},
        {"out_height": 2, "taps": 2, "left": 1, "slots": 2, "rings": 2, "columns": 3, "entries": 16},
        {"out_height": 2, "taps": 2, "slots": 2, "rings": 2, "columns": 2},
    ]
    for (_, walk), own in zip(walks, expected, strict=True):
        memory = 64 * 4 * own["slots"] * own["columns"]
        more = {"spacing": 1, "phase_columns": own["columns"], "scratch_bytes": memory}
        addresses = {"offsets": address_of(walk.offsets), "starts": walk.starts.data_ptr()}
        assert told(walk.job) == {name: number for name, number in (common | own | more | addresses).items() if number}
    first, none, second, neither = (walk for _, walk in walks)
    assert first.places.tolist() == [3, 2, 9, 8, 15, 14, 21, 20]
    assert second.places.tolist() == [5, 4, 11, 10, 1, 0, 7, 6, 17, 16, 23, 22, 13, 12, 19, 18]
    assert none.places.tolist() == neither.places.tolist() == []
    assert first.starts.tolist() == [[0, 4], [4, 8]]
    assert second.starts.tolist() == [[0, 4, 8], [8, 12, 16]]
    assert neither.starts.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert first.offsets.tolist() == [[0, 64, 192, 256, 384, 448, 576, 640]]


def test_gradients_of_inputs_begin_where_the_first_tap_reads(kept):
    found = {
        place: [getattr(walk.job, name) for name in ("out_height", "out_width", "top", "left", "taps", "spacing")]
        for place, walk in backward_walks(kept, SHAPE, SIZE)
    }
    assert found == {
        (0, 0): [4, 3, 1, 0, 1, 3],
        (0, 1): [4, 2, 1, -1, 1, 3],
        (0, 2): [4, 2, 1, 0, 1, 3],
        (1, 0): [4, 3, -1, 0, 1, 3],
        (1, 1): [4, 2, -1, -1, 1, 3],
        (1, 2): [4, 2, -1, 0, 1, 3],
    }
    places = {place: walk.places.tolist() for place, walk in backward_walks(kept, SHAPE, SIZE)}
    assert places[0, 1] == [3, 9, 15, 39, 45, 51]  # of the first output and the third
    assert places[1, 2] == [2, 20, 8, 26, 14, 32, 38, 44, 50]


def test_rows_and_columns_that_nothing_reads_have_walks_without_taps():
    walks = dict(
        backward_walks(torch.ones(2, 1, 2, 1, dtype=torch.bool), Shape((2, 1), (2, 1), (0, 0), (2, 1)), (4, 2))
    )
    walk = walks[1, 0]
    assert (walk.job.taps, walk.job.slots, walk.job.rings, walk.job.out_height) == (0, 1, 1, 2)
    assert walk.starts.tolist() == [[0]]
    assert walks[0, 0].starts.tolist() == [[0, 2, 4]]


def test_images_smaller_than_the_stride_have_fewer_remainders():
    walks = backward_walks(torch.ones(1, 1, 1, 1, dtype=torch.bool), Shape((1, 1), (3, 2)), (2, 1))
    assert [place for place, _ in walks] == [(0, 0), (1, 0)]
