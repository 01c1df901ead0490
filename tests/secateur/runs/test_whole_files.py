"""How a file is written aside and put in its place, and what its text is."""

import math
import os
import zlib
from pathlib import Path

import pytest

from secateur.runs.files import (
    check_is_file,
    checksum,
    checksum_of,
    make_new_folder,
    parse_json,
    read_checksummed,
    read_text,
    remove_parts,
    write_atomically,
    write_checksummed,
    write_json,
)

#: The files that this process has open.
OPEN = Path("/proc/self/fd")


def test_a_file_that_comes_in_pieces_is_whole_in_a_folder_that_is_made_for_it(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    assert write_atomically(path, iter([b"123", memoryview(b"456"), b"789"])) == "cbf43926"
    assert path.read_bytes() == b"123456789"
    assert write_atomically(path, "") == "00000000"
    assert path.read_bytes() == b""
    assert write_atomically(path, "ü") == checksum(b"\xc3\xbc")
    assert path.read_bytes() == b"\xc3\xbc"


@pytest.mark.skipif(not OPEN.is_dir(), reason="a system that does not tell which files are open")
def test_a_file_is_on_the_disk_before_it_gets_its_name_and_its_name_is_before_the_end(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")
    flushed = []

    def fsync(descriptor):
        place = (OPEN / str(descriptor)).readlink()
        names = sorted(one.name for one in tmp_path.iterdir())
        flushed.append((place, path.read_text(), names, place.stat().st_size))

    monkeypatch.setattr(os, "fsync", fsync)
    opened = sorted(one.name for one in OPEN.iterdir())
    write_atomically(path, "newer")
    assert sorted(one.name for one in OPEN.iterdir()) == opened
    part = f".file.{os.getpid()}.part"
    assert [(place, text) for place, text, *_ in flushed] == [
        (tmp_path / part, "old"),
        (tmp_path, "newer"),
    ]
    assert flushed[0][2:] == ([part, "file"], 5)
    assert flushed[1][2] == ["file"]


def test_parts_of_files_go_at_any_depth_and_nothing_else(tmp_path):
    (tmp_path / "a" / ".b.part").mkdir(parents=True)
    for name in (".x.1.part", "a/.y.2.part", "a/.b.part/.z.part", "a/x.part", ".part", "a/.x.partly"):
        (tmp_path / name).write_text("")
    remove_parts(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left == {"a", "a/.b.part", "a/x.part", ".part", "a/.x.partly"}


def test_a_checksum_is_of_all_pieces_of_a_file(tmp_path):
    content = b"123456789" * 250_000  # more than two pieces of 2**20 bytes
    (tmp_path / "file").write_bytes(content)
    assert checksum_of(tmp_path / "file") == checksum(content) == f"{zlib.crc32(content):08x}"
    assert checksum(b"123456789") == "cbf43926"
    assert checksum(b"") == "00000000"


def test_a_folder_that_is_there_is_never_used_again(tmp_path, monkeypatch):
    class Clock:
        def now(self):
            return self

        def strftime(self, form):
            return form

    monkeypatch.setattr("secateur.runs.files.datetime.datetime", Clock())
    results = tmp_path / "a" / "results"
    names = [make_new_folder(results, name).name for name in ("", "", "x", "x", "x", "y")]
    stamp = "%Y-%m-%d_%H.%M.%S"
    assert names == [stamp, f"{stamp}_2", f"{stamp}_x", f"{stamp}_x_2", f"{stamp}_x_3", f"{stamp}_y"]
    assert sorted(path.name for path in results.iterdir()) == sorted(names)


def test_json_is_laid_out_for_people(tmp_path):
    write_json(tmp_path / "file", {"b": [1, {"c": None}], 2: "é", "d": frozenset({3, 1, 20, 2})})
    assert (tmp_path / "file").read_text() == (
        '{\n  "b": [\n    1,\n    {\n      "c": null\n    }\n  ],\n  "2": "\\u00e9",\n'
        '  "d": [\n    1,\n    2,\n    3,\n    20\n  ]\n}\n'
    )


def test_what_json_does_not_have_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file", {"a": {math.nan}})
    assert list(tmp_path.iterdir()) == []


def test_a_checksum_in_a_file_is_of_what_is_said_in_whatever_order(tmp_path):
    path = tmp_path / "file"
    write_checksummed(path, {"b": 1, "a": [2.5]})
    seal = checksum(b'{"a": [2.5], "b": 1}')
    assert path.read_text() == f'{{\n  "b": 1,\n  "a": [\n    2.5\n  ],\n  "crc32_json": "{seal}"\n}}\n'
    path.write_text(f'{{"crc32_json": "{seal}", "a": [2.5], "b": 1}}')
    assert read_checksummed(path) == {"a": [2.5], "b": 1}
    path.write_text('{"crc32_json": "' + "x" * 30 + '", "a": [2.5], "b": 1}')
    with pytest.raises(
        ValueError, match=rf"^it is incomplete, or was altered \(its checksum is {seal}, not x{{20}}\)$"
    ):
        read_checksummed(path)


def test_a_text_may_be_as_long_as_the_limit_and_no_longer(tmp_path):
    path = tmp_path / "file"
    path.write_text("{   }")
    assert read_text(path, largest=5) == "{   }"
    assert read_checksummed(path, 5) == {}
    for read in (read_text, read_checksummed):
        with pytest.raises(ValueError, match=r"^it holds 5 bytes, more than any such file of a run$"):
            read(path, largest=4)
    os.truncate(path, 268_435_457)
    with pytest.raises(ValueError, match=r"^it holds 268,435,457 bytes, more"):
        read_text(path)


def test_bytes_that_are_no_text_are_refused_or_replaced_as_asked(tmp_path):
    (tmp_path / "file").write_bytes(b"a\xffb")
    assert read_text(tmp_path / "file", errors="replace") == "a\ufffdb"
    with pytest.raises(UnicodeDecodeError):
        read_text(tmp_path / "file")


def test_the_first_name_that_is_said_twice_is_told():
    assert parse_json('{"a": {"b": 1}, "b": [{"a": 2}]}') == {"a": {"b": 1}, "b": [{"a": 2}]}
    with pytest.raises(ValueError, match=r"^it says 'b' twice$"):
        parse_json('{"a": 1, "b": 2, "c": 3, "b": 4, "a": 5}')


def test_what_is_no_file_is_refused_by_name_and_what_is_not_there_is_left_to_the_reader(tmp_path):
    check_is_file(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    check_is_file(tmp_path / "file")
    with pytest.raises(OSError, match="it is not a file") as caught:
        check_is_file(tmp_path)
    assert (caught.value.errno, caught.value.filename) == (22, str(tmp_path))
