"""The recipes: each is valid in every run, says what it is, and runs; the notebook runs from top to bottom."""

import csv
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
#: Small networks where many large ones would take minutes; every network is run in tests/models.
PLACEHOLDERS = {
    "arena_cifar": "LeNet5",
    "budgets": "LeNet5_BN",
    "neuron_merging": "ResNet20",
    "pruning_at_initialisation": "squeezenet_bypass",
    "snap_it": "ResNet20",
    "snip_it": "ResNet20",
    "snip_networks": "LeNet5",
    "snip_reproduced": "LeNet5",
}

#: Of an arena one criterion is tried, once; `test_every_run_of_a_recipe_is_valid...` looks at all.
FEWER = " --prune_criterion L1Norm --pruning_limit 0.5 --hoyer_reg 1e-4 --seed 1"

of_each = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)


def comment(recipe):
    return "\n".join(line for line in recipe.read_text(encoding="utf-8").splitlines() if line.startswith("#"))


@of_each
def test_every_run_of_a_recipe_is_valid_and_its_comment_counts_them(recipe, run):
    outcome = run(f"--grid {recipe} --dry_run")
    assert outcome.status == 0, outcome.err
    found = re.search(r"^(\d+) runs: 0 done", outcome.out, re.MULTILINE)
    stated = re.search(r"^# (\d+) runs", comment(recipe), re.MULTILINE)
    assert found[1] == stated[1]
    assert f"grid_{recipe.stem}\n" in outcome.out


@of_each
def test_a_recipe_says_what_it_repeats_what_it_needs_and_what_differs(recipe):
    text = comment(recipe)
    assert f"python3 main.py --grid recipes/{recipe.name}\n" in text
    assert "\n# Data: " in text
    assert "\n# What differs: " in text
    assert tomllib.loads(recipe.read_text(encoding="utf-8"))["common"]["run_name"] == recipe.stem
    assert re.search(
        rf"\| `{recipe.stem}` \|.*\| *(\d+) \|", (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    )


@of_each
def test_a_recipe_runs_as_a_smoke_run_without_its_data(recipe, run, tmp_path):
    placeholder = PLACEHOLDERS.get(recipe.stem)
    command = f"--grid {recipe} --smoke --data_dir {tmp_path / 'data'}" + (
        f" --model {placeholder}" if placeholder else ""
    )
    command += FEWER if recipe.stem.startswith("arena") else ""
    outcome = run(command)
    assert outcome.status == 0, outcome.out
    with (tmp_path / "results" / f"grid_{recipe.stem}_smoke" / "index.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["status"], row["smoke"]) for row in rows} == {("done", "True")}
    notices = {
        notice
        for row in rows
        for notice in json.loads(
            (tmp_path / "results" / f"grid_{recipe.stem}_smoke" / row["folder"] / "output" / "results.json").read_text()
        )["notices"]
    }
    assert any("synthetic images" in notice for notice in notices)


@pytest.mark.parametrize(("recipe", "model"), [("snap_it", "VGG16_SNIPit"), ("snip_it", "ResNet18_SNIPit")])
def test_recipes_of_snip_it_train_its_networks_as_its_program_does(recipe, model):
    common = tomllib.loads((ROOT / "recipes" / f"{recipe}.toml").read_text(encoding="utf-8"))["common"]
    told = {"model": model, "crop": 0, "flip": 0.2, "normalisation": "imagenet", "batch_size": 512, "epochs": 80}
    assert told.items() <= common.items()


def cells(kind):
    book = json.loads((ROOT / "recipes" / "tour.ipynb").read_text(encoding="utf-8"))
    return [cell for cell in book["cells"] if cell["cell_type"] == kind]


def test_the_tour_runs_from_top_to_bottom(tmp_path):
    code = "\n".join("".join(cell["source"]) for cell in cells("code"))
    assert code.count("--epochs 10 ") == code.count("--epochs 3 ") == 1  # to learn the digits, which is not asked here
    code = code.replace("--epochs 10 ", "--epochs 1 ").replace("--epochs 3 ", "--epochs 1 ")
    environment = {**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{code}\nprint(RESULTS)"],
        cwd=ROOT / "recipes",
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "4 of 4" in done.stdout
    results = Path(done.stdout.splitlines()[-1])
    assert results.parent == tmp_path
    names = {path.name.partition("_")[2].partition("_")[2] or path.name for path in results.iterdir()}
    assert names == {"dense", "snip", "snapit", "loudest", "attacked", "report", "grid_small"}


def test_the_tour_is_prose_and_code_with_what_the_code_has_said():
    code = cells("code")
    assert len(cells("markdown")) >= 8
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert all(cell["outputs"] for cell in code[1:])
    assert (ROOT / "recipes" / "tour.ipynb").stat().st_size < 200_000
