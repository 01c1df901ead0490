"""How what decides numbers is compared with what a run began with, and told."""

import json
import sys
from types import SimpleNamespace

import pytest

from secateur.runs import differences as module
from secateur.runs.differences import _changed_code, _changed_data, _first_change, _has_say, _shown, differences
from secateur.runs.files import write_checksummed
from secateur.runs.folder import RunFolder


@pytest.mark.parametrize(
    ("before", "now", "line"),
    [
        ("a = 1\n", "a = 1\n", 0),
        ("a = 1\n", "# more\na  =  1 # said\n\n", 0),
        ("a = 1\nb = 2\n", "a = 1\nb = 3\n", 2),
        ("a = 2\nb = 2\n", "a = 1\nb = 3\n", 1),
        ("a = 1\n", "a = 1\n\nb = 2\n", 2),
        ("a = 1\nb = 2\n", "a = 1", 2),
        ("a = (\n", "a = (\nb = (\n", 2),
        ("a = (\n", "a = (", 1),
    ],
)
def test_the_first_line_that_differs_is_counted_from_1_and_comments_are_none(before, now, line):
    assert _first_change(before, now) == line


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("main.py", True),
        ("secateur/runs/run.py", True),
        ("losses/blocks/no_such.py", True),
        ("utils/no_such.py", True),
        ("losses/imported_just_now.py", True),
        ("secateur/losses/imported_just_now.py", True),
        ("losses/no_such.py", False),
        ("secateur/models/no_such.py", False),
    ],
)
def test_a_component_has_a_say_where_it_was_imported(monkeypatch, name, expected):
    monkeypatch.setitem(sys.modules, "secateur.losses.imported_just_now", SimpleNamespace())
    assert _has_say(name) is expected


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a b", "a b"),
        (3, "3"),
        (None, "null"),
        ({"a": [1, "é"]}, '{"a": [1, "\\u00e9"]}'),
        ("\x1b[2J", '"\\u001b[2J"'),
        ("é", "é"),
        ("x" * 201, "x" * 200),
        ("x" * 200, "x" * 200),
    ],
)
def test_a_value_is_shown_as_far_as_a_line_goes_and_commands_no_terminal(value, shown):
    assert _shown(value) == shown


@pytest.mark.parametrize(
    ("before", "lines"),
    [
        ({"images": 4, "labels": "l", "pixels": "p", "first": "f", "old": "o"}, []),
        ({"images": 4, "labels": "l"}, []),
        ({"images": 4, "labels": "l", "pixels": "x", "first": "f"}, ["the A images are not what they were when the run "
                                                                     "began"]),
        ({"images": 4, "labels": "x", "pixels": "x"}, ["the labels of the A images are not what they were when the run "
                                                       "began"]),
        ({"images": 5, "labels": "x"}, ["the run began with 5 A images, but now there are 4"]),
        ({"images": "\n"}, ['the run began with "\\n" A images, but now there are 4']),
        ({}, ["the run began with null A images, but now there are 4"]),
        (3, ["it is not known what the A images were when the run began"]),
    ],
)  # fmt: skip
def test_what_the_images_were_is_told_by_the_first_that_differs(before, lines):
    now = {"images": 4, "labels": "l", "pixels": "p", "first": "f"}
    other = {"images": 1, "labels": "m"}
    assert list(_changed_data({"A": before, "B": other, "C": 3}, {"A": now, "B": other})) == lines
    unknown = "it is not known what the A images were when the run began"
    for nothing in (None, [], {}, {"B": before}):
        assert list(_changed_data(nothing, {"A": now})) == [unknown]


def test_each_file_of_the_snapshot_that_says_something_else_is_named_in_order(tmp_path):
    folder = RunFolder(tmp_path / "run")
    said = {
        "utils/e.py": "x = 1\ny = 2\n",
        "utils/d.py": "x = 1\n",
        "utils/c.py": b"\xff",
        "utils/b.py": "x = 1\n",
        "utils/__pycache__/a.py": "x = 1\n",
        "losses/no_such.py": "x = 1\n",
        "aa.py": "x = 1\n",
        "notes.txt": "x",
    }
    sources = {}
    for name, text in said.items():
        (folder.codebase / name).parent.mkdir(parents=True, exist_ok=True)
        (folder.codebase / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        sources[name] = tmp_path / name.replace("/", "_")
        sources[name].write_text("x = 1\n")
    for name in ("utils/b.py", "losses/no_such.py"):
        del sources[name]
    for name in ("utils/__pycache__/a.py", "aa.py"):
        sources[name].write_text("x = 2\n")
    assert list(_changed_code(folder, sources)) == [
        "aa.py is not what it was when the run began, from line 1 on",
        "utils/b.py, which the run began with, no longer exists",
        "utils/c.py cannot be compared with what the run began with: 'utf-8' codec can't decode byte 0xff in position "
        "0: invalid start byte",
        "utils/e.py is not what it was when the run began, from line 2 on",
    ]
    assert list(_changed_code(RunFolder(tmp_path / "none"), sources)) == [
        f"the code that the run began with is not in {tmp_path}/none/codebase"
    ]


@pytest.fixture
def told(tmp_path, monkeypatch):
    """What is told of a run that began with some facts and would go on with others; the code is the same."""
    usual = dict.fromkeys(module.COMPARED, "same") | {"data": {}, "packages": {"torch": "2"}, "plugin_code": {}}

    def told(before, now):
        folder = RunFolder(tmp_path)
        write_checksummed(folder.output / "environment.json", usual | before)
        monkeypatch.setattr(module, "beginning", lambda run, hooks: json.loads(json.dumps(usual | now)))
        monkeypatch.setattr(module, "_changed_code", lambda folder, sources: iter([]))
        monkeypatch.setattr(module, "checksum_of_module", lambda name: f"of {name}")
        return list(differences(SimpleNamespace(folder=folder, settings=None), None))

    return told


@pytest.mark.parametrize(
    ("before", "now", "line"),
    [
        ({"device_name": "a"}, {"device_name": "b"}, "device name a and would continue with b"),
        ({"threads": 4}, {"threads": 2}, "threads 4 (OMP_NUM_THREADS=4) and would continue with 2"),
        ({"threads": "4"}, {"threads": 2}, "threads 4 and would continue with 2"),
        ({"processes": 4}, {"processes": 2}, "processes 4 and would continue with 2"),
        ({"packages": {"torch": "1", "a_b": "1"}}, {"packages": {"torch": "1"}}, "a b 1 and would continue with null"),
        ({"packages": {"torch": "1"}}, {"packages": {"torch": "1", "b": "1"}}, None),
        ({"packages": 3}, {"packages": {"torch": "1"}}, 'packages 3 and would continue with {"torch": "1"}'),
        ({"networks": {"a": 1}}, {"networks": None}, 'networks {"a": 1} and would continue with null'),
        ({"plugin_code": {"p_a": "of p_a", "q": "1"}}, {"plugin_code": {"q": "1", "r": "2"}}, None),
        ({"plugin_code": {"p_a": "1"}}, {}, "the plugin's module p_a 1 and would continue with of p_a"),
        ({"plugin_code": {"p_a": "1"}}, {"plugin_code": {"p_a": "2"}}, "the plugin's module p_a 1 and would continue "
                                                                       "with 2"),
    ],
)  # fmt: skip
def test_what_rounds_numbers_is_told_with_what_it_was_and_is(told, before, now, line):
    assert told(before, now) == ([f"the run began with {line}"] if line else [])
