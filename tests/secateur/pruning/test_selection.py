import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.pruning.selection import keep_largest, select, select_in_groups


def test_the_largest_of_all_layers_stay():
    scores = {"a": torch.tensor([[0.1, 0.9], [0.4, 0.2]]), "b": torch.tensor([0.3, 0.8])}
    masks = select(scores, 3)
    assert masks["a"].tolist() == [[False, True], [True, False]]
    assert masks["b"].tolist() == [False, True]


def test_the_largest_of_each_layer_stay():
    scores = {"a": torch.tensor([[0.1, 0.9], [0.4, 0.2]]), "b": torch.tensor([[3.0, 8.0]])}
    masks = select(scores, 3, "uniform")
    assert masks["a"].tolist() == [[False, True], [True, False]]
    assert masks["b"].tolist() == [[False, True]]


def test_ties_are_decided_by_position():
    masks = select({"a": torch.tensor([1.0, 1.0]), "b": torch.tensor([2.0, 1.0, 1.0])}, 3)
    assert masks["a"].tolist() == [True, True]
    assert masks["b"].tolist() == [True, False, False]


@settings(max_examples=25)
@given(st.lists(st.sampled_from([-torch.inf, -1.5, -0.0, 0.0, 2.0]), min_size=1, max_size=5), st.data())
def test_many_equal_scores_among_others_change_no_mask(common, data):
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    values = torch.randn(20_000, generator=generator)
    for value in common:
        values[torch.rand(20_000, generator=generator) < 0.3] = value
    keep = data.draw(st.integers(1, 20_000))
    order = values.argsort(descending=True, stable=True)
    expected = torch.zeros(20_000, dtype=torch.bool).scatter_(0, order[:keep], True)
    assert torch.equal(keep_largest(values, keep), expected)


def test_minus_infinity_goes_first_and_infinity_stays():
    assert keep_largest(torch.tensor([-torch.inf, 0.0, torch.inf, -torch.inf]), 2).tolist() == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_scores_of_any_type_and_layout_stay_as_they_are(dtype):
    scores = torch.arange(24.0).flip(0).reshape(1, 4, 3, 2).to(dtype).to(memory_format=torch.channels_last)
    scores[0, 3] = 23  # six that are equal to the first
    before = scores.clone()
    mask = keep_largest(scores, 4)
    assert torch.equal(scores, before)
    assert mask.flatten().nonzero().flatten().tolist() == [0, 18, 19, 20]
    assert keep_largest(torch.nn.Parameter(torch.tensor([1.0, 3.0, 2.0])), 1).tolist() == [False, True, False]


# Few different values, so that ties are the rule.
layers = st.lists(
    st.lists(st.sampled_from([-torch.inf, 0.0, 0.5, 1.0]), min_size=1, max_size=30), min_size=1, max_size=5
)


@given(layers, st.data())
def test_exactly_as_many_as_asked_stay_and_none_smaller_than_one_that_went(values, data):
    scores = {str(number): torch.tensor(layer) for number, layer in enumerate(values)}
    total = sum(map(len, values))
    keep = data.draw(st.integers(0, total))
    masks = select(scores, keep)
    flat = torch.cat(list(scores.values()))
    kept = torch.cat([masks[name] for name in scores])
    assert int(kept.sum()) == keep
    if 0 < keep < total:
        assert flat[kept].min() >= flat[~kept].max()


def test_two_of_four_by_hand():
    score = torch.tensor([[4.0, 1.0, 3.0, 2.0, 1.0, 1.0, 1.0, 5.0]])
    mask = select_in_groups({"a": score}, 2, 4)["a"]
    # In the second group the first of the three equal ones stays.
    assert mask.tolist() == [[True, False, True, False, True, False, False, True]]


@pytest.mark.parametrize("shape", [(6, 8), (3, 10), (4, 8, 3, 3), (2, 3, 5, 5), (4, 1, 3)])
@pytest.mark.parametrize(("keep", "group"), [(2, 4), (1, 4), (3, 8)])
def test_the_pattern_holds_in_every_group(shape, keep, group):
    score = torch.rand(shape)
    mask = select_in_groups({"a": score}, keep, group)["a"]
    assert mask.shape == score.shape
    rows, scores = mask.movedim(1, -1), score.movedim(1, -1)
    for start in range(0, shape[1], group):
        part, values = rows[..., start : start + group], scores[..., start : start + group]
        assert (part.sum(-1) == min(keep, part.shape[-1])).all()
        if part.shape[-1] > keep:
            assert (values.masked_fill(~part, 2).min(-1).values > values.masked_fill(part, -1).max(-1).values).all()
