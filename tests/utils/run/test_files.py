import json
import math

import pytest

from utils.run import files
from utils.run.files import write_atomically, write_json


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, "old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_knows_paths_sets_and_nan(tmp_path):
    write_json(
        tmp_path / "file", {"path": tmp_path, "set": {"b", "a"}, "nan": math.nan, "list": (1, math.inf), "true": True}
    )
    expected = {"path": str(tmp_path), "set": ["a", "b"], "nan": None, "list": [1, None], "true": True}
    assert json.loads((tmp_path / "file").read_text()) == expected
