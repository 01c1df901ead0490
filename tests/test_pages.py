"""README.md and the pages of docs/: every command is one, Python blocks run, links lead somewhere.

The pages of docs/extend/ are run as a whole by test_extend_pages.py, the commands of other programs by
test_other_programs.py.
"""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

import secateur
from secateur.config.command_line import parse
from secateur.config.registry import Registry
from secateur.hooks import plugin_manager
from secateur.runs.files import write_checksummed

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN_HERE = [page for page in PAGES if page.parent.name != "extend"]
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page, *languages):
    """The text of the code blocks of a page that are in one of these languages."""
    text = page.read_text(encoding="utf-8").partition("\n## Five programs\n")[0]
    return [code for language, code in BLOCK.findall(text) if language in languages]


def lines(start, *, pages=RUN_HERE):
    """Every command of the pages that begins so, without its comment."""
    found = [line for page in pages for block in blocks(page, "", "bash") for line in block.splitlines()]
    return sorted({" ".join(shlex.split(line, comments=True)) for line in found if line.startswith(start)})


def named(page):
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def finished(tmp_path):
    """The run that the pages call RUN, of which the command line reads what it is; and files that they name."""
    folder = tmp_path / "results" / "RUN" / "models"
    folder.mkdir(parents=True)
    spec = {"format": 1, "model": "LeNet300", "data_set": "DIGITS", "input_shape": [1, 8, 8], "num_classes": 10}
    for name in ("LeNet300_finished", "LeNet300_compact"):
        write_checksummed(folder / f"{name}.json", {**spec, "options": {}})
    (tmp_path / "theirs.pth").touch()
    (tmp_path / "criterions").mkdir()
    example = next(block for block in blocks(ROOT / "README.md", "python") if "class Guarded" in block)
    (tmp_path / "criterions" / "Guarded.py").write_text(example)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")


@pytest.mark.usefixtures("finished")
def test_every_command_of_the_pages_is_one(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hooks, _ = plugin_manager()
    registry, places = Registry(hooks, tmp_path), ["--results_dir", str(tmp_path / "results")]
    commands = [line.removeprefix("python3 main.py ") for line in lines("python3 main.py ")]
    assert len(commands) > 30
    for command in commands:
        words = command.replace("latest", "RUN").replace("_OF_A_SMALLER", "").split()
        if words[0] in ("--report", "--resume"):  # of runs that are not there
            assert run(command).status == 2
        elif words[0] == "--grid":  # each is read by test_recipes.py
            assert (ROOT / words[1]).is_file()
        elif re.search(r"--seed 1,2", command):
            assert run(f"{command} --dry_run").status == 0, command
        else:
            parse([*words, *places], registry, hooks)


def test_every_benchmark_of_the_pages_is_there_with_its_flags():
    commands = lines("python3 benchmarks/")
    assert len(commands) > 8
    for command in commands:
        _, script, *words = command.split()
        source = (ROOT / script).read_text(encoding="utf-8")
        assert [word for word in words if word.startswith("--") and f'"{word}"' not in source] == [], command


def test_every_target_of_make_is_there():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    text = "\n".join(page.read_text(encoding="utf-8") for page in RUN_HERE)
    assert set(re.findall(r"(?:`|^)make (\w+)", text, re.MULTILINE)) <= set(targets)


class Held(nn.Module):
    """The network that the pages hold."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.fc = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(128, 10)

    def forward(self, images):
        return self.fc(self.conv2(self.conv1(images).relu()).relu().flatten(1))


@pytest.mark.parametrize("page", [page for page in RUN_HERE if blocks(page, "python")], ids=named)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in blocks(page, "python"):
        code = compile(block, named(page), "exec")
        if "gitignored/data" in block:  # needs a data set
            continue
        network, images = Held(), torch.rand(16, 1, 8, 8)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
        held = {"network": network, "images": images, "loader": [(images, torch.arange(16) % 10)]}
        exec(code, {**held, "optimizer": optimizer, "functional": functional, "torch": torch, "secateur": secateur})
        if "for epoch in range(80)" in block:
            assert int((network.conv2.weight != 0).sum()) == round(0.02 * network.conv2.weight.numel())


def test_grid_files_of_the_pages_are_read(run, tmp_path):
    found = [block for page in RUN_HERE for block in blocks(page, "toml")]
    assert found
    for block in found:
        if "section" in tomllib.loads(block):
            (tmp_path / "grid.toml").write_text(block)
            outcome = run(f"--grid {tmp_path / 'grid.toml'} --dry_run")
            assert outcome.status == 0, outcome.err


def headings(page):
    """The anchors of a page: its headings in lower case, joined by dashes."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page):
    text = re.sub(r"`[^`\n]*`", "", BLOCK.sub("", page.read_text(encoding="utf-8")))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        place, _, anchor = target.partition("#")
        if place.startswith("https://"):
            continue
        found = (page.parent / place).resolve() if place else page
        assert found.is_file(), target  # a folder has no page in the site
        assert not anchor or anchor in headings(found), target


def test_the_readme_is_read_in_a_few_minutes():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def test_the_readmes_table_of_the_arena_is_that_of_its_page():
    page = (ROOT / "docs" / "arena.md").read_text(encoding="utf-8")
    names = {"Magnitude, in the middle of training": "Magnitude", "random": "UnstructuredRandom"}
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## The arena")[2].partition("## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", section, re.MULTILINE)
    assert len(rows) == 5
    for name, *accuracies, rank in rows:
        cells = "".join(rf"[^|]*\| {accuracy}, " for accuracy in accuracies)
        assert re.search(rf"^\| {names.get(name, name)} \| {rank} \|{cells}", page, re.MULTILINE), name


def test_the_page_of_methods_has_every_criterion_with_its_source(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_ext"))
    from reference_components import components, criteria

    entries = dict(re.findall(r"^### (\w+)\n\n(.*?)(?=^##|\Z)", criteria(), re.MULTILINE | re.DOTALL))
    assert set(entries) == {path.stem for path in (ROOT / "criterions").glob("[A-Z]*.py")}
    for name, entry in entries.items():
        assert re.search(r"\b(19|20)\d\d\b", entry) or name in (
            "EmptyCrit",
            "StructuredRandom",
            "UnstructuredRandom",
        ), name
        assert f"`criterions/{name}.py`" in entry
    assert "`score(w) = |dL/dw * w|`" in entries["SNIP"]
    assert "**Defaults**: `--prune_schedule snip_it`, `--prune_moment during`" in entries["SNIPitDuring"]
    assert "SNIP-it, " not in entries["FORCE"].partition("**Compared** with ")[2]
    assert "| `ResNet20` |" in components()
