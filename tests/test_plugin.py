"""A real third-party package, tests/plugin_package/, installed into an environment of its own and used by name."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from tests.commands import QUICK

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tests" / "plugin_package"
#: 64 x 16 weights in the hidden layer and 16 x 10 in the classifier.
CANDIDATES = 64 * 16 + 16 * 10
KEPT = round(0.1 * CANDIDATES)
TINY_RUN = (
    *("--data_set", "DIGITS", "--N", "100", "--epochs", "1", "--batch_size", "50"),
    *QUICK.split(),
)
PRUNED_RUN = (
    *("--model", "TinyMLP", "--hidden_dim", "16"),
    *("--prune_criterion", "BalancedMagnitude", "--balance", "0.5", "--pruning_limit", "0.9", "--outer_layer_pruning"),
)


def secateur(python: Path | str, *words: object, **environment: object) -> subprocess.CompletedProcess[str]:
    """Run main.py in an environment."""
    variables = {**os.environ, "COLUMNS": "200", **{name: str(value) for name, value in environment.items()}}
    command = [str(word) for word in (python, ROOT / "main.py", *words)]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """The python of a fresh environment in which the plugin is installed."""
    folder = tmp_path_factory.mktemp("plugin")
    # Building leaves files beside the sources, so a copy is built.
    shutil.copytree(PACKAGE, folder / "package", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    places = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    # torch and the rest come from this environment.
    here = "\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    (Path(sysconfig.get_path("purelib", "venv", places)) / "outer.pth").write_text(here)
    python = Path(sysconfig.get_path("scripts", "venv", places)) / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    install = [*pip, "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", folder / "package"]
    done = subprocess.run(install, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return python


@pytest.fixture(scope="module")
def trained(python, tmp_path_factory) -> SimpleNamespace:
    """A run that takes everything from the plugin: network, criterion, both options, observer."""
    results = tmp_path_factory.mktemp("results")
    words = [*TINY_RUN, *PRUNED_RUN, "--diary", "first try", "--results_dir", results]
    process = secateur(python, *words)
    assert process.returncode == 0, process.stderr
    (folder,) = results.iterdir()
    return SimpleNamespace(process=process, folder=folder, results=read_json(folder / "output" / "results.json"))


@pytest.fixture
def other_plugin(tmp_path):
    """Make a second installed plugin of one module; put the folder on PYTHONPATH."""

    def make(name: str, source: str) -> Path:
        information = tmp_path / f"{name}-0.3.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.3\n")
        (information / "entry_points.txt").write_text(f"[secateur]\n{name} = {name}\n")
        (tmp_path / f"{name}.py").write_text(source)
        return tmp_path

    return make


def read_json(path: Path) -> dict[str, object]:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def refusal(tmp_path):
    """Run a command that is to be refused: exit status 2, nothing written, and one line on standard error, returned."""

    def call(python: Path | str, *words: object, **environment: object) -> str:
        results = tmp_path / "results"
        process = secateur(python, *TINY_RUN, *words, "--results_dir", results, **environment)
        assert (process.returncode, process.stdout, results.exists()) == (2, "", False)
        (line,) = process.stderr.splitlines()
        return line

    return call


def test_a_run_with_the_plugins_network_and_criterion_hits_the_target_exactly(trained):
    assert trained.process.stderr == ""
    assert trained.results["model"] == "TinyMLP"
    assert trained.results["prune_criterion"] == "BalancedMagnitude"
    assert trained.results["weight_sparsity"] == 1 - KEPT / CANDIDATES
    assert trained.results["parameters_dense"] == CANDIDATES + 16 + 10


def test_the_weights_kept_are_those_of_the_plugins_formula_with_its_own_option(trained):
    before = load_file(trained.folder / "models" / "TinyMLP_epoch_0.safetensors")
    after = load_file(trained.folder / "models" / "TinyMLP_finished.safetensors")
    layers = ("hidden.weight", "classifier.weight")
    scores = torch.cat([(before[name].abs() / before[name].abs().mean().sqrt()).flatten() for name in layers])
    expected = scores >= scores.topk(KEPT).values[-1]
    kept = torch.cat([after[name].flatten() != 0 for name in layers])
    assert torch.equal(kept, expected)


def test_the_observer_is_called_with_the_runs_own_figures_and_options(trained):
    lines = (trained.folder / "output" / "diary.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"event": "started", "text": "first try", "model": "TinyMLP"},
        {"event": "pruned", "epoch": 0, "kept": KEPT, "candidates": CANDIDATES},
        {"event": "epoch finished", "epoch": 1, "train_accuracy": trained.results["train_accuracy"]},
        {
            "event": "finished",
            "test_accuracy": trained.results["test_accuracy"],
            "weight_sparsity": trained.results["weight_sparsity"],
        },
    ]


def test_the_run_notes_which_plugin_it_used_and_with_which_options(trained):
    output = trained.folder / "output"
    assert read_json(output / "environment.json")["plugins"] == {"example": "secateur-example-plugin 1.0.0"}
    arguments = read_json(output / "arguments.json")
    assert (arguments["balance"], arguments["diary"]) == (0.5, "first try")
    assert {"balance", "diary"} <= set(arguments["explicit"])


def test_a_checkpoint_of_the_plugins_network_is_tested_again_and_unasked_the_observer_writes_nothing(
    python, trained, tmp_path
):
    process = secateur(python, "--eval", "--checkpoint_name", trained.folder, "--results_dir", tmp_path)
    assert process.returncode == 0, process.stderr
    (folder,) = tmp_path.iterdir()
    assert read_json(folder / "output" / "results.json")["test_accuracy"] == trained.results["test_accuracy"]
    assert not (folder / "output" / "diary.jsonl").exists()


def test_the_list_shows_the_plugins_components_and_where_they_come_from(python):
    process = secateur(python, "--list")
    assert (process.returncode, process.stderr) == (0, "")
    rows = {line.split()[0]: line for line in process.stdout.splitlines() if line.strip()}
    assert "Magnitude relative to the layer's mean magnitude" in rows["BalancedMagnitude"]
    assert "One hidden layer of `hidden_dim` ReLUs." in rows["TinyMLP"]
    for name in ("BalancedMagnitude", "TinyMLP"):
        assert "plugin example" in rows[name]
    assert "criterions/SNIP.py" in rows["SNIP"]


@pytest.mark.parametrize("words", [("--list",), ("--help", *PRUNED_RUN)], ids=["list", "help"])
def test_a_question_imports_the_plugin_but_neither_its_components_nor_torch(python, words):
    probe = "from secateur import cli; import sys; status = cli.main(sys.argv[1:])"
    probe += "; print(*sys.modules, file=sys.stderr); sys.exit(status)"
    process = subprocess.run([python, "-c", probe, *words], cwd=ROOT, capture_output=True, text=True, timeout=60)
    imported = set(process.stderr.split())
    assert "secateur_example.plugin" in imported
    assert not imported & {"torch", "secateur_example.balanced_magnitude", "secateur_example.tiny_mlp"}


def test_help_shows_the_options_of_the_package_and_of_the_component_that_is_named(python):
    plain = secateur(python, "--help", "all")
    assert plain.returncode == 0
    assert "options of secateur-example-plugin" in plain.stdout
    assert "--diary TEXT" in plain.stdout
    assert "--balance" not in plain.stdout
    named = secateur(python, "--prune_criterion", "BalancedMagnitude", "--help")
    assert named.returncode == 0
    assert "options of BalancedMagnitude" in named.stdout
    assert "--balance B" in named.stdout
    assert "(default: 1.0)" in named.stdout
    # What it inherits is declared in the file of the base class.
    every = secateur(python, "--prune_criterion", "BalancedMagnitude", "--help", "all")
    assert "--saliency_batches N" in every.stdout
    assert "--balance B" in every.stdout


def test_the_plugins_option_is_checked_and_belongs_to_its_criterion_alone(python, refusal):
    line = refusal(python, "--prune_criterion", "BalancedMagnitude", "--balance", "2")
    assert line == "error: --balance: 2 is out of range: at least 0 and at most 1"
    line = refusal(python, "--prune_criterion", "SNIP", "--balance", "0.5")
    assert (
        line == "error: unknown flag --balance: it is an option of BalancedMagnitude, which this command does not name"
    )


def test_a_name_that_a_plugin_shares_with_the_project_is_refused_naming_both_files(python, other_plugin, refusal):
    source = (
        "from secateur import hookimpl\n"
        "@hookimpl\n"
        "def components():\n"
        "    return {'criterions': {'SNIP': 'rival:SNIP'}}\n"
    )
    folder = other_plugin("rival", source)
    line = refusal(python, "--prune_criterion", "SNIP", PYTHONPATH=folder)
    assert "'SNIP'" in line
    assert str(ROOT / "criterions" / "SNIP.py") in line
    assert str(folder / "rival.py") in line
    others = secateur(python, "--prune_criterion", "SNIPit", "--help", PYTHONPATH=folder)
    assert (others.returncode, others.stderr) == (0, "")


def test_a_plugin_that_cannot_be_imported_is_left_out_with_one_line_and_breaks_nothing(python, other_plugin):
    folder = other_plugin("broken", "raise RuntimeError('half of it\\nis missing')\n")
    process = secateur(python, "--list", PYTHONPATH=folder)
    (line,) = process.stderr.splitlines()
    assert line == "warning: plugin broken (broken 0.3) is not loaded: RuntimeError: half of it is missing"
    assert process.returncode == 0
    assert process.stdout == secateur(python, "--list").stdout


def test_an_observer_that_raises_is_named_once_and_ends_nothing(other_plugin, tmp_path):
    source = "from secateur import hookimpl\n@hookimpl\ndef epoch_finished(run, figures):\n    figures['no such']\n"
    folder = other_plugin("clumsy", source)
    words = [*TINY_RUN, "--model", "LogisticRegression", "--epochs", "3", "--results_dir", tmp_path / "results"]
    process = secateur(sys.executable, *words, PYTHONPATH=folder)
    assert (process.returncode, process.stderr) == (0, "")
    (line,) = [line for line in process.stdout.splitlines() if "clumsy" in line]
    assert line.startswith("the observer clumsy failed at epoch_finished; the run continues without it")
    assert line.endswith(f"KeyError: 'no such' ({folder / 'clumsy.py'}:4)")
    (notices,) = (tmp_path / "results").glob("*/output/results.json")
    assert read_json(notices)["notices"] == [line]


def test_a_plugin_with_a_hook_that_does_not_exist_is_left_out_naming_the_hook(python, other_plugin):
    folder = other_plugin("mistyped", "from secateur import hookimpl\n@hookimpl\ndef epoch_done(run): ...\n")
    process = secateur(python, "--list", "models", PYTHONPATH=folder)
    (line,) = process.stderr.splitlines()
    assert line.startswith("warning: plugin mistyped (mistyped 0.3) is not loaded: ")
    assert "epoch_done" in line
    assert process.returncode == 0
    assert "TinyMLP" in process.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--prune_criterion", "BalancedMagnitude"), "error: there is no criterion 'BalancedMagnitude'"),
        (("--model", "TinyMLP"), "error: there is no network 'TinyMLP'"),
        (("--diary", "first try"), "error: unknown flag --diary"),
    ],
    ids=["criterion", "network", "option"],
)
def test_without_the_plugin_its_names_are_unknown(refusal, words, message):
    assert refusal(sys.executable, *words).startswith(message)
