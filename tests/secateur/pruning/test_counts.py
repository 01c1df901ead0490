"""How many weights layers keep, what is kept of layers with a number of their own, and scores that can be ranked."""

import pytest
import torch

from secateur.pruning.selection import (
    checked_scores,
    keep_largest,
    own_counts,
    read_pattern,
    rounded,
    select,
    select_in_groups,
    shuffled,
)
from secateur.runs.files import write_json
from secateur.utils.errors import UserError

SCORES = {"b": torch.tensor([5.0, 1.0, 2.0, 4.0]), "a": torch.tensor([3.0, 6.0]), "c": torch.tensor([9.0, 8.0, 7.0])}


def kept(masks):
    return {name: mask.int().tolist() for name, mask in masks.items()}


@pytest.mark.parametrize(
    ("shares", "keep", "room", "counts"),
    [
        # the largest fraction takes what is left, wherever it stands
        ({"a": 1.2, "b": 2.7, "c": 3.1}, 7, {"a": 9, "b": 9, "c": 9}, {"a": 1, "b": 3, "c": 3}),
        ({"c": 1.5, "b": 2.5, "a": 3.0}, 7, {"a": 9, "b": 9, "c": 9}, {"c": 2, "b": 2, "a": 3}),
        ({"a": 1.9, "b": 1.1}, 3, {"a": 1, "b": 5}, {"a": 1, "b": 2}),
        ({"a": 1.0, "b": 2.0}, 3, {"a": 1, "b": 2}, {"a": 1, "b": 2}),
    ],
)
def test_what_rounding_leaves_goes_to_the_largest_fractions_where_there_is_room(shares, keep, room, counts):
    assert rounded(shares, keep, room) == counts


def test_layers_come_as_far_to_a_sparsity_of_their_own_as_all_have_come():
    sparsities, room, sizes = {"a": 0.75, "b": 0.5}, {"a": 10, "b": 3, "c": 4}, {"a": 8, "b": 8, "c": 4}
    assert own_counts(sparsities, 0.5, room, sizes) == {"a": 5, "b": 3}
    assert own_counts(sparsities, 1.0, room, sizes) == {"a": 2, "b": 3}
    assert own_counts(sparsities, 0.0, room, sizes) == {"a": 8, "b": 3}


@pytest.mark.parametrize(
    ("fixed", "expected"),
    [
        ({"c": 1}, {"b": [1, 0, 0, 1], "a": [0, 1], "c": [1, 0, 0]}),
        ({"c": 0, "a": 0}, {"b": [1, 0, 1, 1], "a": [0, 0], "c": [0, 0, 0]}),
        ({"b": 1, "a": 2, "c": 1}, {"b": [1, 0, 0, 0], "a": [1, 1], "c": [1, 0, 0]}),
    ],
)
def test_layers_with_a_number_of_their_own_leave_the_others_the_rest(fixed, expected):
    keep = 3 if "a" in fixed and "b" not in fixed else 4
    assert kept(select(SCORES, keep, fixed=fixed)) == expected


def test_like_layers_that_were_pruned_before_have_room_for_what_is_left_of_them():
    alive = {"a": 1, "b": 2, "c": 3}
    scores = {name: score.clone() for name, score in SCORES.items()}
    scores["a"][0] = scores["b"][1] = scores["b"][2] = -torch.inf
    masks = select(scores, 5, "isomorphic", alive, [["b", "a"], ["c"], []])
    # 5 * 6/9 = 3.3 and 5 * 3/9 = 1.7 of the kinds: 3 of three that are left, and 2
    assert kept(masks) == {"b": [1, 0, 0, 1], "a": [0, 1], "c": [1, 1, 0]}
    assert list(masks) == ["b", "a", "c"]


def test_a_table_has_no_say_in_layers_with_a_number_of_their_own(tmp_path):
    rows = [{"layer": name, "sparsity": 0.0, "recalibrated_accuracy": 0.9} for name in SCORES]
    rows.append({"layer": "b", "sparsity": 0.5, "recalibrated_accuracy": 0.9})
    (tmp_path / "output").mkdir()
    write_json(tmp_path / "output" / "results.json", {"sensitivity": rows})
    # half of b costs nothing
    assert kept(select(SCORES, 7, "sensitivity", table=tmp_path)) == {"b": [1, 0, 0, 1], "a": [1, 1], "c": [1, 1, 1]}
    masks = select(SCORES, 6, "sensitivity", fixed={"c": 2}, table=tmp_path)
    assert kept(masks) == {"b": [1, 0, 0, 1], "a": [1, 1], "c": [1, 1, 0]}


def test_a_mask_of_nothing_is_a_boolean_too():
    masks = [keep_largest(torch.ones(2, 3), 0), keep_largest(torch.ones(2, 3), -1), keep_largest(torch.ones(2, 3), 1)]
    assert [(mask.dtype, mask.shape, int(mask.sum())) for mask in masks] == [
        (torch.bool, (2, 3), 0), (torch.bool, (2, 3), 0), (torch.bool, (2, 3), 1),
    ]  # fmt: skip
    groups = select_in_groups({"a": torch.ones(1, 4)}, 2, 4)["a"]
    assert (groups.dtype, groups.is_contiguous()) == (torch.bool, True)


def test_a_last_group_that_is_not_full_keeps_as_many_whatever_their_sign():
    score = torch.tensor([[-1.0, -2.0, -3.0, -4.0, -5.0]])
    assert select_in_groups({"a": score}, 2, 4)["a"].int().tolist() == [[1, 1, 0, 0, 1]]


def test_shuffling_goes_by_the_seed_alone():
    masks = {"a": torch.arange(100).view(10, 10) < 30}
    first = shuffled(masks, 7)["a"]
    torch.manual_seed(123)
    assert torch.equal(shuffled(masks, 7)["a"], first)
    assert not torch.equal(shuffled(masks, 8)["a"], first)
    assert (int(first.sum()), first.shape) == (30, (10, 10))


@pytest.mark.parametrize(
    ("text", "pattern"), [("unstructured", None), ("2:4", (2, 4)), ("1:2", (1, 2)), ("1023:1024", (1023, 1024))]
)
def test_a_pattern_is_read(text, pattern):
    assert read_pattern(text) == pattern


@pytest.mark.parametrize("text", ["2:2", "3:2", "0:2", "1:1025", "a:4", "2:b", "-1:4", "2", ":4", "2:", "2:4:8"])
def test_a_pattern_that_is_none_is_refused(text):
    with pytest.raises(UserError) as error:
        read_pattern(text)
    assert str(error.value) == f"--pattern '{text}' is not unstructured or N:M with N < M, as 2:4"


def checked(scores, **shapes):
    return checked_scores(
        scores, {name: torch.Size(shape) for name, shape in shapes.items()}, "Mine", "scores", "layer"
    )


NOT_TENSORS = "Mine.scores must return a dictionary of tensors, one for each layer"


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([torch.ones(2)], NOT_TENSORS),
        ({"a": torch.ones(2), "b": [1.0]}, NOT_TENSORS),
        ({"a": torch.ones(2)}, "Mine.scores must return one tensor for each layer: see b"),
        ({"a": torch.ones(2), "b": torch.ones(1), "z": torch.ones(1), "d": torch.ones(1), "c": torch.ones(1)},
         "Mine.scores must return one tensor for each layer: see c"),
        ({"a": torch.ones(2), "b": torch.ones(1, 1)}, "Mine.scores: b has the shape (1, 1), not (1,)"),
        ({"a": torch.tensor([1.0, torch.nan]), "b": torch.ones(1)},
         "Mine: the scores of a are not numbers (NaN); is --learning_rate too large?"),
    ],
)  # fmt: skip
def test_scores_that_cannot_be_ranked_are_refused(scores, message):
    with pytest.raises(UserError) as error:
        checked(scores, a=[2], b=[1])
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.int64, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_scores_are_ranked_as_numbers_of_at_least_32_bits(given, found):
    score = checked({"a": torch.tensor([1, -2]).to(given)}, a=[2])["a"]
    assert (score.dtype, score.tolist()) == (found, [1, -2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_infinite_scores_become_the_largest_there_are_and_have_no_gradient(dtype):
    largest = 3.4028234663852886e38 if dtype == torch.float32 else 1.7976931348623157e308
    score = torch.tensor([torch.inf, -torch.inf, 0.1], dtype=dtype, requires_grad=True)
    found = checked({"a": score}, a=[3])["a"]
    assert not found.requires_grad
    assert found.tolist() == [largest, -largest, score[2].item()]
