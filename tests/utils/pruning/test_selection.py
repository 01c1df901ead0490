import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.pruning.selection import keep_largest


def test_the_largest_of_all_layers_stay():
    scores = {"a": torch.tensor([[0.1, 0.9], [0.4, 0.2]]), "b": torch.tensor([0.3, 0.8])}
    masks = keep_largest(scores, 3)
    assert masks["a"].tolist() == [[False, True], [True, False]]
    assert masks["b"].tolist() == [False, True]


def test_ties_are_decided_by_position():
    masks = keep_largest({"a": torch.tensor([1.0, 1.0]), "b": torch.tensor([2.0, 1.0, 1.0])}, 3)
    assert masks["a"].tolist() == [True, True]
    assert masks["b"].tolist() == [True, False, False]


def test_minus_infinity_goes_first_and_infinity_stays():
    masks = keep_largest({"a": torch.tensor([-torch.inf, 0.0, torch.inf, -torch.inf])}, 2)
    assert masks["a"].tolist() == [False, True, True, False]


# Few different values, so that ties are the rule.
layers = st.lists(
    st.lists(st.sampled_from([-torch.inf, 0.0, 0.5, 1.0]), min_size=1, max_size=30), min_size=1, max_size=5
)


@given(layers, st.data())
def test_exactly_as_many_as_asked_stay_and_none_smaller_than_one_that_went(values, data):
    scores = {str(number): torch.tensor(layer) for number, layer in enumerate(values)}
    total = sum(map(len, values))
    keep = data.draw(st.integers(0, total))
    masks = keep_largest(scores, keep)
    flat = torch.cat(list(scores.values()))
    kept = torch.cat([masks[name] for name in scores])
    assert int(kept.sum()) == keep
    if 0 < keep < total:
        assert flat[kept].min() >= flat[~kept].max()
