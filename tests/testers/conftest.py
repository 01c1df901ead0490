"""Networks to test, and what a tester tells the observers."""

from contextlib import contextmanager

import pytest

from secateur.runs.checkpoint import save_checkpoint


class Told:
    """Observers that keep what they are told: (what, of which arguments)."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda **arguments: self.calls.append((name, arguments))

    @property
    def tables(self):
        """Every table, as name, title, rows and forms."""
        found = [arguments["table"] for name, arguments in self.calls if name == "table_created"]
        return [(table.name, table.title, list(table.rows), table.forms) for table in found]


@pytest.fixture
def evaluating(make_run):
    """Keep untrained networks, one a command, and build the run that tests them, whose observers are `Told`."""

    def make(options, *commands):
        folders = []
        for number, command in enumerate(commands):
            trained = make_run(f"{command} --epochs 0 --run_name net{number}")
            path = trained.folder.models / f"{trained.model_name}_finished"
            save_checkpoint(path, trained.network, trained.masks, trained.model_spec)
            folders.append(str(trained.folder.path))
        run = make_run(f"--eval {options} --checkpoint_name {','.join(folders)}")
        run.hooks = Told()
        return run

    return make


@pytest.fixture
def calls_of(monkeypatch):
    """Put a function that keeps its positional arguments in the place of another, as of a chart; returns the list."""

    def make(place, answer=None):
        calls = []

        def record(*arguments, **options):
            calls.append((*arguments, options) if options else arguments)
            return answer

        monkeypatch.setattr(f"secateur.testers.{place}", record)
        return calls

    return make


@pytest.fixture
def bar_of(monkeypatch):
    """Put a bar that keeps what it is told in the place of a tester's; returns the bars, and their steps."""

    def make(tester):
        bars, steps = [], []

        @contextmanager
        def progress_bar(total, unit):
            bars.append((total, unit))
            yield lambda done, what: steps.append((done, what))

        monkeypatch.setattr(f"secateur.testers.{tester}.progress_bar", progress_bar)
        return bars, steps

    return make
