import datetime
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from secateur.config.command_line import parse
from secateur.config.places import CHECKOUT
from secateur.config.registry import Registry
from secateur.hooks import plugin_manager
from secateur.runs.folder import RunFolder, copy_sources, environment, sources_of
from secateur.utils.errors import UserError


class Noon(datetime.datetime):
    @classmethod
    def now(cls):
        return cls(2026, 1, 2, 12, 0, 0)


@pytest.fixture(autouse=True)
def _one_second(monkeypatch):
    monkeypatch.setattr("secateur.runs.files.datetime.datetime", Noon)


def test_runs_of_one_second_get_folders_of_their_own(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: RunFolder.new(tmp_path / "results", "x"), range(8)))
    names = sorted(folder.path.name for folder in folders)
    assert names == ["2026-01-02_12.00.00_x"] + [f"2026-01-02_12.00.00_x_{number}" for number in range(2, 9)]
    assert all(folder.models.is_dir() and folder.progress.is_dir() for folder in folders)


def test_a_folder_that_cannot_be_made_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--results_dir .*file: no run folder can be made there: File exists"):
        RunFolder.new(tmp_path / "file", "")
    from pathlib import Path

    original = Path.mkdir

    def full(self, *options, **named):
        if self.name == "models":
            raise OSError(28, "No space left on device")
        original(self, *options, **named)

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(UserError, match="No space left on device"):
        RunFolder.new(tmp_path / "results", "")
    assert list((tmp_path / "results").iterdir()) == []


def test_sources_keep_their_tree(tmp_path):
    copy_sources(sources_of(), tmp_path / "target")
    copied = {str(path.relative_to(tmp_path / "target")) for path in (tmp_path / "target").rglob("*") if path.is_file()}
    assert {"models/blocks/residual.py", "utils/errors.py", "main.py", "secateur/runs/folder.py"} < copied
    assert not any("gitignored" in name or ".venv" in name or "__pycache__" in name for name in copied)
    assert (tmp_path / "target" / "main.py").read_text() == (CHECKOUT / "main.py").read_text()


OWN_LOSS = """from secateur.losses.CrossEntropy import CrossEntropy


class Halved(CrossEntropy):
    pass
"""


def test_sources_hold_a_component_of_ones_own_with_what_lies_beside_it(tmp_path):
    own = tmp_path / "own" / "losses"
    own.mkdir(parents=True)
    for name in ("Halved", "halves", "CrossEntropy"):
        (own / f"{name}.py").write_text(OWN_LOSS if name == "Halved" else "")
    (own / "notes.txt").write_text("")
    hooks, _ = plugin_manager()
    found = sources_of(parse(["--loss", "Halved"], Registry(hooks, own.parent), hooks))
    more = {name: found[name] for name in found.keys() - sources_of().keys()}
    assert more == {"losses/Halved.py": own / "Halved.py", "losses/halves.py": own / "halves.py"}
    assert found["losses/CrossEntropy.py"] == CHECKOUT / "losses" / "CrossEntropy.py"


def test_without_git_nothing_is_known_of_changes(tmp_path, monkeypatch):
    monkeypatch.setattr("secateur.runs.folder.CHECKOUT", tmp_path)
    known = environment(torch.device("cpu"), {})
    assert (known["git_commit"], known["git_changes"]) == (None, None)
    monkeypatch.setattr("secateur.runs.folder._git", lambda *command: "")
    assert environment(torch.device("cpu"), {})["git_changes"] is False
    assert known["threads"] == torch.get_num_threads()
    assert "onednn_products" in known


def test_a_clock_that_was_set_back_is_told(tmp_path):
    first = RunFolder.new(tmp_path, "first")
    assert RunFolder.new(tmp_path, "second").clock_notices() == []
    os.utime(first.path, (time.time() + 30,) * 2)  # as of another machine's clock
    assert RunFolder.new(tmp_path, "third").clock_notices() == []
    os.utime(first.path, (2e9, 2e9))
    (notice,) = RunFolder.new(tmp_path, "fourth").clock_notices()
    assert notice.startswith(f"the clock has been set back: {first.path.name}, beside this run, is of 2033-05-1")
