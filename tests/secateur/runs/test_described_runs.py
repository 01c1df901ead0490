"""What a run folder says of the run: its sources, its command, and what it ran on."""

import os
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from secateur.runs import folder as module
from secateur.runs.files import checksum, read_checksummed
from secateur.runs.folder import RunFolder, beginning, checksum_of_module, copy_sources, environment, sources_of


def component(kind, path, name="own.part"):
    return SimpleNamespace(kind=kind, path=path, module=name)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Make files below a root that is taken for a checkout, or for where the package is installed."""

    def make(names, *, checkout):
        for name in names:
            (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "root" / name).write_text("")
        monkeypatch.setattr(module, "PACKAGE", tmp_path / "root" / "secateur")
        monkeypatch.setattr(module, "CHECKOUT", tmp_path / "root" if checkout else None)
        return tmp_path / "root"

    return make


@pytest.fixture
def own(tmp_path):
    """Components of which two lie in a folder of the user's own, as the settings hold them."""
    for name in ("d", "b", "c", "a"):
        (tmp_path / "own" / "losses").mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / "losses" / f"{name}.py").write_text("own")
    (tmp_path / "own" / "elsewhere.py").write_text("")
    parts = [
        component("models", None),
        component("losses", tmp_path / "own" / "losses" / "b.py"),
        component("trainers", tmp_path / "own" / "elsewhere.py"),
        component("criterions", tmp_path / "root" / "secateur" / "criterions" / "x.py"),
    ]
    return SimpleNamespace(components=dict(enumerate(parts)))


def test_of_a_checkout_the_sources_alone_are_copied(tree, own, tmp_path):
    wanted = ["secateur/b.py", "secateur/a/deep/c.toml", "losses/b.py", "losses/0.py", "utils/z.py", "utils/y.py"]
    more = ["main.py", "requirements.txt"]
    others = [
        *("docs/x.py", "secateur/__pycache__/b.pyc", "secateur/.hidden/x.py", "secateur/.x.py", "utils/y.py.part"),
        *("losses/__pycache__/sub/x.py", "README.md", "models/.cache/a/b.py"),
    ]
    root = tree([*wanted, *more, *others], checkout=True)
    found = sources_of()
    assert found == {name: root / name for name in [*wanted, *more]}
    assert [name for name in found if name.startswith(("losses/", "utils/"))] == [
        *("losses/0.py", "losses/b.py", "utils/y.py", "utils/z.py"),
    ]
    with_own = sources_of(own)
    assert list(with_own)[len(found) :] == ["losses/a.py", "losses/c.py", "losses/d.py"]
    assert with_own["losses/b.py"] == root / "losses" / "b.py"
    copy_sources(with_own, tmp_path / "copy")
    copied = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert copied == set(with_own)
    assert (tmp_path / "copy" / "losses" / "d.py").read_text() == "own"


def test_of_an_installed_package_its_own_folder_is_copied(tree, own):
    wanted = ["secateur/b.py", "secateur/losses/c.py", "secateur/criterions/x.py", "secateur/criterions/y.py"]
    root = tree([*wanted, "other/x.py", "main.py", "secateur/.x.py", "losses/x.py"], checkout=False)
    assert sources_of() == {name: root / name for name in wanted}
    with_own = sources_of(own)
    assert list(with_own)[len(wanted) :] == ["secateur/losses/a.py", "secateur/losses/b.py", "secateur/losses/d.py"]
    assert with_own["secateur/losses/c.py"] == root / "secateur" / "losses" / "c.py"


def test_a_folder_below_one_with_a_dot_is_a_checkout_too(tmp_path, monkeypatch):
    root = tmp_path / ".hidden" / "__pycache__"
    (root / "secateur").mkdir(parents=True)
    (root / "secateur" / "a.py").write_text("")
    monkeypatch.setattr(module, "PACKAGE", root / "secateur")
    monkeypatch.setattr(module, "CHECKOUT", root)
    assert list(sources_of()) == ["secateur/a.py"]


def test_a_command_can_be_repeated_with_the_code_as_it_was(make_settings, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "copy_sources", lambda sources, target: (target / "copied").write_text(""))
    settings = make_settings(f"--model LeNet300 --components {tmp_path}")
    folder = RunFolder.new(tmp_path / "re sults", "x")
    folder.describe(["--run_name", "a b"], settings, {"host": "here"})
    first, second, third, end = (folder.output / "calling_command.txt").read_text().split("\n")
    assert first == "python3 main.py --run_name 'a b'"
    assert second == f"# called in {Path.cwd()}; to repeat it with the code as it was:"
    assert third.startswith(f"# cd '{folder.codebase}' && python3 main.py --run_name 'a b' --")
    assert sorted(shlex.split(third)[8:]) == [
        f"--data_dir={tmp_path / 'data'}",
        f"--results_dir={tmp_path / 'results'}",
    ]
    assert end == ""
    assert (folder.codebase / "copied").exists()
    assert read_checksummed(folder.output / "environment.json") == {"host": "here"}
    arguments = read_checksummed(folder.output / "arguments.json")
    assert (arguments["model"], arguments["components"]) == ("LeNet300", str(tmp_path))


def test_what_is_gone_may_be_removed_again(tmp_path):
    folder = RunFolder.new(tmp_path, "x")
    assert [path.name for path in (folder.codebase, folder.output, folder.models, folder.progress, folder.state)] == [
        *("codebase", "output", "models", "progress", "state")
    ]
    (folder.state / "deep").mkdir(parents=True)
    for _ in range(2):
        folder.remove_states()
        assert not folder.state.exists()
        assert folder.models.is_dir()
    for _ in range(2):
        folder.remove()
        assert not folder.path.exists()


@pytest.mark.parametrize(("written", "told"), [(1060, 0), (1060.5, 1)])
def test_clocks_of_machines_may_be_a_minute_apart(tmp_path, monkeypatch, written, told):
    for name, time in (("a", 1000), ("b", written), ("c", 1001)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time, time))
    monkeypatch.setattr(module.time, "time", lambda: 1000)
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()  # of now itself, which is later
    notices = folder.clock_notices()
    assert len(notices) == told
    assert all(
        notice.startswith("the clock has been set back: b, beside this run, is of 1970-01-01") for notice in notices
    )
    assert RunFolder(tmp_path / "nowhere" / "run").clock_notices() == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("vendor : x\nmodel name\t: A: CPU @ 2 GHz \nflags : y\nmodel name\t: Other\n", "A: CPU @ 2 GHz"),
        ("vendor : x\n", "processor"),
        (None, "processor"),
    ],
)
def test_the_processor_is_named_as_far_as_the_system_says_it(monkeypatch, text, name):
    class File:
        def __init__(self, path):
            assert path == "/proc/cpuinfo"

        def read_text(self, encoding, errors):
            if text is None:
                raise FileNotFoundError
            return text

    monkeypatch.setattr(module, "Path", File)
    monkeypatch.setattr(module.platform, "processor", lambda: "processor")
    monkeypatch.setattr(module.platform, "machine", lambda: "machine")
    assert module._processor() == name
    monkeypatch.setattr(module.platform, "processor", lambda: "")
    assert module._processor() == ("machine" if name == "processor" else name)


def test_what_the_run_ran_on_is_known_whatever_is_not_installed(monkeypatch):
    def version(package):
        if package in ("torch", "timm", "pillow"):
            raise PackageNotFoundError
        return f"{package} 1"

    monkeypatch.setattr(module, "version", version)
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    known = environment(torch.device("cpu"), {"plugin": "3"})
    assert known["packages"] == {
        name: f"{name} 1" for name in ("torchvision", "numpy", "scikit-learn", "torch-pruning", "safetensors", "pluggy")
    }
    assert (known["plugins"], known["device"], known["accelerator"]) == ({"plugin": "3"}, "cpu", None)
    assert (known["processes"], known["process"], known["threads"]) == (1, os.getpid(), torch.get_num_threads())
    assert known["python"] == ".".join(map(str, sys.version_info[:3]))
    assert (known["variables"]["MKL_CBWR"], known["variables"]["DNNL_MAX_CPU_ISA"]) == ("AVX2", None)
    assert known["device_name"] == module._processor()


@pytest.mark.parametrize(
    ("status", "said", "commit", "changes"),
    [(0, " 12ab\n", "12ab", True), (0, "\n", "", False), (1, "12ab\n", None, None)],
)
def test_git_is_asked_of_the_checkout_alone(tmp_path, monkeypatch, status, said, commit, changes):
    asked = []

    def run(words, **options):
        asked.append(words)
        assert (options["capture_output"], options["text"], options["timeout"]) == (True, True, 10)
        return SimpleNamespace(returncode=status, stdout=said)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(module, "CHECKOUT", tmp_path)
    assert environment(torch.device("cpu"), {})["git_commit"] is None
    assert asked == []
    (tmp_path / ".git").mkdir()
    known = environment(torch.device("cpu"), {})
    assert (known["git_commit"], known["git_changes"]) == (commit, changes)
    at = ["git", "-C", str(tmp_path)]
    assert asked == [[*at, "status", "--porcelain"], [*at, "rev-parse", "HEAD"]]
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: shutil.copy(tmp_path / "no", tmp_path / "git"))
    assert environment(torch.device("cpu"), {})["git_commit"] is None


def test_of_plugins_and_of_own_components_each_module_that_was_imported_is_known(tmp_path, monkeypatch):
    for name in ("plugin_a", "plugin_a.part", "own_b.part", "other_c"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace())
    monkeypatch.setattr(module, "plugin_packages", lambda hooks: {"plugin_a", "secateur"})
    monkeypatch.setattr(module, "plugin_versions", lambda hooks: {"plugin_a": "2"})
    monkeypatch.setattr(module, "module_path", lambda name: tmp_path / name if "." in name else None)
    for name in ("plugin_a.part", "own_b.part", "weights"):
        (tmp_path / name).write_text(name)
    components = {
        "loss": component("losses", None, "own_b.part"),
        "model": component("models", None, "secateur.models"),
    }
    run = SimpleNamespace(
        device=torch.device("cpu"),
        settings=SimpleNamespace(components=components, external_weights=tmp_path / "weights", declared={}),
        checkpointing=SimpleNamespace(eval=False),
        data=SimpleNamespace(fingerprints=lambda: {"training": 3}),
    )
    facts = beginning(run, None)
    assert facts["plugins"] == {"plugin_a": "2"}
    assert facts["plugin_code"] == {
        "own_b.part": checksum(b"own_b.part"),
        "plugin_a": None,
        "plugin_a.part": checksum(b"plugin_a.part"),
    }
    assert list(facts["plugin_code"]) == sorted(facts["plugin_code"])
    assert (facts["checkpoint"], facts["networks"], facts["data"]) == (checksum(b"weights"), {}, {"training": 3})
    run.settings.external_weights, run.settings.checkpoint = None, None
    assert beginning(run, None)["checkpoint"] is None
    run.checkpointing.eval = True
    assert beginning(run, None).keys() == facts.keys() - {"checkpoint", "networks", "data"}
    assert checksum_of_module("own_b.nothing") is None
