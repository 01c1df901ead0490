"""Which pictures a run leaves, and of what."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from secateur.observers import pictures
from secateur.observers.pictures import Pictures, _binned
from secateur.pruning.plan import PruningStep
from secateur.utils.drawing import ScoreHistogram


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn, as (function, arguments)."""
    calls = []
    for name in ("curves", "score_histograms", "confusion", "layers_left", "weight_maps"):
        monkeypatch.setattr(pictures.drawing, name, lambda *arguments, name=name: calls.append((name, arguments)))
    return calls


@pytest.fixture
def run(tmp_path):
    weights = {"a": nn.Parameter(torch.ones(1, 2, dtype=torch.float16))}
    return SimpleNamespace(
        folder=SimpleNamespace(output=tmp_path), model_spec={"model": "Net", "data_set": "Data"},
        criterion=SimpleNamespace(), data=SimpleNamespace(held_out_name="test"), masks=SimpleNamespace(weights=weights),
        sparsity=lambda: SimpleNamespace(sizes={"a": 2}, nonzero={"a": 1}),
    )  # fmt: skip


def step(scores, kept, **more):
    names = [str(number) for number in range(len(scores))]
    scores = dict(zip(names, map(torch.tensor, scores), strict=True))
    return PruningStep(3, 0.5, 4, 2, scores, dict(zip(names, map(torch.tensor, kept), strict=True)), **more)


def observed(**options):
    observer = Pictures(**options)
    observer.pruned(step([[1.0, 10.0]], [[False, True]]))
    observer.evaluated(SimpleNamespace(confusion="counts"))
    return observer


def test_everything_is_drawn_at_the_end(drawn, run, tmp_path):
    observer = observed()
    observer.epoch_finished(run, figures := {"epoch": 1})
    figures["epoch"] = 5  # of which a copy is kept
    assert drawn == []
    observer.run_finished(run)
    *others, (name, (weights, *more)) = drawn
    title = "Net on Data"
    assert others == [
        ("curves", ([{"epoch": 1}], "test", title, tmp_path / "curves.png")),
        ("score_histograms", (observer.steps, "SimpleNamespace", tmp_path / "saliency.png")),
        ("confusion", ("counts", title, tmp_path / "confusion.png")),
        ("layers_left", ({"a": 2}, {"a": 1}, title, tmp_path / "layers.png")),
    ]
    assert (name, more) == ("weight_maps", ["Net", tmp_path / "weights.png"])
    assert (weights["a"].dtype, weights["a"].requires_grad) == (torch.float32, False)


@pytest.mark.parametrize(
    ("option", "missing"),
    [
        ("disable_curves", "curves"),
        ("disable_saliency", "score_histograms"),
        ("disable_confusion", "confusion"),
        ("disable_netplot", "layers_left"),
        ("disable_weightplot", "weight_maps"),
    ],
)
def test_each_picture_can_be_left_out(drawn, run, option, missing):
    observer = observed(**{option: True}, plot_weights_freq=1)
    observer.epoch_finished(run, {"epoch": 1})
    observer.run_finished(run)
    wanted = {"curves", "score_histograms", "confusion", "layers_left", "weight_maps"}
    assert {name for name, _ in drawn} == wanted - {missing}


def test_what_there_is_nothing_of_is_not_drawn(drawn, run):
    run.masks.weights = {}
    Pictures().run_finished(run)
    observer = Pictures()
    observer.evaluated(SimpleNamespace(confusion=None))
    observer.run_finished(run)
    assert drawn == []


@pytest.mark.parametrize(("frequency", "epochs"), [(0, []), (1, [1, 2, 3, 4]), (2, [2, 4]), (3, [3])])
def test_weights_are_drawn_where_their_turn_has_come(drawn, run, tmp_path, frequency, epochs):
    observer = Pictures(plot_weights_freq=frequency)
    for epoch in (1, 2, 3, 4):
        observer.epoch_finished(run, {"epoch": epoch})
    assert [arguments[2] for _, arguments in drawn] == [tmp_path / f"weights_epoch_{epoch}.png" for epoch in epochs]


def test_a_resumed_run_draws_what_was_before_it(run):
    before = observed()
    before.epoch_finished(run, {"epoch": 1})
    before.on_save_state(state := {})
    again = Pictures()
    again.run_resumed(state)
    assert (again.rows, again.steps) == (before.rows, before.steps)
    assert isinstance(again.steps[0], ScoreHistogram)


def test_of_a_step_with_two_parts_both_are_drawn():
    observer = Pictures()
    observer.pruned(step([[1.0]], [[True]], unit="units", weights=step([[1.0]], [[True]])))
    observer.pruned(step([[0.0]], [[True]]))
    assert [one.title for one in observer.steps] == ["epoch 3, weights to 0.5", "epoch 3, units to 0.5"]


def test_scores_of_several_layers_are_in_one_histogram():
    scores = [[0.1, 1.0, 0.0, 0.0], [float("nan"), 0.0, float("inf"), 1.0], [10.0, 1000.0, 0.0, 1.0], [0.0] * 4]
    kept = [[False, True, True, False], [True] * 4, [True, True, False, False], [False] * 4]
    found = _binned(step(scores, kept, unit="units"), bins=4)
    assert found == ScoreHistogram(
        title="epoch 3, units to 0.5", unit="units", scale="log10 of the score", at_zero=8, edges=[-1, 0, 1, 2, 3],
        kept=[0, 2, 1, 1], pruned=[1, 1, 0, 0],
    )  # fmt: skip


def test_the_logarithm_of_signed_scores_begins_at_their_median_size():
    found = _binned(step([[-1.0, 1.0, -3.0], [7.0, 1.0]], [[True, False, True], [True, True]]), bins=5)
    # sizes 1, 1, 1, 3, 7; from -ln 4 to ln 8 are five bins of ln 2
    assert found.scale == "signed ln(1 + |score| / median)"
    assert found.edges == pytest.approx([0.6931472 * place for place in range(-2, 4)], abs=1e-6)
    assert (sum(found.kept), sum(found.pruned), found.kept[0], found.kept[4]) == (4, 1, 1, 1)


@pytest.mark.parametrize("score", [1.0, 100.0])
def test_scores_that_are_all_equal_are_in_the_middle_of_60_bins(score):
    found = _binned(step([[score] * 3], [[True, False, True]]))
    exponent = {1.0: 0, 100.0: 2}[score]
    assert (found.edges[0], found.edges[60], len(found.edges)) == (exponent - 0.5, exponent + 0.5, 61)
    assert (found.kept[30], found.pruned[30], len(found.kept)) == (2, 1, 60)
