"""Components in folders of one's own: the current one, or that of `--components`."""

import pytest

from secateur.config.command_line import own_components, parse
from secateur.config.registry import Registry
from secateur.hooks import empty_manager
from secateur.utils.errors import UserError

HOOKS = empty_manager()
SOURCE = """
from secateur import Criterion, option


class Dropped(Criterion):
    \"\"\"Large weights go.\"\"\"

    aliases = ("drop",)
    guard: float = option(0.5, "the power", low=0, high=1)

    def scores(self, batches):
        return {name: -weight.abs() ** self.guard for name, weight in self.weights.items()}
"""
THEIRS = "import torch\n\n\nclass Dropped(torch.nn.Module):\n    pass\n"


def write(folder, text, name="Dropped", kind="criterions"):
    (folder / kind).mkdir(parents=True, exist_ok=True)
    path = folder / kind / f"{name}.py"
    path.write_text(text)
    return path


class Folder:
    """Puts criteria into a folder of one's own and parses a command line there."""

    def __init__(self, root):
        self.root = root
        (root / "criterions").mkdir()

    def parse(self, body, *words, name="Mine"):
        source = f"from secateur import Criterion, option\n\n\nclass {name}(Criterion):\n    {body}\n"
        (self.root / "criterions" / f"{name}.py").write_text(source)
        return parse(["--prune_criterion", name, *words], Registry(HOOKS, self.root), HOOKS)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_a_per_cent_sign_in_a_help_text_is_shown_as_it_is(folder):
    body = "mine: float | None = option(None, 'prune 50% of it, %(default)s')"
    assert folder.parse(body)["mine"] is None
    assert "prune 50% of it, %(default)s" in folder.parse(body, "--help").help


def test_what_a_base_implies_its_subclass_implies_too(folder):
    body = "implies = {'loss': 'HoyerSquareCrossEntropy', 'optimizer': 'SGD'}"
    assert folder.parse(body, name="Base")["loss"] == "HoyerSquareCrossEntropy"
    text = "from secateur.criterions.Base import Base\n\n\nclass Derived(Base):\n    {}\n"
    for own, expected in (("pass", ("HoyerSquareCrossEntropy", "SGD")), ("implies = {}", ("CrossEntropy", "ADAM"))):
        write(folder.root, text.format(own), "Derived")
        settings = parse(["--prune_criterion", "Derived"], Registry(HOOKS, folder.root), HOOKS)
        assert (settings["loss"], settings["optimizer"], settings.given) == (*expected, {"prune_criterion"})
    typed = parse(["--prune_criterion", "Base", "--loss", "CrossEntropy"], Registry(HOOKS, folder.root), HOOKS)
    assert (typed["loss"], typed["optimizer"]) == ("CrossEntropy", "SGD")


def test_options_that_cannot_be_declared_are_refused_with_file_and_line(folder):
    with pytest.raises(
        UserError, match=r"/Mine.py cannot be imported: ZeroDivisionError: .* \(.*criterions/Mine.py:5\)"
    ):
        folder.parse("mine: float = option(1 / 0, 'never')")
    with pytest.raises(UserError, match=r"/Other.py cannot be imported: TypeError: .*'lowest' \(.*/Other.py:5\)"):
        folder.parse("mine: int = option(1, 'help', lowest=0)", name="Other")


def test_options_that_are_computed_are_found_by_an_import(folder):
    settings = folder.parse("mine: float = option(8 / 255, 'help', high=2 / 8)\n    prune_delay = 2 + 2", "--mine=0.25")
    assert (settings["mine"], settings["prune_delay"], settings.given) == (0.25, 4, {"prune_criterion", "mine"})
    with pytest.raises(UserError, match=r"^--mine: 0.3 is out of range: at most 0.25$"):
        folder.parse("mine: float = option(8 / 255, 'help', high=2 / 8)", "--mine", "0.3", name="Other")


def test_an_option_that_is_of_the_run_already_is_refused(folder):
    with pytest.raises(UserError, match=r"^--seed is an option of RunOptions and of Mine: rename one of them$"):
        folder.parse("seed: float = option(0.5, 'of its own')")
    with pytest.raises(UserError, match=r"^--epochs is an option of Other and of TrainingOptions: rename"):
        folder.parse("length: int = option(1, 'of its own', also=('epochs',))", name="Other")


def test_a_path_of_a_component_no_longer_depends_on_the_current_folder(folder, monkeypatch):
    monkeypatch.chdir(folder.root)
    body = "place: Path | None = option(None, 'a place')\n    many: list[Path] | None = option(None, 'places')"
    settings = folder.parse(body, "--place", "a/b")
    assert (settings["place"], settings["many"]) == (folder.root / "a" / "b", None)
    assert set(settings.paths()) >= {"place", "many", "data_dir", "results_dir", "checkpoint_name"}
    assert folder.parse(body)["place"] is None


def test_the_folder_of_ones_own_is_the_current_one_or_that_of_components(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    assert own_components(["--epochs", "3"]) == tmp_path
    assert own_components(["--components", "a", "--nonsense"]) == own_components(["--components=a"]) == tmp_path / "a"
    with pytest.raises(UserError, match=r"^--components b: there is no such folder$"):
        own_components(["--components", "b"])


def test_a_criterion_of_the_current_folder_is_found_with_its_options(run, tmp_path, monkeypatch):
    path = write(tmp_path, SOURCE)
    monkeypatch.chdir(tmp_path)
    command = "--model LeNet300 --prune_criterion drop --pruning_limit 0.9 --outer_layer_pruning --N 50 --epochs 0"
    outcome = run(f"{command} --guard 0.25 --smoke")
    assert outcome.status == 0, outcome.err
    assert outcome.results["prune_criterion"] == "Dropped"
    assert outcome.results["weight_sparsity"] == pytest.approx(0.9, abs=1e-3)
    refused = run(f"{command} --guard 2")
    assert (refused.status, refused.err) == (2, "error: --guard: 2 is out of range: at least 0 and at most 1\n")
    (line,) = [line for line in run("--list criterions").out.splitlines() if line.startswith("Dropped ")]
    assert "Large weights go. (also: drop)" in line
    assert Registry(HOOKS, tmp_path).find("criterions", "Dropped").origin == str(path)
    assert "options of Dropped" in run("--prune_criterion Dropped --help").out


def test_a_criterion_of_another_folder_is_found_where_components_names_it(run, tmp_path, monkeypatch):
    write(tmp_path / "mine", SOURCE)
    monkeypatch.chdir(tmp_path)
    command = "--model LeNet300 --prune_criterion Dropped --N 50 --epochs 0 --smoke"
    assert run(f"{command} --components mine").results["prune_criterion"] == "Dropped"
    refused = run(command)
    assert (refused.status, refused.err.partition(":")[2].split("'")[:2]) == (2, [" there is no criterion ", "Dropped"])
    refused = run(f"{command} --components theirs")
    assert (refused.status, refused.err) == (2, "error: --components theirs: there is no such folder\n")


def test_a_file_of_another_project_in_such_a_folder_is_not_listed_and_refused_by_its_path(run, tmp_path, monkeypatch):
    path = write(tmp_path, THEIRS)
    write(tmp_path, "def train(:", "Broken")
    write(tmp_path, "VALUE = 3\n", "train", "models")
    monkeypatch.chdir(tmp_path)
    listed = run("--list")
    assert (listed.status, listed.err) == (0, "")
    for name in ("Dropped", "Broken", "train"):
        assert not [line for line in listed.out.splitlines() if line.split()[:1] == [name]]
    refused = run("--prune_criterion Dropped --smoke")
    assert refused.status == 2
    assert refused.err == (
        f"error: {path} is not a criterion: it must hold a class Dropped that is derived from Criterion\n"
    )


NETWORK = """
from torch import nn


class {name}(nn.Module):
    def __init__(self, {parameters}):
        super().__init__()
"""


def test_a_network_of_ones_own_needs_no_import_of_secateur(tmp_path):
    write(tmp_path, NETWORK.format(name="Ours", parameters="input_shape, num_classes"), "Ours", "models")
    write(tmp_path, NETWORK.format(name="Theirs", parameters="width"), "Theirs", "models")
    names = [component.name for component in Registry(HOOKS, tmp_path).components("models")]
    assert "Ours" in names
    assert "Theirs" not in names


def test_a_name_from_two_sources_names_both_files(run, tmp_path, monkeypatch):
    path = write(tmp_path, SOURCE.replace("Dropped", "SNIP"), "SNIP")
    monkeypatch.chdir(tmp_path)
    refused = run("--prune_criterion SNIP --smoke")
    assert refused.status == 2
    places = f"{Registry(HOOKS).find('criterions', 'SNIP').path} and {path}"
    assert refused.err == f"error: the criterion 'SNIP' is defined by two sources: {places}; rename or remove one\n"


def test_what_a_component_of_ones_own_imports_may_be_its_neighbour(tmp_path):
    write(tmp_path, SOURCE)
    neighbour = "from secateur.criterions.Dropped import Dropped\n\n\nclass Near(Dropped):\n    guard = 1.0\n"
    write(tmp_path, neighbour, "Near")
    found = Registry(HOOKS, tmp_path).find("criterions", "Near")
    assert [one.option.default for one in found.declared() if one.option.name == "guard"] == [1.0]
    assert found.load().__mro__[1].__name__ == "Dropped"


def test_the_same_name_in_two_folders_is_each_times_that_of_its_folder(tmp_path):
    for folder, guard in (("a", 0.25), ("b", 0.75)):
        write(tmp_path / folder, SOURCE.replace("0.5", str(guard)))
        kind = Registry(HOOKS, tmp_path / folder).find("criterions", "Dropped").load()
        assert kind.guard.default == guard
