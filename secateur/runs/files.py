"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

#: The name under which a sealed JSON file holds the checksum of all else in it.
SEAL = "crc32_json"
#: Bytes of the largest text that is read: what a run writes has a thousandth of that, and a sparse file any number.
LARGEST_TEXT = 2**28


def write_atomically(path: Path, content: bytes | str | Iterable[bytes | memoryview]) -> str:
    """Write a file aside, flush it to the disk and rename it into place: a reader never sees half of it.

    The content may come piece by piece. A folder that has vanished is made again. Returns the file's CRC-32, as
    `checksum_of` would.
    """
    if isinstance(content, str):
        content = content.encode()
    pieces = [content] if isinstance(content, bytes) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    crc = 0
    try:
        with aside.open("wb") as file:
            for piece in pieces:
                crc = zlib.crc32(piece, crc)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        with contextlib.suppress(OSError):  # as of a disk that is read-only by now: the error above says more
            aside.unlink(missing_ok=True)
    _flush_folder(path.parent)
    return f"{crc:08x}"


def remove_parts(folder: Path) -> None:
    """Delete what processes that were killed have left, at any depth, of files that they were writing aside."""
    for part in folder.rglob(".*.part"):
        with contextlib.suppress(OSError):
            part.unlink()


def _flush_folder(folder: Path) -> None:
    """Let the new name in a folder outlast a power cut."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # a system that opens no folders, as Windows, has no such call either
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checksum(content: bytes) -> str:
    """The CRC-32 of some bytes, eight hexadecimal digits."""
    return f"{zlib.crc32(content):08x}"


def checksum_of(path: Path) -> str:
    """The CRC-32 of a file, read piece by piece. Raises `OSError` where it is none."""
    check_is_file(path)
    crc = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            crc = zlib.crc32(piece, crc)
    return f"{crc:08x}"


def make_new_folder(results: Path, name: str) -> Path:
    """Make `results/<date>_<time>_<name>`, with `_2` and so on at its end where folders of that second were faster."""
    stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H.%M.%S")
    name = f"{stamp}_{name}" if name else stamp
    results.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = results / (name if number == 1 else f"{name}_{number}")
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON, readable by people; NaN, which JSON has not, becomes null."""
    write_atomically(path, json.dumps(_plain(content), indent=2, allow_nan=False) + "\n")


def write_checksummed(path: Path, content: dict[str, Any]) -> None:
    """Write a dictionary as JSON, with a checksum by which `read_checksummed` knows whether it was altered."""
    plain = _plain(content)
    write_json(path, {**plain, SEAL: _seal_of(plain)})


def read_checksummed(path: Path, largest: int = LARGEST_TEXT) -> dict[str, Any]:
    """Read a dictionary from JSON, without its checksum; files of the first versions, or other programs, have none.

    Raises `ValueError` where it is no dictionary in JSON, of more than `largest` bytes, or where the checksum is not
    that of the rest; `OSError` where it is not a file.
    """
    content = parse_json(read_text(path, largest=largest))
    if not isinstance(content, dict):
        raise ValueError(f"it holds no dictionary but {type(content).__name__}")
    if SEAL in content:
        said, found = content.pop(SEAL), _seal_of(content)
        if said != found:
            raise ValueError(f"it is incomplete, or was altered (its checksum is {found}, not {str(said)[:20]})")
    return content


def read_text(path: Path, errors: str = "strict", largest: int = LARGEST_TEXT) -> str:
    """Read a file of text; `errors` says what becomes of bytes that are none, as `replace`.

    Raises `OSError` where it is not a file, and `ValueError` for such bytes and where it has more than `largest` bytes.
    """
    check_is_file(path)
    if (size := path.stat().st_size) > largest:
        raise ValueError(f"it holds {size:,} bytes, more than any such file of a run")
    return path.read_text(encoding="utf-8", errors=errors)


def parse_json(text: str) -> Any:
    """Return what a text in JSON says. Raises `ValueError` where it is none, too deep, or says a name twice."""
    try:
        return json.loads(text, object_pairs_hook=_without_doubles)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for number, name in enumerate(names) if name in names[:number])
        raise ValueError(f"it says {double[:100]!r} twice")
    return content


def check_is_file(path: Path) -> None:
    """Refuse what is there and is not a file: a pipe would never come to its end."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a file", str(path))


def _seal_of(content: dict[str, Any]) -> str:
    """The checksum of what is said, however it is laid out."""
    return checksum(json.dumps(content, sort_keys=True).encode())


def _plain(value: Any) -> Any:
    """Turn what JSON does not know into what it does."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
