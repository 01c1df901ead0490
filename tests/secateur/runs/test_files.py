import json
import math
import os

import pytest

from secateur.runs import files
from secateur.runs.files import (
    checksum_of,
    read_checksummed,
    read_text,
    write_atomically,
    write_checksummed,
    write_json,
)


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
        tmp_path / "file",
        {"path": tmp_path, "set": {"b", "a"}, "nan": math.nan, "list": (1, math.inf, -math.inf, -2.5), "true": True},
    )
    expected = {"path": str(tmp_path), "set": ["a", "b"], "nan": None, "list": [1, None, None, -2.5], "true": True}
    assert json.loads((tmp_path / "file").read_text()) == expected


CONTENT = {
    "seed": 333,
    "rate": 2e-3,
    "nan": math.nan,
    "cuts": [["a", [0, 1]]],
    "name": "é\ud800",
    "crc32": "00",
    "no": None,
}


def test_a_checksummed_file_says_what_was_written_or_is_refused_whichever_bit_is_flipped(tmp_path):
    path = tmp_path / "file"
    write_checksummed(path, CONTENT)
    expected = {**CONTENT, "nan": None}
    assert read_checksummed(path) == expected
    content = path.read_bytes()
    noticed = 0
    for at in range(len(content)):
        for bit in range(8):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
            try:
                said = read_checksummed(path)
            except ValueError:
                noticed += 1
            else:  # a space that became another, or the checksum's name something that nobody reads
                assert {name: value for name, value in said.items() if name in expected} == expected
    assert noticed > 6 * len(content)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")
@pytest.mark.parametrize("read", [read_checksummed, checksum_of, read_text])
def test_a_pipe_in_a_files_place_is_refused_and_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is not a file"):
        read(tmp_path / "pipe")


@pytest.mark.parametrize("content", ["{}", '{"a": 1}'])
def test_what_has_no_checksum_is_read_as_it_is(tmp_path, content):
    (tmp_path / "file").write_text(content)
    assert read_checksummed(tmp_path / "file") == json.loads(content)


@pytest.mark.parametrize(
    ("content", "what"),
    [("[1]", "list"), ("3", "int"), ("[" * 100_000, "nested too deeply"), ('{"a": 1, "a": 2}', "says 'a' twice")],
)
def test_what_is_no_dictionary_is_refused(tmp_path, content, what):
    (tmp_path / "file").write_text(content)
    with pytest.raises(ValueError, match=what):
        read_checksummed(tmp_path / "file")


def test_what_is_larger_than_any_file_of_a_run_is_refused_unread(tmp_path):
    with (tmp_path / "file").open("wb") as file:
        file.truncate(40 * 2**30)
    with pytest.raises(ValueError, match="it holds 42,949,672,960 bytes"):
        read_checksummed(tmp_path / "file")
