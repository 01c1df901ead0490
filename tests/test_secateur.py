"""What authors import from `secateur`."""

import importlib
import tomllib
from pathlib import Path

import pytest

import secateur


@pytest.mark.parametrize("name", secateur.__all__)
def test_every_name_is_there(name):
    assert callable(getattr(secateur, name))


@pytest.mark.parametrize("name", ["HorizontalFlip", "RandomCrop", "evaluation_mode", "keep_largest"])
def test_what_components_of_the_project_use_others_may_use_too(name):
    assert getattr(importlib.import_module(secateur.HOMES[name]), name) is getattr(secateur, name)


def test_no_call_shares_its_name_with_a_package_whose_import_would_take_its_place():
    assert len(secateur.__path__) == 2  # the package itself, and the repository with the folders of components
    taken = {path.stem for place in secateur.__path__ for path in Path(place).iterdir()}
    assert {"runs", "criterions", "hooks"} <= taken
    assert not taken & set(secateur.__all__)


@pytest.mark.parametrize("name", ["run", "report", "measure"])
def test_a_call_is_the_same_whatever_has_been_imported(name):
    call = getattr(secateur, name)
    for package in ("runs", "reports", "measuring"):
        importlib.import_module(f"secateur.{package}")
    assert getattr(secateur, name) is call is getattr(importlib.import_module(secateur.HOMES[name]), name)


def test_the_version_stands_in_one_place():
    project = tomllib.loads((Path(secateur.__file__).parents[1] / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "secateur.__version__"}


STUB = Path(secateur.__file__).with_suffix(".pyi")


def stub():
    """What type checkers see of the names that are imported when they are first asked for."""
    homes = {**secateur.HOMES, "Section": "secateur.config.option", "option": "secateur.config.option"}
    homes["UserError"] = "secateur.utils.errors"
    lines = sorted(f"from {home} import {name} as {name}" for name, home in homes.items())
    return "\n".join([f'"""{stub.__doc__}"""\n', *lines, "\n__version__: str\n"])


def test_type_checkers_see_every_name():
    assert STUB.read_text(encoding="utf-8") == stub(), f"write it again: PYTHONPATH=. python3 {__file__}"
    assert STUB.with_name("py.typed").is_file()


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
