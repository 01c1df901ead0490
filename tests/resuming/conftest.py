"""Runs that are interrupted."""

import pytest

from tests.resuming.interruptions import SHORT, stop_at


@pytest.fixture
def stopped(run, monkeypatch):
    """The folder of a run that was interrupted in its third epoch."""

    def stop(command=SHORT):
        go_on = stop_at(monkeypatch, 9)
        folder = run(command).folder
        go_on()
        return folder

    return stop
