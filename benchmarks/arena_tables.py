"""The tables of docs/arena.md, in Markdown: methods beside the dense network, trials, equal FLOPs, controls."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from secateur.reports.blocks import difference, is_dense
from secateur.reports.collect import RunRecord
from secateur.reports.comparisons import AgainstDense, Control, Ranking, interval_of
from secateur.reports.groups import CONTROLS, Group, Mean
from secateur.reports.measures import ACCURACY, COMPRESSION, PARAMETERS, TRAINING_FLOPS
from secateur.reports.reached import missed
from secateur.reports.run_options import has_limit


def of_panel(groups: Sequence[Group], found: Sequence[AgainstDense], ranked: Sequence[Ranking]) -> str:
    """A row for each method, the best mean rank first: accuracy, and beside it the difference to dense."""
    limited = [one for one in found if has_limit(one.group.runs[0].settings)]
    targets = list(dict.fromkeys(one.group.target for one in sorted(limited, key=lambda one: one.group.strength)))
    ranks = _mean_ranks(ranked)
    cells = {(one.group.line, one.group.target): cell(one) for one in limited}
    rows = [
        [line, rank_of(ranks, line), training_cost(groups, line), *(cells.get((line, one), "") for one in targets)]
        for line in by_rank({line for line, _ in cells}, ranks)
    ]
    text = f"**{groups[0].panel}.** {dense_accuracy(groups)}Each cell is the mean test accuracy in per cent of "
    text += f"{seeds_of(found)} seeds, then the difference to dense of the same seed in points with its 95 % interval"
    text += f"{', and what was reached, where it is another compression' if any(map(_missed, limited)) else ''}.\n\n"
    text += markdown(["criterion", "mean rank", "training FLOPs", *targets], rows)
    return text + "".join(_without_limit(groups, [one for one in found if one not in limited]))


def _without_limit(groups: Sequence[Group], found: Sequence[AgainstDense]) -> Iterator[str]:
    """The methods that prune no given amount, in a table of their own: how strongly they were driven, and how far."""
    rows = []
    for one in sorted(found, key=lambda one: (one.group.line, one.group.strength)):
        reached = COMPRESSION.mean(one.group)
        cost = training_cost([other for other in groups if other is one.group or is_dense(other)], one.group.line)
        rows.append([one.group.line, one.group.target, f"{reached.value:.3g}x" if reached else "", cost, cell(one)])
    if rows:
        yield "\n\nWithout an amount to ask for, and without a rank:\n\n"
        yield markdown(["criterion", "strength", "compression", "training FLOPs", "accuracy"], rows)


def at_equal_flops(
    groups: Sequence[Group], found: Sequence[AgainstDense], ranked: Sequence[Ranking], before: Sequence[Group]
) -> str:
    """A row for each method: its epochs and what they cost, and what they gain on the groups of equal epochs."""
    ranks, rows = _mean_ranks(ranked), {}
    for one in found:
        same = [other for other in before if (other.line, other.target) == (one.group.line, one.group.target)]
        gain = difference(one.group, same[0]) if same else None
        rows[one.group.line] = [
            one.group.line,
            rank_of(ranks, one.group.line),
            str(epochs_of(one.group.runs[0])),
            training_cost(groups, one.group.line),
            cell(one),
            f"{100 * ACCURACY.mean(same[0]).value:.2f}" if same else "",
            points(gain) if gain else "",
        ]
    columns = ["criterion", "mean rank", "epochs", "training FLOPs", "accuracy", "at equal epochs", "gain"]
    text = (
        f"{dense_accuracy(groups)}Accuracy is the mean test accuracy in per cent, then the difference to dense of the "
    )
    text += "same seed in points with its 95 % interval; the gain is that on equal epochs, of the same seed.\n\n"
    return text + markdown(columns, [rows[line] for line in by_rank(rows, ranks)])


def of_controls(found: Sequence[Control]) -> str:
    """Below each criterion what it must beat."""
    rows, last = [], None
    for one in found:
        if one.group is not last:
            rows.append([f"**{one.group.line}**, {one.group.target}", *_sizes(one.group), "", ""])
            last = one.group
        name = CONTROLS.get(one.control.control, "dense")
        rows.append([name, *_sizes(one.control), points(one.difference) if one.difference else "", one.verdict])
    return markdown(["", "parameters", "accuracy", "criterion minus it", "the criterion is"], rows)


def _sizes(group: Group) -> list[str]:
    parameters, accuracy = PARAMETERS.mean(group), ACCURACY.mean(group)
    return [f"{parameters.value:,.0f}" if parameters else "", f"{100 * accuracy.value:.2f}" if accuracy else ""]


def tuning(runs: Sequence[RunRecord]) -> str:
    """The held-out accuracy of each criterion at each learning rate, the chosen one in bold."""
    found: dict[str, dict[float, float]] = defaultdict(dict)
    for run in runs:
        found[run.settings["prune_criterion"]][run.settings["learning_rate"]] = run.accuracy
    rates = sorted({rate for trials in found.values() for rate in trials})
    rows, guessing = [], []
    for criterion, trials in sorted(found.items(), key=lambda one: one[0].lower()):
        best = max(trials.values())
        chosen = min(rate for rate, accuracy in trials.items() if accuracy == best)
        shown = {rate: f"{100 * accuracy:.2f}" for rate, accuracy in trials.items()}
        rows.append([criterion, *(f"**{shown[rate]}**" if rate == chosen else shown.get(rate, "") for rate in rates)])
        classes = {run.classes for run in runs if run.classes}
        guessing += [criterion] if classes and best < 2 / max(classes) else []
    text = markdown(["criterion", *(f"rate {rate:g}" for rate in rates)], rows)
    if guessing:
        text += f"\n\nAt every rate {' and '.join(guessing)} guessed: these trials choose nothing."
    return text


def cell(one: AgainstDense) -> str:
    """As "96.75, -1.05 [-1.60, -0.50]", and the compression reached where it is not the one of the column."""
    text = f"{100 * one.accuracy.value:.2f}"
    if one.difference and interval_of(one.difference):
        text += f", {points(one.difference)}"
    return f"{text}, at {missed(one.group):.3g}x" if _missed(one) else text


def _missed(one: AgainstDense) -> bool:
    return missed(one.group) is not None


def points(found: Mean) -> str:
    """A difference in points, as "-1.05 [-1.60, -0.50]"."""
    ends = interval_of(found)
    return f"{100 * found.value:+.2f}" + (f" [{100 * ends[0]:+.2f}, {100 * ends[1]:+.2f}]" if ends else "")


def dense_accuracy(groups: Sequence[Group]) -> str:
    """What the dense network reaches; "" where it has not run."""
    dense = next((ACCURACY.mean(one) for one in groups if is_dense(one)), None)
    if dense is None:
        return ""
    low, high = interval_of(dense) or (dense.value, dense.value)
    return f"Dense: {100 * dense.value:.2f} % [{100 * low:.2f}, {100 * high:.2f}], n = {dense.n}. "


def seeds_of(found: Sequence[AgainstDense]) -> str:
    """As "3" or "1 to 3"."""
    sizes = sorted({one.accuracy.n for one in found})
    return " to ".join(map(str, dict.fromkeys((sizes[0], sizes[-1]))))


def epochs_of(run: RunRecord) -> int:
    """The epochs of a run, those before pruning included."""
    return run.settings.get("pre_epochs", 0) + run.settings["epochs"]


def training_cost(groups: Sequence[Group], line: str) -> str:
    """The operations of training of the least and the most pruned network, in those of the dense one."""
    dense = next((TRAINING_FLOPS.mean(one).value for one in groups if is_dense(one)), None)
    own = sorted((one for one in groups if one.line == line and not is_dense(one)), key=lambda one: one.strength)
    if not dense or not own:
        return ""
    return " to ".join(dict.fromkeys(f"{TRAINING_FLOPS.mean(one).value / dense:.2f}" for one in (own[0], own[-1])))


def _mean_ranks(ranked: Sequence[Ranking]) -> dict[str, float]:
    return {method: rank for one in ranked if one.ranks for method, rank in one.ranks.mean.items()}


def rank_of(ranks: dict[str, float], line: str) -> str:
    """The mean rank of a method; "" of one that is not ranked."""
    return f"{ranks[line]:.2f}" if line in ranks else ""


def by_rank(lines: Sequence[str] | set[str] | dict, ranks: dict[str, float]) -> list[str]:
    """Methods in the order of their mean ranks, those without one last, by name."""
    return sorted(lines, key=lambda line: (ranks.get(line, float("inf")), line.lower()))


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
