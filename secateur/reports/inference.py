"""What samples of runs allow to conclude: intervals, tests of pairs, ranks over blocks. Distributions are SciPy's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats

from secateur.reports.groups import ROUNDING, Mean

#: The level of every test and, as its complement, of every interval.
LEVEL = 0.05
#: Differences are rounded to so many decimals: accuracies are fractions, whose last bits would break ties.
DECIMALS = 12


@cache
def _quantile(freedom: int) -> float:
    return float(stats.t.ppf(1 - LEVEL / 2, freedom))


def half_width(mean: Mean) -> float | None:
    """Half of the 95 % confidence interval of a mean, by Student's t over the sample; None of a single value."""
    return None if mean.deviation is None else _quantile(mean.n - 1) * mean.deviation / math.sqrt(mean.n)


def paired_t(differences: Mean) -> float | None:
    """The two-sided p of Student's t-test of pairs, given the mean of their differences.

    None where there is no test: of a single pair, or of differences that are all the same.
    """
    deviation = differences.deviation
    if deviation is None or deviation <= ROUNDING * max(1.0, abs(differences.value)):
        return None
    t = differences.value / (deviation / math.sqrt(differences.n))
    return float(2 * stats.t.sf(abs(t), differences.n - 1))


def signed_rank(differences: Sequence[float]) -> float:
    """The two-sided p of Wilcoxon's signed-rank test of pairs (Demšar, 2006, section 3.1.3); 1 where all are equal."""
    rounded = np.round(differences, DECIMALS)
    return float(stats.wilcoxon(rounded).pvalue) if rounded.any() else 1.0


def smallest_signed_rank(pairs: int) -> float:
    """The smallest p that the signed-rank test of so many pairs can give: all of one sign, 2 of 2^n orders."""
    return min(1.0, 2.0 ** (1 - pairs))


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Correct the p of a family of tests by Holm's step-down procedure (1979): each is to be compared with the level.

    What is None is no test, and does not count.
    """
    tests = sorted((value, place) for place, value in enumerate(values) if value is not None)
    corrected: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (value, place) in enumerate(tests):
        largest = max(largest, min(1.0, (len(tests) - rank) * value))
        corrected[place] = largest
    return corrected


@dataclass(frozen=True)
class Ranks:
    """Mean ranks of methods over blocks, 1 for the best of each, and what Friedman's test says of them."""

    #: By method, the best first.
    mean: dict[str, float]
    blocks: int
    #: That the ranks come about by chance: by the F distribution (Iman & Davenport, 1980; Demšar, 2006, section 3.2.2),
    #: and no smaller than so few blocks can show.
    p: float
    #: Mean ranks that differ by less are not distinguishable (Nemenyi).
    critical: float

    @property
    def differ(self) -> bool:
        """Whether the methods differ at all; only then differences between two of them may be looked at."""
        return self.p < LEVEL

    @property
    def alike(self) -> list[list[str]]:
        """The largest sets of methods that are not distinguishable from each other, the best first."""
        names = list(self.mean)
        if not self.differ:
            return [names]
        found: list[list[str]] = []
        for start, best in enumerate(names):
            own = [name for name in names[start:] if self.mean[name] - self.mean[best] < self.critical]
            if not found or own[-1] not in found[-1]:
                found.append(own)
        return found


def friedman(methods: Sequence[str], values: Sequence[Sequence[float]]) -> Ranks:
    """Rank methods in each block; `values` are rows of blocks, a column for each method, larger is better.

    Takes two blocks and three methods at least. Equal values share the mean of their ranks.
    """
    table = np.round(np.array(values), DECIMALS)
    blocks, number = table.shape
    means = stats.rankdata(-table, axis=1).mean(0)
    # Where all values of all blocks are equal, there is no statistic.
    chi_square = float(stats.friedmanchisquare(*table.T).statistic) if (table != table[:, :1]).any() else 0.0
    p = _iman_davenport(chi_square, blocks, number)
    critical = critical_value(number) * math.sqrt(number * (number + 1) / (6 * blocks))
    order = sorted(range(number), key=lambda column: (means[column], methods[column].lower()))
    return Ranks({methods[column]: float(means[column]) for column in order}, blocks, p, critical)


def _iman_davenport(chi_square: float, blocks: int, number: int) -> float:
    room = blocks * (number - 1) - chi_square
    statistic = (blocks - 1) * chi_square / room if room > ROUNDING else math.inf
    p = float(stats.f.sf(statistic, number - 1, (number - 1) * (blocks - 1)))
    return max(p, math.factorial(number) ** -(blocks - 1.0))  # where all blocks agree, of all orders that they can have


@cache
def critical_value(number: int) -> float:
    """Nemenyi's q of so many methods: that of the studentized range over sqrt(2) (Demšar, 2006, table 5a)."""
    return float(stats.studentized_range.ppf(1 - LEVEL, number, np.inf)) / math.sqrt(2)
