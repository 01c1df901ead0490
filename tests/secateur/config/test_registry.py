import pluggy
import pytest

from secateur.config.kinds import KINDS
from secateur.config.registry import Registry
from secateur.hooks import PROJECT, Specification, hookimpl
from secateur.utils.errors import UserError


class Plugin:
    def __init__(self, table):
        self.table = table

    @hookimpl
    def components(self):
        return self.table


@pytest.fixture
def registry(tmp_path):
    """A registry over a temporary tree, and optionally a plugin's table."""

    def make(files=(), table=None):
        hooks = pluggy.PluginManager(PROJECT)
        hooks.add_hookspecs(Specification)
        if table:
            hooks.register(Plugin(table), name="example")
        for name, text in dict(files).items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return Registry(hooks, root=tmp_path)

    return make


def test_every_component_of_the_project_loads_and_says_what_it_is(request):
    hooks = pluggy.PluginManager(PROJECT)
    hooks.add_hookspecs(Specification)
    registry = Registry(hooks)
    for kind in KINDS:
        components = registry.components(kind)
        assert components
        for component in components:
            assert component.load().__name__ == component.name
            assert component.source.summary.endswith((".", ";", ":")) or len(component.source.summary) > 20


def test_names_come_from_files_and_underscores_hide_them(registry):
    files = {"criterions/One.py": "", "criterions/_hidden.py": "", "criterions/__init__.py": "", "criterions/x.txt": ""}
    assert [component.name for component in registry(files).components("criterions")] == ["One"]


def test_names_are_found_exactly_then_loosely_then_by_alias(registry):
    files = {
        "criterions/Wide_Net.py": 'class Wide_Net:\n    aliases = ("wn",)',
        "criterions/ABC.py": "class ABC: pass",
        "criterions/Abc.py": "class Abc: pass",
    }
    found = registry(files)
    assert found.find("criterions", "wide-net").name == "Wide_Net"
    assert found.find("criterions", "WN").name == "Wide_Net"
    assert found.find("criterions", "Abc").name == "Abc"
    with pytest.raises(UserError, match=r"'abc' is defined by two sources: .*A[Bb][Cc]\.py and .*A[Bb][Cc]\.py"):
        found.find("criterions", "abc")


def test_unknown_names_get_the_nearest(registry):
    with pytest.raises(UserError, match="there is no criterion 'SNAPP': did you mean SNAP"):
        registry({"criterions/SNAP.py": "", "criterions/Other.py": ""}).find("criterions", "SNAPP")


def test_one_name_from_two_sources_is_refused_naming_both(registry):
    found = registry({"criterions/Same.py": ""}, {"criterions": {"Same": "secateur.criterions.SNIP:SNIP"}})
    with pytest.raises(UserError, match=r"'Same' is defined by two sources: .*Same\.py and .*SNIP\.py"):
        found.find("criterions", "Same")


def test_a_plugin_contributes_by_module_and_class(registry):
    found = registry(table={"criterions": {"Theirs": "secateur.criterions.SNIP:SNIP"}}).find("criterions", "Theirs")
    assert found.origin == "plugin example"
    assert found.load().__name__ == "SNIP"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("no_such_module:Thing", "no_such_module cannot be imported: ModuleNotFoundError"),
        ("secateur.criterions.SNIP:Nothing", r"SNIP\.py holds no class Nothing"),
        (
            "secateur.models.LeNet5:LeNet5",
            r"LeNet5\.py: LeNet5 is not a criterion: it must be a class derived from Criterion",
        ),
        ("secateur.criterions.SNIP:mean_gradients", "mean_gradients is not a criterion"),
    ],
)
def test_what_is_no_component_is_refused_naming_the_file(registry, place, message):
    with pytest.raises(UserError, match=message):
        registry(table={"criterions": {"Theirs": place}}).find("criterions", "Theirs").load()


def test_unknown_zoos_are_refused(registry):
    with pytest.raises(UserError, match="no model zoo 'torchvison': did you mean torchvision"):
        registry().find("models", "torchvison:resnet18")


def test_options_that_only_an_import_tells_are_found_by_one(registry, tmp_path, monkeypatch):
    (tmp_path / "odd_module.py").write_text(
        "import secateur\n"
        "LIMITS = {'low': 0, 'high': 1 / 3}\n"
        "class Odd(secateur.Criterion):\n"
        "    odd: float = secateur.option(1 / 4, 'an odd one', **LIMITS)\n"
        "    snip_steps = int('7')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    odd = registry(table={"criterions": {"Odd": "odd_module:Odd"}}).find("criterions", "Odd")
    assert odd.declared_in_source() == []
    declared = {one.option.name: one for one in odd.declared()}
    assert list(dict.fromkeys(one.owner for one in declared.values())) == ["CriterionOptions", "Odd"]
    assert {one.kind for one in declared.values()} == {"criterions"}
    assert declared["odd"].title == f"options of Odd ({tmp_path / 'odd_module.py'})"
    option = declared["odd"].option
    assert (option.default, option.low, option.high, option.kind) == (0.25, 0, 1 / 3, float)
    assert option.read("1/3") == 1 / 3
    assert (declared["snip_steps"].option.default, declared["snip_steps"].owner) == (7, "CriterionOptions")


def test_a_network_of_a_zoo_declares_nothing(registry):
    found = registry().find("models", "torchvision:resnet18")
    assert (found.source, found.declared(), found.implies, found.origin) == (None, [], {}, "package torchvision")
