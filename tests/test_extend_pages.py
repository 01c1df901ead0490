"""The pages of docs/extend/: each whole example is written to the files that it names, and its commands run."""

import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from secateur import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs" / "extend").glob("*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What spares time, and where results go.
QUICK = [f"--disable_{what}" for what in ("histograms", "saliency", "confusion", "weightplot", "netplot")]


def blocks(page):
    return [SimpleNamespace(language=language, text=text) for language, text in BLOCK.findall(page.read_text())]


def file_of(block):
    """The file that a block's first line names, as `# criterions/Guarded.py`."""
    named = re.match(r"# (\S+\.(?:py|toml))\n", block.text)
    return named[1] if named else None


def test_every_kind_has_a_page_that_the_index_names():
    index = (ROOT / "docs" / "extend" / "README.md").read_text()
    assert {page.name for page in PAGES} == {"README.md", *re.findall(r"\((\w+\.md)\)", index)}
    kinds = set(re.findall(r"`(\w+)/`", index))
    assert kinds == {"criterions", "models", "data_sets", "losses", "trainers", "testers", "lr_schedules"}


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "README.md"], ids=lambda page: page.stem)
def test_the_example_of_a_page_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    ran = 0
    for block in blocks(page):
        if block.language == "python" and (name := file_of(block)):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(block.text)
    if (tmp_path / "diary.py").exists():
        install(tmp_path)
    for block in blocks(page):
        if block.language == "python" and not file_of(block):
            exec(compile(block.text, str(page), "exec"), {"__name__": "page"})
            ran += 1
        for line in block.text.splitlines() if block.language == "bash" else []:
            if line.startswith("python3 main.py "):
                argv = shlex.split(line)[2:]
                assert cli.main([*argv, *QUICK, "--results_dir", str(tmp_path / "results")]) == 0, capsys.readouterr()
                ran += 1
    assert ran
    if page.stem == "observer":
        (diary,) = (tmp_path / "results").glob("*/output/diary.jsonl")
        assert len(diary.read_text().splitlines()) == 3


def install(folder):
    """Do what `pip install .` leaves: a module on the path and its entry point."""
    information = folder / "secateur_diary-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: secateur-diary\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[secateur]\ndiary = diary\n")
    sys.modules.pop("diary", None)
