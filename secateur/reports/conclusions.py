"""What a report lets one conclude: sentences, the tables that they come from, and how they come about."""

from __future__ import annotations

from collections.abc import Sequence

from secateur.reports import sentences
from secateur.reports.comparison_tables import of_collapses, of_controls, of_dense, of_pairs, of_ranks
from secateur.reports.comparisons import Ranking, against_dense, collapses, controls, pairs, rankings
from secateur.reports.groups import Group
from secateur.reports.tables import ReportTable

#: How the sentences and tables come about, for the page.
METHOD = """\
Intervals are 95 % confidence intervals of the mean by Student's t, over seeds or blocks: of two seeds the mean ± 9.0
standard deviations, of three ± 2.5, of five ± 1.2. Student's t knows no bounds: an interval of few seeds may reach
beyond 100 %. Against the dense network, runs of the same seed are paired; p is of the t-test of these pairs. Two
methods are compared over blocks, each a seed, a compression, and a network with its data, by Wilcoxon's signed-rank
test; the compression is the one that was asked for. p is corrected for the number of tests of a network and its data
by Holm's procedure (1979), and "not distinguishable" is what a corrected p of 0.05 or more leaves: no proof that two
are equal. Intervals are not corrected. Methods are ranked in each block that has all of them; mean ranks by
Friedman's test with the F distribution (Iman & Davenport, 1980), and the critical difference is Nemenyi's (Demšar,
2006, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, section 3.2.2). Blocks of one seed
share initial weights and the order of images, those of one network its data: what is concluded holds for the
networks, data and compressions that were run, and the tests take blocks for independent, which makes p too small
where they are not. A method collapses where its mean accuracy first falls below halfway between that of the dense
network and guessing, one over the number of classes, a definition of this report; that a layer has no weights left,
the layer collapse of Tanaka et al. (2020, "Pruning neural networks without any data by iteratively conserving
synaptic flow", section 4), stands beside it."""


def conclude(groups: Sequence[Group], shown: Sequence[Group]) -> tuple[list[str], list[ReportTable], list[Ranking]]:
    """Return sentences, tables and rankings of the finished trainings, controls among them.

    Methods are compared with each other among the groups that are `shown`, of which a page can show all pairs.
    """
    methods = [one for one in groups if not one.control]
    dense, fallen = against_dense(methods), collapses(methods)
    beside = controls(groups, dense)
    two, ranked = pairs(shown), rankings(shown)
    tables = [of_dense(dense), of_controls(beside), of_ranks(ranked), of_pairs(two), of_collapses(fallen)]
    said = [
        *sentences.of_dense(dense),
        *sentences.of_controls(beside),
        *sentences.of_best(shown),
        *sentences.of_missed(shown),
        *sentences.of_ranks(ranked),
        *sentences.of_pairs(two),
        *sentences.of_collapses(fallen),
        *sentences.of_single_seeds(methods),
    ]
    return said, [table for table in tables if table.rows], ranked
