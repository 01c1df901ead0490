import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.pruning.plan import SCHEDULES, cubic, exponential, linear, snip_it


def test_snip_it_halves_the_distance_to_the_limit():
    # Verdenius et al. with a limit of 0.98 and 5 steps, worked by hand
    assert snip_it(0.98, 5) == pytest.approx([0.5, 0.74, 0.86, 0.92, 0.95, 0.965, 0.98])


@pytest.mark.parametrize("limit", [0.0, 0.1, 0.5])
def test_snip_it_never_prunes_beyond_a_small_limit(limit):
    assert snip_it(limit, 5) == [limit]


def test_the_others_by_hand():
    assert linear(0.9, 3) == pytest.approx([0.3, 0.6, 0.9])
    # a tenth of what is left stays at each step
    assert exponential(0.999, 3) == pytest.approx([0.9, 0.99, 0.999])
    # 0.64 * (1 - (3/4)^3), (1 - (2/4)^3), (1 - (1/4)^3)
    assert cubic(0.64, 4) == pytest.approx([0.37, 0.56, 0.63, 0.64])


@given(st.sampled_from(list(SCHEDULES)), st.floats(0, 0.999), st.integers(1, 30))
def test_every_schedule_rises_to_exactly_the_limit(name, limit, steps):
    sparsities = SCHEDULES[name](limit, steps)
    assert sparsities[-1] == limit
    assert sparsities == sorted(set(sparsities))


@given(st.floats(0.51, 0.99), st.integers(1, 10))
def test_snip_it_equals_its_formula(limit, steps):
    formula = [limit - (limit - 0.5) * 0.5**i for i in range(steps + 1)] + [limit]
    assert snip_it(limit, steps) == formula
