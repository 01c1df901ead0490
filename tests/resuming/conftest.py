"""Runs of one version of the code, interrupted."""

import pytest

from tests.resuming.interruptions import SHORT, stop_at


@pytest.fixture(autouse=True)
def _one_version(monkeypatch):
    """Let the code be of one version, whatever is committed meanwhile."""
    monkeypatch.setattr("secateur.runs.folder._git", lambda *command: "1234567")


@pytest.fixture
def stopped(run, monkeypatch):
    """The folder of a run that was interrupted in its third epoch."""

    def stop(command=SHORT):
        go_on = stop_at(monkeypatch, 9)
        folder = run(command).folder
        go_on()
        return folder

    return stop
