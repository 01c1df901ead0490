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


def test_the_version_stands_in_one_place():
    project = tomllib.loads((Path(secateur.__file__).parent / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "secateur.__version__"}
