import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.pruning.selection import DISTRIBUTIONS, layer_counts

SHAPES = {"wide": (100, 50), "narrow": (10, 100), "kernel": (8, 4, 3, 3)}


def test_uniform_by_hand():
    # 10 % of 5,000, 1,000 and 288, whose 28.8 takes what rounding leaves
    assert layer_counts(SHAPES, 629, "uniform") == {"wide": 500, "narrow": 100, "kernel": 29}


def test_erdos_renyi_by_hand():
    # Densities in proportion to 150/5000, 110/1000 and 12/32 give weights in proportion to 150, 110 and 12 * 9 = 108
    assert layer_counts(SHAPES, 184, "erdos_renyi") == {"wide": 75, "narrow": 55, "kernel": 54}


def test_erdos_renyi_kernel_by_hand():
    # Weights in proportion to 150, 110 and 8 + 4 + 3 + 3 = 18
    assert layer_counts(SHAPES, 278, "erdos_renyi_kernel") == {"wide": 150, "narrow": 110, "kernel": 18}


def test_a_layer_that_would_need_more_than_it_has_is_full_and_the_others_share_the_rest():
    # 4 * 150 = 600, 440 and 432 of only 288 weights: of the other 1,184, 150/260 and 110/260
    counts = layer_counts(SHAPES, 1472, "erdos_renyi")
    assert counts == {"wide": 683, "narrow": 501, "kernel": 288}


@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=6),
    st.sampled_from([name for name in DISTRIBUTIONS if name != "global"]),
    st.data(),
)
def test_the_counts_add_up_and_no_layer_keeps_more_than_it_has(shapes, distribution, data):
    named = {str(number): shape for number, shape in enumerate(shapes)}
    alive = {name: data.draw(st.integers(0, math.prod(shape))) for name, shape in named.items()}
    keep = data.draw(st.integers(0, sum(alive.values())))
    counts = layer_counts(named, keep, distribution, alive)
    assert sum(counts.values()) == keep
    assert all(0 <= counts[name] <= alive[name] for name in named)


@pytest.mark.parametrize("distribution", ["uniform", "erdos_renyi", "erdos_renyi_kernel"])
def test_all_and_nothing(distribution):
    full = {name: math.prod(shape) for name, shape in SHAPES.items()}
    assert layer_counts(SHAPES, sum(full.values()), distribution) == full
    assert layer_counts(SHAPES, 0, distribution) == dict.fromkeys(SHAPES, 0)
