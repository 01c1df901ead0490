"""What a command asks for: frozen, and the same in every process of a run."""

import dataclasses
import pickle

import pytest


def test_the_other_processes_of_a_run_get_the_same_settings(make_settings):
    settings = make_settings("--model LeNet300 --prune_criterion SNIPit --epochs 3 --input_dim 1 8 8")
    assert settings.components["model"].source.summary  # read before it is sent
    sent = pickle.dumps(settings)
    assert len(sent) < 200_000
    received = pickle.loads(sent)
    assert received.values == settings.values
    assert (received.given, received.recorded()) == (settings.given, settings.recorded())
    assert received.components == settings.components
    assert received.components["model"].source.summary == settings.components["model"].source.summary
    assert received.declared.keys() == settings.declared.keys()
    assert vars(received.declared["epochs"].option) == vars(settings.declared["epochs"].option)
    for name in ("values", "declared", "components"):
        with pytest.raises(TypeError):
            getattr(received, name)["epochs"] = 4
    with pytest.raises(dataclasses.FrozenInstanceError):
        received.given = frozenset()
